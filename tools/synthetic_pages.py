"""Photographs of handwriting, drawn: pages whose every digit and place is known, to measure what reads them.

Digits are those of the embedded validation split, which no model of the zoo was taught and none is judged by in its
card, thinned and drawn anew by a pen. A page is paper with what is printed
on it, written on, seen askew, in uneven light, by a lens, a sensor and JPEG. All of it follows the seed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from sample_picture import DIGITS, FINE, SUPERSAMPLE, blob, light_of, thin

WIDTH, HEIGHT = 640, 480
CORNERS = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float64)
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]

# What is read, and of how many lines and digits a line; then what must give no digit.
WRITTEN = {
    "single": (1, 1),
    "five": (1, 5),
    "page": (3, 5),
    "shadow": (3, 5),
    "light-on-dark": (2, 4),
    "ruled": (3, 5),
    "squared": (3, 5),
    "desk": (2, 4),
    "broken": (2, 4),
    "touching": (2, 4),
}
EMPTY = ("blank", "blank-ruled", "blank-squared", "blank-desk")
NO_DIGITS = ("letters", "scribbles")
PENS = ((28, 28, 32), (30, 40, 120), (20, 24, 70), (60, 60, 64), (120, 30, 40), (85, 85, 90))


@dataclass(frozen=True)
class Page:
    """`grey_u8`: uint8 (480, 640); `lines`: its digits in reading order; `boxes`: x0, y0, x1, y1 of each."""

    grey_u8: Bytes
    lines: tuple[tuple[int, ...], ...]
    boxes: tuple[Box, ...]

    @property
    def labels(self) -> list[int]:
        return [label for line in self.lines for label in line]


def page(kind: str, seed: int) -> Page:
    """A page of a kind of WRITTEN, EMPTY or NO_DIGITS. Raises: ValueError where there is no such kind."""
    if kind not in (*WRITTEN, *EMPTY, *NO_DIGITS):
        raise ValueError(f"no kind {kind!r}")
    rng = np.random.default_rng((seed, sum(kind.encode())))
    sheet = _Sheet(rng)
    lines: tuple[tuple[int, ...], ...] = ()
    if kind in WRITTEN:
        lines = sheet.write(kind)
    elif kind == "letters":
        sheet.letters()
    elif kind == "scribbles":
        sheet.scribble()
    coverage = np.asarray(sheet.canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.float32) / 255
    if kind == "broken":
        coverage = coverage * _worn(rng)
    paper_rgb, pen_rgb = _colours(rng, kind == "light-on-dark")
    picture = np.broadcast_to(paper_rgb, (HEIGHT, WIDTH, 3)).copy()
    rules = {"ruled": 1, "squared": 2}.get(kind.removeprefix("blank-"), 0)
    if rules:
        printed = _rules(rng, rules == 2)[..., None]
        picture += (np.array([120, 140, 190], np.float32) - picture) * printed * rng.uniform(0.35, 0.95)
    picture += (pen_rgb - picture) * coverage[..., None] * rng.uniform(0.75, 0.98)
    grey = np.asarray(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("L"), np.float32)
    corners = _askew(rng, kind.removeprefix("blank-") == "desk")
    grey = _seen(grey, corners, float(rng.uniform(25, 110)))
    if kind == "shadow":
        grey *= _sharp_shadow(rng)
    grey *= light_of(rng)
    return Page(_photographed(grey, rng), lines, tuple(_moved(box, corners) for box in sheet.boxes))


class _Sheet:
    """The canvas on which a pen draws, and the box of each digit."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.canvas = Image.new("L", (WIDTH * SUPERSAMPLE, HEIGHT * SUPERSAMPLE))
        self.pen = ImageDraw.Draw(self.canvas)
        self.boxes: list[Box] = []

    def write(self, kind: str) -> tuple[tuple[int, ...], ...]:
        rows, columns = WRITTEN[kind]
        rng = self.rng
        cell_w, cell_h = WIDTH * 0.86 / columns, HEIGHT * 0.86 / rows
        size = min(cell_w * 0.68, cell_h * 0.66) * rng.uniform(0.6, 1)
        width_px = float(rng.uniform(0.04, 0.13)) * size
        width_px = float(np.clip(width_px, 2, 14))
        slope = rng.uniform(-0.04, 0.04)
        lines = []
        for row in range(rows):
            line, x = [], WIDTH * 0.07
            for column in range(columns):
                index = int(rng.integers(len(_labels())))
                line.append(int(_labels()[index]))
                points, links = _skeleton(index)
                drawn = points @ _turn(rng, size).T
                low, high = drawn.min(0), drawn.max(0)
                middle = WIDTH * 0.07 + cell_w * (column + 0.5) + rng.uniform(-0.05, 0.05) * cell_w
                if kind == "touching" and column % 2:  # its strokes overlap the last one's by half a pen
                    middle = x + self._reach(drawn, width_px) - width_px * 0.5
                y = HEIGHT * 0.07 + cell_h * (row + 0.5) + rng.uniform(-0.03, 0.03) * cell_h
                y += slope * (middle - WIDTH / 2) - (low[1] + high[1]) / 2
                at = (middle - (low[0] + high[0]) / 2, y)
                self._draw(drawn + at, links, width_px)
                x = self.boxes[-1][2]
            lines.append(tuple(line))
        return tuple(lines)

    @staticmethod
    def _reach(drawn: Floats, width_px: float) -> float:
        return float(np.ptp(drawn[:, 0])) / 2 + width_px / 2

    def _draw(self, points: Floats, links: npt.NDArray[np.int64], width_px: float) -> None:
        radius = width_px * SUPERSAMPLE / 2
        drawn = points * SUPERSAMPLE
        for x, y in drawn:
            self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        for i, j in links:
            self.pen.line((*drawn[i], *drawn[j]), fill=255, width=max(1, round(2 * radius)))
        low, high = points.min(0) - width_px / 2, points.max(0) + width_px / 2
        self.boxes.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))

    def letters(self) -> None:
        """Words in capitals whose shapes are no digit's."""
        rng = self.rng
        for row in range(2):
            for column in range(4):
                sign = "AEFHKMNPRTWX"[int(rng.integers(12))]
                side, x, y = 110.0, 70 + column * 135, 60 + row * 200
                for stroke in _LETTERS[sign]:
                    points = [
                        ((x + u * side * 0.7) * SUPERSAMPLE, (y + v * side) * SUPERSAMPLE)
                        for u, v in stroke + rng.normal(0, 0.025, np.shape(stroke))
                    ]
                    self.pen.line(points, fill=255, width=round(7 * SUPERSAMPLE), joint="curve")

    def scribble(self) -> None:
        """Two tangles, each a smooth curve that crosses itself many times."""
        rng = self.rng
        for middle in (180, 460):
            knots = rng.normal(0, 60, (14, 2)) + np.array([middle, 240])
            t = np.linspace(0, 13, 400)
            curve = np.stack([np.interp(t, np.arange(14), knots[:, axis]) for axis in (0, 1)], 1)
            kernel = np.ones(25) / 25
            smooth = np.stack([np.convolve(curve[:, axis], kernel, "valid") for axis in (0, 1)], 1)
            self.pen.line([tuple(p) for p in smooth * SUPERSAMPLE], fill=255, width=6 * SUPERSAMPLE)


_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.6), (0.8, 0.6)]],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(1, 0), (0, 0.55)], [(0.2, 0.4), (1, 1)]],
    "M": [[(0, 1), (0, 0), (0.5, 0.6), (1, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "P": [[(0, 1), (0, 0), (0.8, 0), (1, 0.25), (0.8, 0.5), (0, 0.5)]],
    "R": [[(0, 1), (0, 0), (0.8, 0), (1, 0.25), (0.8, 0.5), (0, 0.5)], [(0.4, 0.5), (1, 1)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
}


@cache
def _digits() -> tuple[Bytes, npt.NDArray[np.int64]]:
    with np.load(DIGITS) as embedded:
        validation = embedded["split"] == 1
        return embedded["images"][validation], embedded["labels"][validation].astype(np.int64)


def _labels() -> npt.NDArray[np.int64]:
    return _digits()[1]


@cache
def _skeleton(index: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Points of the thinned digit, (N, 2) around its middle, 1 is 20 pixels of MNIST; and the joined pairs, (M, 2)."""
    ys, xs = np.nonzero(thin(blob(_digits()[0][index])))
    grid = np.stack([xs, ys], 1)
    near = (np.abs(grid[:, None] - grid[None]) <= FINE / 2 + 1).all(2)
    smooth = near @ grid / near.sum(1, keepdims=True)
    links = np.argwhere(np.triu((np.abs(grid[:, None] - grid[None]) <= 1).all(2), 1))
    return (smooth - 14 * FINE) / (20 * FINE), links


def _turn(rng: np.random.Generator, size: float) -> Floats:
    angle, slant = rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[1, slant], [0, 1]]) * size * rng.uniform(0.85, 1)


def _worn(rng: np.random.Generator) -> Floats:
    """A pen that skips: narrow gaps across the whole page, float32 (480, 640), 0 where it wrote nothing."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    angle, gap = rng.uniform(0, np.pi), rng.uniform(1.5, 4)
    phase = (x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 90)) % rng.uniform(35, 60)
    worn: Floats = (phase > gap).astype(np.float32)
    return worn


def _colours(rng: np.random.Generator, light_on_dark: bool) -> tuple[Floats, Floats]:
    if light_on_dark:
        return np.array([48, 62, 56], np.float32), np.array([235, 235, 225], np.float32)
    paper = np.array([1.0, rng.uniform(0.95, 1), rng.uniform(0.86, 1)]) * rng.uniform(180, 245)
    return paper.astype(np.float32), np.array(PENS[rng.integers(len(PENS))], np.float32)


def _rules(rng: np.random.Generator, squared: bool) -> Floats:
    """Printed lines, or squares, float32 (480, 640)."""
    step, width = int(rng.integers(24, 56)), float(rng.uniform(0.8, 2))
    printed = np.zeros((HEIGHT, WIDTH), np.float32)
    for axis, length in ((0, HEIGHT), (1, WIDTH))[: 1 + squared]:
        place = (np.arange(length) + rng.uniform(0, step)) % step
        line = np.clip(width - np.abs(place - width / 2) * 2 + 0.5, 0, 1).astype(np.float32)
        printed = np.maximum(printed, line[:, None] if axis == 0 else line[None])
    return printed


def _askew(rng: np.random.Generator, desk: bool) -> Floats:
    """Where the sheet's corners are seen, (4, 2) as x, y: around the picture's, or inside it, on a desk."""
    angle = rng.uniform(-0.05, 0.05)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([WIDTH, HEIGHT]) / 2
    scale = rng.uniform(0.8, 0.88) if desk else rng.uniform(1.08, 1.14)
    corners = (CORNERS - middle) @ turn.T * scale + middle
    return (
        corners + rng.uniform(-0.02, 0.02, (4, 2)) * WIDTH if desk else corners + rng.uniform(-12, 12, (4, 2))
    )


def _homography(source: Floats, target: Floats) -> Floats:
    """The eight numbers that take (4, 2) points of `source` to those of `target`, as Pillow wants them."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.linalg.solve(np.array(rows), target.reshape(-1))


def _seen(grey: Floats, corners: Floats, desk: float) -> Floats:
    back = _homography(corners, CORNERS)
    seen = Image.fromarray(grey.astype(np.float32)).transform(
        (WIDTH, HEIGHT), Image.Transform.PERSPECTIVE, back.tolist(), Image.Resampling.BICUBIC, fillcolor=desk
    )
    return np.array(seen, np.float32)


def _moved(box: Box, corners: Floats) -> Box:
    a, b, c, d, e, f, g, h = _homography(CORNERS, corners)
    x, y = np.array([box[0], box[2], box[2], box[0]]), np.array([box[1], box[1], box[3], box[3]])
    below = g * x + h * y + 1
    u, v = (a * x + b * y + c) / below, (d * x + e * y + f) / below
    return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def _sharp_shadow(rng: np.random.Generator) -> Floats:
    """The shadow of a bar, as of an arm or a window's frame, with edges 2 to 6 pixels soft, float32 (480, 640)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    angle, soft, half = rng.uniform(0, np.pi), rng.uniform(2, 6), rng.uniform(40, 110)
    off = (x - WIDTH / 2) * np.cos(angle) + (y - HEIGHT / 2) * np.sin(angle) - rng.uniform(-120, 120)
    inside = 1 / (1 + np.exp(np.clip((np.abs(off) - half) / soft, -30, 30)))
    shadow: Floats = (1 - rng.uniform(0.3, 0.55) * inside).astype(np.float32)
    return shadow


def _photographed(grey: Floats, rng: np.random.Generator) -> Bytes:
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6))), np.float32)
    noisy = np.clip(blurred + rng.normal(0, rng.uniform(1, 5), blurred.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=int(rng.integers(55, 95)))
    return np.array(Image.open(file).convert("L"))
