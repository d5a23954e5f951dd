"""The figures of an evaluation, each against its definition written out, and what must hold whatever a model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.evaluation import scores
from edgebig.evaluation.scores import Calibration, Evaluation


def evaluation(labels: Any, probabilities: Any, **changes: Any) -> Evaluation:
    rows = np.asarray(probabilities, np.float32)
    classes = tuple("abcdefghijklmnopqrstuvwxyz"[: rows.shape[1]])
    return Evaluation(classes, np.asarray(labels, np.int64), rows, **changes)


def one_hot(read: Any, classes: int) -> npt.NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[np.asarray(read)]


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    classes = draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 120))
    rows = softmax(random.normal(0, 3, (n, classes)))
    if draw(st.booleans()):  # as an int8 model says it, with many that are equal
        rows = np.minimum(np.rint(rows * 256), 255) / 256
    return evaluation(random.integers(0, classes, n), rows, step=1 / 256)


@given(evaluations())
def test_the_figures_of_a_class_are_those_of_its_definition(found: Evaluation) -> None:
    true, read = found.labels.tolist(), found.predicted.tolist()
    for index, score in enumerate(scores.class_scores(found)):
        hits = sum(t == r == index for t, r in zip(true, read, strict=True))
        assert (score.n, score.correct, score.read) == (true.count(index), hits, read.count(index))
        recall = hits / score.n if score.n else None
        precision = hits / score.read if score.read else None
        assert (score.recall.value if score.recall else None) == recall
        assert score.precision == precision
        if recall and precision:
            assert score.f1 == pytest.approx(2 / (1 / recall + 1 / precision))
        else:
            assert score.f1 == (0 if score.n or score.read else None)
    assert sum(score.correct for score in scores.class_scores(found)) == found.accuracy.correct


@given(evaluations())
def test_confusions_are_all_that_was_misread(found: Evaluation) -> None:
    pairs = scores.confusions(found)
    assert sum(pair.count for pair in pairs) == found.accuracy.n - found.accuracy.correct
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)
    for pair in pairs:
        assert pair.true != pair.read
        of_class = found.labels == found.classes.index(pair.true)
        read = found.predicted == found.classes.index(pair.read)
        assert pair.count == int((of_class & read).sum())
        assert pair.share == pytest.approx(pair.count / of_class.sum())


@given(evaluations())
def test_the_misread_are_told_the_surest_first(found: Evaluation) -> None:
    assert sorted(found.misread) == np.flatnonzero(found.predicted != found.labels).tolist()
    confidence = [float(found.probabilities[index].max()) for index in found.misread]
    assert confidence == sorted(confidence, reverse=True)


def test_of_equally_sure_ones_the_less_likely_truth_is_the_worse() -> None:
    found = evaluation([1, 1], [[0.6, 0.4, 0.0], [0.6, 0.0, 0.4]])
    assert found.misread.tolist() == [1, 0]


def test_a_class_without_examples_has_no_recall_and_weighs_nothing() -> None:
    found = evaluation([0, 0, 1], one_hot([0, 2, 1], 4))
    a, b, c, d = scores.class_scores(found)
    assert (a.n, a.recall and a.recall.value, b.f1) == (2, 0.5, 1.0)
    assert (c.recall, c.precision, c.f1) == (None, 0.0, 0.0)
    assert (d.recall, d.precision, d.f1) == (None, None, None)
    assert scores.macro_f1(found) == pytest.approx((2 / 3 + 1) / 2)


def test_of_equal_outputs_the_first_is_read_as_on_the_device() -> None:
    assert evaluation([1], [[0.5, 0.5]]).predicted.tolist() == [0]


# Calibration


def calibrated(found: Evaluation) -> Calibration:
    value = scores.calibration(found)
    assert value is not None
    return value


@given(evaluations(), st.randoms())
def test_calibration_whatever_the_order(found: Evaluation, random: Any) -> None:
    """Bins hold every example once, none of one confidence is in two, and no order of the examples changes them."""
    value = calibrated(found)
    assert sum(part.n for part in value.bins) == len(found)
    assert len(value.bins) <= scores.MAX_BINS
    for below, above in zip(value.bins, value.bins[1:], strict=False):
        assert below.low <= below.high < above.low
    assert 0 <= value.error <= 1
    assert 0 <= value.brier <= 2 + 1e-6
    # By the triangle inequality no bins can make it smaller than the one that holds all.
    assert value.error >= abs(value.confidence - found.accuracy.value) - 1e-9
    order = list(range(len(found)))
    random.shuffle(order)
    again = calibrated(evaluation(found.labels[order], found.probabilities[order], step=found.step))
    assert again.error == pytest.approx(value.error, abs=1e-12)
    assert [part.n for part in again.bins] == [part.n for part in value.bins]


@given(evaluations())
def test_the_error_is_what_its_bins_say(found: Evaluation) -> None:
    total = 0.0
    for part in calibrated(found).bins:
        inside = (found.confidence >= part.low) & (found.confidence <= part.high)
        assert inside.sum() == part.n
        total += abs(found.right[inside].mean() - found.confidence[inside].mean()) * part.n / len(found)
    assert calibrated(found).error == pytest.approx(total, abs=1e-9)


def test_who_is_sure_and_right_errs_by_nothing_and_who_is_sure_and_wrong_by_all() -> None:
    right = calibrated(evaluation([0, 1, 2] * 40, one_hot([0, 1, 2] * 40, 3)))
    assert (right.error, right.brier, right.confidence, len(right.bins)) == (0, 0, 1, 1)
    wrong = calibrated(evaluation([1, 2, 0] * 40, one_hot([0, 1, 2] * 40, 3)))
    assert (wrong.error, wrong.brier) == (1, 2)


@pytest.mark.parametrize(("boast", "error"), [(0.0, 0.0), (0.1, 0.1), (-0.1, 0.1)])
def test_one_who_is_right_as_often_as_he_says_and_one_who_boasts(boast: float, error: float) -> None:
    random = np.random.default_rng(3)
    chance = random.uniform(0.65, 0.85, 40_000)
    right = random.random(chance.size) < chance
    said = chance + boast
    value = calibrated(evaluation(np.where(right, 0, 1), np.stack([said, 1 - said], 1)))
    assert len(value.bins) == scores.MAX_BINS
    assert value.error == pytest.approx(error, abs=0.01)
    sizes = [part.n for part in value.bins]
    assert max(sizes) - min(sizes) <= 1


def test_few_examples_make_few_bins() -> None:
    random = np.random.default_rng(0)
    for n, bins in ((1, 1), (39, 1), (40, 2), (299, 14), (300, 15), (3000, 15)):
        rows = softmax(random.normal(0, 1, (n, 3)))
        assert len(calibrated(evaluation(random.integers(0, 3, n), rows)).bins) == bins


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_rounded_outputs_are_still_probabilities(classes: int) -> None:
    random = np.random.default_rng(classes)
    names = tuple(str(index) for index in range(classes))
    for spread in (0.1, 3.0, 30.0):
        rows = softmax(random.normal(0, spread, (50, classes)))
        int8 = (np.minimum(np.rint(rows * 256), 255) / 256).astype(np.float32)
        labels = random.integers(0, classes, 50)
        assert scores.are_probabilities(Evaluation(names, labels, int8, step=1 / 256))
        assert scores.are_probabilities(Evaluation(names, labels, rows.astype(np.float32)))


@pytest.mark.parametrize(
    "rows", [[[2.0, -1.0]], [[0.9, 0.9]], [[0.1, 0.1]], [[float("nan"), 1.0]], [[float("inf"), 0.0]]]
)
def test_what_is_no_probability_is_not_called_so(rows: list[list[float]]) -> None:
    found = evaluation([0], rows, step=1 / 256)
    assert scores.calibration(found) is None
    assert found.accuracy.n == 1
