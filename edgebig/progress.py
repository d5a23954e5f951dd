"""Progress with an ETA on stderr, and nothing at all where stdout or stderr is no terminal.

What must be known whoever reads (which run, which model) is said on stderr in any case.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Protocol


class Advance(Protocol):
    """Called as work gets done: `steps` more of the total, and a few words on how it goes."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def _silent(steps: int = 1, note: str = "") -> None:
    pass


@contextlib.contextmanager
def track(what: str, total: int) -> Iterator[Advance]:
    """A bar named `what` over `total` steps; it leaves the screen when the block ends."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            progress.advance(task, steps)
            if note:
                progress.update(task, note=note)

        yield advance


def say(text: str) -> None:
    """A line on stderr: what is being done or chosen, for the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what C++ libraries print to stderr off the screen; it is shown after all if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as noise:
            os.dup2(noise.fileno(), 2)
            try:
                yield
            except Exception:
                os.dup2(kept, 2)
                noise.seek(0)
                sys.stderr.write(noise.read().decode(errors="replace"))
                raise
            finally:
                os.dup2(kept, 2)
    finally:
        os.close(kept)
