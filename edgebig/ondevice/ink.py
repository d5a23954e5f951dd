"""Grey pixels -> the light of the paper, and the part of it that ink takes, whichever of them is dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .parts import connected, plausible, weighted_median
from .sampling import enlarge, quantile, reduce, slide, soften

if TYPE_CHECKING:
    import numpy.typing as npt

    from .parts import Bits, Parts
    from .sampling import Bytes, Shorts

FULL = 1020  # ink that takes all of the light: four times 255
DARK = 80  # on paper darker than this, ink is held against this: there noise is a large part
MIN_INK = 133  # a stroke takes at least 13 % of the paper's light
PAPER_SIDE = 400  # the paper is sought in a picture that is at most this long, in pixels
POLARITY_SIDE = 240
SOFTENED = 100  # pixels: in a picture with a shorter side strokes may be too thin to be softened
GRAIN = 32  # neighbours that differ by more than such a part of the paper's light are noise
LIGHT = 1.0  # what is written on is beyond 1.6, either way; paper without ink is near 0, and is mostly light


def is_light_on_dark(work: Bytes) -> bool:
    """uint8 (H, W), the picture at working size -> are its strokes lighter than what is around them?

    Strokes are thin, so against the mean around them they stand out far, and few; their surroundings little.

    The skewness of the differences tells which way; the edge of a shadow stands out both ways alike. Taken over
    windows of three sizes, since strokes are of any width.
    """
    small = reduce(work, -(-max(work.shape) // POLARITY_SIDE)).astype(np.int32)
    sums = np.zeros((small.shape[0] + 1, small.shape[1] + 1), np.int32)  # of all above and to the left
    np.cumsum(small.cumsum(0, np.int32), 1, out=sums[1:, 1:])
    total = 0.0
    for windows in (16, 5, 2):
        apart = small - _mean_around(sums, max(1, min(small.shape) // windows // 2))
        square = apart * apart
        spread = float(square.sum(dtype=np.int64)) / apart.size + 1
        total += float((square * apart).sum(dtype=np.int64)) / apart.size / (spread * float(np.sqrt(spread)))
    return total > LIGHT


def _mean_around(sums: npt.NDArray[np.int32], reach: int) -> npt.NDArray[np.int32]:
    """The mean of the square that reaches so far to every side, as far as it lies in the picture, rounded down."""
    (top, bottom), (left, right) = (_ends(n - 1, reach) for n in sums.shape)
    lines = sums[bottom] - sums[top]
    return (lines[:, right] - lines[:, left]) // np.outer(bottom - top, right - left)


def _ends(n: int, reach: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    place = np.arange(n, dtype=np.int32)
    return np.maximum(place - reach, 0), np.minimum(place + reach + 1, n)


@dataclass(frozen=True, eq=False)
class Scene:
    """Of a picture with dark ink: `paper`, uint8, its light without ink; `ink`, uint16, the part taken, 0 to FULL.

    Both are (H, W); `noise` is the standard deviation of `ink` where there is none, judged by the median.
    """

    paper: Bytes
    ink: Shorts
    noise: float


def scene_of(work: Bytes) -> Scene:
    """uint8 (H, W), dark ink on light paper, at working size -> its paper and ink.

    Paper is what is left when all that is narrower than a stroke is closed.

    The first look takes strokes to be as wide as they can be, and finds how wide they are; the second then follows
    the edges of shadows and the grain of the paper more closely.
    """
    shrink = -(-max(work.shape) // PAPER_SIDE)
    small = reduce(work, shrink)
    reach = max(3, (7 * min(small.shape) + 10) // 20)
    for _ in range(2):
        if min(small.shape) >= SOFTENED and _is_grainy(small):
            small = (soften(small) >> np.uint16(2)).astype(np.uint8)
        first = _against(_closed(small, reach), small.astype(np.uint16) << np.uint16(2))
        parts = connected(first.ink, first.ink > threshold(first))
        keep = plausible(parts, small.shape) | _crossed(parts, small.shape)
        if not keep.any():  # what is there is too thin to be seen so small
            reach = min(reach, 9)
            break
        width = weighted_median((2 * parts.area / parts.edge)[keep], (parts.strength * parts.edge)[keep])
        reach = min(reach, max(5, int(4 * width + 0.5) + 3))
    height, width_ = work.shape
    paper = enlarge(_closed(small, reach), shrink)[:height, :width_]
    spare = min(work.shape) >= SOFTENED
    return _against(paper, soften(work) if spare else work.astype(np.uint16) << np.uint16(2))


def _is_grainy(small: Bytes) -> bool:
    """uint8 (H, W) -> does each pixel have noise of its own, as in poor light?"""
    rows = small[::3]
    apart = np.maximum(rows[:, 1:], rows[:, :-1]) - np.minimum(rows[:, 1:], rows[:, :-1])
    return GRAIN * quantile(apart, 1, 2) > quantile(rows, 1, 2)


def _crossed(parts: Parts, shape: tuple[int, ...]) -> Bits:
    """bool (N,): what is mostly empty, as strokes are that a printed line crosses, even where it ends at the edge.

    What holds a corner of the picture is the table around a sheet, or a shadow.
    """
    height, width = shape
    w, h = (parts.box[:, 2:] - parts.box[:, :2]).T
    keep: Bits = (np.maximum(w, h) >= max(5, 0.015 * max(shape))) & (4 * parts.area < w * h)
    corners = [0, width - 1, (height - 1) * width, height * width - 1]
    keep[parts.of_pixel[np.isin(parts.pixel, corners)]] = False
    return keep


def _closed(small: Bytes, reach: int) -> Bytes:
    for largest in (True, False):
        small = slide(slide(small, reach, 0, largest), reach, 1, largest)
    return small


# Without a division for each pixel; 4 * paper * _SHARE stays below 2**16.
_SHARE = (255 * 64 // np.maximum(np.arange(256), DARK)).astype(np.uint16)


def _against(paper: Bytes, light4: Shorts) -> Scene:
    """`light4`: four times the picture's light."""
    ink = paper.astype(np.uint16)
    ink <<= np.uint16(2)
    np.maximum(ink, light4, out=ink)
    ink -= light4
    ink *= _SHARE.take(paper)
    ink >>= np.uint16(6)
    sample = ink[::3, ::3] if ink.size > 9000 else ink
    offset = quantile(sample, 1, 2)  # of many grey values the closing takes the lightest
    noise = 1.4826 * quantile(np.abs(sample.astype(np.int64) - offset), 1, 2)
    np.maximum(ink, np.uint16(offset), out=ink)
    ink -= np.uint16(offset)
    return Scene(paper, ink, noise)


def threshold(scene: Scene) -> float:
    """The ink above which a pixel may be of a stroke: out of the noise's reach, if weaker than a whole stroke."""
    return max(0.6 * MIN_INK, 4 * scene.noise)
