"""Connected parts against a search that visits pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.ondevice.parts import Parts, connected, select

Pixels = set[tuple[int, int]]


def flood(mask: npt.NDArray[np.bool_]) -> list[Pixels]:
    """The 8-connected parts as sets of (y, x), in order of their first pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    parts = []
    while left:
        part, edge = set(), [min(left)]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                part.add((y, x))
                edge += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        parts.append(part)
    return parts


def label_of(parts: Parts, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    label = np.full(shape, -1, np.int64)
    label.ravel()[parts.pixel] = parts.of_pixel
    return label


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 16), width=st.integers(1, 16))
@settings(max_examples=40, deadline=None)
def test_parts_are_those_of_a_search(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < rng.uniform(0.1, 0.9)
    ink = rng.random((height, width)).astype(np.float32)
    parts = connected(ink, mask)
    label = label_of(parts, mask.shape)
    expected = flood(mask)
    assert [
        {(int(y), int(x)) for y, x in np.argwhere(label == n)} for n in range(len(parts.area))
    ] == expected
    for n, part in enumerate(expected):
        ys, xs = zip(*part, strict=True)
        assert parts.box[n].tolist() == [min(xs), min(ys), max(xs) + 1, max(ys) + 1]
        assert parts.area[n] == len(part)
        own = ink[label == n].astype(np.float64)
        assert np.isclose(parts.strength[n], (own**2).sum() / own.sum())
    keep = rng.random(len(expected)) < 0.5
    kept = select(parts, keep)
    kept_label = label_of(kept, mask.shape)
    assert kept.area.tolist() == parts.area[keep].tolist()
    for new, old in enumerate(np.flatnonzero(keep)):
        assert ((kept_label == new) == (label == old)).all()
    assert ((kept_label == -1) == ~np.isin(label, np.flatnonzero(keep))).all()
