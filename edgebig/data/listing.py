"""Which picture files a source names, each one's class, and its split where the source says so. numpy only."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError

PARTS = ("train", "validation", "test")
PART_OF = {"train": 0, "validation": 1, "val": 1, "valid": 1, "test": 2}
_SHOWN_FAULTS = 10
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Listing:
    """N picture files, none of which was opened.

    `names`: (N,) paths from `folder`, sorted. `labels`: int64 (N,), indices into `classes`. `parts`: int64 (N,),
    indices into PARTS, or None where the source does not say. `lines`: (N,) lines of a table, or None.
    `notes`: what was left out, a line each.
    """

    source: str
    folder: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64] | None = None
    lines: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    def told(self, index: int) -> str:
        """A file as a message names it."""
        name = printable(self.names[index])
        return name if self.lines is None else f"line {self.lines[index]}: {name}"


def printable(text: str) -> str:
    r"""The same, with control characters and what is no UTF-8 written as \x1b or \udc80: it can be shown."""
    return "".join(char if char.isprintable() or char == "\xa0" else repr(char)[1:-1] for char in text)


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts names as people count: 2 before 10, numbers before words, a beside A."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [_number(piece) if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces], name


def _number(digits: str) -> tuple[int, int, str]:
    # Of two numbers the longer is larger; int() refuses some thousands of digits.
    digits = digits.lstrip("0")
    return 0, len(digits), digits


def some(items: Sequence[str], limit: int = _SHOWN_NAMES) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(items) - limit:,} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def refuse(faults: Sequence[str], hint: str, title: str = "") -> None:
    """Raises EdgebigError with the first faults, a line each, and the count of the others; none is no error."""
    if faults:
        more = len(faults) - _SHOWN_FAULTS
        shown = [*faults[:_SHOWN_FAULTS], *([f"and {more:,} more"] if more > 0 else [])]
        raise EdgebigError("\n".join([title, *shown] if title else shown), hint)


def class_fault(name: str) -> str:
    """Why a card cannot hold this name of a class, or nothing."""
    if not name.strip():
        return "a class without a name"
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
        return f"'{printable(name)}' is no name for a class: it holds control characters or is not UTF-8"
    return ""


def classes_of(names: Iterable[str], wanted: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """The classes in natural order, only the `wanted` ones. Raises EdgebigError where one of these is not there."""
    there = sorted(set(names), key=natural)
    if wanted is None:
        return tuple(there)
    for name in wanted:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            guess = f" (did you mean '{close[0]}'?)" if close else ""
            raise EdgebigError(
                f"{source}: no class '{printable(name)}'{guess}",
                f"[data] classes may name {some([printable(each) for each in there], 20)}",
            )
    return tuple(name for name in there if name in wanted)
