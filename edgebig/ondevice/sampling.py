"""Pixels -> pixels at another size, or the largest and smallest of those around each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Floats = npt.NDArray[np.floating[Any]]


def reduce(a: Bytes, factor: int) -> Bytes:
    """uint8 (H, W) -> the means of its factor x factor blocks; those at the right and bottom edge may be smaller."""
    return a if factor <= 1 else np.array(Image.fromarray(np.ascontiguousarray(a)).reduce(factor))


def resample(a: npt.NDArray[Any], size: tuple[int, int]) -> Floats:
    """(H, W) -> float32 of `size`, (H, W): means over areas where it shrinks, linear where it grows."""
    factor = min(a.shape[0] // size[0], a.shape[1] // size[1])
    if factor > 2 and a.dtype == np.uint8:
        a = reduce(a, factor // 2)
    rows, columns = _weights(a.shape[0], size[0]), _weights(a.shape[1], size[1])
    result: Floats = rows @ a.astype(np.float32) @ columns.T
    return result


def _weights(n: int, m: int) -> Floats:
    """float32 (m, n), rows sum to 1: a box as wide as a target pixel, or a triangle where m is larger."""
    middle = (np.arange(m)[:, None] + 0.5) * n / m
    if m > n:
        reach = np.clip(middle, 0.5, n - 0.5) - (np.arange(n) + 0.5)
        weight = np.maximum(1 - np.abs(reach), 0)
    else:
        half = n / m / 2
        weight = np.minimum(middle + half, np.arange(n) + 1) - np.maximum(middle - half, np.arange(n))
        weight = np.maximum(weight, 0)
    share: Floats = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return share


def slide(a: Bytes, reach: int, axis: int, largest: bool) -> Bytes:
    """uint8 (H, W) -> the largest (smallest) of `reach` values around each, along one axis; nothing outside counts."""
    pick, outside = (np.maximum, 0) if largest else (np.minimum, 255)
    before = reach // 2 if largest else (reach - 1) // 2
    pad = [(0, 0), (0, 0)]
    pad[axis] = (before, reach - 1 - before)
    a = np.moveaxis(np.pad(a, pad, constant_values=outside), axis, 0)
    width = 1
    while width < reach:  # windows of 1, 2, 4, ... and the last overlaps
        step = min(width, reach - width)
        a = pick(a[:-step], a[step:])
        width += step
    return np.moveaxis(a, 0, axis)
