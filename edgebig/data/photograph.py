"""Things drawn by pens on paper -> what a camera makes of the page: a grey picture, and where each thing is in it.

numpy and Pillow. The order is that of the light: pen, paper and what is printed on it, seen askew; shadow; lens;
sensor; JPEG. All draws are of the generator that is handed in.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from edgebig.data.pen import FINE, SIDE

SIZES = ((480, 640), (480, 640), (360, 480), (640, 480), (600, 800))  # height and width of a picture at most
SMALLEST_PX, LARGEST_PX = 20, 170  # of a digit's height
MOST = 40  # things on a page
MIDDLE = SIDE / 2 - 0.5
_FAR = np.float32(9)  # the field outside of what is known of it, in pixels of MNIST

Floats = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1, ends excluded


@dataclass(frozen=True)
class Written:
    """A thing on a picture: its box, and bool (height, width) of that box, where its ink is.

    Both are empty where it is too faint or too small to be drawn.
    """

    box: Box
    ink: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """`shape`: height and width of the picture; `size_px`: a digit's height; `places`: (n, 2) middles, x then y."""

    shape: tuple[int, int]
    size_px: float
    places: npt.NDArray[np.float64]


def lay_out(rng: np.random.Generator) -> Layout:
    """Where the things of a page will stand: in lines, not quite straight, not quite even."""
    largest = SIZES[int(rng.integers(len(SIZES)))]
    size_px = float(np.exp(rng.uniform(np.log(SMALLEST_PX), np.log(LARGEST_PX))))
    step_x, step_y = size_px * rng.uniform(0.8, 1.7), size_px * rng.uniform(1.25, 2.3)
    columns, rows = max(1, int(largest[1] * 0.92 // step_x)), max(1, int(largest[0] * 0.92 // step_y))
    if rng.random() < 0.3:  # few of them
        columns, rows = int(rng.integers(1, columns + 1)), int(rng.integers(1, rows + 1))
    while columns * rows > MOST:
        columns, rows = max(1, columns - 1), max(1, rows - 1)
    # As near as the hand holds the camera: paper around them, but no table full of it.
    shape = tuple(
        min(side, int(span * rng.uniform(1.08, 1.8) + 0.2 * size_px))
        for side, span in zip(largest, (rows * step_y, columns * step_x), strict=True)
    )
    slack_x, slack_y = shape[1] - columns * step_x, shape[0] - rows * step_y
    left, top = slack_x * rng.uniform(0.1, 0.9), slack_y * rng.uniform(0.1, 0.9)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * step_x + left, (np.arange(rows) + 0.5) * step_y + top)
    places = np.stack([x.ravel(), y.ravel()], 1)
    places += rng.normal(0, 0.04 * size_px, places.shape)
    places[:, 1] += rng.uniform(-0.04, 0.04) * (places[:, 0] - shape[1] / 2)
    return Layout((shape[0], shape[1]), size_px, places)


def photograph(
    fields: Sequence[Floats], layout: Layout, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[Written]]:
    """Fields (SIDE, SIDE), below 0 where the pen was, one for each place -> uint8 (H, W), and what is there."""
    page_x, page_y = _askew(layout, rng)
    ink, written = _written(fields, layout, page_x, page_y, rng)
    ink *= _worn(layout.shape, rng)
    picture = _paper(layout, page_x, page_y, rng)
    dark = rng.uniform(0.02, 0.65) if rng.random() < 0.75 else rng.uniform(0.02, 0.3)
    if rng.random() < 0.12:  # chalk
        picture *= np.float32(rng.uniform(0.1, 0.4))
        picture += (np.float32(rng.uniform(170, 250)) - picture) * ink * np.float32(rng.uniform(0.6, 1))
    else:
        picture *= 1 - ink * np.float32(1 - dark)
    picture *= _light(layout.shape, rng)
    return _sensed(picture, layout.size_px, rng), written


def _askew(layout: Layout, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The place on the page, in its own pixels, of each pixel of the picture: a turn and a perspective."""
    height, width = layout.shape
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32) - width / 2, np.arange(height, dtype=np.float32) - height / 2
    )
    turn = np.float32(np.radians(rng.normal(0, 4)))
    lean_x, lean_y = rng.uniform(-0.22, 0.22, 2).astype(np.float32) / max(height, width)
    away = 1 / (1 + lean_x * x + lean_y * y)
    return (x * np.cos(turn) - y * np.sin(turn)) * away, (x * np.sin(turn) + y * np.cos(turn)) * away


def _written(
    fields: Sequence[Floats], layout: Layout, page_x: Floats, page_y: Floats, rng: np.random.Generator
) -> tuple[Floats, list[Written]]:
    """(H, W), the part of each pixel that is under ink, and the things there."""
    height, width = layout.shape
    ink = np.zeros(layout.shape, np.float32)
    written: list[Written] = []
    reach = int(layout.size_px * 1.05) + 3
    for field, (x, y) in zip(fields, layout.places, strict=False):
        column, row = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
        top, left = max(row - reach, 0), max(column - reach, 0)
        patch = np.s_[top : row + reach, left : column + reach]
        across, down = page_x[patch] - page_x[row, column], page_y[patch] - page_y[row, column]
        scale = layout.size_px / 20 * float(rng.normal(1, 0.06))
        covered = _stamp(field, across, down, scale, rng)
        np.maximum(ink[patch], covered, out=ink[patch])
        written.append(_inked(covered > 0.5, left, top))
    return ink, written


def _inked(ink: npt.NDArray[np.bool_], left: int, top: int) -> Written:
    """A patch of a picture, whose corner is at `left` and `top`, cut to its ink."""
    ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(xs):
        return Written((0, 0, 0, 0), np.zeros((0, 0), np.bool_))
    x0, y0, x1, y1 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
    return Written((left + x0, top + y0, left + x1, top + y1), ink[y0:y1, x0:x1])


def _stamp(field: Floats, across: Floats, down: Floats, scale: float, rng: np.random.Generator) -> Floats:
    """The part of each pixel that lies under the pen's line, for a thing turned, slanted and stretched a little."""
    turn, slant = rng.normal(0, 0.09), rng.normal(0, 0.12)
    # Some hands write a 7 as narrow as a bracket; MNIST has few of them.
    stretch = np.exp(rng.normal(0, 0.08) if rng.random() < 0.6 else rng.normal(0.15, 0.3))
    matrix = np.array([[stretch, slant], [0, 1]]) @ [
        [np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]
    ]  # fmt: skip
    (a, b), (c, d) = (matrix * FINE / scale).astype(np.float32)
    x, y = a * across + b * down + np.float32(MIDDLE), c * across + d * down + np.float32(MIDDLE)
    inside = (x > 0) & (y > 0) & (x < SIDE - 1) & (y < SIDE - 1)
    x, y = np.clip(x, 0, SIDE - 1.001), np.clip(y, 0, SIDE - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column
    y -= row
    flat, at = field.ravel(), row * SIDE + column
    above, below = flat[at], flat[at + SIDE]
    above += (flat[at + 1] - above) * x
    below += (flat[at + SIDE + 1] - below) * x
    above += (below - above) * y
    return np.asarray(np.clip(0.5 - np.where(inside, above, _FAR) * np.float32(scale), 0, 1))


def _cloud(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> Floats:
    """(H, W) of 0 to 1: smooth random hills, about `cells` of them along a side."""
    small = rng.integers(0, 256, (cells + 1, cells + 1), np.uint8)
    hills = Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(hills, np.float32) / np.float32(255)


def _worn(shape: tuple[int, int], rng: np.random.Generator) -> Floats | np.float32:
    """How much of the pen's ink is on the paper: pencils and dry pens leave some of it out."""
    if rng.random() < 0.5:
        return np.float32(1)
    pale = _cloud(shape, int(rng.integers(10, 160)), rng)
    return np.asarray(1 - np.float32(rng.uniform(0.1, 0.8)) * pale * pale, np.float32)


def _paper(layout: Layout, page_x: Floats, page_y: Floats, rng: np.random.Generator) -> Floats:
    """(H, W), 0 to 255: paper with its grain, plain, ruled or squared, now and then with an edge and a table."""
    picture = np.full(layout.shape, rng.uniform(150, 250), np.float32)
    kind = rng.random()
    if kind < 0.5:
        pitch, wide = layout.size_px * rng.uniform(0.45, 2.2), rng.uniform(0.6, 1.2) + layout.size_px / 150
        strong = np.float32(rng.uniform(0.06, 0.45))
        for place in (page_y, page_x)[: 1 if kind < 0.25 else 2]:
            off = np.abs((place + rng.uniform(0, pitch)) % pitch - pitch / 2)
            picture *= 1 - strong * np.clip(wide / 2 + 0.5 - off, 0, 1).astype(np.float32)
    if rng.random() < 0.3:
        picture *= 1 - np.float32(rng.uniform(0.02, 0.1)) * _cloud(
            layout.shape, int(rng.integers(40, 200)), rng
        )
    if rng.random() < 0.08:
        angle, edge = rng.uniform(0, 2 * np.pi), rng.uniform(0.38, 0.5) * min(layout.shape)
        off = page_x * np.float32(np.cos(angle)) + page_y * np.float32(np.sin(angle)) - np.float32(edge)
        table = np.float32(rng.uniform(20, 140)) * (0.7 + 0.6 * _cloud(layout.shape, 30, rng))
        picture += (table - picture) * np.clip(off, 0, 1)
    return picture


def _light(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """(H, W), about 1: light that falls off to a side, and shadows with soft or sharp edges."""
    height, width = shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[np.newaxis]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis]
    sideways = rng.normal(0, 0.13, 2).astype(np.float32)
    light = np.float32(rng.uniform(0.45, 1.05)) * (1 + sideways[0] * x + sideways[1] * y)
    for _ in range(int(rng.integers(0, 3))):
        angle, soft = rng.uniform(0, 2 * np.pi), np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.8))))
        bent = np.float32(rng.normal(0, 0.3)) * (x * x - y)
        off = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) + bent
        edge = np.float32(rng.uniform(-0.6, 0.6))
        light *= 1 - np.float32(rng.uniform(0.1, 0.6)) * np.clip((off - edge) / soft + 0.5, 0, 1)
    return np.asarray(light, np.float32)


def _sensed(picture: Floats, size_px: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Lens, sensor and JPEG: float (H, W) of 0 to 255 -> uint8 (H, W)."""
    sharp = rng.uniform(0.2, 0.7) + size_px * rng.uniform(0, 0.012)
    blur = sharp if rng.random() < 0.9 else sharp + 0.025 * size_px
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
    noise = float(rng.uniform(0, 5) if rng.random() < 0.8 else rng.uniform(5, 12))
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(noise)
    grey_u8 = np.clip(np.asarray(image, np.float32) + grain + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        return grey_u8
    packed = io.BytesIO()
    Image.fromarray(grey_u8).save(packed, "JPEG", quality=int(rng.integers(35, 96)))
    return np.asarray(Image.open(packed))
