"""Rows of cells as aligned lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len


def columns(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """The first `left` columns begin together, the others end together."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if column < left else space + cell)
        aligned.append("  ".join(cells).rstrip())
    return aligned


def shortened(text: str, most: int) -> str:
    """`text`, with dots for its middle where it is longer: names often differ at the end alone."""
    if len(text) <= most:
        return text
    kept = most - 2
    return f"{text[: (kept + 1) // 2]}..{text[len(text) - kept // 2 :]}"
