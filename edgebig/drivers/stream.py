"""A process that runs the device's code, here or behind ssh or adb: the task goes in, its events come out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

from edgebig.drivers.protocol import Event, raise_fault
from edgebig.errors import DeviceError

_LINES_SHOWN = 8


def events(
    command: Sequence[str],
    task: dict[str, Any] | None,
    deadline_s: float,
    *,
    own_pipe: bool,
    not_started: str = "mend 'python' in the device's file",
    failed: str = "'edgebig doctor' tells whether this Python can run it",
) -> Iterator[Event]:
    """The events of `command` in a process group of its own, which is gone when this ends.

    `own_pipe`: they come over a pipe whose number is added to the command as `--events N`, and what is printed is for
    people; else they are its stdout. Its stdin stays open meanwhile, and closes with this process however that ends, by
    kill -9 too: the runner takes it as its own end. Raises DeviceError where it dies (with the hint `failed`), says
    what is no event, or is not done by the deadline; an `error` event without an image is raised as what it means to
    the user.
    """
    readable, writable = os.pipe()
    command = [*command, "--events", str(writable)] if own_pipe else list(command)
    with tempfile.TemporaryFile() as printed, os.fdopen(readable, "rb") as lines:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=printed if own_pipe else writable,
                stderr=printed,
                pass_fds=[writable] if own_pipe else [],
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"{command[0]}: cannot be started: {error.strerror}", not_started) from error
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
            for event in _events(process, task, lines):
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
                failed,
            )


def _events(
    process: subprocess.Popen[bytes], task: dict[str, Any] | None, lines: IO[bytes]
) -> Iterator[Event]:
    assert process.stdin is not None
    # A runner that is gone already says by its exit code why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()
    for line in lines:
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
