"""Digits that touch are cut apart where a path from top to bottom crosses least ink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .sampling import framed, quantile, resample
from .strokes import Group

if TYPE_CHECKING:
    from .ink import Scene
    from .parts import Bits
    from .sampling import Bytes, Ints

ROWS = 40  # the cut is sought in a drawing that is so high
WIDE = 1.0  # wider than this part of its height, a group may be two digits
CROSSED = 0.9  # a cut crosses one stroke, in stroke widths
VERY_WIDE = 1.3  # a group so wide is seldom one digit: a cut may cross more there
CROSSED_WIDE = 1.8
TALL = 0.68  # each half is at least so high, as a part of the whole


def cut(groups: list[Group], scene: Scene) -> list[Group]:
    """Each group as it is, or in two or more, from the left."""
    return [piece for group in groups for piece in _pieces(group, scene, 4)]


def _pieces(group: Group, scene: Scene, most: int) -> list[Group]:
    halves = _halves(group, scene) if most > 1 and group.width > WIDE * group.height else None
    if halves is None:
        return [group]
    return [piece for half in halves for piece in _pieces(half, scene, most - 1)]


def _halves(group: Group, scene: Scene) -> tuple[Group, Group] | None:
    x0, y0, x1, y1 = group.box
    ink = np.where(group.mask, np.minimum(scene.ink[y0:y1, x0:x1] >> np.uint16(2), 255), 0).astype(np.uint8)
    if not ink.any():
        return None
    columns = max(3, (2 * ROWS * group.width + group.height) // (2 * group.height))
    small = resample(ink, (ROWS, columns))
    level = max(1, quantile(small[small > 0], 4, 5))
    path, cost = _path(small)
    most = CROSSED if group.width < VERY_WIDE * group.height else CROSSED_WIDE
    if cost > most * _stroke(small) * level:
        return None
    crossed = small[np.arange(ROWS), path] > level // 4
    if (
        int((crossed[1:] & ~crossed[:-1]).sum()) + int(crossed[0]) > 1
    ):  # as of a wide 0: two who touch do so once
        return None
    seam = (2 * path[np.arange(group.height) * ROWS // group.height] + 1) * group.width // (2 * columns)
    left = group.mask & (np.arange(group.width) < seam[:, None])
    a, b = (_tight(mask, x0, y0) for mask in (left, group.mask & ~left))
    if a is None or b is None or min(a.height, b.height) < TALL * group.height:
        return None
    return a, b


def _stroke(small: Bytes) -> float:
    """The mean stroke width: twice the area by the edge's length."""
    bold = framed(small > small.max() // 2, 1)
    crossings = int((bold[1:] != bold[:-1]).sum()) + int((bold[:, 1:] != bold[:, :-1]).sum())
    return 2 * int(bold.sum()) / max(crossings * (np.pi / 4), 1)


def _path(small: Bytes) -> tuple[Ints, int]:
    """(h, w) -> for each row the column of the cheapest path down, a column aside at most in each row; and its cost.

    It stays between a fifth and four fifths of the width. Of equal paths it is the one straight up, then to the left.
    """
    height, width = small.shape
    cost = small.astype(np.int64)
    far = 1 << 40
    low, high = width // 5, width - width // 5
    total = np.full((height, width + 2), far, np.int64)
    total[0, 1 + low : 1 + high] = cost[0, low:high]
    for y in range(1, height):
        above = total[y - 1]
        best = np.minimum(np.minimum(above[:-2], above[2:]), above[1:-1])
        total[y, 1 + low : 1 + high] = (best + cost[y])[low:high]
    path = np.zeros(height, np.int64)
    x = int(total[-1].argmin())
    for y in range(height - 1, -1, -1):
        path[y] = x - 1
        if y:
            x = min((x, x - 1, x + 1), key=lambda place: int(total[y - 1, place]))
    return path, int(total[-1].min())


def _tight(mask: Bits, x0: int, y0: int) -> Group | None:
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return None
    top, bottom, left, right = int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1
    return Group((x0 + left, y0 + top, x0 + right, y0 + bottom), mask[top:bottom, left:right])
