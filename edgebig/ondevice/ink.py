"""Grey pixels -> the light of the paper, and the part of it that ink takes, whichever of them is dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .parts import connected, plausible, weighted_median
from .sampling import reduce, slide

if TYPE_CHECKING:
    import numpy.typing as npt

    from .sampling import Bytes, Floats

BILINEAR = 2  # Image.Resampling.BILINEAR, and Image.BILINEAR before Pillow 9.1
PAPER_SIDE = 400  # the paper is sought in a picture that is at most this long, in pixels
DARK = np.float32(80)  # on paper darker than this, ink is held against this: there noise is a large part
MIN_INK = 0.13  # a stroke takes at least this part of the paper's light


def is_light_on_dark(work: Bytes) -> bool:
    """uint8 (H, W), the picture at working size -> are its strokes lighter than what is around them?

    Strokes are thin, so against the mean around them they stand out far, and few; their surroundings little.

    The skewness of the differences tells which way; the edge of a shadow stands out both ways alike. Taken over
    windows of three sizes, since strokes are of any width.
    """
    small = reduce(work, -(-max(work.shape) // PAPER_SIDE)).astype(np.float32)
    total = 0.0
    for windows in (16, 5, 2):
        around = _mean_around(small, max(1, min(small.shape) // windows // 2))
        apart = small - around
        spread = float((apart * apart).mean(dtype=np.float64)) + 1
        total += float((apart * apart * apart).mean(dtype=np.float64)) / spread**1.5
    return total > 0


def _mean_around(a: Floats, reach: int) -> Floats:
    """The mean of the square that reaches so far to every side, as far as it lies in the picture."""
    for axis in (0, 1):
        n = a.shape[axis]
        first, last = np.maximum(np.arange(n) - reach, 0), np.minimum(np.arange(n) + reach + 1, n)
        total = np.insert(np.cumsum(a, axis, dtype=np.float64), 0, 0, axis)
        count = (last - first).reshape((-1, 1) if axis == 0 else (1, -1))
        a = (total.take(last, axis) - total.take(first, axis)) / count
    return a


@dataclass(frozen=True)
class Scene:
    """Of a picture with dark ink: `paper`, its light without ink, 0 to 255; `ink`, the part taken, 0 to 1.

    Both are (H, W); `noise` is the standard deviation of `ink` where there is none, judged by the median.
    """

    paper: Floats
    ink: Floats
    noise: float


def scene_of(work: Bytes) -> Scene:
    """uint8 (H, W), dark ink on light paper, at working size -> its paper and ink.

    Paper is what is left when all that is narrower than a stroke is closed.

    The first look takes strokes to be as wide as they can be, and finds how wide they are; the second then follows
    the edges of shadows and the grain of the paper more closely.
    """
    shrink = -(-max(work.shape) // PAPER_SIDE)
    small = reduce(work, shrink)
    reach = max(3, round(0.35 * min(small.shape)))
    for _ in range(2):
        first = _against(_closed(small, reach), small)
        parts, strength = connected(first.ink, first.ink > threshold(first))
        keep = plausible(parts, small.shape)
        if not keep.any():  # what is there is too thin to be seen so small
            reach = min(reach, 9)
            break
        width = weighted_median((2 * parts.area / parts.edge)[keep], (strength * parts.edge)[keep])
        reach = min(reach, max(5, round(4 * width) + 3))
    height, width_ = work.shape
    paper = Image.fromarray(_closed(small, reach))
    whole = paper.resize((paper.width * shrink, paper.height * shrink), BILINEAR)
    return _against(np.asarray(whole)[:height, :width_], _soften(work))


def _closed(small: Bytes, reach: int) -> Bytes:
    for largest in (True, False):
        small = slide(slide(small, reach, 0, largest), reach, 1, largest)
    return small


def _against(paper: Bytes, picture: npt.NDArray[Any]) -> Scene:
    ink = (paper - picture.astype(np.float32)) / np.maximum(paper, DARK)
    sample = ink[::3, ::3] if ink.size > 9000 else ink
    offset = np.median(sample)  # of many grey values the closing takes the lightest
    noise = 1.4826 * float(np.median(np.abs(sample - offset)))
    return Scene(paper * np.float32(1 - offset), np.maximum(ink - offset, 0), noise)


def threshold(scene: Scene) -> float:
    """The part of the light above which a pixel may be ink: out of the noise's reach, if weaker than a whole stroke."""
    return max(MIN_INK * 0.6, 4 * scene.noise)


def _soften(work: Bytes) -> Floats:
    """A 3x3 binomial mean, where the picture is large enough to spare it."""
    a = work.astype(np.float32)
    if min(work.shape) < 100:
        return a
    p = np.pad(a, 1, mode="edge")
    a = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return (a[:-2] + 2 * a[1:-1] + a[2:]) / 16
