"""A model made ready for where it is built in: C for TFLite Micro, an Arduino sketch, assets for Android, a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgebig
from edgebig import artifact
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.export import android, arduino, board, c, folder, web


@dataclass(frozen=True)
class Exported:
    """The files that were written, export.json last; what it says; and what is to be said of them, a line each."""

    paths: tuple[Path, ...]
    record: dict[str, Any]
    lines: tuple[str, ...]


def place(item: Artifact, target: str, name: str | None, out: Path | None) -> tuple[str, Path]:
    """The name of what is exported and its folder. Raises as `export` where that cannot be, before any work is done."""
    card = artifact.require_card(item, board.CARD_NEED)
    name = c.identifier(name if name is not None else f"{card.recipe} {card.variant}")
    out = out if out is not None else Path(f"{name}_{target}")
    if target == "arduino":
        arduino.check_name(out)
    folder.check(out)
    return name, out


def export(item: Artifact, target: str, name: str, out: Path, examples: Examples) -> Exported:
    """Writes the folder `out`, whole or not at all. `examples`: with labels that are indices into the card's classes.

    Raises EdgebigError where the model has no card or cannot run there, or `out` holds what no export wrote; Shortfall
    where the real runtime, in its environment, gives other outputs than the reference kernels.
    """
    if target == "android":
        assets = android.prepare(item, name, examples)
        contents, facts, lines = android.files(assets), android.record(assets), [assets.verdict]
    else:
        made = board.prepare(item, name, examples)
        contents = c.files(made, name) if target == "c" else arduino.files(made, out.absolute().name)
        facts, lines = board.record(made), board.lines(made)
    return _written(out, target, name, contents, facts, lines)


def export_web(
    items: Sequence[Artifact], name: str, out: Path, examples: Examples, cache: Path, runtime_dir: Path | None
) -> Exported:
    """As `export`, of one page with several models.

    `cache`: where LiteRT.js is kept; `runtime_dir`: a folder that has it, or None. Raises besides DeviceError where
    LiteRT.js cannot be fetched.
    """
    site = web.prepare(items, examples, cache, runtime_dir)
    return _written(out, "web", name, web.files(site), web.record(site), site.verdicts())


def _written(
    out: Path, target: str, name: str, contents: dict[str, bytes], facts: dict[str, Any], lines: Sequence[str]
) -> Exported:
    record = {"target": target, "name": name, "edgebig": edgebig.__version__, **facts}
    paths = folder.write(out, contents, record)
    return Exported(tuple(paths), record, tuple(lines))
