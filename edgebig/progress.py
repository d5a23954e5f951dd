"""Progress with an ETA, on stderr where that is a terminal, and nothing at all elsewhere."""

from __future__ import annotations

import contextlib
import sys
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
    if not sys.stderr.isatty():
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
