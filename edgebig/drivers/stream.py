"""A process that runs the device's code, here or behind ssh or adb: the task goes in, its events come out."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import IO, Any

from edgebig.drivers.protocol import Event, raise_fault
from edgebig.errors import DeviceError

_LINES_SHOWN = 8


class Says:
    """What the host says to the runner while that is at work, from any thread; before it starts, too."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def say(self, message: dict[str, Any]) -> None:
        self.lines.put(json.dumps(message).encode() + b"\n")


def events(
    command: Sequence[str],
    task: dict[str, Any] | None,
    deadline_s: float | None,
    *,
    own_pipe: bool,
    after: str = "",
    heartbeat_s: float | None = None,
    says: Says | None = None,
    died: Callable[[int, str], DeviceError | None] | None = None,
    not_started: str = "mend 'python' in the device's file",
    failed: str = "'edgebig doctor' tells whether this Python can run it",
) -> Generator[Event, None, None]:
    """The events of `command` in a process group of its own, which is gone when this ends.

    `own_pipe`: they come over a pipe whose number is added to the command as `--events N`, and what is printed is for
    people; else they are its stdout. Its stdin stays open meanwhile, and closes with this process however that ends, by
    kill -9 too: the runner takes it as its own end. Where a link in between may drop without a word, an empty line
    every `heartbeat_s` says that this process is there; what `says` brings goes the same way. `after`: the line behind
    which the events begin; what a shell's start-up files print before it is for people.

    Raises DeviceError where it dies (what `died` makes of its exit code and what it printed, else with the hint
    `failed`), says what is no event, or is not done by the deadline; an `error` event without an image is raised as
    what it means to the user.
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

        watchdog = threading.Timer(threading.TIMEOUT_MAX if deadline_s is None else deadline_s, kill_late)
        watchdog.daemon = True
        watchdog.start()
        says = says or Says()
        heart = threading.Thread(target=_beat, args=(process, heartbeat_s, says), daemon=True)
        try:
            _send(process, task)
            heart.start()
            _skip(lines, after, printed)
            for event in _events(lines):
                if event["event"] == "error" and "image" not in event:
                    raise_fault(event, _tail(printed))
                yield event
            code = process.wait()
        finally:
            watchdog.cancel()
            says.lines.put(None)
            _kill_group(process)
            process.wait()
            if heart.ident is not None:
                heart.join()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # the task that nobody took
                process.stdin.close()
        if late.is_set() and deadline_s is not None:
            raise DeviceError(
                f"not done after {deadline_s:.0f} s, stopped", "fewer --examples, or a longer --deadline"
            )
        if code != 0:
            if died is not None and (named := died(code, _tail(printed))) is not None:
                raise named
            raise DeviceError(
                f"the runner ended with exit code {code}: {' '.join(command)}\n{_tail(printed)}".rstrip(),
                failed,
            )


def _send(process: subprocess.Popen[bytes], task: dict[str, Any] | None) -> None:
    assert process.stdin is not None
    # A runner that is gone already says by its exit code why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()


def _beat(process: subprocess.Popen[bytes], every_s: float | None, says: Says) -> None:
    assert process.stdin is not None
    while True:
        try:
            line = says.lines.get(timeout=every_s)
        except queue.Empty:
            line = b"\n"
        if line is None:
            return
        try:
            os.write(process.stdin.fileno(), line)
        except BrokenPipeError:
            return


def _skip(lines: IO[bytes], after: str, printed: IO[bytes]) -> None:
    """Reads up to the line `after`; what stands before it is added to what was printed."""
    if not after:
        return
    for line in lines:
        if line.rstrip(b"\r\n") == after.encode():
            return
        printed.seek(0, os.SEEK_END)
        printed.write(line)
        printed.flush()


def _events(lines: IO[bytes]) -> Iterator[Event]:
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
