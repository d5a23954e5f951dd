"""A survey of a data set as a table for people: a row a class, and below it what was found."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgebig.data.survey import Survey

_COLOURS = {1: "grey", 3: "rgb"}


def show(survey: Survey, console: Console) -> None:
    """On a terminal the lines are folded; elsewhere each finding is one line."""
    console.print(_text(title(survey), "bold"), soft_wrap=not console.is_terminal)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, show_footer=True
    )
    totals = {split: sum(of_class.values()) for split, of_class in survey.counts.items()}
    table.add_column("class", "all", overflow="fold", min_width=10)
    for split, total in [*totals.items(), ("total", sum(totals.values()))]:
        table.add_column(split, f"{total:,}", justify="right", no_wrap=True)
    for name in survey.classes:
        counts = [of_class[name] for of_class in survey.counts.values()]
        table.add_row(_text(name), *(f"{count:,}" for count in (*counts, sum(counts))))
    console.print(table)
    # What a source says of itself may be found again.
    for line in dict.fromkeys((*survey.notes, *survey.findings)):
        console.print(_text(line), soft_wrap=not console.is_terminal)


def title(survey: Survey) -> str:
    height, width, channels = survey.shape
    colour = _COLOURS.get(channels, f"{channels} channels")
    return f"{survey.source}: {len(survey.classes)} classes, pictures of {height} x {width} {colour} (uint8)"


def _text(text: str, style: str = "") -> Text:
    """Names of classes come from files: what could steer a terminal is escaped, as cli.options does."""
    return Text("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text), style)
