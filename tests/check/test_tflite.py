"""Parity and agreement, on numbers worked out by hand and on the real runtime."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgebig.check import tflite
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

GOLDEN = Path(__file__).parent.parent / "golden"
GREY = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}


def test_parity_in_steps_of_int8() -> None:
    outputs = np.array([[100, -128], [-100, 90], [5, 4]], np.int8)
    same = tflite.parity(outputs, outputs[:2])
    assert same.model_dump() == {
        "n": 2, "unit": "steps", "largest_difference": 0.0, "rms_difference": 0.0, "tolerance": 0.75,
        "largest_tolerance": None,
        "labels_differ": 0, "holds": True, "told": True,
    }  # fmt: skip
    off = outputs.copy()
    off[0, 0] = -128  # 228 steps, which int8 arithmetic would wrap round
    found = tflite.parity(off, outputs)
    assert found.largest_difference == 228
    assert found.rms_difference == pytest.approx(228 / np.sqrt(6))


def test_parity_takes_one_near_decision_and_no_shift_of_all() -> None:
    reference = np.tile(np.int8([100, -128, 3, 0, 0, 0, 0, 0, 0, 0]), (500, 1))
    for steps, holds in ((50, True), (60, False)):
        near = reference.copy()
        near[7, 2] += steps
        assert tflite.parity(near, reference).holds is holds
    assert not tflite.parity(reference + np.int8(1), reference).holds


def test_parity_of_floats_and_a_nan_that_must_not_pass() -> None:
    reference = np.tile(np.float32([0.25, 0.75]), (200, 1))
    assert tflite.parity(reference + np.float32(9e-6), reference).holds
    assert not tflite.parity(reference + np.float32(2e-5), reference).holds
    broken = reference.copy()
    broken[3, 1] = np.nan
    found = tflite.parity(broken, reference)
    assert not found.holds
    assert np.isfinite([found.largest_difference, found.rms_difference]).all()  # JSON has no infinity


def test_a_few_examples_do_not_tell_a_near_decision_from_wrong_kernels() -> None:
    reference = np.tile(np.int8([100, -128, 3, 0, 0, 0, 0, 0, 0, 0]), (20, 1))
    near = reference.copy()
    near[7, 2] += 17
    found = tflite.parity(near, reference)
    assert (found.holds, found.told) == (False, False)
    # The same in every example, or more than any rounding, is told by as few; and of floats any.
    everywhere, wild = reference.copy(), reference.copy()
    everywhere[:, 2] += 17
    wild[7, 2] += 90
    for outputs in (everywhere, wild, reference + np.int8(1)):
        found = tflite.parity(outputs, reference)
        assert (found.holds, found.told) == (False, True)
    floats = np.tile(np.float32([0.25, 0.75]), (20, 1))
    off = floats.copy()
    off[3, 1] = 0.9
    assert tflite.parity(off, floats).told
    assert tflite.parity(near[:1], reference[:1]).told


@pytest.mark.parametrize(("n", "told"), [(20, False), (400, True)])
def test_other_labels_are_told_by_enough_examples(n: int, told: bool) -> None:
    reference = np.tile(np.int8([1, 0]), (n, 1))
    outputs = reference.copy()
    outputs[: n // 20] = [0, 1]
    found = tflite.parity(outputs, reference)
    assert (found.holds, found.told) == (False, told)


@pytest.mark.parametrize(("differing", "holds"), [(2, True), (3, False)])
def test_parity_lets_one_label_of_a_hundred_differ(differing: int, holds: bool) -> None:
    reference = np.tile(np.int8([1, 0]), (200, 1))
    outputs = reference.copy()
    outputs[:differing] = [0, 1]
    found = tflite.parity(outputs, reference)
    assert (found.labels_differ, found.holds) == (differing, holds)


def test_agreement_counts_who_alone_is_right() -> None:
    test = source.load(Data(source="digits-5k")).test[:200]
    model = (GOLDEN / "digits-float32.tflite").read_bytes()
    other = (GOLDEN / "digits-int8.tflite").read_bytes()
    first, second = (tflite.labels(data, test, GREY) for data in (model, other))
    assert np.mean(first == test.labels) > 0.8
    found = tflite.agreement(first, second, test.labels)
    assert found.n == 200
    assert found.same_label == np.sum(first == second)
    assert found.only_first_right == np.sum((first == test.labels) & (second != test.labels))
    assert found.only_second_right == np.sum((second == test.labels) & (first != test.labels))
    assert 0 < found.mcnemar_p <= 1
    same = tflite.agreement(first, first, test.labels)
    assert dataclasses.astuple(same) == (200, 200, 0, 0, 1.0)
    assert tflite.agreement(first, first, (first + 1) % 10).only_first_right == 0


def test_an_unfit_model_or_picture_is_one_message() -> None:
    images = np.zeros((1, 28, 28, 1), np.uint8)
    whole, half = (Examples(pictures, np.zeros(1, np.int64)) for pictures in (images, images[:, :14]))
    with pytest.raises(EdgebigError, match="refuses"):
        tflite.labels(b"TFL3 no model", whole, GREY)
    with pytest.raises(EdgebigError, match="the pictures are"):
        tflite.labels((GOLDEN / "digits-int8.tflite").read_bytes(), half, GREY)


def test_floats_behind_an_int8_number_are_held_by_its_steps() -> None:
    reference = np.tile(np.float32([0.25, 0.75]), (200, 1))
    step = 1 / 256
    near = reference.copy()
    near[5, 0] += 3 * step
    found = tflite.parity(near, reference, step)
    assert (found.unit, found.largest_difference, found.holds) == ("steps", pytest.approx(3), True)
    assert not tflite.parity(near, reference).holds
    assert not tflite.parity(reference + np.float32(step), reference, step).holds
