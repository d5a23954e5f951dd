"""What was found on a page, and what was written there: which is which, and whether all of it came back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from edgebig.data.photograph import Written
from edgebig.data.taught import NOTHING
from edgebig.ondevice.preprocess import Digit

_ALIKE = 0.7  # of two boxes, their intersection over their union, from which on they are of one thing
_WHOLE = 0.85  # of the ink that was written, the share that must have been found
_DARK = 96  # of 255: from here on a pixel has ink


def match(digits: Sequence[Digit], written: Sequence[Written], size_px: float) -> Iterator[tuple[Digit, int]]:
    """Each of `digits` that is one thing of the page, with its place in `written`, or that is surely none: NOTHING.

    One that holds two things or more, and one where nothing was written, is NOTHING, unless it is as narrow as a 1.
    Half a thing is told by nobody what it is, and is left out.
    """
    pad = 2 + 0.05 * size_px
    things = np.array([thing.box for thing in written], np.float64).reshape(-1, 4)
    things = things[:, :4] + np.array([-pad, -pad, pad, pad]) * (things[:, 2:3] > things[:, :1])
    taken = set()
    for digit in digits:
        x, y, width, height = digit.box
        here = np.array([x - pad, y - pad, x + width + pad, y + height + pad])
        sides = np.minimum(here[2:], things[:, 2:]) - np.maximum(here[:2], things[:, :2])
        common = np.prod(np.maximum(sides, 0), 1)
        area = np.prod(things[:, 2:] - things[:, :2], 1)
        alike = common / np.maximum(area + np.prod(here[2:] - here[:2]) - common, 1)
        best = int(alike.argmax()) if len(alike) else -1
        if best >= 0 and alike[best] >= _ALIKE:
            if best not in taken and whole(digit.image_u8, written[best].ink):
                taken.add(best)
                yield digit, best
        elif (common > 0.6 * area).sum() >= 2 or (
            common.sum() < 0.1 * np.prod(here[2:] - here[:2]) and width > 0.6 * height
        ):
            yield digit, NOTHING


def whole(found_u8: npt.NDArray[np.uint8], ink: npt.NDArray[np.bool_]) -> bool:
    """Whether (28, 28) as found shows the ink (H, W) as written, up to a pixel: a 0 can come as a C."""
    tall, wide = ink.shape
    larger = 20 / max(tall, wide)
    size = max(1, round(wide * larger)), max(1, round(tall * larger))
    small = np.asarray(Image.fromarray(ink).convert("L").resize(size, Image.Resampling.BOX), np.float64)
    mass = max(float(small.sum()), 1.0)
    place = []
    for axis, side in enumerate(small.shape):
        middle = float((small.sum(1 - axis) * np.arange(side)).sum()) / mass
        place.append(min(max(round(13.5 - middle), 0), 28 - side))
    near = np.asarray(Image.fromarray(found_u8).filter(ImageFilter.MaxFilter(3))) >= _DARK
    shown = near[place[0] : place[0] + small.shape[0], place[1] : place[1] + small.shape[1]]
    return float((small * shown).sum()) >= _WHOLE * mass
