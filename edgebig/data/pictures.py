"""images:DIR and csv:FILE -> labelled pictures out of a mapped file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgebig.data.decode import decode
from edgebig.data.examples import Examples, Found, Pictures
from edgebig.data.folder import list_folder
from edgebig.data.listing import PARTS, Listing, refuse, some
from edgebig.data.mapped import Mapped
from edgebig.data.table import list_table
from edgebig.errors import EdgebigError
from edgebig.recipe import Data


def load_folder(path: Path, data: Data) -> Found:
    """The pictures in path/CLASS/, or in path/train/CLASS/ and so on; classes in natural order.

    Raises EdgebigError where folders or files are not as due; `data.skip_broken` lets files be left out.
    """
    return _load(list_folder(path, data.classes), data)


def load_table(path: Path, data: Data) -> Found:
    """The pictures that a CSV names in its columns path, label and split; classes in natural order.

    Raises EdgebigError where lines or files are not as due; `data.skip_broken` lets files be left out.
    """
    return _load(list_table(path, data.classes), data)


def _load(listing: Listing, data: Data) -> Found:
    decoded = decode(listing, data)
    notes = (*_notes(decoded, data), *listing.notes, *_left_out(listing, decoded, data))
    kept = np.ones(len(listing.names), np.bool_)
    kept[list(decoded.broken)] = False
    pictures = Pictures(decoded.pixels, decoded.hashes, names=listing.names)

    def part(index: int) -> Examples | None:
        chosen = np.flatnonzero(kept if listing.parts is None else kept & (listing.parts == index))
        return Examples(pictures.choose(chosen), listing.labels[chosen]) if len(chosen) else None

    train = part(0)
    if train is None:
        raise EdgebigError(f"{listing.source}: no picture of {PARTS[0]} can be read", "check these files")
    if listing.parts is None:
        return Found(listing.classes, train, notes=notes)
    return Found(listing.classes, train, part(1), part(2), notes=notes)


def _notes(decoded: Mapped, data: Data) -> tuple[str, ...]:
    count, height, width, channels = decoded.pixels.shape
    colour = "grey" if channels == 1 else "rgb"
    fit = f", fit = {data.fit}" if data.size else ""
    return (f"{count - len(decoded.broken):,} pictures, {height} x {width} {colour}{fit}",)


def _left_out(listing: Listing, decoded: Mapped, data: Data) -> tuple[str, ...]:
    """A note of the files that cannot be read. Raises EdgebigError with all of them unless they may be left out."""
    broken = sorted(decoded.broken.items())
    if not broken:
        return ()
    if data.skip_broken:
        return (
            f"left out {len(broken):,} broken files: {some([listing.told(index) for index, _ in broken])}",
        )
    count = f"{len(broken):,} of {len(listing.names):,} pictures cannot be used"
    refuse(
        [f"{listing.told(index)} {why.problem}" for index, why in broken],
        "mend or remove them, or leave them out: [data] skip_broken = true",
        title=f"{listing.source}: {count}",
    )
    return ()
