"""How far the middle of a stroke is: against slow and plain ways to find the same."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig.data import pen


def bar(width: int) -> np.ndarray:
    """uint8 (1, 28, 28, 1): an upright bar about the middle."""
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[:, 4:24, 14 - width // 2 : 14 - width // 2 + width] = 255
    return image


def test_thinning_keeps_a_line_of_one_point_and_a_ring_s_hole() -> None:
    line = np.zeros((1, 20, 20), bool)
    line[0, 10, 3:17] = True
    assert (pen.thin(line) == line).all()
    ring = np.zeros((1, 20, 20), bool)
    ring[0, 3:17, 3:17] = True
    ring[0, 8:12, 8:12] = False
    thinned = pen.thin(ring)
    assert thinned.sum() < ring.sum() / 2
    assert not thinned[0, 8:12, 8:12].any()
    # One closed line: every point of it has two neighbours at least.
    padded = np.pad(thinned[0], 1)
    ys, xs = np.nonzero(padded)
    assert all(padded[y - 1 : y + 2, x - 1 : x + 2].sum() >= 3 for y, x in zip(ys, xs, strict=True))


def test_pictures_are_thinned_each_for_itself() -> None:
    blobs = np.random.default_rng(0).random((5, 16, 16)) > 0.4
    together = pen.thin(blobs)
    assert all((pen.thin(blobs[n : n + 1])[0] == together[n]).all() for n in range(5))


def test_the_distance_is_that_to_the_nearest_point() -> None:
    lines = np.random.default_rng(1).random((2, 30, 30)) > 0.97
    found = pen._distance(lines)
    for field, bits in zip(found, lines, strict=True):
        ys, xs = np.nonzero(bits)
        y, x = np.mgrid[:30, :30]
        nearest = np.hypot(y[..., None] - ys, x[..., None] - xs).min(-1)
        assert field == pytest.approx(np.minimum(nearest, pen.REACH) / pen.FINE, abs=1e-5)


@pytest.mark.parametrize("width", [2, 4, 6])
def test_a_bar_of_any_width_has_its_middle_in_the_middle(width: int) -> None:
    (field,) = pen.of_digits(bar(width))
    row = field[pen.SIDE // 2]
    middle = (14 - width // 2 + width / 2) * pen.FINE - 0.5
    assert abs(int(row.argmin()) - middle) <= 1
    assert 0 <= row.min() < 0.1
    # A pixel of MNIST farther out is a pixel farther away.
    assert row[int(middle) + 4 * pen.FINE] == pytest.approx(4, abs=0.5)


def test_an_outline_is_where_the_ink_ends() -> None:
    (field,) = pen.of_outlines(bar(6))
    row = field[pen.SIDE // 2] < 0
    assert abs(int(row.sum()) - 6 * pen.FINE) <= 1


def test_lines_stand_where_mnist_s_digits_do() -> None:
    (level, none) = pen.of_lines([[np.array([(0.0, 0.5), (1.0, 0.5)])], []])
    ys, xs = np.nonzero(level < 0.2)
    assert abs(int(np.ptp(xs)) + 1 - 20 * pen.FINE) <= 2
    assert abs(ys.mean() - 14 * pen.FINE) <= 1
    assert none.min() > pen.REACH / pen.FINE - 0.2


def test_a_pair_is_both_digits_20_pixels_long_in_the_middle() -> None:
    one, other = bar(3), np.rot90(bar(3), axes=(1, 2))
    for seed in range(30):
        (pair,) = pen.pairs(one, other, np.random.default_rng(seed))
        ys, xs = np.nonzero(pair[..., 0] > 64)
        width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
        assert 18 <= max(width, height) <= 20
        assert abs(xs.min() + xs.max() - 27) <= 2
        assert abs(ys.min() + ys.max() - 27) <= 2
        # An upright bar has one column, a level one a row: of both there is something.
        assert (pair[..., 0] > 64).any(0).sum() > 6
        assert (pair[..., 0] > 64).any(1).sum() > 6


def test_a_pair_with_an_empty_picture_is_no_fault() -> None:
    assert pen.pairs(bar(3), np.zeros_like(bar(3)), np.random.default_rng(0)).any()
