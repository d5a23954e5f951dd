"""The photographs of a folder with labels.csv, each turned upright as that says."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig.ondevice import picture


@dataclass(frozen=True, eq=False)
class Photograph:
    """`digits`: as labels.csv has them, lines by a slash, wide gaps by a blank; `grey_u8`: uint8 (H, W)."""

    name: str
    digits: str
    grey_u8: npt.NDArray[np.uint8]


def upright(folder: Path) -> Iterator[Photograph]:
    """In the order of labels.csv."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            grey = picture.read_picture(folder / row["file"])
            turned = np.ascontiguousarray(np.rot90(grey, int(row["rotate_ccw_deg"]) // 90))
            yield Photograph(row["file"], row["digits"], turned)
