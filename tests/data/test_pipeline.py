"""Batches held to the byte, and augmentation against the map that each picture really went through.

A picture whose channels are its own x and y comes out of an affine map as the map itself: bilinear interpolation of
a ramp is exact. So the map of each draw is read off, without looking at how it was drawn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.recipe import Augment, Data

pytestmark = pytest.mark.tf
SIZE = 28
OFF = Augment()
ALL = Augment(shift_px=2, rotate_deg=12, zoom=0.13, shear=0.15)
# Farther than this no corner goes, so that the middle is always filled.
MIDDLE = slice(9, 19)


def numbered(count: int) -> Examples:
    """Pictures that say which they are: picture i is grey i all over, and its label is i."""
    labels = np.arange(count)
    return Examples(np.broadcast_to(labels[:, None, None, None], (count, 4, 4, 1)).astype(np.uint8), labels)


def batches(examples: Examples, **changed: Any) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    from edgebig.data import pipeline

    settings = {"batch_size": 8, "seed": 0, "first_epoch": 0, "epochs": 1, "augment": OFF} | changed
    return list(pipeline.training_batches(examples, **settings).as_numpy_iterator())


def as_bytes(made: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> list[bytes]:
    return [images.tobytes() + labels.tobytes() for images, labels in made]


def affine(images: npt.NDArray[np.float32], augment: Augment, seed: int = 3) -> npt.NDArray[np.float32]:
    from edgebig.data import pipeline
    from edgebig.keras import tf

    made: npt.NDArray[np.float32] = pipeline.affine(
        tf.constant(images), augment, tf.constant([seed, 5])
    ).numpy()
    return made


def maps(augment: Augment, count: int = 2000, seed: int = 3) -> npt.NDArray[np.float64]:
    """(count, 2, 3): from output pixels to input pixels, both from the middle: in = A[:, :2] @ out + A[:, 2]."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    ramps = np.broadcast_to(np.stack([x, y], axis=-1), (count, SIZE, SIZE, 2))
    made = affine(ramps, augment, seed)[:, MIDDLE, MIDDLE].reshape(count, -1, 2).astype(np.float64)
    middle = (SIZE - 1) / 2
    places = np.stack([x[MIDDLE, MIDDLE].ravel() - middle, y[MIDDLE, MIDDLE].ravel() - middle], axis=1)
    design = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    solved, *_ = np.linalg.lstsq(
        design, (made - middle).transpose(1, 0, 2).reshape(len(places), -1), rcond=None
    )
    found = solved.T.reshape(count, 2, 3)
    left_over = np.abs(np.einsum("cij,pj->cpi", found, design) - (made - middle)).max()
    assert left_over < 1e-3  # it is an affine map
    return found


def reached(values: npt.NDArray[np.float64], low: float, high: float) -> None:
    """2,000 uniform draws come within 1 % of both ends, and never go over."""
    slack, tiny = 0.01 * (high - low), 1e-4 * max(1.0, high)
    assert low - tiny <= values.min() < low + slack
    assert high - slack < values.max() <= high + tiny


def test_an_epoch_is_the_same_to_the_byte_however_it_was_come_to() -> None:
    examples = source.load(Data(source="digits-5k")).train[:72]
    whole = as_bytes(batches(examples, epochs=4, augment=ALL))
    for epoch in range(4):
        assert as_bytes(batches(examples, first_epoch=epoch, epochs=4, augment=ALL)) == whole[9 * epoch :]
    assert len(set(whole)) == len(whole)
    other_seed = as_bytes(batches(examples, seed=1, epochs=4, augment=ALL))
    assert not set(other_seed) & set(whole)


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_each_epoch_and_each_seed_has_an_order_of_its_own(seed: int) -> None:
    def order(**changed: Any) -> list[int]:
        return np.concatenate([labels for _, labels in batches(numbered(64), **changed)]).tolist()

    orders = [order(seed=seed, first_epoch=epoch, epochs=epoch + 1) for epoch in range(4)]
    orders.append(order(seed=seed - 1 if seed else 1))
    assert len({tuple(found) for found in orders}) == 5
    assert all(sorted(found) == list(range(64)) for found in orders)  # every example, once


def test_without_augmentation_pixels_are_x_over_255_and_labels_travel_along() -> None:
    for images, labels in batches(numbered(250), batch_size=32, epochs=2):
        assert (images.dtype, images.shape, labels.dtype) == (np.float32, (32, 4, 4, 1), np.int64)
        expected = labels.astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(images, np.broadcast_to(expected[:, None, None, None], images.shape))


def test_with_augmentation_labels_travel_along() -> None:
    for images, labels in batches(numbered(64), augment=Augment(shift_px=1, rotate_deg=5)):
        np.testing.assert_allclose(images[:, 1:3, 1:3, 0].max(axis=(1, 2)), labels / 255, rtol=1e-5)
        assert (images.min(axis=(1, 2, 3)) < labels / 255 - 1e-4).sum() >= len(
            labels
        ) - 1  # all moved but the black one


def test_the_rest_of_a_shuffle_waits_and_few_examples_make_one_batch() -> None:
    from edgebig.data import pipeline

    assert [len(labels) for _, labels in batches(numbered(30), epochs=2)] == [8] * 6
    assert pipeline.steps_per_epoch(numbered(30), 8) == 3
    assert [len(labels) for _, labels in batches(numbered(5), epochs=2)] == [5, 5]
    assert pipeline.steps_per_epoch(numbered(5), 8) == 1


def test_evaluation_keeps_the_order_and_loses_nothing() -> None:
    from edgebig.data import pipeline

    examples = source.load(Data(source="digits-5k")).validation[:130]
    made = list(pipeline.evaluation_batches(examples, 64).as_numpy_iterator())
    assert [len(labels) for _, labels in made] == [64, 64, 2]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in made]), examples.labels)
    expected = examples.images.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in made]), expected)


def test_a_shift_by_whole_pixels_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig.keras import tf

    draws = np.zeros((5, 3), np.float32)
    draws[3:] = [[1, 0, -1], [0, 1, 1]]  # shares of shift_px in x and in y, from output to input
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_: tf.constant(draws))
    image = source.load(Data(source="digits-5k")).train.images[0] / np.float32(255)
    made = affine(np.stack([image] * 3), Augment(shift_px=2))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    for index, (x, y) in enumerate([(2, 0), (0, 2), (-2, 2)]):
        np.testing.assert_array_equal(made[index], padded[2 + y : 30 + y, 2 + x : 30 + x])


def test_shift_reaches_its_range_and_does_nothing_else() -> None:
    found = maps(Augment(shift_px=2))
    np.testing.assert_allclose(found[:, :, :2], np.broadcast_to(np.eye(2), (2000, 2, 2)), atol=1e-4)
    reached(found[:, 0, 2], -2, 2)
    reached(found[:, 1, 2], -2, 2)
    assert abs(np.corrcoef(found[:, 0, 2], found[:, 1, 2])[0, 1]) < 0.1


def test_rotation_reaches_its_range_about_the_middle() -> None:
    found = maps(Augment(rotate_deg=12))
    angle = np.arctan2(found[:, 1, 0], found[:, 0, 0])
    expected = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(
        -1, 2, 2
    )
    np.testing.assert_allclose(found[:, :, :2], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(np.degrees(angle), -12, 12)


def test_zoom_makes_pictures_between_1_minus_and_1_plus_as_large() -> None:
    found = maps(Augment(zoom=0.13))
    size = 1 / found[:, 0, 0]
    np.testing.assert_allclose(found[:, :, :2], np.eye(2) / size[:, None, None], atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(size, 0.87, 1.13)


def test_shear_slants_along_x_alone() -> None:
    found = maps(Augment(shear=0.15))
    expected = np.broadcast_to(np.eye(2), (2000, 2, 2)).copy()
    expected[:, 0, 1] = found[:, 0, 1]
    np.testing.assert_allclose(found[:, :, :2], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(found[:, 0, 1], -0.15, 0.15)


def test_the_four_are_drawn_apart_and_are_one_map() -> None:
    found = maps(ALL)
    linear = found[:, :, :2]
    angle = np.arctan2(found[:, 1, 0], found[:, 1, 1])
    size = 1 / np.hypot(found[:, 1, 0], found[:, 1, 1])
    assert np.abs(np.degrees(angle)).max() <= 12.01
    assert size.min() >= 0.8699
    assert size.max() <= 1.1301
    slant = (linear[:, 0, 1] * size + np.sin(angle)).round(6)
    assert np.abs(slant).max() <= 0.1501
    drawn = np.corrcoef([angle, size, slant, found[:, 0, 2], found[:, 1, 2]])
    assert np.abs(drawn - np.eye(5)).max() < 0.1
    assert not np.allclose(found[:200], maps(ALL, 200, seed=4))


def test_pixels_are_those_of_a_numpy_reference() -> None:
    digits = source.load(Data(source="digits-5k")).train.images[:50] / np.float32(255)
    made = affine(digits, ALL)
    middle = (SIZE - 1) / 2
    padded = np.pad(digits[..., 0], ((0, 0), (SIZE, SIZE), (SIZE, SIZE)))
    y, x = np.mgrid[:SIZE, :SIZE] - middle
    for index, found in enumerate(maps(ALL, 50)):
        from_x, from_y = np.einsum("ij,jhw->ihw", found, np.stack([x, y, np.ones_like(x)])) + middle + SIZE
        left, top = np.floor(from_x).astype(int), np.floor(from_y).astype(int)
        right_share, low_share = from_x - left, from_y - top
        image = padded[index]
        upper = image[top, left] * (1 - right_share) + image[top, left + 1] * right_share
        lower = image[top + 1, left] * (1 - right_share) + image[top + 1, left + 1] * right_share
        reference = upper * (1 - low_share) + lower * low_share
        np.testing.assert_allclose(made[index, ..., 0], reference, atol=2e-3)
    assert made.min() >= 0
    assert made.max() <= 1
    assert math.isclose(made.mean(), digits.mean(), rel_tol=0.15)
