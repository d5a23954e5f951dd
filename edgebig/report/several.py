"""Several devices, or several settings of one, in a table for people, 80 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from edgebig.campaign import Found, Row
from edgebig.measurement import ModelResult
from edgebig.report.table import COLUMNS, figures, notes, plain, short_names
from edgebig.sweep import Best

# Their times say nothing of a real device, and stand beside no other's.
_NO_SPEED = ("fake", "emulated", "software", "stand-in")


def show(found: Found, console: Console) -> None:
    """A line for each device or setting and model, what is to be known of them, and the best setting by its margin.

    What browsers measured stands in a table of its own: no native figure is to be read beside it.
    """
    width, console.width = console.width, max(console.width, COLUMNS)
    for rows in _apart(found.rows):
        console.print(_table(rows))
    console.width = width
    for line in [*_failures(found.rows), *_remarks(found.rows), *_best_lines(found)]:
        console.print(plain(line), soft_wrap=not console.is_terminal)


def _apart(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Those of native runtimes, and those of browsers."""
    browsers = {row.device for row in rows if row.measurement is not None and row.measurement.in_browser}
    native = [row for row in rows if row.device not in browsers]
    return [part for part in (native, [row for row in rows if row.device in browsers]) if part]


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    heading = rows[0].device if _is_of_one(rows) else "device"
    in_browsers = any(row.measurement is not None and row.measurement.in_browser for row in rows)
    table.add_column(f"{heading}\n(browser)" if in_browsers else heading, overflow="fold", min_width=12)
    for heading in ("accuracy\n95 %", "frame p50\np90", "pre + invoke\n+ post", "invoke p50\n95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name = _name(row, rows)
        if row.measurement is None:
            table.add_row(plain(name), *["failed"] * 4)
            continue
        short = short_names(row.measurement)
        for model in row.measurement.models:
            words = [name] + [short[model.name]] * (len(row.measurement.models) > 1)
            cells = ("\n".join(words), *_cells(model, row.measurement.provenance))
            table.add_row(*(plain(cell) for cell in cells))
    return table


def _is_of_one(rows: Sequence[Row]) -> bool:
    return len({row.device for row in rows}) == 1 and bool(rows[0].setting)


def _name(row: Row, rows: Sequence[Row]) -> str:
    return row.setting if _is_of_one(rows) else row.name


def _cells(model: ModelResult, provenance: str) -> list[str]:
    accuracy, *times = figures(model)[1:]
    if provenance in _NO_SPEED and model.verdict != "WRONG":
        times = [provenance] * len(times)
    return [accuracy, *times]


def _failures(rows: Sequence[Row]) -> list[str]:
    lines = [
        (f"failed: {row.failure.told.removeprefix(f'{row.device}: ')}", row)
        for row in rows
        if row.failure is not None
    ]
    return _named(lines, rows)


def _remarks(rows: Sequence[Row]) -> list[str]:
    measured = [(row, row.measurement) for row in rows if row.measurement is not None]
    lines = [(note, row) for row, record in measured for note in notes(record, brief=True)]
    return _named(lines, [row for row, _ in measured])


def _named(lines: Sequence[tuple[str, Row]], rows: Sequence[Row]) -> list[str]:
    """Each line once, with the names of those of the `rows` that it is of."""
    of: dict[str, list[str]] = {}
    for line, row in lines:
        of.setdefault(line, []).append(_name(row, rows))
    everyone = len(rows) if len(rows) > 1 else None
    return [f"{', '.join(names) if len(names) != everyone else 'all'}: {line}" for line, names in of.items()]


def _best_lines(found: Found) -> list[str]:
    lines = []
    for device, chosen in found.best.items():
        provenance = next(
            row.measurement.provenance for row in found.rows if row.device == device and row.measurement
        )
        short = _short([one.model for one in chosen])
        for one in chosen:
            where = f"{device}, {short[one.model]}" if len(chosen) > 1 else device
            unreal = f"{where}: no setting is said to be best: {provenance}"
            lines.append(unreal if provenance in _NO_SPEED else best_line(where, one))
    return lines


def _short(models: Sequence[str]) -> Mapping[str, str]:
    return {model: model.rsplit("/", 1)[-1].removesuffix(".tflite") for model in models}


def best_line(where: str, best: Best) -> str:
    """The best setting in a sentence: by what share of its time it beats the next one, or with which it is level."""
    if not best.rivals:
        return f"{where}: {best.label} alone was measured"
    if best.verdict == "FASTER":
        following = best.rivals[0]
        return (
            f"{where}: best: {best.label}, in {following.ratio:.2f} of the time of the next one, {following.label} "
            f"({following.low:.2f} .. {following.high:.2f})"
        )
    level = [rival for rival in best.rivals if rival.high is None or rival.high >= 1]
    told = ", ".join(
        f"{rival.label} ({rival.low:.2f} .. {rival.high:.2f} of its time)"
        if rival.low is not None and rival.high is not None
        else rival.label
        for rival in level
    )
    return f"{where}: INCONCLUSIVE: {best.label} is not told apart from {told}"
