"""Batches held to the byte: their order, their draws, and what they are when a training goes on in the midst."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgebig.data import source
from edgebig.data.examples import Examples, Pictures, hash_images
from edgebig.data.taught import NOTHING
from edgebig.errors import EdgebigError
from edgebig.recipe import Augment, Data

pytestmark = pytest.mark.tf
Batches = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
OFF = Augment()
ALL = Augment(
    shift_px=2, rotate_deg=12, zoom=0.13, shear=0.15, elastic_px=0.6, stroke_px=0.5, blur_px=0.5, noise=0.05,
    cutout_px=4, mixup=0.2, flip=True, brightness=0.1, contrast=0.1,
)  # fmt: skip


def numbered(count: int) -> Examples:
    """Pictures that say which they are: picture i is grey i all over, and its label is i."""
    labels = np.arange(count)
    return Examples(np.broadcast_to(labels[:, None, None, None], (count, 4, 5, 1)).astype(np.uint8), labels)


def digits(count: int) -> Examples:
    return source.load(Data(source="digits-5k")).train[:count]


def batches(examples: Examples, classes: int = 300, **changed: Any) -> Batches:
    from edgebig.data import pipeline

    settings = {"batch_size": 8, "seed": 0, "first_epoch": 0, "epochs": 1, "augment": OFF} | changed
    return list(pipeline.training_batches(examples, classes, **settings).as_numpy_iterator())


def as_bytes(made: Batches) -> list[bytes]:
    return [images.tobytes() + labels.tobytes() for images, labels in made]


def mapped(examples: Examples, path: Path) -> Examples:
    """The same examples, as rows here and there of a larger file."""
    rows = np.random.default_rng(0).permutation(2 * len(examples))[: len(examples)]
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (2 * len(examples), *examples.shape))
    file[:] = 77
    file[rows] = examples.images
    file.flush()
    read_only = np.load(path, mmap_mode="r")
    return Examples(Pictures(read_only, hash_images(read_only), rows), examples.labels)


def test_of_what_is_of_no_class_every_class_is_as_likely() -> None:
    examples = Examples(np.zeros((3, 4, 5, 1), np.uint8), np.array([2, NOTHING, 0]))
    ((_, labels),) = batches(examples, classes=4, batch_size=3)
    assert sorted(labels.tolist()) == sorted([[0, 0, 1, 0], [0.25] * 4, [1, 0, 0, 0]])


@pytest.mark.parametrize("augment", [OFF, ALL])
def test_an_epoch_is_the_same_to_the_byte_however_it_was_come_to(augment: Augment) -> None:
    examples = digits(72)
    whole = as_bytes(batches(examples, epochs=4, augment=augment))
    assert len(set(whole)) == len(whole) == 4 * 9
    for epoch in range(4):
        assert as_bytes(batches(examples, first_epoch=epoch, epochs=4, augment=augment)) == whole[9 * epoch :]
    other_seed = as_bytes(batches(examples, seed=1, epochs=4, augment=augment))
    assert not set(other_seed) & set(whole)


def test_the_same_pictures_are_changed_otherwise_in_each_step_and_epoch() -> None:
    alike = Examples(np.repeat(digits(1).images, 24, axis=0), np.zeros(24, np.int64))
    made = np.concatenate([images for images, _ in batches(alike, epochs=3, augment=Augment(rotate_deg=30))])
    assert len({picture.tobytes() for picture in made}) == 3 * 24


@pytest.mark.parametrize("augment", [OFF, ALL])
def test_pictures_out_of_a_mapped_file_are_the_same_to_the_byte(tmp_path: Path, augment: Augment) -> None:
    examples = digits(50)
    from_file = mapped(examples, tmp_path / "pictures.npy")
    expected = as_bytes(batches(examples, epochs=2, augment=augment))
    assert as_bytes(batches(from_file, epochs=2, augment=augment)) == expected
    assert as_bytes(evaluation(from_file)) == as_bytes(evaluation(examples))


@pytest.mark.parametrize("in_file", [False, True])
def test_a_batch_has_a_shape_that_a_net_can_be_traced_with(tmp_path: Path, in_file: bool) -> None:
    from edgebig.data import pipeline

    examples = mapped(numbered(30), tmp_path / "pictures.npy") if in_file else numbered(30)
    made = pipeline.training_batches(
        examples, 40, batch_size=8, seed=0, first_epoch=0, epochs=1, augment=Augment(elastic_px=1, mixup=1)
    )
    assert [tuple(spec.shape) for spec in made.element_spec] == [(8, 4, 5, 1), (8, 40)]
    evaluated = pipeline.evaluation_batches(examples, 40)
    assert [tuple(spec.shape) for spec in evaluated.element_spec] == [(None, 4, 5, 1), (None, 40)]


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_each_epoch_and_each_seed_has_an_order_of_its_own(seed: int) -> None:
    def order(**changed: Any) -> list[int]:
        made = batches(numbered(64), **changed)
        return np.concatenate([labels.argmax(axis=1) for _, labels in made]).tolist()

    orders = [order(seed=seed, first_epoch=epoch, epochs=epoch + 1) for epoch in range(4)]
    orders.append(order(seed=seed - 1 if seed else 1))
    assert len({tuple(found) for found in orders}) == 5
    assert all(sorted(found) == list(range(64)) for found in orders)  # every example, once


def test_without_augmentation_pixels_are_x_over_255_and_labels_travel_along() -> None:
    for images, labels in batches(numbered(250), batch_size=32, epochs=2):
        assert (images.dtype, images.shape) == (np.float32, (32, 4, 5, 1))
        assert (labels.dtype, labels.shape) == (np.float32, (32, 300))
        np.testing.assert_array_equal(labels.sum(axis=1), 1)
        expected = labels.argmax(axis=1).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(images, np.broadcast_to(expected[:, None, None, None], images.shape))


def test_with_augmentation_labels_travel_along() -> None:
    for images, labels in batches(numbered(64), augment=Augment(shift_px=1, rotate_deg=5, elastic_px=0.1)):
        grey = labels.argmax(axis=1) / 255
        np.testing.assert_allclose(images[:, 1:3, 2, 0].max(axis=1), grey, rtol=1e-4)
        moved = images.min(axis=(1, 2, 3)) < grey - 1e-4
        assert moved.sum() >= len(labels) - 1  # all but the black one


def test_mixed_labels_say_what_the_pictures_are_mixed_of() -> None:
    made = batches(numbered(64), augment=Augment(mixup=1.0))
    for images, labels in made:
        grey = labels @ np.arange(300) / 255
        np.testing.assert_allclose(
            images, np.broadcast_to(grey[:, None, None, None], images.shape), atol=1e-5
        )
    assert max((labels > 0).sum(axis=1).max() for _, labels in made) == 2


def test_the_rest_of_a_shuffle_waits_and_few_examples_make_one_batch() -> None:
    from edgebig.data import pipeline

    assert [len(labels) for _, labels in batches(numbered(30), epochs=2)] == [8] * 6
    assert pipeline.steps_per_epoch(numbered(30), 8) == 3
    assert [len(labels) for _, labels in batches(numbered(5), epochs=2)] == [5, 5]
    assert pipeline.steps_per_epoch(numbered(5), 8) == 1


def test_a_users_function_that_fails_is_told_before_the_first_batch(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def change(pictures, seed):\n    return pictures[:, 1:]\n")
    with pytest.raises(EdgebigError, match=r"mine\.py: change\(pictures, seed\) gave float32"):
        batches(numbered(30), augment=Augment(function=f"python:{tmp_path / 'mine.py'}:change"))


def test_a_users_function_is_part_of_every_batch(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def change(pictures, seed):\n    return 1.0 - pictures\n")
    augment = Augment(function=f"python:{tmp_path / 'mine.py'}:change")
    plain, changed = batches(numbered(30), epochs=2), batches(numbered(30), epochs=2, augment=augment)
    for (images, labels), (turned, same_labels) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(turned, 1 - images)
        np.testing.assert_array_equal(labels, same_labels)


def evaluation(examples: Examples, classes: int = 10) -> Batches:
    from edgebig.data import pipeline

    return list(pipeline.evaluation_batches(examples, classes).as_numpy_iterator())


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (512, [512]), (1300, [512, 512, 276])])
def test_evaluation_keeps_the_order_and_loses_nothing(count: int, expected: list[int]) -> None:
    examples = digits(count)
    made = evaluation(examples)
    assert [len(labels) for _, labels in made] == expected
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in made]), np.eye(10)[examples.labels])
    pixels = examples.images.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in made]), pixels)


def test_large_pictures_are_evaluated_a_few_at_a_time() -> None:
    examples = Examples(np.zeros((30, 512, 512, 3), np.uint8), np.arange(30))
    assert [images.nbytes for images, _ in evaluation(examples, 30)] == [
        21 * 512 * 512 * 12,
        9 * 512 * 512 * 12,
    ]
