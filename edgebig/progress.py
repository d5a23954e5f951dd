"""Progress with an ETA on stderr; where stdout or stderr is no terminal, a line an epoch and nothing else.

What must be known whoever reads (which run, which model) is said on stderr in any case.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

_ROWS_SHOWN = 12


class Advance(Protocol):
    """Called as work gets done: `steps` more of the total, and a few words on how it goes."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def _silent(steps: int = 1, note: str = "") -> None:
    pass


# ("total", steps), ("advance", steps, note) or ("say", text): what a process tells the one that shows it.
Message = tuple[Any, ...]
Several = Callable[[str, Message], None]
_elsewhere: Callable[[Message], None] | None = None


def relay(send: Callable[[Message], None]) -> None:
    """From now on this process shows nothing itself: what it would show is sent."""
    global _elsewhere
    _elsewhere = send


@contextlib.contextmanager
def several(names: Sequence[str]) -> Iterator[Several]:
    """A bar for each name, moved by the messages of the process at work on it; what is said is said with its name."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda name, message: say(f"{name}: {message[1]}") if message[0] == "say" else None
        return
    from rich.console import Console

    with _bar(Console(stderr=True)) as progress:
        tasks = {name: progress.add_task(name, total=None, note="") for name in names}

        def show(name: str, message: Message) -> None:
            match message:
                case ("total", total):
                    progress.update(tasks[name], total=total, completed=0)
                case ("advance", steps, note):
                    progress.update(tasks[name], advance=steps, **({"note": note} if note else {}))
                case ("say", text):
                    progress.console.print(f"{name}: {_printable(text)}", markup=False, highlight=False)

        yield show


@contextlib.contextmanager
def track(what: str, total: int) -> Iterator[Advance]:
    """A bar named `what` over `total` steps; it leaves the screen when the block ends."""
    if _elsewhere is not None:
        send = _elsewhere
        send(("total", total))
        yield lambda steps=1, note="": send(("advance", steps, note))
        return
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield _silent
        return
    from rich.console import Console

    with _bar(Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            progress.advance(task, steps)
            if note:
                progress.update(task, note=note)

        yield advance


def _bar(console: Any) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=console, transient=True)


class Watch(Protocol):
    """A phase of training that a person watches: steps as they are done, and a row of figures after each epoch."""

    def advance(self, steps: int = 1, note: str = "") -> None: ...

    def row(self, figures: Mapping[str, str], *, best: bool = False) -> None: ...


class _Lines:
    """A line an epoch, for a log."""

    def __init__(self, what: str) -> None:
        self.what = what

    def advance(self, steps: int = 1, note: str = "") -> None:
        pass

    def row(self, figures: Mapping[str, str], *, best: bool = False) -> None:
        line = "  ".join(f"{name} {value}" for name, value in figures.items())
        say(f"{self.what}: {line}" + (" (best)" if best else ""))


class _Live:
    """A table that grows, its last rows in sight, above a bar."""

    def __init__(self, what: str, progress: Any, task: Any) -> None:
        self.what = what
        self.progress = progress
        self.task = task
        self.rows: list[tuple[Mapping[str, str], bool]] = []

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.progress.update(self.task, advance=steps, note=note)

    def row(self, figures: Mapping[str, str], *, best: bool = False) -> None:
        self.rows = [(row, was_best and not best) for row, was_best in self.rows]
        self.rows.append((figures, best))

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        if not self.rows:
            return self.progress
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, name in enumerate(self.rows[-1][0]):
            table.add_column(name if number else f"{self.what}: {name}", justify="right")
        table.add_column("")
        best = next((row for row in self.rows if row[1]), None)
        last = self.rows[-_ROWS_SHOWN:]
        for figures, is_best in ([best] if best and best not in last else []) + last:
            table.add_row(*figures.values(), "best" if is_best else "", style="green" if is_best else None)
        return Group(table, self.progress)


@contextlib.contextmanager
def watch(
    what: str, total: int, earlier: Sequence[Mapping[str, str]] = (), best: int = -1
) -> Iterator[Watch]:
    """A live table over `total` steps that stays when the block ends; without a terminal, a line a row on stderr.

    `earlier`: rows of the same phase before it was interrupted, of which number `best`, from 0, was the best.
    """
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.live import Live

    progress = _bar(None)
    live = _Live(what, progress, progress.add_task(what, total=total, note=""))
    live.rows = [(figures, number == best) for number, figures in enumerate(earlier)]
    with Live(live, console=Console(stderr=True), refresh_per_second=4):
        try:
            yield live
        finally:
            progress.update(live.task, visible=False)


@contextlib.contextmanager
def live_rows(rows: Callable[[], Sequence[Mapping[str, str]]]) -> Iterator[None]:
    """While the block runs, a table of what `rows` gives, asked for again and again; without a terminal nothing."""
    if _elsewhere is not None or not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def table() -> Table:
        shown = Table(box=None, pad_edge=False, header_style="bold")
        now = rows()
        for name in now[0] if now else ():
            shown.add_column(name, overflow="ellipsis", no_wrap=True)
        for row in now:
            shown.add_row(*(Text(_printable(cell)) for cell in row.values()))
        return shown

    with Live(get_renderable=table, console=Console(stderr=True), refresh_per_second=4):
        yield


def is_shown_here() -> bool:
    """Whether a person sees this process's stderr in a terminal that may show colours."""
    return _elsewhere is None and sys.stdout.isatty() and sys.stderr.isatty() and "NO_COLOR" not in os.environ


def say(text: str) -> None:
    """A line on stderr: what is being done or chosen, for the person who waits."""
    if _elsewhere is not None:
        _elsewhere(("say", text))
        return
    print(_printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """What files and boards tell, as of who holds a lock: what could steer a terminal is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _printable(text: str) -> str:
    """The same, but that lines may end."""
    return "\n".join(map(printable, text.split("\n")))


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
