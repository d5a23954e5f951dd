"""Any picture gives digits in MNIST's form, and neither place nor size changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from edgebig.ondevice.preprocess import find_digits
from edgebig.ondevice.shaping import stroke_width

Bytes = npt.NDArray[np.uint8]


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
@settings(max_examples=30, deadline=None)
def test_any_picture_gives_boxes_inside_it_and_model_inputs(grey: Bytes) -> None:
    for digit in find_digits(grey):
        x, y, w, h = digit.box
        assert 0 <= x < x + w <= grey.shape[1]
        assert 0 <= y < y + h <= grey.shape[0]
        assert digit.image_u8.shape == (28, 28)
        assert digit.image_u8.dtype == np.uint8


@given(st.integers(0, 2**32 - 1), st.integers(30, 200), st.integers(30, 200), st.integers(0, 3))
@settings(max_examples=5, deadline=None)
def test_noise_of_any_size_does_no_harm(seed: int, width: int, height: int, coarse: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height >> coarse or 1, width >> coarse or 1), np.uint8)
    grey = np.array(Image.fromarray(noise).resize((width, height)))
    for digit in find_digits(grey):
        x, y, w, h = digit.box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


@given(index=st.integers(0, 999), inverted=st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_picture_in_mnist_form_is_kept(mnist: Bytes, index: int, inverted: bool) -> None:
    image = mnist[index]
    (digit,) = find_digits(255 - image if inverted else image)
    assert (digit.image_u8 == image).all()


def test_an_enlarged_mnist_picture_comes_back_nearly_as_it_was(mnist: Bytes) -> None:
    for index in range(6):
        image = mnist[index]
        large = np.array(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
        (digit,) = find_digits(large)
        error = np.abs(digit.image_u8.astype(int) - image).mean()
        assert error < 20, index  # of 255; another digit is at about 45


@given(name=st.sampled_from("147"), dx=st.integers(-60, 60), dy=st.integers(-25, 25))
@settings(max_examples=5, deadline=None)
def test_a_shift_moves_the_box_and_keeps_the_digit(
    draw: Callable[..., Bytes], name: str, dx: int, dy: int
) -> None:
    (here,) = find_digits(draw([(name, 100, 60, 100)]))
    (there,) = find_digits(draw([(name, 100 + dx, 60 + dy, 100)]))
    moved = np.add(here.box, (dx, dy, 0, 0))
    assert np.abs(moved - there.box).max() <= 1
    assert np.abs(here.image_u8.astype(int) - there.image_u8).mean() < 4


@pytest.mark.parametrize("scale", [1, 5, 12])  # shrunk by 1, 2 and 3; the last is 3840x2880
def test_boxes_are_those_of_the_ink_at_every_size(draw: Callable[..., Bytes], scale: int) -> None:
    grey = draw([("7", 60 * scale, 50 * scale, 90 * scale)], (320 * scale, 240 * scale), pen=8 * scale)
    ys, xs = np.nonzero(grey < 130)
    ink = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
    (digit,) = find_digits(grey)
    assert np.abs(np.array(digit.box) - ink).max() <= 3 * max(1, scale // 2)


def test_digits_are_as_mnist_was_made(draw: Callable[..., Bytes]) -> None:
    for pen in (2, 8, 24):
        for name in "147":
            (digit,) = find_digits(draw([(name, 100, 40, 150)], pen=pen))
            ys, xs = np.nonzero(digit.image_u8)
            assert max(np.ptp(ys), np.ptp(xs)) + 1 in (19, 20)
            weight = digit.image_u8 / digit.image_u8.sum()
            assert abs((weight.sum(1) * np.arange(28)).sum() - 14) <= 0.51
            assert abs((weight.sum(0) * np.arange(28)).sum() - 14) <= 0.51
            assert digit.image_u8.max() > 220
            assert 1.8 <= stroke_width(digit.image_u8) <= 4.5, (pen, name)


def test_the_same_picture_gives_the_same_answer(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    for a, b in zip(find_digits(grey), find_digits(grey.copy()), strict=True):
        assert a.box == b.box
        assert (a.image_u8 == b.image_u8).all()


def test_what_is_no_grey_picture_is_refused() -> None:
    pictures: list[Any] = [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)]
    for wrong in pictures:
        with pytest.raises(TypeError, match="uint8"):
            find_digits(wrong)


def test_sample_pictures_give_as_many_digits_as_were_drawn(
    sample_picture: Callable[..., Image.Image], mnist: Bytes
) -> None:
    for seed in range(2):
        picture = sample_picture(mnist[seed * 2 : seed * 2 + 2], seed)
        assert picture.size == (640, 480)
        assert len(find_digits(np.array(picture.convert("L")))) == 2
    assert sample_picture(mnist[2:4], 1).tobytes() == picture.tobytes()
