"""Which thing of a page it is that was found, and whether it is all there."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig.data import matching
from edgebig.data.matching import Written
from edgebig.data.taught import NOTHING
from edgebig.ondevice.preprocess import Digit


def digit(x: int, y: int, width: int, height: int) -> Digit:
    return Digit((x, y, width, height), np.full((28, 28), 255, np.uint8), 0)


def thing(x0: int, y0: int, x1: int, y1: int) -> Written:
    return Written((x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), np.bool_))


def told(digits: list[Digit], written: list[Written]) -> list[tuple[int, int]]:
    """x of what is told, and its place in `written`."""
    return [(found.box[0], place) for found, place in matching.match(digits, written, size_px=40)]


ONE, BOTH = [thing(10, 50, 40, 90)], [thing(10, 50, 40, 90), thing(45, 50, 75, 90)]


def test_a_box_on_a_thing_is_that_thing() -> None:
    digits = [digit(102, 50, 26, 40), digit(10, 52, 30, 38)]
    assert told(digits, [thing(10, 50, 40, 90), thing(100, 50, 130, 90)]) == [(102, 1), (10, 0)]


def test_two_in_one_box_are_no_digit_and_half_of_one_is_nothing_to_learn() -> None:
    assert told([digit(10, 50, 66, 40)], BOTH) == [(10, NOTHING)]
    assert told([digit(10, 50, 30, 18)], BOTH) == []


def test_what_is_found_where_nothing_stands_is_no_digit_unless_it_could_be_a_one() -> None:
    assert told([digit(200, 50, 40, 20)], ONE) == [(200, NOTHING)]
    assert told([digit(200, 50, 8, 40)], ONE) == []
    assert told([digit(200, 50, 40, 20)], []) == [(200, NOTHING)]


def test_a_thing_too_faint_to_be_drawn_is_not_found() -> None:
    faint = Written((0, 0, 0, 0), np.zeros((0, 0), np.bool_))
    assert told([digit(0, 0, 30, 30)], [faint]) == [(0, NOTHING)]


def test_a_thing_is_told_once() -> None:
    assert told([digit(10, 50, 30, 40), digit(11, 50, 30, 40)], ONE) == [(10, 0)]


@pytest.fixture
def ring() -> np.ndarray:
    """bool (60, 60): a 0 of a pen of 6 pixels."""
    y, x = np.mgrid[:60, :60] - 29.5
    return np.abs(np.hypot(x, y) - 27) < 3


def shown(ink: np.ndarray) -> np.ndarray:
    """uint8 (28, 28): the 60 pixels as 20, about the middle."""
    return np.pad(ink.reshape(20, 3, 20, 3).mean((1, 3)) * 255, 4).astype(np.uint8)


def test_a_0_that_came_as_a_c_is_not_whole(ring: np.ndarray) -> None:
    cut = ring.copy()
    cut[12:48, 36:] = False
    assert matching.whole(shown(ring), ring)
    assert matching.whole(shown(cut), cut)
    assert not matching.whole(shown(cut), ring)


def test_a_pixel_here_and_there_is_no_loss(ring: np.ndarray) -> None:
    moved = np.roll(shown(ring), 1, axis=1)
    moved[14] = 0
    assert matching.whole(moved, ring)


def test_what_is_not_whole_is_nothing_to_learn(ring: np.ndarray) -> None:
    cut = ring.copy()
    cut[12:48, 36:] = False
    page = [Written((10, 10, 70, 70), ring)]
    for ink, places in ((ring, [0]), (cut, [])):
        found = [Digit((10, 10, 60, 60), shown(ink), 0)]
        assert [place for _, place in matching.match(found, page, size_px=60)] == places
