"""Digits that touch are cut apart, one wide digit is not, and a bar belongs to a digit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from edgebig.ondevice.preprocess import find_digits

Bytes = npt.NDArray[np.uint8]


def angular_noughts(*lefts: int) -> Bytes:
    """They touch at corners; round ones that lean on each other are often left together."""
    picture = Image.new("L", (400, 240), 225)
    for left in lefts:
        corners = [
            (left, 110),
            (left + 35, 60),
            (left + 70, 110),
            (left + 35, 160),
            (left, 110),
            (left + 35, 60),
        ]
        ImageDraw.Draw(picture).line(corners, fill=40, width=7, joint="curve")
    return np.array(picture)


@pytest.mark.parametrize("step", [74, 77])
def test_two_that_touch_are_two(step: int) -> None:
    left, right = find_digits(angular_noughts(60, 60 + step))
    assert abs(left.box[2] - right.box[2]) <= 10
    assert min(left.box[3], right.box[3]) >= 95
    assert 0 <= right.box[0] - left.box[0] - left.box[2] + 12 <= 24


def test_three_that_touch_are_three() -> None:
    assert len(find_digits(angular_noughts(60, 135, 210))) == 3


def test_a_bar_is_of_the_digit_that_is_near(draw: Callable[..., Bytes]) -> None:
    """The bar of a 7 that a pen skipped: one digit; alone it is none."""
    grey = draw([("4", 20, 60, 110), ("7", 120, 60, 110), ("4", 220, 60, 110)])
    broken = grey.copy()
    broken[66:74, 100:200] = 225
    assert [digit.box[2] for digit in find_digits(broken)] == [digit.box[2] for digit in find_digits(grey)]
    broken[74:, 100:210] = 225
    assert len(find_digits(broken)) == 2


def test_a_wide_nought_is_one() -> None:
    for width in (110, 140):
        picture = Image.new("L", (320, 240), 225)
        ImageDraw.Draw(picture).ellipse((60, 60, 60 + width, 160), outline=40, width=7)
        assert len(find_digits(np.array(picture))) == 1, width
