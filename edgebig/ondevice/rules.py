"""Ruled and squared paper: printed lines that cross the picture are taken out of the ink, the strokes on them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .parts import Bits, Parts
    from .sampling import Ints

STEP = 4  # a line is followed in steps of so many pixels, and may rise or fall by one in each
LENGTH = 0.6  # of the picture's side: a line of a pen is seldom so long and so straight
PIECES = 8  # so many thin long parts may be pieces of rules too faint to be seen whole
THIN = 120  # a line is at most this part of the picture's longer side thick, or 4 pixels


def may_be_there(parts: Parts, shape: tuple[int, ...]) -> bool:
    """Whether a part that is mostly empty spans most of a picture of (H, W)."""
    height, width = shape
    w, h = (parts.box[:, 2:] - parts.box[:, :2]).T
    return bool(
        (((4 * w > 3 * width) | (4 * h > 3 * height)) & (4 * parts.area < w * h + 40 * (w + h))).any()
    )


def in_pieces(parts: Parts) -> bool:
    """Whether the parts may be pieces of faint rules."""
    side = parts.box[:, 2:] - parts.box[:, :2]
    long, short = side.max(1), side.min(1)
    return int(((long >= 12) & (long > 5 * short)).sum()) >= PIECES


def of(mask: Bits) -> Bits:
    """bool (H, W), ink -> its long thin lines that lie or stand nearly straight."""
    standing = np.ascontiguousarray(mask.T)
    return _lines(mask) | _lines(standing).T


def _lines(mask: Bits) -> Bits:
    """bool (H, W): the pixels of thin lines from left to right.

    Where a line's column of ink is much thicker than the line, a stroke crosses it, and the column stays.
    """
    height, width = mask.shape
    steps = width // STEP
    nothing = np.zeros_like(mask)
    if not steps or height < 3:
        return nothing
    blocks = mask[:, : steps * STEP].reshape(height, steps, STEP).sum(2) * 2 >= STEP
    on_line = _reach(blocks) + _reach(blocks[:, ::-1])[:, ::-1] - 1 >= LENGTH * steps
    on_line = np.repeat(on_line & blocks, STEP, axis=1)
    on_line = np.pad(on_line, ((0, 0), (0, width - steps * STEP)), mode="edge") & mask
    if not on_line.any():
        return nothing
    thick = _thickness(mask)
    usual, thickest = int(np.median(thick[on_line])), max(4, max(mask.shape) // THIN)
    if usual > thickest:  # the way of a line leads through thick strokes: that is not its own thickness
        thinnest = np.where(on_line, thick, height + 1).min(0)
        usual = int(np.median(thinnest[thinnest <= height]))
    if usual > thickest:
        return nothing
    most = usual + max(2, usual // 2)
    thin = mask & (thick <= most)
    found = on_line & thin
    # The rest of each column of the line's ink, above and below.
    for _ in range(most):
        near = np.pad(found, ((1, 1), (0, 0)))
        found = (found | near[:-2] | near[2:]) & thin
    return found


def _reach(blocks: Bits) -> Ints:
    """How many blocks in a row end here, coming from the left, each at most a pixel above or below the last one."""
    height, steps = blocks.shape
    columns = np.ascontiguousarray(blocks.T).astype(np.int16)
    reach = np.zeros((steps, height + 2), np.int16)
    before = reach[0]
    for column, row in zip(columns, reach):
        row[1:-1] = (np.maximum(np.maximum(before[:-2], before[2:]), before[1:-1]) + 1) * column
        before = row
    return reach[:, 1:-1].T.astype(np.int64)


def _thickness(mask: Bits) -> Ints:
    """Of each pixel, how many pixels of ink are in one column with it without a gap."""
    height, width = mask.shape
    flat = np.zeros((width, height + 1), np.bool_)
    flat[:, :height] = mask.T
    padded = np.concatenate([[False], flat.ravel()])
    change = np.flatnonzero(padded[1:] != padded[:-1])
    long = change[1::2] - change[::2]
    thick = np.zeros(flat.size, np.int64)
    thick[flat.ravel()] = np.repeat(long, long)
    return thick.reshape(width, height + 1)[:, :height].T
