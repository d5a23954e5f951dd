"""What is printed on paper, what bounds it and what no pen drew gives no digits, and costs no more than a page."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edgebig.ondevice import strokes
from edgebig.ondevice.preprocess import find_digits

Bytes = npt.NDArray[np.uint8]


def squared(step: int, thick: int, ink: int, shape: tuple[int, int] = (480, 640)) -> Bytes:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.where((y % step < thick) | (x % step < thick), ink, 230).astype(np.uint8)


@pytest.mark.parametrize(("step", "thick", "ink"), [(24, 1, 120), (24, 2, 60), (48, 2, 90), (37, 3, 170)])
def test_an_empty_squared_sheet_has_no_digits(step: int, thick: int, ink: int) -> None:
    assert find_digits(squared(step, thick, ink)) == []


def test_faint_rules_that_come_and_go_have_no_digits() -> None:
    rng = np.random.default_rng(0)
    faint = np.where(rng.random((480, 640)) < 0.5, 190, 205)
    grey = np.where(squared(40, 2, 0) == 0, faint, 230) + rng.normal(0, 3, (480, 640))
    assert find_digits(np.clip(grey, 0, 255).astype(np.uint8)) == []


def test_digits_on_squares_are_read_without_them(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    plain = find_digits(grey)
    found = find_digits(np.minimum(grey, squared(31, 2, 150, grey.shape)))
    assert len(found) == len(plain) == 2
    for a, b in zip(plain, found, strict=True):
        assert np.abs(np.array(a.box) - b.box).max() <= 4
        assert np.abs(a.image_u8.astype(int) - b.image_u8).mean() < 10


def test_thick_digits_that_one_faint_rule_crosses_are_found(draw: Callable[..., Bytes]) -> None:
    for pen in (14, 28):
        grey = draw([("4", 40, 60, 150), ("7", 180, 60, 150), ("1", 320, 60, 150)], (480, 270), pen=pen)
        plain = [digit.box for digit in find_digits(grey)]
        grey[140:142] = np.minimum(grey[140:142], 170)
        found = [digit.box for digit in find_digits(grey)]
        assert len(found) == len(plain) == 3, pen
        assert np.abs(np.subtract(found, plain)).max() <= 4, pen


@pytest.mark.parametrize("pen", [30, 50])
def test_a_large_digit_is_no_part_of_the_paper_where_rules_tie_it_to_the_edges(
    draw: Callable[..., Bytes], pen: int
) -> None:
    grey = draw([("4", 120, 20, 200)], (400, 300), pen=pen)
    (plain,) = find_digits(grey)
    grey[150:152] = np.minimum(grey[150:152], 180)
    grey[:, 60:62] = np.minimum(grey[:, 60:62], 180)
    (found,) = find_digits(grey)
    assert np.abs(np.subtract(found.box, plain.box)).max() <= 4


def test_a_digit_beside_the_edge_of_a_sheet_is_on_it(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)], (480, 240), pen=4, paper=200)
    grey[grey < 200] = 150  # a pencil: what is darker counts in any light
    plain = [digit.box for digit in find_digits(grey)]
    x, _, width, _ = plain[1]
    grey[:, x + width + 8 :] = 25
    assert [digit.box for digit in find_digits(grey)] == plain


def test_the_corner_of_a_soft_shadow_is_no_digit() -> None:
    y, x = np.mgrid[0:480, 0:640]
    distance = (x - 160) * 0.8 - y * 0.6
    light = 1 - 0.5 / (1 + np.exp(-distance / 30))
    assert find_digits((220 * light).astype(np.uint8)) == []


def test_a_sheet_on_a_dark_desk_has_no_digits() -> None:
    grey = np.full((480, 640), 60, np.uint8)
    grey[50:430, 60:580] = 220
    assert find_digits(grey) == []


Y, X = np.mgrid[0:960, 0:1280]
SALT = np.random.default_rng(0).random((120, 160)) < 0.3
NASTY = {
    "squares": squared(48, 4, 90, (960, 1280)),
    "bars": np.where((Y % 30 < 22) & (X % 30 < 10), 60, 230).astype(np.uint8),
    "slanted": np.where((Y + X) % 16 < 4, 60, 230).astype(np.uint8),
    "checks": ((Y // 3 + X // 3) % 2 * 255).astype(np.uint8),
    "salt": np.where(SALT[Y // 8, X // 8], 40, 220).astype(np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_no_picture_takes_long(name: str) -> None:
    start = time.process_time()
    found = find_digits(NASTY[name])
    assert (
        time.process_time() - start < 5
    )  # of a second at most on a desktop; a sheet of squares once took minutes
    assert len(found) <= strokes.MAX_PARTS
