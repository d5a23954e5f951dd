"""The runner's command line: `python -m edgebig.ondevice`, a copied folder, or the one-file zipapp.

A task comes as JSON on stdin; events go as JSON lines to stdout, or to a file descriptor of their own (`--events 3
3>&1 1>&2` in a shell), which not even a start-up file of this Python can write to.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable, TextIO


def main() -> int:
    """Exit code 0 after a last `result` event, 1 after an `error` event."""
    parser = argparse.ArgumentParser(prog="edgebig-ondevice", description="edgebig's part on the device")
    parser.add_argument(
        "action", choices=["facts", "hold", "run", "child", "predict", "camera", "environment"]
    )
    parser.add_argument(
        "--store", default=".", help="the folder of the files that were sent, each named by its sha256"
    )
    parser.add_argument(
        "--attached",
        action="store_true",
        help="the task is the first line of stdin, and all ends when stdin does: the host is gone then",
    )
    parser.add_argument(
        "--heartbeat",
        type=float,
        metavar="S",
        help="with --attached: all ends where stdin brought nothing for so long: the link is gone then",
    )
    parser.add_argument("--events", type=int, metavar="FD", help="write the events there, not to stdout")
    parser.add_argument(
        "--python",
        metavar="JSON",
        help="the words that start this Python, where it is not sys.executable alone",
    )
    arguments = parser.parse_args()
    events = take_stdout() if arguments.events is None else os.fdopen(arguments.events, "w", encoding="utf-8")
    # Only now: whatever a library prints as it is loaded is no event.
    from . import conditions, runner
    from .faults import Fault

    try:
        if arguments.action == "facts":
            emit(events, {"event": "ready", "protocol": runner.PROTOCOL, "facts": conditions.facts()})
            return 0
        lines = _lines_of_stdin(arguments.heartbeat)
        task = runner.read_job(next(lines, "") if arguments.attached else sys.stdin.read())
        watched = threading.Event()
        if arguments.attached:
            threading.Thread(target=_end_with_stdin, args=(lines, watched), daemon=True).start()
        if arguments.action == "hold":
            from . import store

            steps = store.hold_for_host(arguments.store, task["holder"])
        elif arguments.action == "run":
            steps = runner.run(task, arguments.store, [*_python(arguments), os.path.abspath(sys.argv[0])])
        elif arguments.action == "environment":
            from . import environment

            steps = environment.steps(task, arguments.store, _python(arguments))
        elif arguments.action == "child":
            with _packages():
                from . import child

            steps = child.run(task, arguments.store)
        elif arguments.action == "camera":
            with _packages():
                from . import camera

            task["model"] = os.path.join(arguments.store, task["model"])
            steps = camera.run(task, watched if task["awaits_viewers"] else None)
        else:
            with _packages():
                from . import predict

            steps = predict.predict(task)
        for event in steps:
            emit(events, event)
    except Fault as fault:
        emit(events, fault.event())
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody listens any more. The interpreter must not try to flush into the closed pipe.
        os._exit(130)
    return 0


def _python(arguments: argparse.Namespace) -> list[str]:
    return json.loads(arguments.python) if arguments.python else [sys.executable]


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    """Raises Fault where a package that is loaded in the block is missing or broken."""
    from .faults import Fault, first_line

    try:
        yield
    except ImportError as error:
        raise Fault(
            "no-package",
            f"{sys.executable} (Python {sys.version.split()[0]}) cannot load what it needs: {first_line(error)}",
            "'edgebig devices setup' gives a board an environment; or install numpy and pillow for this Python",
        ) from error


def take_stdout() -> TextIO:
    """The real stdout for events alone; from here on whatever else is printed goes to stderr."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def emit(events: TextIO, event: dict[str, Any]) -> None:
    events.write(json.dumps(event, separators=(",", ":")) + "\n")
    events.flush()


def _lines_of_stdin(heartbeat_s: float | None) -> Iterator[str]:
    """Each line of stdin as it comes, until it ends or, after its first line, brought nothing for `heartbeat_s`."""
    # Not by sys.stdin, whose lock a waiting thread would still hold when the interpreter ends.
    rest, patience_s = b"", None
    while select.select([0], [], [], patience_s)[0] and (read := os.read(0, 1 << 16)):
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            patience_s = heartbeat_s
            yield line.decode()


def _end_with_stdin(lines: Iterator[str], watched: threading.Event) -> None:
    """What the host says meanwhile: nothing, or whether somebody watches."""
    for line in lines:
        if line:
            (watched.set if json.loads(line)["watched"] else watched.clear)()
    os._exit(130)


def _packaged_main() -> Callable[[], int]:
    """`main` of the folder that this file is in, loaded as a package.

    Neither the folder nor its parent stays on the path, where any file might hide a library that is imported later.
    """
    import importlib
    import importlib.util

    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    spec = importlib.util.spec_from_file_location(
        "edgebig_ondevice", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    packaged: Callable[[], int] = importlib.import_module("edgebig_ondevice.__main__").main
    return packaged


if __name__ == "__main__":
    sys.exit(main() if __package__ else _packaged_main()())
