"""A mask -> its connected parts, measured. numpy has no such function, and OpenCV and SciPy are large for a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .sampling import Ints

    Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Parts:
    """Connected strokes; areas and edges in pixels."""

    box: Ints  # (N, 4) as x0, y0, x1, y1, ends excluded
    area: Ints
    edge: npt.NDArray[np.floating[Any]]  # how long it is
    strength: npt.NDArray[np.floating[Any]]  # its ink: the mean, weighted by itself
    of_pixel: Ints  # of each pixel of ink, its part
    pixel: Ints  # the pixels of ink, as y * W + x

    def mask(self, members: Ints, box: Any, width: int) -> Bits:
        """bool (h, w): which pixels of the box are of these parts; `width` is the picture's."""
        x0, y0, x1, y1 = (int(v) for v in box)
        own = self.pixel[np.isin(self.of_pixel, members)]
        mask = np.zeros((y1 - y0, x1 - x0), np.bool_)
        mask[own // width - y0, own % width - x0] = True
        return mask


def connected(ink: npt.NDArray[Any], mask: Bits) -> Parts:
    """(H, W), (H, W) -> the mask's 8-connected parts, in order of their first pixel, row by row."""
    height, width = mask.shape
    stride = width + 1
    flat = np.zeros(height * stride + 1, np.bool_)
    flat[1:].reshape(height, stride)[:, :width] = mask
    change = np.flatnonzero(flat[1:] != flat[:-1])
    start, end = change[::2], change[1::2]  # runs: no row ends in ink
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
    pixel = np.flatnonzero(mask)
    value = ink.ravel()[pixel].astype(np.float64)
    area = np.bincount(of_pixel, minlength=n)
    strength = np.bincount(of_pixel, value**2, n) / np.maximum(np.bincount(of_pixel, value, n), 1e-9)
    # Rows and columns enter and leave a part so often, times pi / 4 as edges slant.
    above_below = np.zeros((height + 2, width), np.bool_)
    above_below[1:-1] = mask
    around = above_below.ravel()
    ends = 2 - (around[pixel].astype(np.int64) + around[pixel + 2 * width])
    crossings = 2 * np.bincount(of_run, minlength=n) + np.bincount(of_pixel, ends, n)
    return Parts(box, area, crossings * (np.pi / 4), strength, of_pixel, pixel)


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
    new = np.where(keep, np.cumsum(keep) - 1, -1)
    of_pixel = new[parts.of_pixel]
    own = of_pixel >= 0
    kept = parts.box[keep], parts.area[keep], parts.edge[keep], parts.strength[keep]
    return Parts(*kept, of_pixel[own], parts.pixel[own])


def plausible(parts: Parts, shape: tuple[int, ...]) -> Bits:
    """bool (N,): may this be a stroke, or is it a speck, a blot, a rule or the page's edge in a picture of (H, W)?"""
    height, width = shape
    x0, y0, x1, y1 = parts.box.T
    w, h = x1 - x0, y1 - y0
    side = np.maximum(w, h)
    inside = (x0 > 0) & (y0 > 0) & (x1 < width) & (y1 < height)
    large = side >= max(5, 0.015 * max(shape))
    solid = (10 * parts.area > 8 * w * h) & (2 * w > h)
    keep: Bits = large & ~solid
    whole: Bits = keep & inside
    if (
        not whole.any()
    ):  # cropped close; what is thin and lies along the picture's edge is a line that was cut off
        along = (((x0 == 0) | (x1 == width)) & (6 * w < h)) | (((y0 == 0) | (y1 == height)) & (6 * h < w))
        whole = keep & ~along & (w < 0.98 * width) & (h < 0.98 * height)
    return whole


def weighted_median(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    """(N,), (N,) -> the value at which half of the weight is reached. Raises: IndexError where N is 0."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
