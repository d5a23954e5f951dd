"""Ink -> strokes -> the strokes of each digit, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import rules
from .ink import MIN_INK, threshold
from .parts import connected, plausible, select, weighted_median
from .sampling import framed, slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ink import Scene
    from .parts import Bits, Parts
    from .sampling import Bytes, Ints, Shorts

    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, ends excluded
    Corners = tuple[float, float, float, float]

MAX_PARTS = 300  # in one picture; the largest count
STRONG = 255  # ink that takes a quarter of the light
NEAR = 4  # pixels to every side of a stroke, in which the edge of a sheet is not to lie
MAX_PAIRS = 2000  # of parts that may be of one digit; the nearest count
ROUNDS = 8  # what has grown by joining may join with more
EDGE = 200  # pixels of a part's outline, to measure gaps by
# How far strokes of one digit may be apart, as a part of the usual height.
ANY = 9.0  # when one lies in the other's box
FRAGMENT = 0.2  # when one is a fragment, or above the other
BESIDE = 0.08
LOW = 0.4  # a stroke that is lower is a bar or a dot, no digit
STACKED = 1.3  # two strokes above each other that are together no higher are halves of one digit
FLAT = 0.3  # what is lower is a bar that nothing was near enough to be joined to


def strokes_of(scene: Scene) -> Parts:
    """Ink that is strong enough, in connected parts, without specks, page edges and rules."""
    ink = scene.ink
    weak = threshold(scene)
    mask = ink > weak
    parts = connected(ink, mask)
    faint = rules.in_pieces(parts)
    if faint or rules.may_be_there(parts, mask.shape):
        mask &= ~rules.of(ink > 0.6 * weak if faint else mask)
        parts = connected(ink, mask)
    keep = plausible(parts, ink.shape) & (parts.strength > max(MIN_INK, 6 * scene.noise))
    if not keep.any():
        return select(parts, keep)
    level = weighted_median(parts.strength[keep], parts.area[keep])
    parts = connected(ink, mask & (ink > max(weak, 0.4 * level)))
    return select(parts, plausible(parts, ink.shape) & (parts.strength > 0.5 * level))


@dataclass(frozen=True, eq=False)
class Group:
    """Strokes of one digit: its box, and which of the box's pixels are its own, bool (h, w)."""

    box: Box
    mask: Bits

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]

    def within(self, margin: int, shape: tuple[int, ...]) -> tuple[Box, Bytes]:
        """Its box, larger by the margin where a picture of (H, W) has room; and in that box its own pixels, 0 or 1."""
        x0, y0, x1, y1 = self.box
        left, top = max(x0 - margin, 0), max(y0 - margin, 0)
        right, bottom = min(x1 + margin, shape[1]), min(y1 + margin, shape[0])
        own = np.zeros((bottom - top, right - left), np.uint8)
        own[y0 - top : y1 - top, x0 - left : x1 - left] = self.mask
        return (left, top, right, bottom), own


def join(parts: Parts, width: int) -> list[Group]:
    """Broken strokes belong to the digit that they overlap or nearly touch; other fragments are specks.

    `width`: the picture's. The nearest pairs of strokes are joined first, and of at most so many pairs.
    """
    height = parts.box[:, 3] - parts.box[:, 1]
    tall = weighted_median(height, height)
    largest = np.sort(np.argsort(-parts.area, kind="stable")[:MAX_PARTS])
    side = (parts.box[largest, 2:] - parts.box[largest, :2]).max(1)
    largest = largest[side > 0.08 * tall]
    boxes: dict[int, Box] = {int(i): _four(parts.box[i]) for i in largest}
    members = {i: [i] for i in boxes}
    of = {i: i for i in boxes}
    gaps = _Gaps(parts, width)
    pairs = _near(parts.box, largest, FRAGMENT * tall)
    for _ in range(ROUNDS):
        apart = []
        for i, j in pairs:
            a, b = of[i], of[j]
            if a == b:
                continue
            most = _most_apart(boxes[a], boxes[b], tall)
            if most < 0 or (most < ANY and gaps.between(i, j) > (most * tall) * (most * tall)):
                apart.append((i, j))
                continue
            boxes[a] = _around(boxes[a], boxes.pop(b))
            for part in members[b]:
                of[part] = a
            members[a] += members.pop(b)
        if len(apart) == len(pairs):
            break
        pairs = apart
    highest = 2.5 * weighted_median(
        height, height * height
    )  # of the specks of a table there are many, of digits few
    kept = [(box, members[i]) for i, box in boxes.items() if _digit_shaped(box, tall, highest)]
    return [Group(box, parts.mask(np.array(own), box, width)) for box, own in kept]


def on_paper(groups: list[Group], scene: Scene) -> list[Group]:
    """Without what lies along the edge of the sheet, where one side is much darker: a shadow takes less light.

    What is near that edge and does not touch it is on the paper. In the deepest shadow ink must be dark to count.
    """
    return [group for group in groups if _is_on_paper(group, scene)]


def _is_on_paper(group: Group, scene: Scene) -> bool:
    for light in (_lights(group, scene.paper), _lights_near(group, scene.paper)):
        darkest, lightest = int(light.min()), int(light.max())
        if 5 * darkest >= 2 * lightest:
            return True
    x0, y0, x1, y1 = group.box
    own = scene.ink[y0:y1, x0:x1][group.mask]
    return 4 * darkest >= lightest and int(own.sum(dtype=np.int64)) > STRONG * len(own)


def _lights(group: Group, paper: Bytes) -> Bytes:
    """The paper in and around its box."""
    x0, y0, x1, y1 = group.box
    margin = max(4, min(group.width, group.height) // 4)
    return paper[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin]


def _lights_near(group: Group, paper: Bytes) -> Bytes:
    """The paper under its strokes and next to them: a sheet may end beside a digit, but not in it."""
    (x0, y0, x1, y1), own = group.within(NEAR, paper.shape)
    near = slide(slide(own, 2 * NEAR + 1, 0, True), 2 * NEAR + 1, 1, True) > 0
    light: Bytes = paper[y0:y1, x0:x1][near]
    return light


def with_edges(groups: list[Group], parts: Parts, ink: Shorts) -> list[Group]:
    """Without what fades away slowly, as the corner of a soft shadow does, even more than strokes out of focus.

    Around a stroke there is less than three quarters of the ink from which on pixels were taken as strokes.
    """
    least = int(ink.ravel()[parts.pixel].min())
    return [group for group in groups if _is_sharp(group, ink, least)]


def _is_sharp(group: Group, ink: Shorts, least: int) -> bool:
    reach = max(3, max(group.width, group.height) // 40)
    (x0, y0, x1, y1), own = group.within(reach, ink.shape)
    near = ink[y0:y1, x0:x1]
    around = slide(slide(own, 2 * reach + 1, 0, True), 2 * reach + 1, 1, True) > own
    faint = near[around & (near < least)]
    return 4 * int(faint.sum(dtype=np.int64)) < 3 * least * len(faint) or not len(faint)


def _near(box: Ints, which: Ints, most: float) -> list[tuple[int, int]]:
    """The pairs of parts whose boxes are at most so far apart on each axis, the nearest first."""
    low, high = box[which, :2], box[which, 2:]
    apart = (np.maximum(low[:, None], low[None]) - np.minimum(high[:, None], high[None])).max(2)
    i, j = np.nonzero(np.triu(apart <= most, 1))
    order = np.argsort(apart[i, j], kind="stable")[:MAX_PAIRS]
    return [(int(which[i[n]]), int(which[j[n]])) for n in order]


def _four(box: Ints) -> Box:
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0, y0, x1, y1


class _Gaps:
    """How far parts are apart, each measured when it is first asked for."""

    def __init__(self, parts: Parts, width: int) -> None:
        self.parts, self.width = parts, width
        self.edge: dict[int, Ints] = {}
        self.squared: dict[tuple[int, int], int] = {}

    def between(self, i: int, j: int) -> int:
        """The squared distance of the nearest two of their outermost pixels."""
        if (i, j) not in self.squared:
            p, q = self._edge_of(i), self._edge_of(j)
            self.squared[i, j] = int(((p[:, None] - q[None]) ** 2).sum(2).min())
        return self.squared[i, j]

    def _edge_of(self, part: int) -> Ints:
        """Its outermost pixels, (N, 2) as y, x: at most EDGE, evenly chosen."""
        if part not in self.edge:
            x0, y0, _, _ = self.parts.box[part]
            own = framed(self.parts.mask(np.array([part]), self.parts.box[part], self.width), 1)
            inner = own[:-2, 1:-1] & own[2:, 1:-1] & own[1:-1, :-2] & own[1:-1, 2:]
            ys, xs = np.nonzero(own[1:-1, 1:-1] & ~inner)
            points = np.stack([ys + y0, xs + x0], 1)
            self.edge[part] = points[:: -(-len(points) // EDGE)]
        return self.edge[part]


def _around(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _most_apart(a: Box, b: Box, tall: float) -> float:
    """How far apart strokes in these boxes may be to be of one digit, as a part of `tall`; below 0: they are of two."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a, b
    in_x, in_y = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    narrow, low = min(ax1 - ax0, bx1 - bx0), min(ay1 - ay0, by1 - by0)
    if in_x > 0.6 * narrow and in_y > 0.6 * low:
        return ANY
    width, height = max(ax1, bx1) - min(ax0, bx0), max(ay1, by1) - min(ay0, by0)
    if height > 1.8 * tall or width > 1.2 * height:
        return -1
    small = min(max(ax1 - ax0, ay1 - ay0), max(bx1 - bx0, by1 - by0)) < 0.5 * tall
    above = in_x > 0.5 * narrow and height < STACKED * tall
    return FRAGMENT if small or above or low < LOW * tall else BESIDE


def _digit_shaped(box: Box, tall: float, highest: float) -> bool:
    w, h = box[2] - box[0], box[3] - box[1]
    return max(w, h) > 0.4 * tall and h < highest and w < 4 * h and h > FLAT * tall


def in_lines(groups: list[Group]) -> list[list[Group]]:
    """In reading order: lines from the top, each from the left."""
    return [[groups[i] for i in line] for line in lines_of([group.box for group in groups])]


def lines_of(boxes: Sequence[Corners]) -> list[list[int]]:
    """Boxes as x0, y0, x1, y1 -> their numbers in reading order: lines from the top, each from the left.

    The slope of the lines, the median of that between neighbours, is taken out first.
    """
    slopes = []
    for a in boxes:
        near = [b for b in boxes if b[0] > a[0] and _shared(a, b, 0.0) > 0.2]
        if near:
            b = min(near, key=lambda b: b[0])
            dx = (b[0] + b[2] - a[0] - a[2]) / 2
            if dx > 0:
                slopes.append((b[1] + b[3] - a[1] - a[3]) / 2 / dx)
    slope = float(np.clip(np.median(slopes), -0.3, 0.3)) if len(slopes) > 2 else 0.0
    lines: list[list[int]] = []
    for i in sorted(
        range(len(boxes)),
        key=lambda i: (boxes[i][1] + boxes[i][3] - slope * (boxes[i][0] + boxes[i][2]), boxes[i]),
    ):
        fit = [max(_shared(boxes[i], boxes[o], slope) for o in line) for line in lines]
        if fit and max(fit) > 0.3:
            lines[fit.index(max(fit))].append(i)
        else:
            lines.append([i])
    return [sorted(line, key=lambda i: (boxes[i][0] + boxes[i][2], boxes[i])) for line in lines]


def _shared(a: Corners, b: Corners, slope: float) -> float:
    """The part of the lower box's height that both share, once b is moved along the line to a."""
    drop = slope * (b[0] + b[2] - a[0] - a[2]) / 2
    return (min(a[3], b[3] - drop) - max(a[1], b[1] - drop)) / min(a[3] - a[1], b[3] - b[1])
