"""A mask -> its connected parts, measured. numpy has no such function, and OpenCV and SciPy are large for a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .sampling import Floats

    Bits = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Connected strokes; areas and edges in pixels; `label`: int (H, W), -1 or the part's number."""

    box: Ints  # (N, 4) as x0, y0, x1, y1, ends excluded
    area: Ints
    edge: Ints
    label: npt.NDArray[np.int32]


def connected(ink: Floats, mask: Bits) -> tuple[Parts, npt.NDArray[np.float64]]:
    """(H, W), (H, W) -> the mask's 8-connected parts, and each one's ink (the mean, weighted by itself), (N,)."""
    height, width = mask.shape
    stride = width + 1
    flat = np.zeros(height * stride + 1, np.int8)
    flat[1:].reshape(height, stride)[:, :width] = mask
    change = np.diff(flat)
    start, end = np.nonzero(change == 1)[0], np.nonzero(change == -1)[0]  # runs: no row ends in ink
    root = _union(start, end, stride)
    part, of_run = np.unique(root, return_inverse=True)
    n, row = len(part), start // stride
    box = np.zeros((n, 4), np.int64)
    box[:, :2] = max(height, width)
    np.minimum.at(box[:, 0], of_run, start - row * stride)
    np.minimum.at(box[:, 1], of_run, row)
    np.maximum.at(box[:, 2], of_run, end - row * stride)
    np.maximum.at(box[:, 3], of_run, row + 1)
    of_pixel = np.repeat(of_run, end - start)
    label = np.full(mask.shape, -1, np.int32)
    label[mask] = of_pixel
    value = ink[mask].astype(np.float64)
    area = np.bincount(of_pixel, minlength=n)
    strength = np.bincount(of_pixel, value**2, n) / np.maximum(np.bincount(of_pixel, value, n), 1e-9)
    return Parts(box, area, _edges(label, n), label), strength


def _edges(label: npt.NDArray[np.int32], n: int) -> Ints:
    """The length of each part's edge: how often rows and columns enter or leave it, times pi / 4 as edges slant."""
    count = np.zeros(n + 1, np.int64)
    for a in (label, label.T):
        p = np.pad(a, ((0, 0), (1, 1)), constant_values=-1)
        ends = p[:, :-1] != p[:, 1:]
        for side in (p[:, :-1], p[:, 1:]):
            count += np.bincount(side[ends] + 1, minlength=n + 1)
    edge: Ints = np.maximum(count[1:] * np.pi / 4, 1).astype(np.int64)
    return edge


def _union(start: Ints, end: Ints, stride: int) -> Ints:
    """Runs in row order -> each one's smallest connected run: roots hook to smaller ones until none changes."""
    first = np.searchsorted(end, start - stride)  # runs above that end at this start or later: 8-connected
    last = np.searchsorted(start, end - stride, side="right")
    count = last - first
    below = np.repeat(np.arange(len(start)), count)
    above = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    root = np.arange(len(start))
    while True:
        a, b = root[above], root[below]
        apart = a != b
        if not apart.any():
            return root
        above, below = above[apart], below[apart]
        np.minimum.at(root, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while True:
            jumped = root[root]
            if (jumped == root).all():
                break
            root = jumped


def select(parts: Parts, keep: Bits) -> Parts:
    """Those of the parts that `keep`, bool (N,), marks, numbered anew."""
    new = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)  # [-1] stays -1
    return Parts(parts.box[keep], parts.area[keep], parts.edge[keep], new[parts.label])


def plausible(parts: Parts, shape: tuple[int, ...]) -> Bits:
    """bool (N,): may this be a stroke, or is it a speck, a blot, a rule or the page's edge in a picture of (H, W)?"""
    height, width = shape
    x0, y0, x1, y1 = parts.box.T
    w, h = x1 - x0, y1 - y0
    side = np.maximum(w, h)
    inside = (x0 > 0) & (y0 > 0) & (x1 < width) & (y1 < height)
    large = side >= max(5, 0.015 * max(shape))
    solid = (parts.area > 0.8 * w * h) & (w > 0.5 * h)
    keep: Bits = large & ~solid
    whole: Bits = keep & inside
    if not whole.any():  # cropped close
        whole = keep & (w < 0.98 * width) & (h < 0.98 * height)
    return whole


def weighted_median(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    """(N,), (N,) -> the value at which half of the weight is reached. Raises: IndexError where N is 0."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
