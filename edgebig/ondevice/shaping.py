"""The ink of one digit -> 28x28, as MNIST was made: strokes evened, 20 pixels long, centred by mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .sampling import framed, quantile, resample, slide

if TYPE_CHECKING:
    import numpy.typing as npt

    from .ink import Scene
    from .sampling import Bytes
    from .strokes import Group

STROKE = 2.3  # the stroke width to reach, in pixels of the 20x20 box; MNIST's median is 2.4
MAX_STROKE = 4.0
FINE = 4  # a digit is drawn this much larger than the 20x20 box while its strokes are evened
MARGIN = 2


def to_input(scene: Scene, group: Group) -> Bytes:
    """Ink at working size -> uint8 (28, 28), ink is 255."""
    (x0, y0, x1, y1), own = group.within(MARGIN, scene.ink.shape)
    near = slide(slide(own, 3, 0, True), 3, 1, True)
    ink = (scene.ink[y0:y1, x0:x1] >> np.uint16(2)).astype(np.uint8)
    longest = max(group.width, group.height)
    rows, columns = ((2 * 20 * FINE * n + longest) // (2 * longest) for n in own.shape)
    fine = resample(ink * near, (max(1, rows), max(1, columns)))
    core = fine[resample(own * np.uint8(255), fine.shape) > 127]
    level = max(1, quantile(core, 4, 5)) if core.size else 255
    # A quarter of the level is none, three quarters are full.
    bold = np.clip(510 * fine.astype(np.int32) // level - 127, 0, 255).astype(np.uint8)
    return _centred(_even(bold))


def _even(bold: Bytes) -> Bytes:
    """Strokes of the fine drawing brought near MNIST's width, by a round brush that adds or takes an edge."""
    width = stroke_width(bold)
    wish = min(max(width, STROKE * FINE), MAX_STROKE * FINE)
    side = 20 * FINE
    # The box grows with the brush, and is scaled to 20 again.
    radius = (wish - width) * side / (2 * (side - wish))
    halves = int(2 * abs(radius) + 0.5)
    reach = (halves + 1) // 2
    drawn = framed(bold, reach)
    before = drawn
    for step in range(reach):
        before, drawn = drawn, _brushed(drawn, step % 2 == 0, radius > 0)
    if halves % 2:
        drawn = ((before.astype(np.uint16) + drawn + 1) >> 1).astype(np.uint8)
    return drawn


def _brushed(a: Bytes, cross: bool, wider: bool) -> Bytes:
    """The largest (smallest) of each pixel and its four neighbours (cross), or of all eight: in turn, an octagon."""
    pick = np.maximum if wider else np.minimum
    p = framed(a, 1)
    down: Bytes = pick(pick(p[:-2], p[2:]), p[1:-1])
    if cross:
        across: Bytes = pick(pick(p[1:-1, :-2], p[1:-1, 2:]), down[:, 1:-1])
        return across
    square: Bytes = pick(pick(down[:, :-2], down[:, 2:]), down[:, 1:-1])
    return square


def stroke_width(bold: Bytes) -> float:
    """uint8 (H, W), ink is 255 -> the mean stroke width in pixels: twice the ink by the length of its edge.

    The edge is measured as M. W. Crofton did, by what lines in four directions cross.
    """
    p = framed(bold, 1).astype(np.int32)
    straight = _change(p[1:], p[:-1]) + _change(p[:, 1:], p[:, :-1])
    slanted = _change(p[1:, 1:], p[:-1, :-1]) + _change(p[1:, :-1], p[:-1, 1:])
    edge = (straight + slanted * 0.7071067811865476) * 0.39269908169872414
    return 2 * int(bold.sum(dtype=np.int64)) / edge if edge else 0.0


def _change(a: npt.NDArray[np.int32], b: npt.NDArray[np.int32]) -> int:
    return int(np.abs(a - b).sum())


def _centred(bold: Bytes) -> Bytes:
    """As MNIST was made: the longer side is 20, anti-aliased, and the centre of mass is at pixel 14, 14."""
    image = np.zeros((28, 28), np.uint8)
    seen = bold > 127
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(ys):
        return image
    tight = bold[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    longest = max(tight.shape)
    rows, columns = (max(1, (40 * n + longest) // (2 * longest)) for n in tight.shape)
    size = rows, columns
    small = resample(tight, size)
    weight = small.astype(np.int64)
    mass = int(weight.sum())
    place = []
    for axis in (0, 1):
        moment = int(weight.sum(1 - axis) @ np.arange(size[axis]))
        before = (2 * (14 * mass - moment) + mass) // (2 * mass) if mass else 0
        place.append(min(max(before, 0), 28 - size[axis]))
    image[place[0] : place[0] + size[0], place[1] : place[1] + size[1]] = small
    return image
