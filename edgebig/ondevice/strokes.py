"""Ink -> strokes -> the strokes of each digit, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .ink import MIN_INK, threshold
from .parts import connected, plausible, select, weighted_median

if TYPE_CHECKING:
    from .ink import Scene
    from .parts import Ints, Parts

    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, ends excluded

MAX_PARTS = 300  # in one picture; the largest count


def strokes_of(scene: Scene) -> Parts:
    """Ink that is strong enough, in connected parts, without specks, page edges and rules."""
    ink = scene.ink
    weak = threshold(scene)
    parts, strength = connected(ink, ink > weak)
    keep = plausible(parts, ink.shape) & (strength > max(MIN_INK, 6 * scene.noise))
    if not keep.any():
        return select(parts, keep)
    level = weighted_median(strength[keep], parts.area[keep])
    parts, strength = connected(ink, ink > max(weak, 0.4 * level))
    keep = plausible(parts, ink.shape) & (strength > 0.5 * level)
    return select(parts, keep)


@dataclass(frozen=True)
class Group:
    """Strokes of one digit."""

    box: Box
    members: tuple[int, ...]


def join(parts: Parts) -> list[Group]:
    """Broken strokes belong to the digit that they overlap or nearly touch; other fragments are specks."""
    height = parts.box[:, 3] - parts.box[:, 1]
    tall = weighted_median(height, height)
    largest = np.argsort(-parts.area, kind="stable")[:MAX_PARTS]
    groups = [Group(_four(parts.box[i]), (int(i),)) for i in largest]
    edges = {int(i): _edge(parts, int(i)) for i in largest}
    merged = True
    while merged:
        merged = False
        for i in range(len(groups)):
            for j in range(len(groups) - 1, i, -1):
                if _one_digit(groups[i], groups[j], tall, edges):
                    groups[i] = _together(groups[i], groups.pop(j))
                    merged = True
    return [g for g in groups if _digit_shaped(g.box, tall)]


def _four(box: Ints) -> Box:
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0, y0, x1, y1


def _edge(parts: Parts, part: int) -> Ints:
    """The outermost pixels of a part, (N, 2) as y, x: at most 400, to measure gaps by."""
    x0, y0, x1, y1 = parts.box[part]
    own = np.pad(parts.label[y0:y1, x0:x1] == part, 1)
    inner = own[:-2, 1:-1] & own[2:, 1:-1] & own[1:-1, :-2] & own[1:-1, 2:]
    ys, xs = np.nonzero(own[1:-1, 1:-1] & ~inner)
    points = np.stack([ys + y0, xs + x0], 1)
    return points[:: -(-len(points) // 400)]


def _together(a: Group, b: Group) -> Group:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    return Group((min(ax0, bx0), min(ay0, by0), max(ax1, bx1), max(ay1, by1)), a.members + b.members)


def _one_digit(a: Group, b: Group, tall: float, edges: dict[int, Ints]) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    in_x, in_y = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    narrow, low = min(ax1 - ax0, bx1 - bx0), min(ay1 - ay0, by1 - by0)
    if max(-in_x, -in_y) > 0.15 * tall:
        return False
    if in_x > 0.6 * narrow and in_y > 0.6 * low:
        return True
    width, height = max(ax1, bx1) - min(ax0, bx0), max(ay1, by1) - min(ay0, by0)
    if height > 1.8 * tall or width > 1.2 * height:
        return False
    if low < 0.4 * tall and in_x > 0.5 * narrow:
        return True
    small = min(max(ax1 - ax0, ay1 - ay0), max(bx1 - bx0, by1 - by0)) < 0.5 * tall
    return _gap(a, b, edges) < (0.1 if small else 0.05) * tall


def _gap(a: Group, b: Group, edges: dict[int, Ints]) -> float:
    p, q = (np.concatenate([edges[m] for m in g.members]) for g in (a, b))
    return float(np.sqrt(((p[:, None] - q[None]) ** 2).sum(2).min()))


def _digit_shaped(box: Box, tall: float) -> bool:
    w, h = box[2] - box[0], box[3] - box[1]
    return max(w, h) > 0.4 * tall and h < 2.5 * tall and w < 2.6 * h


def in_lines(groups: list[Group]) -> list[list[Group]]:
    """In reading order: lines from the top, each from the left.

    The slope of the lines, the median of that between neighbours, is taken out first.
    """
    slopes = []
    for a in groups:
        near = [b for b in groups if b.box[0] > a.box[0] and _shared(a.box, b.box, 0.0) > 0.2]
        if near:
            b = min(near, key=lambda b: b.box[0])
            dx = (b.box[0] + b.box[2] - a.box[0] - a.box[2]) / 2
            if dx > 0:
                slopes.append((b.box[1] + b.box[3] - a.box[1] - a.box[3]) / 2 / dx)
    slope = float(np.clip(np.median(slopes), -0.3, 0.3)) if len(slopes) > 2 else 0.0
    lines: list[list[Group]] = []
    for g in sorted(groups, key=lambda g: (g.box[1] + g.box[3] - slope * (g.box[0] + g.box[2]), g.box)):
        fit = [max(_shared(g.box, o.box, slope) for o in line) for line in lines]
        if fit and max(fit) > 0.3:
            lines[fit.index(max(fit))].append(g)
        else:
            lines.append([g])
    return [sorted(line, key=lambda g: (g.box[0] + g.box[2], g.box)) for line in lines]


def _shared(a: Box, b: Box, slope: float) -> float:
    """The part of the lower box's height that both share, once b is moved along the line to a."""
    drop = slope * (b[0] + b[2] - a[0] - a[2]) / 2
    return (min(a[3], b[3] - drop) - max(a[1], b[1] - drop)) / min(a[3] - a[1], b[3] - b[1])
