"""Several devices at once: a process for each board, so that one that fails or hangs takes no other along.

What measures on the machine that edgebig runs on comes last and one by one: nothing else is then at work there.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from edgebig import device, progress
from edgebig.device import AdbDevice, Device, LocalDevice, McuDevice, SshDevice
from edgebig.errors import EXIT_DEVICE, EdgebigError, Failure, Interrupted

_HERE = ("this machine",)
# So long may a session take to end once it was told to: a board that is gone keeps its link for a while.
_STOP_LIMIT_S = 20.0


@dataclass(frozen=True)
class Task:
    """What is to be done on a device; `call` is picklable, and so is what it gives."""

    target: Device
    call: Callable[[], Any]


@dataclass(frozen=True)
class Outcome:
    """What a task gave, or why it gave nothing."""

    device: str
    result: Any = None
    failure: Failure | None = None


def load(names: str) -> list[Device]:
    """The devices of "pi4,pi5". Raises EdgebigError where one is none, or is named twice."""
    targets = [device.load(name.strip()) for name in names.split(",") if name.strip()]
    if not targets:
        raise EdgebigError(f"--device '{names}': names no device", "'edgebig devices' lists them")
    known = [target.name for target in targets]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise EdgebigError(f"{', '.join(twice)}: named twice", "name each device once")
    return targets


def run(tasks: Sequence[Task], done: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """Does all tasks, boards side by side and those of one board in turn; gives their outcomes in the order of `tasks`.

    `done` is called as each ends, whatever becomes of the others. Ctrl-C ends all of them; `done` is then told of those
    that keep what they have. An exception that is not
    the user's or the device's fault is raised once the others have ended.
    """
    places: dict[tuple[object, ...], list[Task]] = {}
    for task in tasks:
        places.setdefault(_place(task.target), []).append(task)
    here = places.pop(_HERE, [])
    found: dict[str, Outcome] = {}
    with progress.several([task.target.name for task in tasks]) as shown:

        def ended(outcome: Outcome) -> None:
            found[outcome.device] = outcome
            done(outcome)

        for wave in (list(places.values()), [here] if here else []):
            _run_wave(wave, shown, ended)
    return [found[task.target.name] for task in tasks]


def _place(target: Device) -> tuple[object, ...]:
    """Tasks with the same one would disturb each other. Boards under two addresses are told apart by their own lock."""
    match target:
        case LocalDevice() | McuDevice():
            return _HERE
        case SshDevice():
            return ("ssh", target.address, target.port)
        case AdbDevice():
            return ("adb", target.serial)
    return (target.kind, target.name)


def _run_wave(
    wave: Sequence[Sequence[Task]], shown: progress.Several, ended: Callable[[Outcome], None]
) -> None:
    bugs: list[str] = []
    with _workers(wave, ended) as workers:
        todo = {connection: [task.target.name for task in tasks] for connection, tasks in workers.items()}
        while todo:
            for connection in wait(list(todo)):
                assert isinstance(connection, Connection)
                try:
                    kind, name, value = connection.recv()
                except (EOFError, OSError):
                    for lost in todo.pop(connection):
                        ended(Outcome(lost, failure=_DIED))
                    continue
                if kind == "progress":
                    shown(name, value)
                    continue
                if kind == "bug":
                    bugs.append(value)
                else:
                    ended(value)
                todo[connection].remove(name)
                if not todo[connection]:
                    del todo[connection]
    if bugs:
        raise RuntimeError("\n".join(bugs))


_DIED = Failure("its process died in the middle", "is memory short? Measure it alone", EXIT_DEVICE)


@contextlib.contextmanager
def _workers(
    wave: Sequence[Sequence[Task]], ended: Callable[[Outcome], None]
) -> Iterator[Mapping[Connection, Sequence[Task]]]:
    """A process for each; at the end none is left, and where the block fails they are told to stop first.

    `ended`: told of what a task says as it stops, of what it keeps.
    """
    # Not forked: this process may have threads.
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, tuple[Any, Sequence[Task]]] = {}
    try:
        for tasks in wave:
            with _without_interrupts():
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(tasks, theirs), daemon=True)
                process.start()
                theirs.close()
                workers[ours] = (process, tasks)
        yield {connection: tasks for connection, (_, tasks) in workers.items()}
    except BaseException:
        for connection in workers:
            with contextlib.suppress(OSError):
                connection.send("stop")
        raise
    finally:
        limit_s = time.monotonic() + _STOP_LIMIT_S
        for connection, (process, _) in workers.items():
            _see_off(connection, process, limit_s, ended)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block is done; a process that starts in it gets none until it asks for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _see_off(connection: Connection, process: Any, limit_s: float, ended: Callable[[Outcome], None]) -> None:
    """Waits for its end. What it still says is read, lest it wait for that; past `limit_s` it is killed."""
    try:
        with contextlib.suppress(EOFError, OSError):
            while (left_s := limit_s - time.monotonic()) > 0 and connection.poll(left_s):
                kind, _, value = connection.recv()
                if kind == "outcome":
                    ended(value)
        process.join(max(1.0, limit_s - time.monotonic()))
    finally:
        process.kill()
        process.join()
        process.close()
        connection.close()


def _work(tasks: Sequence[Task], connection: Connection) -> None:
    """In the process: the tasks in turn. Ctrl-C reaches it by its parent alone, once."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()

    def send(*message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # The thread above ends this process in good order.
            connection.send(message)

    try:
        for task in tasks:
            name = task.target.name
            progress.relay(partial(send, "progress", name))
            try:
                send("outcome", name, Outcome(name, result=task.call()))
            except (EdgebigError, OSError) as error:
                send("outcome", name, Outcome(name, failure=Failure.of(error)))
                if isinstance(error, Interrupted):
                    raise KeyboardInterrupt from None
            except Exception:  # noqa: BLE001  # A bug: its traceback is told in the parent, by the one who names bugs.
                send("bug", name, traceback.format_exc())
    except KeyboardInterrupt:
        sys.exit(1)


def _end_with_parent(connection: Connection) -> None:
    """What the parent says means stop, and so does its end."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os.kill(os.getpid(), signal.SIGINT)
