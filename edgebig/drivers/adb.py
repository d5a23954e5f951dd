"""An Android phone by adb: TFLite's official benchmark_model on it, or the runner where it has a Python."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from edgebig import files
from edgebig.device import AdbDevice
from edgebig.drivers import adbclient, android, benchmark_model, benchmark_pins, board
from edgebig.drivers.adbclient import Deadline, Phone
from edgebig.drivers.benchmark_model import Tool
from edgebig.drivers.benchmark_runs import ToolRuns
from edgebig.drivers.phonestore import PhoneStore
from edgebig.drivers.protocol import PROTOCOL, Capabilities, DeviceFacts, Event, Job, Provenance, Session
from edgebig.drivers.shell import LinkFault
from edgebig.errors import DeviceError, EdgebigError
from edgebig.progress import say

# adb ends with 0 where it loses the phone: a script that ends well gives another code, which is turned back here.
_WELL, _LOST = 33, 255
_HERE = f'"$@"; code=$?; case $code in {_WELL}) exit 0;; 0) exit {_LOST};; *) exit $code;; esac'
_NUMPY = b"\x93NUMPY"
_HOW_TO_GET = (
    "download Google's (ai.google.dev/edge/litert: the benchmark tools), or build it from TensorFlow's or LiteRT's "
    "source for the phone's processor, and name the file as 'benchmark_model' in the device's file"
)


class AdbDriver:
    """One session on the phone that the device's file names, or on the only one."""

    def __init__(self, device: AdbDevice) -> None:
        self.device = device

    def sessions(self) -> Iterator[AbstractContextManager[Session]]:
        yield self._session()

    @contextlib.contextmanager
    def _session(self) -> Iterator[Session]:
        phone = Phone(adbclient.choose(self.device.serial, adbclient.attached()))
        if self.device.runtime == "benchmark_model":
            opening = _with_tool(phone, self.device)
        else:
            link = AdbLink(self.device.name, phone)
            opening = board.session(
                link, self.device.folder, self.device.python, emulated=self.device.emulated
            )
        with opening as session:
            yield session


@contextlib.contextmanager
def _with_tool(phone: Phone, device: AdbDevice) -> Iterator[Session]:
    store = PhoneStore(phone, device.folder)
    with store.locked():
        yield ToolSession(store, device)


def set_up(device: AdbDevice) -> dict[str, Any]:
    """Fetches the pinned tool for the phone. -> {device, did: installed | nothing, runtime, packages, advice}.

    Raises EdgebigError where none is pinned for it.
    """
    phone = Phone(adbclient.choose(device.serial, adbclient.attached()))
    abis = android.facts(phone.ask(android.READ_FACTS))["abis"]
    there = benchmark_pins.fetched(abis)
    path = there or benchmark_pins.fetch(abis)
    return {
        "device": device.name,
        "did": "nothing" if there else "installed",
        "runtime": "benchmark_model",
        "packages": {"benchmark_model": path.name},
        "advice": "",
    }


class AdbLink:
    """A phone as a board with a Python: Termux's, or that of a rooted board."""

    def __init__(self, name: str, phone: Phone) -> None:
        self.name = name
        self._phone = phone

    def command(self, script: str) -> list[str]:
        there = f"sh -c {shlex.quote(script)}; c=$?; [ $c = 0 ] && exit {_WELL}; exit $c"
        return ["sh", "-c", _HERE, "sh", *self._phone.command("shell", there)]

    def fault(self, code: int, printed: str) -> DeviceError | None:
        lost = code == _LOST or adbclient.is_gone(printed)
        return LinkFault(*self._phone.gone()) if lost else None


def _tool_file(device: AdbDevice, machine: dict[str, Any]) -> Path:
    """Raises EdgebigError where there is none, or one for another processor."""
    if not device.benchmark_model:
        if fetched := benchmark_pins.fetched(machine["abis"]):
            return fetched
        raise EdgebigError(f"{device.name}: 'benchmark_model' names no tool", _HOW_TO_GET)
    path = Path(device.benchmark_model).expanduser()
    if not path.is_file():
        raise EdgebigError(f"{device.name}: benchmark_model: no file {path}", _HOW_TO_GET)
    with path.open("rb") as file:
        built_for = android.abi_of(file.read(20))
    if built_for and machine["abis"] and built_for not in machine["abis"]:
        raise EdgebigError(
            f"{path} is for {built_for}, and this phone runs {', '.join(machine['abis'])}",
            f"use the benchmark_model that is built for {machine['abis'][0]}",
        )
    return path


class ToolSession:
    """A phone, locked, with benchmark_model on it. Without the tool it can be looked at and cleaned, and no more."""

    def __init__(self, store: PhoneStore, device: AdbDevice) -> None:
        self._store = store
        self._phone = store.phone
        self._device = device
        self._here: dict[str, Path] = {}
        machine = android.facts(self._phone.ask(android.READ_FACTS))
        emulated = device.emulated or machine["emulator"]
        provenance: Provenance = "emulated" if emulated else "real"
        self._no_tool: EdgebigError | None = None
        takes_inputs = False
        try:
            self._tool_file = _tool_file(device, machine)
        except EdgebigError as error:
            self._no_tool = error
        else:
            tool, sha256 = self._send_tool()
            machine["runtimes"] = {"benchmark_model": f"({tool.name}, {sha256[:12]})"}
            machine["benchmark_model_sha256"] = sha256
            takes_inputs = tool.takes_inputs
            provenance = "stand-in" if tool.stand_in else provenance
        if device.delegate == "nnapi":
            machine["nnapi"] = "legacy: Android 15 deprecates it"
            if android.nnapi_is_deprecated(machine):
                say(f"{device.name}: NNAPI is deprecated since Android 15, which this phone has")
        capabilities = Capabilities(raw_samples=False, predictions=takes_inputs, interleaving=True)
        self.facts = DeviceFacts(provenance, machine, capabilities)

    def _send_tool(self) -> tuple[Tool, str]:
        if self._no_tool is not None:
            raise self._no_tool
        sha256 = self._store.put(self._tool_file, executable=True)
        code, text = self._phone.shell(f"{self._store.path(sha256)} --help")
        if code in (126, 127) or code > 128:
            benchmark_model.raise_failure(code, text, str(self._tool_file))
        return benchmark_model.tool_of(text), sha256

    def put(self, blob: Path) -> str:
        """Pictures stay here, since the tool reads no .npy: what it is given is made of them for each model."""
        if self._no_tool is not None:
            raise self._no_tool
        with blob.open("rb") as file:
            is_pictures = file.read(len(_NUMPY)) == _NUMPY
        sha256 = files.sha256_file(blob) if is_pictures else self._store.put(blob)
        self._here[sha256] = blob
        return sha256

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        deadline = Deadline(deadline_s)
        # Sent again where `clean` has taken it away.
        tool, tool_sha256 = self._send_tool()
        runs = ToolRuns(self._store, tool, self._store.path(tool_sha256), job, self._here, deadline)
        yield {"event": "ready", "protocol": PROTOCOL, "facts": self.facts.machine}
        yield runs.reading("before")
        yield from runs.events()
        yield runs.reading("after")
        yield {"event": "result", "complete": True}

    def clean(self) -> None:
        self._store.clean()
