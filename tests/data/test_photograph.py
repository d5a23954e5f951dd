"""A page as a camera sees it: things stand where their boxes say, and all follows the seed."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig.data import pen, photograph


@pytest.fixture(scope="module")
def bar() -> pen.Floats:
    (field,) = pen.of_lines([[np.array([(0.5, 0.0), (0.5, 1.0)])]])
    return field - np.float32(1.2)


def test_a_layout_has_room_for_its_things() -> None:
    for seed in range(200):
        layout = photograph.lay_out(np.random.default_rng(seed))
        height, width = layout.shape
        assert 1 <= len(layout.places) <= photograph.MOST
        assert min(height, width) >= 20
        assert max(height, width) <= 800
        assert photograph.SMALLEST_PX <= layout.size_px <= photograph.LARGEST_PX
        assert (layout.places > 0).all()
        assert (layout.places < (width, height)).all()


@pytest.mark.parametrize("seed", range(12))
def test_a_thing_is_in_its_box(seed: int, bar: pen.Floats) -> None:
    rng = np.random.default_rng(seed)
    layout = photograph.lay_out(rng)
    page_x, page_y = photograph._askew(layout, rng)
    ink, written = photograph._written([bar] * len(layout.places), layout, page_x, page_y, rng)
    assert len(written) == len(layout.places)
    outside = ink.copy()
    for thing, (x, y) in zip(written, layout.places, strict=True):
        x0, y0, x1, y1 = thing.box
        assert thing.ink.shape == (y1 - y0, x1 - x0)
        assert all(thing.ink.any(axis)[[0, -1]].all() for axis in (0, 1))
        assert (ink[y0:y1, x0:x1][thing.ink] > 0.5).all()
        assert x0 - 2 <= x <= x1 + 2
        assert y0 - 2 <= y <= y1 + 2
        # 20 pixels of MNIST and a pen, seen from nearby or askew.
        assert 0.6 * layout.size_px < y1 - y0 < 1.9 * layout.size_px
        outside[y0:y1, x0:x1] = 0
    assert outside.max() <= 0.5


def test_a_photograph_follows_its_seed(bar: pen.Floats) -> None:
    def shot(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        layout = photograph.lay_out(rng)
        return photograph.photograph([bar] * len(layout.places), layout, rng)[0]

    assert shot(1).dtype == np.uint8
    assert (shot(1) == shot(1)).all()
    assert shot(1).shape != shot(2).shape or (shot(1) != shot(2)).any()


def test_an_empty_page_is_a_page() -> None:
    rng = np.random.default_rng(0)
    layout = photograph.lay_out(rng)
    picture, written = photograph.photograph([], layout, rng)
    assert picture.shape == layout.shape
    assert written == []


def test_what_no_pen_reaches_has_no_box() -> None:
    rng = np.random.default_rng(0)
    layout = photograph.lay_out(rng)
    far = np.full((pen.SIDE, pen.SIDE), 9, np.float32)
    _, written = photograph.photograph([far], layout, rng)
    assert [(thing.box, thing.ink.size) for thing in written] == [((0, 0, 0, 0), 0)]
