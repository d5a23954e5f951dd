"""The machine that edgebig runs on as a target: the runner's zipapp in processes of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from edgebig import files, lookup
from edgebig.device import Device
from edgebig.drivers import payload
from edgebig.drivers.protocol import Capabilities, DeviceFacts, Event, Job, raise_fault
from edgebig.errors import DeviceError
from edgebig.progress import say

_FACTS_DEADLINE_S = 60.0
_LINES_SHOWN = 8


class LocalDriver:
    """One session on the machine that edgebig runs on."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def sessions(self) -> Iterator[AbstractContextManager[LocalSession]]:
        yield self._session()

    @contextlib.contextmanager
    def _session(self) -> Iterator[LocalSession]:
        store = lookup.cache_dir() / "local"
        store.mkdir(parents=True, exist_ok=True)
        with _lock(store / "lock"):
            yield LocalSession(store, self.device.python or sys.executable)


class LocalSession:
    """The local machine, locked."""

    def __init__(self, store: Path, python: str) -> None:
        self._store = store
        self._python = python
        ready = next(run_ondevice(python, "facts", None, store, _FACTS_DEADLINE_S), None)
        if ready is None:
            raise DeviceError(
                f"{python}: it ended well and said nothing",
                "is it a Python? Mend 'python' in the device's file",
            )
        self.facts = DeviceFacts("real", ready["facts"], Capabilities(True, True, True))

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
            if path.name != "lock":
                path.unlink()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Two measurements at once would disturb each other: the second waits, and says for whom."""
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"waiting: process {file.read().strip() or '?'} is measuring on this machine")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def run_ondevice(
    python: str, action: str, task: dict[str, Any] | None, store: Path, deadline_s: float
) -> Iterator[Event]:
    """The events of one run of the zipapp in a process group of its own, which is gone when this ends.

    The runner's stdin stays open meanwhile, and closes with this process however that ends, by kill -9 too: the runner
    takes it as its own end. Raises DeviceError where it dies, says what is no event, or is not done by the deadline; an
    `error` event without an image is raised as what it means to the user.
    """
    readable, writable = os.pipe()
    command = [python, str(payload.write(store)), action, "--store", str(store), "--attached"]
    command += ["--events", str(writable)]
    with tempfile.TemporaryFile() as printed, os.fdopen(readable, "rb") as events:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                pass_fds=[writable],
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(
                f"{python}: cannot be started: {error.strerror}", "mend 'python' in the device's file"
            ) from error
        finally:
            os.close(writable)
        late = threading.Event()

        def kill_late() -> None:
            late.set()
            _kill_group(process)

        watchdog = threading.Timer(deadline_s, kill_late)
        watchdog.daemon = True
        watchdog.start()
        try:
            for event in _events(process, task, events):
                if event["event"] == "error" and "image" not in event:
                    raise_fault(event, _tail(printed))
                yield event
            code = process.wait()
        finally:
            watchdog.cancel()
            _kill_group(process)
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # the task that nobody took
                process.stdin.close()
        if late.is_set():
            raise DeviceError(
                f"not done after {deadline_s:.0f} s, stopped", "fewer --examples, or a longer --deadline"
            )
        if code != 0:
            raise DeviceError(
                f"the runner ended with exit code {code}: {' '.join(command)}\n{_tail(printed)}".rstrip(),
                "'edgebig doctor' tells whether this Python can run it",
            )


def _events(
    process: subprocess.Popen[bytes], task: dict[str, Any] | None, events: IO[bytes]
) -> Iterator[Event]:
    assert process.stdin is not None
    # A runner that is gone already says by its exit code why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()
    for line in events:
        if not line.endswith(b"\n"):
            return  # It was killed within a line; the caller knows by what.
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            text = line[:200].decode(errors="replace").strip()
            raise DeviceError(f"the runner said what is no event: {text}", "please report this")
        yield event


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _tail(printed: IO[bytes]) -> str:
    printed.seek(0)
    return "\n".join(printed.read().decode(errors="replace").splitlines()[-_LINES_SHOWN:])
