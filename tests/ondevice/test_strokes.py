"""Which strokes are one digit, which are none, and the order in which digits are read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edgebig.ondevice import strokes
from edgebig.ondevice.preprocess import find_digits

Bytes = npt.NDArray[np.uint8]


def test_two_lines_are_read_in_order(draw: Callable[..., Bytes]) -> None:
    marks = [("4", 200, 25, 60), ("1", 20, 40, 60), ("7", 110, 30, 60)]
    marks += [("1", 215, 140, 60), ("7", 30, 150, 60), ("4", 120, 145, 60)]
    boxes = [digit.box for digit in find_digits(draw(marks))]
    assert [x // 90 for x, *_ in boxes] == [0, 1, 2, 0, 1, 2]
    assert [y > 110 for _, y, *_ in boxes] == [False] * 3 + [True] * 3


def test_lines_that_slope_are_read_in_order(draw: Callable[..., Bytes]) -> None:
    marks = [("4", 20 + 70 * i, 20 + 14 * i + 90 * line, 50) for line in (0, 1) for i in range(4)]
    boxes = [digit.box for digit in find_digits(draw(marks, (320, 260)))]
    assert [x // 70 for x, *_ in boxes] == [0, 1, 2, 3] * 2


def test_specks_and_a_page_edge_are_no_digits(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    grey[:, :14] = 30
    grey[230:, :] = 35
    grey[30:33, 150:153] = 60
    grey[200:202, 100:103] = 60
    assert len(find_digits(grey)) == 2


def test_a_large_digit_is_found_beside_many_specks(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 40, 170)], (480, 270))
    (plain,) = find_digits(grey)
    for y in range(20, 250, 30):
        for x in range(230, 470, 30):
            grey[y : y + 12, x : x + 4] = 40
            grey[y : y + 4, x : x + 9] = 40
    assert plain.box in [digit.box for digit in find_digits(grey)]


def test_a_stroke_with_a_gap_stays_one_digit(draw: Callable[..., Bytes]) -> None:
    marks = [("4", 20, 60, 110), ("1", 110, 60, 110), ("7", 200, 60, 110)]
    grey = draw(marks)
    grey[100:103, :110] = 225
    assert [digit.box[2:] for digit in find_digits(grey)] == [
        digit.box[2:] for digit in find_digits(draw(marks))
    ]


def test_of_too_many_strokes_the_largest_are_read(
    draw: Callable[..., Bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strokes, "MAX_PARTS", 3)
    marks = [("7", 5 + 62 * i, 60, height) for i, height in enumerate((70, 50, 75, 55, 80))]
    assert [digit.box[0] // 62 for digit in find_digits(draw(marks))] == [0, 2, 4]


def test_a_digit_on_ruled_paper_is_read_without_the_rules(draw: Callable[..., Bytes]) -> None:
    marks = [("4", 60, 60, 110), ("7", 180, 60, 110)]
    grey = draw(marks)
    for y in range(15, 240, 32):
        grey[y : y + 2] = np.minimum(grey[y : y + 2], 150)
    plain, ruled = find_digits(draw(marks)), find_digits(grey)
    assert len(ruled) == len(plain) == 2
    for a, b in zip(plain, ruled, strict=True):
        assert np.abs(np.array(a.box) - b.box).max() <= 4
        assert np.abs(a.image_u8.astype(int) - b.image_u8).mean() < 8
