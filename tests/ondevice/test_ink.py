"""Where there is ink, and where there is none: blank paper, uneven light, a shadow, light on dark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgebig.ondevice.preprocess import Digit, find_digits

Bytes = npt.NDArray[np.uint8]


def difference(a: Digit, b: Digit) -> float:
    return float(np.abs(a.image_u8.astype(int) - b.image_u8).mean())


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 700), (120, 160)])
def test_a_blank_picture_has_no_digits(shape: tuple[int, int]) -> None:
    for value in (0, 1, 90, 255):
        assert find_digits(np.full(shape, value, np.uint8)) == [], value


@pytest.mark.parametrize("seed", range(3))
def test_blank_paper_in_uneven_light_has_no_digits(
    sample_picture: Callable[..., Image.Image], seed: int
) -> None:
    blank = sample_picture(np.zeros((0, 28, 28), np.uint8), seed)
    assert find_digits(np.array(blank.convert("L"))) == []


@given(name=st.sampled_from("147"), pen=st.integers(2, 14), height=st.integers(60, 150))
@settings(max_examples=5, deadline=None)
def test_polarity_makes_no_difference(draw: Callable[..., Bytes], name: str, pen: int, height: int) -> None:
    grey = draw([(name, 90, 40, height)], pen=pen)
    (dark,) = find_digits(grey)
    (light,) = find_digits(255 - grey)
    assert np.abs(np.array(dark.box) - light.box).max() <= 2
    assert difference(dark, light) < 5


def test_a_shadow_over_the_digit_makes_little_difference(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 90, 40, 140)], pen=5)
    light = 1 - 0.5 / (1 + np.exp(-(np.arange(320) - 140) / 8))
    (plain,) = find_digits(grey)
    (shaded,) = find_digits((grey * light).astype(np.uint8))
    assert np.abs(np.array(plain.box) - shaded.box).max() <= 3
    assert difference(plain, shaded) < 6


@pytest.mark.parametrize("spread", [12, 20])
def test_a_digit_is_found_in_the_noise_of_poor_light(draw: Callable[..., Bytes], spread: int) -> None:
    """Strokes that take 40 % of the light, in noise of a seventh of it."""
    grey = 140 - 0.6 * (140.0 - draw([("4", 90, 40, 150)], pen=10, paper=140))
    (plain,) = find_digits(np.clip(grey, 0, 255).astype(np.uint8))
    noise = np.random.default_rng(0).normal(0, spread, grey.shape)
    (found,) = find_digits(np.clip(grey + noise, 0, 255).astype(np.uint8))
    assert np.abs(np.subtract(found.box, plain.box)).max() <= 4
