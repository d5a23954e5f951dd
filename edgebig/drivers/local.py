"""The machine that edgebig runs on as a target: the runner in processes of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from edgebig import environment, files, lookup, ondevice
from edgebig.device import LocalDevice
from edgebig.drivers import board, payload, stream
from edgebig.drivers.protocol import Capabilities, DeviceFacts, Event, Job
from edgebig.errors import DeviceError
from edgebig.ondevice.store import LOCK, hold

_FACTS_DEADLINE_S = 60.0


class LocalDriver:
    """One session on the machine that edgebig runs on. Raises EdgebigError where its runtime's Python is not made."""

    def __init__(self, device: LocalDevice) -> None:
        self.device = device
        self._python = python_of(device)

    def sessions(self) -> Iterator[AbstractContextManager[LocalSession]]:
        yield self._session()

    @contextlib.contextmanager
    def _session(self) -> Iterator[LocalSession]:
        store = lookup.cache_dir() / "local"
        store.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(hold(str(store), board.me())) as holding:
            board.wait_for_lock(holding, "this machine")
            yield LocalSession(store, self._python, emulated=self.device.emulated)


def python_of(device: LocalDevice) -> list[str]:
    """The words that start its Python: of an emulated board, an emulator and its options before it.

    tflite-runtime has a Python of its own where this one lacks it. Raises EdgebigError where that is not made.
    """
    if device.python:
        return [os.path.expanduser(word) for word in shlex.split(device.python)]
    if device.runtime == "tflite-runtime" and importlib.util.find_spec("tflite_runtime") is None:
        # Nor the user's PYTHONPATH, which is of another Python.
        return [str(environment.python("tflite-runtime")), "-I"]
    return [sys.executable]


class LocalSession:
    """The local machine, locked."""

    def __init__(self, store: Path, python: Sequence[str], *, emulated: bool = False) -> None:
        self._store = store
        self._python = python
        ready = next(run_ondevice(python, "facts", None, store, _FACTS_DEADLINE_S), None)
        if ready is None:
            raise DeviceError(
                f"{shlex.join(python)}: it ended well and said nothing",
                "is it a Python? Mend 'python' in the device's file",
            )
        provenance = board.provenance(platform.machine(), ready["facts"], emulated=emulated)
        self.facts = DeviceFacts(provenance, ready["facts"], Capabilities(True, True, True))

    def put(self, blob: Path) -> str:
        sha256 = files.sha256_file(blob)
        target = self._store / sha256
        # The name is a promise that a cut-off disk may have broken: the content is read again.
        if not target.is_file() or files.sha256_file(target) != sha256:
            with files.replacing(target) as temporary:
                shutil.copyfile(blob, temporary)
        return sha256

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        yield from run_ondevice(self._python, "run", job.to_json(), self._store, deadline_s)

    def clean(self) -> None:
        for path in self._store.iterdir():
            if path.name != LOCK:
                path.unlink()


def run_ondevice(
    python: Sequence[str],
    action: str,
    task: dict[str, Any] | None,
    store: Path,
    deadline_s: float | None,
    says: stream.Says | None = None,
) -> Iterator[Event]:
    """The events of one run of the runner by the Python that `python` starts. Raises what stream.events does."""
    store.mkdir(parents=True, exist_ok=True)
    # This Python keeps the compiled modules of a folder. Those of the zipapp, which any other gets, each process
    # compiles anew: of what a process that measures costs here a fifth, of one that reads pictures nearly a third.
    is_this = list(python) == [sys.executable]
    runner = Path(ondevice.__file__).parent if is_this else payload.write(store)
    command = [*python, str(runner), action, "--store", str(store), "--attached"]
    if not is_this:
        command += ["--python", json.dumps(list(python))]
    return stream.events(command, task, deadline_s, own_pipe=True, says=says)
