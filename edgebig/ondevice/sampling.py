"""Pixels -> pixels at another size, or the largest and smallest of those around each; all in whole numbers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Shorts = npt.NDArray[np.uint16]
    Ints = npt.NDArray[np.int64]


def reduce(a: Bytes, factor: int) -> Bytes:
    """uint8 (H, W) -> the means of its factor x factor blocks; those at the right and bottom edge may be smaller.

    Of n pixels with the sum s it is ((s + n // 2) * (2**24 // n)) >> 24, as Pillow has it.
    """
    return a if factor <= 1 else np.array(Image.fromarray(np.ascontiguousarray(a)).reduce(factor))


def enlarge(a: Bytes, factor: int) -> Bytes:
    """uint8 (H, W) -> uint8 (H * factor, W * factor), linear between the middles of pixels, rounded on each axis."""
    if factor == 1:
        return a
    for axis in (0, 1):
        a = np.moveaxis(_lengthened(np.moveaxis(a, axis, 0), factor), 0, axis)
    return np.ascontiguousarray(a)


def _lengthened(a: Bytes, factor: int) -> Bytes:
    wide = a.astype(np.uint16)
    before, after = np.concatenate([wide[:1], wide[:-1]]), np.concatenate([wide[1:], wide[-1:]])
    result = np.empty((len(a) * factor, *a.shape[1:]), np.uint8)
    for phase in range(factor):
        off = 2 * phase + 1 - factor  # from the pixel's middle, in parts of 2 * factor
        other = after if off > 0 else before
        mixed = wide * np.uint16(2 * factor - abs(off))
        mixed += other * np.uint16(abs(off))
        mixed += np.uint16(factor)
        mixed //= np.uint16(2 * factor)
        result[phase::factor] = mixed
    return result


def resample(a: Bytes, size: tuple[int, int]) -> Bytes:
    """uint8 (H, W) -> uint8 of `size`, (H, W): means over areas where an axis shrinks, linear where it grows.

    The weights are whole 256ths and every sum stays below 2**24, so that float32 is exact in any order.
    """
    rows, columns = weights(a.shape[0], size[0]), weights(a.shape[1], size[1])
    sums = rows @ a.astype(np.float32) @ columns.T
    result: Bytes = ((sums.astype(np.int32) + 32768) >> 16).astype(np.uint8)
    return result


@functools.lru_cache(maxsize=256)
def weights(n: int, m: int) -> npt.NDArray[np.float32]:
    """float32 (m, n) of whole numbers, rows sum to 256: how much of each of n pixels is in each of m."""
    i, j = np.arange(m)[:, None], np.arange(n + 1)
    if m <= n:  # how much of target pixel i lies before the edge j, rounded
        before = np.clip((512 * (j * m - i * n) + n) // (2 * n), 0, 256)
        parts: npt.NDArray[np.float32] = np.diff(before, axis=1).astype(np.float32)
        return parts
    place = np.clip((2 * np.arange(m) + 1) * n - m, 0, 2 * m * (n - 1))  # in 2 * m-ths of a pixel
    low = place // (2 * m)
    part = (256 * (place - 2 * m * low) + m) // (2 * m)
    share = np.zeros((m, n + 1), np.float32)
    share[np.arange(m), low] = 256 - part
    share[np.arange(m), low + 1] = part
    result: npt.NDArray[np.float32] = share[:, :n]
    return result


def slide(a: npt.NDArray[Any], reach: int, axis: int, largest: bool) -> npt.NDArray[Any]:
    """uint8 (H, W) -> the largest (smallest) of `reach` values around each, along one axis; nothing outside counts."""
    if axis == 1:
        return slide(a.T, reach, 0, largest).T
    pick, outside = (np.maximum, 0) if largest else (np.minimum, 255)
    before = reach // 2 if largest else (reach - 1) // 2
    # Without np.pad, which takes longer than the rest where a picture is small.
    padded = np.full((len(a) + reach - 1, *a.shape[1:]), outside, a.dtype)
    padded[before : before + len(a)] = a
    width = 1
    while width < reach:  # windows of 1, 2, 4, ... and the last overlaps
        step = min(width, reach - width)
        padded = pick(padded[:-step], padded[step:])
        width += step
    return padded


def framed(a: npt.NDArray[Any], margin: int) -> npt.NDArray[Any]:
    """(H, W) -> (H + 2 * margin, W + 2 * margin), 0 around it; np.pad takes many times as long."""
    wide = np.zeros((a.shape[0] + 2 * margin, a.shape[1] + 2 * margin), a.dtype)
    wide[margin : margin + a.shape[0], margin : margin + a.shape[1]] = a
    return wide


def soften(a: Bytes) -> Shorts:
    """uint8 (H, W) -> uint16 (H, W), four times the 3x3 binomial mean, rounded down; the edge's pixels go on."""
    result = a.astype(np.uint16)
    for axis in (0, 1):
        b = result if axis == 0 else result.T
        twice = b + b
        twice[1:] += b[:-1]
        twice[0] += b[0]
        twice[:-1] += b[1:]
        twice[-1] += b[-1]
        result = twice if axis == 0 else twice.T
    result >>= np.uint16(2)
    return result


def quantile(values: npt.NDArray[Any], part: int, of: int) -> int:
    """Whole numbers from 0 to 1020, (N,) with N > 0 -> the one at place (N - 1) * part // of, in order of size."""
    count = np.cumsum(np.bincount(values.ravel(), minlength=1))
    return int(np.searchsorted(count, (int(count[-1]) - 1) * part // of, side="right"))
