"""A phone for tests: Debian's real adbd behind the real adb client and server, in a network of its own.

adbd binds every interface, so it runs in a network namespace in which only `lo` is up, and adb's server beside it. The
client stands outside and reaches that server over a socket of the file system, which no namespace keeps apart.

    with started(root, folder) as phone:   root: what `unpacked` made; folder: where the phone's files and getprop are
    phone.environment                      for whoever runs adb

An arm64 adbd runs in QEMU's user mode; what its shell starts is this machine's, and what it is given to start.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgebig.errors import EdgebigError
from tests import boards as emulated

SUITE = "trixie"


@dataclass(frozen=True)
class Processor:
    """What it is called by Debian, by Debian's folders of libraries, by the C library and by Android; its emulator."""

    debian: str
    triplet: str
    loader: str
    abi: str
    older_abi: str
    emulator: str = ""


X86_64 = Processor("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2", "x86_64", "x86")
ARM64 = Processor("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1", "arm64-v8a", "armeabi-v7a")
NATIVE = {"x86_64": X86_64, "aarch64": ARM64}.get(platform.machine())
EMULATED = replace(ARM64, emulator="qemu-aarch64-static -cpu cortex-a72")
PORT = 5555
LIMIT_S = 30.0
_PROPERTIES = {
    "ro.product.manufacturer": "Nobody",
    "ro.product.model": "Test Phone",
    "ro.build.version.release": "15",
    "ro.build.version.sdk": "35",
    "ro.soc.manufacturer": "Stand-in",
    "ro.soc.model": "1",
}
THERMAL = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
\tTemperature{mValue=38.1, mType=0, mName=AP, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=44.8, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
\tTemperature{mValue=4200.0, mType=6, mName=VBAT, mStatus=0}
\tTemperature{mValue=38.0, mType=3, mName=SKIN, mStatus=1}
Current cooling devices from HAL:
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  Charge counter: 3270000
  status: 2
  health: 2
  present: true
  level: 81
  scale: 100
  voltage: 4352
  temperature: 274
  technology: Li-ion
"""


def properties(processor: Processor) -> dict[str, str]:
    """What its getprop tells."""
    abis = f"{processor.abi},{processor.older_abi}"
    return {**_PROPERTIES, "ro.product.cpu.abi": processor.abi, "ro.product.cpu.abilist": abis}


class Unavailable(Exception):
    """Why no adbd can be had here."""


def unpacked(folder: Path, processor: Processor | None = NATIVE) -> Path:
    """adbd and its libraries under `folder`, of this machine's own Debian mirror; whole, or not at all.

    Raises Unavailable where apt cannot bring them.
    """
    if processor is None:
        raise Unavailable(f"none is known for {platform.machine()}")
    root = folder / f"adbd-{SUITE}-{processor.debian}"
    if (root / "whole").is_file():
        return root
    shutil.rmtree(root, ignore_errors=True)
    try:
        emulated.tool("debian_packages").unpack(root, ["adbd"], processor.debian, SUITE)
    except EdgebigError as error:
        raise Unavailable(error.problem) from error
    (root / "whole").touch()
    return root


@dataclass
class TestPhone:
    """A running phone. `serial` is what adb calls it; `folder` has its files."""

    __test__ = False

    serial: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def adb(self, *words: str) -> str:
        done = subprocess.run(
            ["adb", *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    def processes(self, word: str) -> list[int]:
        """Those that have `word` in their command line, this Python's own left out."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if word.encode() in (path / "cmdline").read_bytes() and int(path.name) != os.getpid():
                    found.append(int(path.name))
        return found

    def unplug(self) -> None:
        """The daemon alone ends, as it does for a host when the cable is out."""
        daemon = f"{self.folder}/bin/adbd"
        for pid in self.processes(daemon):
            if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-1] == daemon.encode():
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def started(
    root: Path, folder: Path, full: bool = False, processor: Processor | None = NATIVE
) -> Iterator[TestPhone]:
    """A phone whose adbd is that of `root`, of that processor. `full`: its store is a file system of 1 MB."""
    assert processor is not None
    phone = _start(root, folder, processor, full=full)
    try:
        yield phone
    finally:
        phone.stop()


def _start(root: Path, folder: Path, processor: Processor, *, full: bool) -> TestPhone:
    programs, store = folder / "bin", folder / "store"
    programs.mkdir(parents=True)
    store.mkdir()
    told = properties(processor).items()
    _program(programs / "getprop", "\n".join(f"[{name}]: [{value}]" for name, value in told))
    (folder / "thermalservice").write_text(THERMAL)
    (folder / "battery").write_text(BATTERY)
    (programs / "dumpsys").write_text(f'#!/bin/sh\ncat "{folder}/$1"\n')
    (programs / "dumpsys").chmod(0o755)
    libraries = root / "usr" / "lib" / processor.triplet
    (programs / "adbd").symlink_to(root / "usr" / "lib" / "android-sdk" / "platform-tools" / "adbd")
    socket = f"localfilesystem:{folder}/adb.sock"
    script = (
        "ip link set lo up || exit 1\n"
        + (f"mount -t tmpfs -o size=1m none {store}\n" if full else "")
        # The server must not take adbd's port for that of an Android emulator, a second phone.
        + "export ADB_EMU=0 ADB_LOCAL_TRANSPORT_MAX_PORT=5554\n"
        f"export PATH={programs}:$PATH HOME={folder} EDGEBIG_LOCKS={folder}\n"
        f"adb -L {socket} server nodaemon &\n"
        f"{processor.emulator} {libraries}/{processor.loader} --library-path {libraries}:{libraries}/android "
        f"{programs}/adbd &\nwait\n"
    )
    log = (folder / "log").open("wb")
    # A namespace of processes ends with its first one, that with unshare, and that with this Python, however it ends.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
         "sh", "-c", script],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    log.close()
    environment = {**os.environ, "ADB_SERVER_SOCKET": socket, "HOME": str(folder)}
    phone = TestPhone(f"127.0.0.1:{PORT}", folder, environment, process)
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s and process.poll() is None:
        listens = (folder / "adb.sock").exists() and "connected" in phone.adb("connect", phone.serial)
        if listens and phone.adb("-s", phone.serial, "get-state").strip() == "device":
            return phone
        time.sleep(0.05)
    phone.stop()
    raise AssertionError(f"adbd did not start: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def _program(path: Path, printed: str) -> None:
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")
    path.chmod(0o755)
