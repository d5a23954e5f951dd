"""Makes emulated boards: Debian's packages for another processor, a Pi's own /proc and /sys, and QEMU for its Python.

    python tools/make_board.py [FOLDER] --arch arm64    FOLDER/emulated-pi-4 and -pi-5: Cortex-A72 and -A76, 64 bits
    python tools/make_board.py [FOLDER] --arch armhf    FOLDER/emulated-pi-32bit: Cortex-A7
    python tools/make_board.py [FOLDER] --arch arm64-bullseye    FOLDER/emulated-pi-bullseye: Debian 11, Python 3.9

FOLDER is ~/.cache/edgebig/boards, or what EDGEBIG_BOARDS says. The command that starts a board's Python is then
BOARD/bin/python3, with a TFLite runtime; BOARD/bare/python3 is the same board as its system was installed.

It needs qemu-user-static, apt and dpkg-deb, and takes half a minute: the machine's own Debian sources serve the
packages and pip's index the wheels. Nothing is installed on this machine. A board that is there whole is left as it is;
one that was cut off, or made by another version of this file, is made anew. QEMU's -L ROOT takes each file that a
program opens from ROOT where it is there, and from this machine else.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import debian_packages
from debian_packages import call

from edgebig import files, lookup
from edgebig.errors import EdgebigError
from edgebig.progress import say

MARKER = "edgebig-board.json"  # written last


@dataclass(frozen=True)
class Architecture:
    """Debian's name and triplet of it, the emulator, the packages, and the runtime's wheels by platform tag.

    `release`: the codename of another Debian than this machine's.
    """

    name: str
    debian: str
    triplet: str
    emulator: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    platforms: tuple[str, ...]
    proof: str
    release: str = ""


@dataclass(frozen=True)
class Board:
    """A board by its folder: the processor that QEMU plays, and what Linux shows of it."""

    name: str
    architecture: Architecture
    processor: str
    model: str
    revision: str
    max_khz: int

    def cpuinfo(self) -> str:
        architecture, variant, part, revision, features = _CORES[self.processor]
        cores = "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: {architecture}\nCPU variant\t: {variant}\n"
            f"CPU part\t: {part}\nCPU revision\t: {revision}\n\n"
            for number in range(4)
        )
        return f"{cores}Revision\t: {self.revision}\nModel\t\t: {self.model}\n"


ARM64 = Architecture(
    name="arm64",
    debian="arm64",
    triplet="aarch64-linux-gnu",
    emulator="qemu-aarch64-static",
    packages=("python3", "libstdc++6"),
    wheels=("ai-edge-litert==2.3.0", "numpy==2.4.6", "pillow>=12"),
    platforms=("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"),
    proof="import numpy, PIL.Image, ai_edge_litert.interpreter",
)
# No index has armv7l wheels of NumPy 1: it is Debian's own, as on a Raspberry Pi.
ARMHF = Architecture(
    name="armhf",
    debian="armhf",
    triplet="arm-linux-gnueabihf",
    emulator="qemu-arm-static",
    packages=("python3", "libstdc++6", "python3-numpy", "python3-pil"),
    wheels=("tflite-runtime==2.14.0",),
    platforms=("manylinux_2_34_armv7l",),
    proof="import numpy, PIL.Image, tflite_runtime.interpreter",
)
# The wheels' tag is newer than what their library asks for, which bullseye has.
BULLSEYE = Architecture(
    name="arm64-bullseye",
    debian="arm64",
    triplet="aarch64-linux-gnu",
    emulator="qemu-aarch64-static",
    packages=("python3", "libstdc++6"),
    wheels=("tflite-runtime==2.14.0", "numpy<2", "pillow<12"),
    platforms=("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64"),
    proof="import numpy, PIL.Image, tflite_runtime.interpreter",
    release="bullseye",
)
ARCHITECTURES = {architecture.name: architecture for architecture in (ARM64, ARMHF, BULLSEYE)}

# What /proc/cpuinfo tells of each core: QEMU's processors by name, as real ones say it.
_CORES = {
    "cortex-a72": ("8", "0x0", "0xd08", "3", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": (
        "8", "0x4", "0xd0b", "1",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
    "cortex-a7": (
        "7", "0x0", "0xc07", "5",
        "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm",
    ),
}  # fmt: skip
BOARDS = (
    Board("emulated-pi-4", ARM64, "cortex-a72", "Raspberry Pi 4 Model B Rev 1.4", "c03114", 1_800_000),
    Board("emulated-pi-5", ARM64, "cortex-a76", "Raspberry Pi 5 Model B Rev 1.0", "c04170", 2_400_000),
    Board(
        "emulated-pi-bullseye", BULLSEYE, "cortex-a72", "Raspberry Pi 4 Model B Rev 1.4", "c03114", 1_800_000
    ),
    Board("emulated-pi-32bit", ARMHF, "cortex-a7", "Raspberry Pi 2 Model B Rev 1.1", "a01041", 900_000),
)


def boards_dir() -> Path:
    return Path(os.environ.get("EDGEBIG_BOARDS") or lookup.cache_dir() / "boards").absolute()


def make(folder: Path, architecture: Architecture, environ: Mapping[str, str] | None = None) -> list[Path]:
    """The folders of the boards of that architecture, made whole or found. `environ`: that of apt and pip.

    Raises EdgebigError where a program or a package is missing, with its last lines.
    """
    _check_programs(architecture)
    made_by = "".join(files.sha256_file(Path(str(path))) for path in (__file__, debian_packages.__file__))
    made_from = f"{made_by} {folder}"  # its launchers know where they are
    with _locked(folder, architecture.name):
        debian = folder / f"debian-{architecture.name}"
        if not _is_made(debian, made_from):
            with _replacing(debian, made_from) as temporary:
                _unpack(temporary, architecture, environ)
        boards = [board for board in BOARDS if board.architecture is architecture]
        for board in boards:
            if not _is_made(folder / board.name, made_from):
                with _replacing(folder / board.name, made_from) as temporary:
                    _lay_out(temporary, folder / board.name, debian, board)
                _prove(folder / board.name, architecture)
    return [folder / board.name for board in boards]


def _check_programs(architecture: Architecture) -> None:
    missing = [name for name in (architecture.emulator, "apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise EdgebigError(
            f"emulated boards need {', '.join(missing)}",
            "on Debian: apt-get install qemu-user-static apt dpkg",
        )


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"boards of {name}: another process makes them; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        # What was cut off, which is no other's while this lock is held.
        for path in folder.glob(f".half-{name}-{'?' * 8}"):
            shutil.rmtree(path)
        yield


def _is_made(folder: Path, made_from: str) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == made_from


@contextlib.contextmanager
def _replacing(folder: Path, made_from: str) -> Iterator[Path]:
    name = folder.name.removeprefix("debian-")
    name = name if name in ARCHITECTURES else _board(folder.name).architecture.name
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".half-{name}-"))
    try:
        temporary.chmod(0o755)
        yield temporary
        (temporary / MARKER).write_text(made_from, encoding="utf-8")
        if folder.exists():
            (folder / MARKER).unlink(missing_ok=True)  # first: a removal that is cut off must not look whole
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _board(name: str) -> Board:
    return next(board for board in BOARDS if board.name == name)


def _unpack(folder: Path, architecture: Architecture, environ: Mapping[str, str] | None) -> None:
    """Debian's packages into folder/root, and the runtime's wheels into folder/site."""
    say(f"{architecture.name}: fetching Debian's packages {', '.join(architecture.packages)}")
    debian_packages.unpack(
        folder / "root", architecture.packages, architecture.debian, architecture.release, environ
    )
    # Debian's alternatives, which are made as a package is installed; here they are only unpacked.
    libraries = folder / "root" / "usr" / "lib" / architecture.triplet
    for name in ("blas", "lapack"):
        if (libraries / name).is_dir():
            (libraries / f"lib{name}.so.3").symlink_to(f"{name}/lib{name}.so.3")
    say(f"{architecture.name}: fetching wheels {', '.join(architecture.wheels)}")
    minor = _python_minor(folder / "root")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", f"3.{minor}", "--target", str(folder / "site")]
    for tag in architecture.platforms:
        command += ["--platform", tag]
    call([*command, *architecture.wheels], environ)


def _python_minor(root: Path) -> int:
    return int((root / "usr" / "bin" / "python3").readlink().name.removeprefix("python3."))


def _lay_out(folder: Path, final: Path, debian: Path, board: Board) -> None:
    """A board's own files; what is Debian's is linked. `final`: where `folder` will be."""
    root = folder / "root"
    root.mkdir()
    for path in sorted((debian / "root").iterdir()):
        (root / path.name).symlink_to(Path("../..") / debian.name / "root" / path.name)
    thermal, policy = "sys/class/thermal/thermal_zone0", "sys/devices/system/cpu/cpufreq/policy0"
    for name, text in {
        "proc/cpuinfo": board.cpuinfo(),
        "proc/device-tree/model": f"{board.model}\0",
        f"{thermal}/type": "cpu-thermal\n",
        f"{thermal}/temp": "45277\n",
        f"{policy}/scaling_governor": "ondemand\n",
        f"{policy}/scaling_cur_freq": f"{board.max_khz}\n",
        f"{policy}/scaling_max_freq": f"{board.max_khz}\n",
        f"{policy}/cpuinfo_max_freq": f"{board.max_khz}\n",
        f"{policy}/related_cpus": "0 1 2 3\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    core = root / "sys" / "devices" / "system" / "cpu" / "cpu0"
    core.mkdir()
    (core / "cpufreq").symlink_to("../cpufreq/policy0")
    interpreter = final / "root" / "usr" / "bin" / f"python3.{_python_minor(debian / 'root')}"
    emulated = f'{board.architecture.emulator} -cpu {board.processor} -L "{final}/root" "{interpreter}"'
    for name, setting in {
        "bare/python3": "",
        "bin/python3": f'export PYTHONPATH="{debian}/site${{PYTHONPATH:+:$PYTHONPATH}}"\n',
    }.items():
        path = folder / name
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\n{setting}exec {emulated} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def _prove(board: Path, architecture: Architecture) -> None:
    """Its Python loads the runtime; what is compiled on the way is there for the next one."""
    try:
        call([str(board / "bin" / "python3"), "-c", architecture.proof], None)
    except BaseException:
        (board / MARKER).unlink()
        raise


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=boards_dir())
    parser.add_argument("--arch", choices=list(ARCHITECTURES), required=True)
    arguments = parser.parse_args()
    try:
        for board in make(arguments.folder.absolute(), ARCHITECTURES[arguments.arch]):
            print(board)
    except EdgebigError as error:
        print(f"make_board: {error.problem}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
