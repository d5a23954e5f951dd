"""Digits and drawn lines -> how far each point is from the middle of the nearest stroke: what a pen of any width draws.

numpy only. A field is float32 (SIDE, SIDE): FINE points to a pixel of MNIST, values in pixels of MNIST.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgebig.data.examples import Images

FINE = 3
SIDE = 28 * FINE
REACH = 7 * FINE  # farther away is as good as infinitely far, in points

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def of_digits(images: Images) -> Floats:
    """uint8 (N, 28, 28, 1), ink is 255 -> (N, SIDE, SIDE): the distance from the middle of its strokes."""
    return _smooth(_distance(thin(_larger(images) > 0.5)))


def of_outlines(images: Images) -> Floats:
    """The same digits -> (N, SIDE, SIDE), about the distance from their outline, below 0 within: pens as they were."""
    return np.asarray((0.5 - _larger(images)) * 1.4, np.float32)


def pairs(first: Images, second: Images, rng: np.random.Generator) -> Images:
    """uint8 (N, 28, 28, 1) each -> (N, 28, 28, 1): two digits beside each other, 20 pixels long.

    From as far apart as in small writing to a little of one in the other, but never so far that one is left; one pair
    in ten stands over each other.
    """
    made = np.zeros_like(first)
    for place, both in enumerate(zip(first[..., 0], second[..., 0], strict=True)):
        across = bool(rng.random() < 0.9)
        a, b = (_cut(one if across else one.T) for one in both)
        most = min(a.shape[1], b.shape[1]) // 5
        step = a.shape[1] + int(rng.integers(-min(3, most), 5))
        sheet = np.zeros((max(len(a), len(b)), step + b.shape[1]), np.uint8)
        for part, left in ((a, 0), (b, step)):
            top = (len(sheet) - len(part)) // 2
            where = np.s_[top : top + len(part), left : left + part.shape[1]]
            sheet[where] = np.maximum(sheet[where], part)
        image = Image.fromarray(sheet if across else np.ascontiguousarray(sheet.T))
        image = image.resize(_fitted(image.size), Image.Resampling.BICUBIC)
        top, left = (28 - image.height) // 2, (28 - image.width) // 2
        made[place, top : top + image.height, left : left + image.width, 0] = np.asarray(image)
    return made


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height, the longer side being 20."""
    return max(1, round(20 * size[0] / max(size))), max(1, round(20 * size[1] / max(size)))


def _cut(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(28, 28) -> its ink."""
    ys, xs = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return image[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] if len(ys) else image


def of_lines(things: Sequence[Sequence[npt.NDArray[np.float64]]]) -> Floats:
    """N things, each polylines (n, 2) of x, y from 0 to 1, of the place and size of MNIST's 20 pixels -> likewise."""
    drawn = np.zeros((len(things), SIDE, SIDE), np.bool_)
    for bits, lines in zip(drawn, things, strict=True):
        for line in lines:
            points = (line * 20 + 4) * FINE
            steps = int(np.abs(np.diff(points, axis=0)).max() * 2) + 1
            at = np.linspace(0, len(points) - 1, steps * (len(points) - 1) + 1)
            x, y = (
                np.interp(at, np.arange(len(points)), points[:, axis]).round().astype(int) for axis in (0, 1)
            )
            inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
            bits[y[inside], x[inside]] = True
    return _smooth(_distance(drawn))


def _larger(images: Images) -> Floats:
    """uint8 (N, 28, 28, 1) -> float32 (N, SIDE, SIDE) of 0 to 1, bicubic."""
    made = np.empty((len(images), SIDE, SIDE), np.float32)
    for place, image in enumerate(images):
        made[place] = np.asarray(
            Image.fromarray(image[..., 0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        )
    return made / np.float32(255)


def thin(blobs: Bits) -> Bits:
    """bool (N, H, W) -> the same, thinned to lines of one point. Source: Zhang and Suen, CACM 27 (1984) 236."""
    kept = np.pad(blobs, ((0, 0), (1, 1), (1, 1)))
    moving = np.arange(len(kept))
    while len(moving):
        before = kept[moving]
        after = _peel(_peel(before, first=True), first=False)
        kept[moving] = after
        moving = moving[(before != after).any((1, 2))]
    return kept[:, 1:-1, 1:-1]


def _peel(kept: Bits, *, first: bool) -> Bits:
    """One of the two half steps: points of the rim whose removal parts nothing are taken."""
    height, width = kept.shape[1:]

    def at(dy: int, dx: int) -> Bits:
        return kept[:, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]

    ring = [at(-1, 0), at(-1, 1), at(0, 1), at(1, 1), at(1, 0), at(1, -1), at(0, -1), at(-1, -1)]
    north, _, east, _, south, _, west, _ = ring
    count = sum(part.view(np.uint8) for part in ring)
    turns = sum((~a & b).view(np.uint8) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))
    if first:
        rim = ~(north & east & south) & ~(east & south & west)
    else:
        rim = ~(north & east & west) & ~(north & south & west)
    taken = at(0, 0) & (count >= 2) & (count <= 6) & (turns == 1) & rim
    left = kept.copy()
    left[:, 1:-1, 1:-1] &= ~taken
    return left


def _distance(lines: Bits) -> Floats:
    """bool (N, S, S) -> float32, in pixels of MNIST: how far the nearest point of a line is; REACH at most.

    Exact: the squared distance along a column, then the least over the columns (Felzenszwalb and Huttenlocher 2012).
    """
    along = np.where(lines, np.float32(0), np.float32(REACH))
    for step in range(1, lines.shape[1]):
        np.minimum(along[:, step], along[:, step - 1] + 1, out=along[:, step])
    for step in range(lines.shape[1] - 2, -1, -1):
        np.minimum(along[:, step], along[:, step + 1] + 1, out=along[:, step])
    along *= along
    least = along.copy()
    for across in range(1, REACH):
        square = np.float32(across * across)
        np.minimum(least[:, :, across:], along[:, :, :-across] + square, out=least[:, :, across:])
        np.minimum(least[:, :, :-across], along[:, :, across:] + square, out=least[:, :, :-across])
    return np.asarray(np.minimum(np.sqrt(least), REACH) / FINE, np.float32)


def _smooth(field: Floats) -> Floats:
    """A binomial mean over 3x3 points: the steps of a thinned line go, and its middle is 0 again."""
    for axis in (1, 2):
        padded = np.pad(field, [(1, 1) if axis == a else (0, 0) for a in range(3)], mode="edge")
        low, middle, high = (
            padded[:, i : i + SIDE] if axis == 1 else padded[:, :, i : i + SIDE] for i in range(3)
        )
        field = (low + 2 * middle + high) / np.float32(4)
    return np.asarray(np.maximum(field - np.float32(0.3 / FINE), 0), np.float32)
