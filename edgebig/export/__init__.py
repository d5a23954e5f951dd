"""A model made ready for where it is built in: C for TFLite Micro, an Arduino sketch, assets for Android."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgebig
from edgebig import artifact
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import android, arduino, board, c, folder

TARGETS = ("c", "arduino", "android")


@dataclass(frozen=True)
class Exported:
    """The files that were written, export.json last; what it says; and what is to be said of them, a line each."""

    paths: tuple[Path, ...]
    record: dict[str, Any]
    lines: tuple[str, ...]


def refuse_web() -> None:
    raise EdgebigError(
        "--to web: comes with the phone work (edgebig phone)", f"for now one of: {', '.join(TARGETS)}"
    )


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
    record = {"target": target, "name": name, "edgebig": edgebig.__version__, **facts}
    paths = folder.write(out, contents, record)
    return Exported(tuple(paths), record, tuple(lines))
