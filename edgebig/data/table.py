"""csv:FILE -> the pictures that a table names: path, label and, where it has that column, split."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgebig.data.listing import (
    PART_OF,
    PARTS,
    Listing,
    class_fault,
    classes_of,
    printable,
    refuse,
)
from edgebig.errors import EdgebigError

_COLUMNS = "as in: path,label and then a line a picture; split (train, val or test) is a third column"


class _Row(NamedTuple):
    name: str
    label: str
    part: int
    line: int


def list_table(path: Path, wanted: Sequence[str] | None) -> Listing:
    """The pictures that the table names, of the `wanted` classes where these are given; paths are from its folder.

    None is opened. Raises EdgebigError with every fault of the table at once, each with its line.
    """
    source = f"csv:{printable(str(path))}"
    rows, has_parts = _rows(_text(path, source), source)
    if not rows:
        raise EdgebigError(f"{source}: no line names a picture", _COLUMNS)
    classes = classes_of((row.label for row in rows), wanted, source)
    index = {label: position for position, label in enumerate(classes)}
    rows = sorted(row for row in rows if row.label in index)
    labels = np.array([index[row.label] for row in rows], np.int64)
    parts = np.array([row.part for row in rows], np.int64) if has_parts else None
    names, lines_of_names = tuple(row.name for row in rows), tuple(row.line for row in rows)
    return Listing(source, path.parent, classes, names, labels, parts, lines_of_names)


def _text(path: Path, source: str) -> str:
    """A table's text, without a byte order mark. Raises EdgebigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        hint = "pictures in folders are images:DIR" if path.is_dir() else "check the path"
        raise EdgebigError(f"{source}: {error.strerror}", hint) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EdgebigError(f"{source} line {line}: not UTF-8", "save the table as CSV in UTF-8") from error


def _rows(text: str, source: str) -> tuple[list[_Row], bool]:
    """The rows, and whether they name their splits. Raises EdgebigError."""
    faults: list[str] = []
    rows: list[_Row] = []
    lines = _lines(text, faults)
    _, header = next(lines, (1, []))
    columns = {} if faults else _columns(header, source)
    lines_of: dict[str, int] = {}
    for line, cells in lines:
        row = _row(line, cells, columns, len(header), faults)
        if row is None:
            continue
        before = lines_of.setdefault(os.path.normpath(row.name), line)
        if before != line:
            faults.append(f"line {line}: {printable(row.name)} stands on line {before} too")
        rows.append(row)
    refuse([f"{source} {fault}" for fault in faults], "mend these lines")
    return rows, "split" in columns


def _lines(text: str, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty, with the number of its first line; what cannot be read on is a fault."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(f"line {line}: {error}: is a quotation mark missing?")
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _columns(header: list[str], source: str) -> dict[str, int]:
    """{"path": index, "label": index, "split": index or absent}. Raises EdgebigError."""
    names = [name.strip() for name in header]
    shown = ", ".join(printable(name) for name in names) or "nothing"
    missing = [name for name in ("path", "label") if name not in names]
    if missing:
        hint = "separate the columns by commas" if {";", "\t"} & set("".join(names)) else _COLUMNS
        raise EdgebigError(f"{source} line 1: no column {' and none '.join(missing)}, it has {shown}", hint)
    for name in ("path", "label", "split"):
        if names.count(name) > 1:
            raise EdgebigError(f"{source} line 1: two columns {name}", "leave one")
    return {name: names.index(name) for name in ("path", "label", "split") if name in names}


def _row(line: int, cells: list[str], columns: dict[str, int], width: int, faults: list[str]) -> _Row | None:
    if len(cells) != width:
        faults.append(
            f"line {line}: {len(cells)} columns and not {width}: text with a comma in it needs quotation marks"
        )
        return None
    name, label = cells[columns["path"]].strip(), cells[columns["label"]].strip()
    split = cells[columns["split"]].strip() if "split" in columns else PARTS[0]
    own = []
    if not name or "\0" in name:
        own.append("path is empty" if not name else f"no path '{printable(name)}'")
    if not label:
        own.append("label is empty")
    elif fault := class_fault(label):
        own.append(fault)
    part = PART_OF.get(split.casefold(), -1)
    if part < 0:
        own.append(f"split is '{printable(split)}' and not train, val or test")
    faults += [f"line {line}: {fault}" for fault in own]
    return None if own else _Row(name, label, part, line)
