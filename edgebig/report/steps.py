"""What each pass of a compression bought: one table, each kind of bytes by itself, and nothing said of speed."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgebig.artifact import Card

COLUMNS = 80


def show(trained: Card, made: Card, console: Console) -> None:
    """A row for the trained model and one for each pass of `made`; accuracy is on validation, the loss in points."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("after")
    for heading in ("parameters", "MACs", "file", "deflated", "validation", "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cells in rows(trained, made):
        table.add_row(*(Text(cell) for cell in cells))
    # In a narrower window the terminal folds the lines; a figure with its end cut off would be another figure.
    width, console.width = console.width, max(console.width, COLUMNS)
    console.print(table)
    console.width = width


def rows(trained: Card, made: Card) -> list[tuple[str, ...]]:
    """The cells of each row."""
    steps = [record.model_dump() for record in made.passes if hasattr(record, "validation_correct")]
    if not steps:
        return []
    first = trained.model_dump()
    check = next((record.model_dump() for record in made.passes if record.name == "check"), None)
    before = None
    if check is not None:
        # McNemar's counts tell the trained model's own score on the same examples.
        right = steps[-1]["validation_correct"] + check["only_first_right"] - check["only_second_right"]
        before = right / check["n"]
    return [
        _row("training", first, None, before, before),
        *(
            _row(
                _name(step), step, step.get("macs"),
                step["validation_correct"] / step["validation_n"], before,
            )
            for step in steps
        ),
    ]  # fmt: skip


def _name(step: dict[str, Any]) -> str:
    match step["name"]:
        case "qat":
            return "int8 (qat)"
        case "ptq":
            return f"{step['settings']['dtype']} (ptq)"
    return str(step["name"])


def _row(
    name: str, facts: dict[str, Any], macs: int | None, accuracy: float | None, before: float | None
) -> tuple[str, ...]:
    return (
        name,
        f"{facts['parameters']:,}" if facts.get("parameters") else "",
        "" if macs is None else f"{macs:,}",
        f"{facts['size_bytes'] / 1000:.1f} kB",
        f"{facts['deflated_bytes'] / 1000:.1f} kB",
        "" if accuracy is None else f"{accuracy:.2%}",
        "" if accuracy is None or before is None else f"{100 * (before - accuracy):.2f}",
    )
