"""Drift: what is told where something differs, that nothing is told where nothing does, and the formulas behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data import drift as drifting
from edgebig.data import source
from edgebig.data.drift import Drift, auc_of, drift
from edgebig.data.examples import Examples, Pictures, Splits
from edgebig.recipe import Data

CLASSES = ("a", "b", "c")


def examples(
    n: int, seed: int, *, shares: tuple[float, ...] = (0.5, 0.3, 0.2), size: int = 12, channels: int = 1
) -> Examples:
    """Bars on noise: of class k, k bars. So a class with more bars is brighter, and each picture its own."""
    random = np.random.default_rng(seed)
    labels = random.choice(len(shares), n, p=shares)
    light = random.uniform(20, 60, (n, 1, 1, 1)) + random.normal(0, 12, (n, size, size, channels))
    for label in range(len(shares)):
        for bar in range(label + 1):
            ink = random.uniform(80, 120, (int((labels == label).sum()), 1, 1, 1))
            light[labels == label, 3 * bar + 1 : 3 * bar + 3] += ink
    return Examples(np.clip(light, 0, 255).astype(np.uint8), labels.astype(np.int64))


def splits(train: Examples, test: Examples, validation: Examples | None = None) -> Splits:
    nothing = train[:0]
    return Splits("x", CLASSES, train, nothing if validation is None else validation, test)


def against_train(train: Examples, test: Examples) -> Drift:
    (found,) = drift(splits(train, test))
    return found


Change = Callable[[np.ndarray], np.ndarray]


def changed(part: Examples, change: Change) -> Examples:
    images = part.images.astype(np.float64)
    return Examples(np.clip(np.round(change(images)), 0, 255).astype(np.uint8), part.labels)


def told(found: Drift) -> set[str]:
    names = {shift.measure for shift in found.shifts if shift.told}
    return (
        names
        | ({"shares"} if found.shares.told else set())
        | ({"parted"} if found.parted and found.parted.told else set())
    )


# Nothing is there, and nothing is told


@pytest.mark.parametrize("n", [24, 120, 400])
def test_nothing_is_told_where_nothing_differs(n: int) -> None:
    """Of 24 data sets with 10 looks each no more than the few that 95 % allow."""
    wrong = sum(
        any(
            found.told
            for found in drift(
                splits(examples(2 * n, 3 * seed), examples(n, 3 * seed + 1), examples(n, 3 * seed + 2))
            )
        )
        for seed in range(24)
    )
    assert wrong <= 3


def test_digits_5k_do_not_drift() -> None:
    assert not any(found.told for found in drift(source.load(Data(source="digits-5k"))))


def test_mnist_does_not_drift(shared: Path) -> None:
    parts = source.load(Data(source="mnist"), shared / "data" / "mnist")
    found = {found.split: found for found in drift(parts)}
    assert not any(each.told for each in found.values())
    # Its test digits are by other hands, which shows a little.
    test = found["test"].parted
    assert test is not None
    assert 0.5 < test.low < test.auc < 0.56
    # Its validation has the same number of each digit, train has not.
    assert 0.02 < found["validation"].shares.distance < 0.03


# Something is there, and it is told as what it is


@pytest.mark.parametrize(
    ("change", "measure", "sign"),
    [
        (lambda x: x + 30, "brightness", 1),
        (lambda x: x - 12, "brightness", -1),
        (lambda x: x.mean((1, 2), keepdims=True) + 1.4 * (x - x.mean((1, 2), keepdims=True)), "contrast", 1),
        (lambda x: x.mean((1, 2), keepdims=True) + 0.7 * (x - x.mean((1, 2), keepdims=True)), "contrast", -1),
        (lambda x: (x + np.roll(x, 1, 2) + np.roll(x, -1, 2)) / 3, "sharpness", -1),
        (lambda x: x + np.random.default_rng(0).normal(0, 20, x.shape), "sharpness", 1),
    ],
    ids=["bright", "dark", "rich", "poor", "soft", "noisy"],
)
def test_another_light_is_told(change: Change, measure: str, sign: int) -> None:
    found = against_train(examples(800, 0), changed(examples(400, 1), change))
    shift = next(shift for shift in found.shifts if shift.measure == measure)
    assert shift.told
    assert shift.d * sign > drifting.D
    assert shift.low < shift.d < shift.high
    assert "shares" not in told(found)


def test_another_colour_is_told() -> None:
    train, test = (examples(n, n, channels=3) for n in (600, 300))
    found = against_train(train, changed(test, lambda x: x * [1.3, 1.0, 0.7]))
    assert "colour" in told(found)
    assert "colour" not in told(against_train(train, test))


def test_other_shares_are_told_as_that_and_not_as_another_light() -> None:
    """A class with more bars is brighter: the whole of test is, though no class has changed."""
    train = examples(3000, 0)
    test = examples(1500, 1, shares=(0.2, 0.3, 0.5))
    assert test.images.mean() > train.images.mean() + 5
    found = against_train(train, test)
    assert told(found) == {"shares"}
    assert found.shares.distance == pytest.approx(0.3, abs=0.04)
    assert found.shares.most in ("a", "c")
    assert {"a": 0.2, "c": 0.5}[found.shares.most] == pytest.approx(found.shares.share, abs=0.05)


def test_pictures_moved_are_parted() -> None:
    found = against_train(examples(800, 0), changed(examples(400, 1), lambda x: np.roll(x, 2, 1)))
    assert told(found) == {"parted"}
    assert found.parted is not None
    assert found.parted.low > 0.9


def test_a_wider_spread_about_the_same_mean_is_parted() -> None:
    random = np.random.default_rng(5)
    wide = changed(examples(500, 1), lambda x: x + random.choice([-15, 35], (len(x), 1, 1, 1)) - 10)
    found = against_train(examples(800, 0), wide)
    assert "parted" in told(found)
    assert abs(next(shift.d for shift in found.shifts if shift.measure == "brightness")) < 0.6


def test_brighter_digits() -> None:
    parts = source.load(Data(source="digits-5k"))
    bright = replace(parts, test=changed(parts.test, lambda x: x + 25))
    validation, test = drift(bright)
    assert not validation.told
    assert {"brightness", "parted"} <= told(test)


# The looks


def test_the_same_by_the_same_seed_from_memory_and_from_a_file() -> None:
    train, test = examples(300, 0), examples(100, 1)
    mapped = [Examples(Pictures(part.images, part.hashes), part.labels) for part in (train, test)]
    assert drift(splits(train, test)) == drift(splits(*mapped))


def test_no_more_is_looked_at_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drifting, "_PICTURES", 200)
    looked_at = 0

    class Counting(Pictures):
        def __getitem__(self, index: object) -> np.ndarray:
            nonlocal looked_at
            got = super().__getitem__(index)
            looked_at += len(got)
            return got

    part = examples(3000, 0)
    counting = Examples(Counting(part.images, np.arange(3000, dtype=np.uint64)), part.labels)
    found = against_train(counting, counting)
    assert looked_at == 400
    assert found.shares.distance == 0  # of all the labels


@given(
    height=st.integers(1, 20), width=st.integers(1, 20), channels=st.integers(1, 4), seed=st.integers(0, 9)
)
def test_measures_of_any_shape(height: int, width: int, channels: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (3, height, width, channels), np.uint8)
    measures, coarse = drifting._seen(images)
    assert np.isfinite(measures).all()
    assert measures.shape == (3, 3 if channels < 3 else 4)
    assert np.allclose(measures[:, 0], images.mean((1, 2, 3)) / 255)
    assert np.allclose(measures[:, 1], images.mean(3).std((1, 2)) / 255, atol=1e-6)
    assert coarse.shape == (3, min(height, 8) * min(width, 8) * channels)
    if height % min(height, 8) == 0 and width % min(width, 8) == 0:
        assert np.allclose(coarse.mean(1), measures[:, 0], atol=1e-5)


def test_sharpness_is_the_same_in_another_light() -> None:
    images = np.random.default_rng(0).integers(100, 150, (4, 9, 9, 1), np.uint8)
    plain, darker, richer = (
        drifting._seen(each)[0][:, 2] for each in (images, images - 100, 2 * images - 150)
    )
    assert np.allclose(plain, darker)
    assert np.allclose(plain, richer)
    assert drifting._seen(np.full((1, 5, 5, 1), 9, np.uint8))[0][0].tolist() == pytest.approx(
        [9 / 255, 0, 0], abs=1e-5
    )


# The formulas


@given(data=st.data())
@settings(max_examples=60)
def test_a_shift_is_the_coefficient_of_a_linear_model(data: st.DataObject) -> None:
    """By least squares with a column for every class and one for the split; its interval at d = 0 likewise."""
    sizes = data.draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    both = [pair for pair in sizes if min(pair)]
    looks = []
    for side in (0, 1):
        labels = np.repeat(np.arange(len(sizes)), [pair[side] for pair in sizes])
        values = 3 * labels + random.normal(0, 1, len(labels)) + 0.5 * side
        looks.append(drifting._Look(labels, values[:, None], np.zeros((len(labels), 1))))
    if not all(len(look.labels) for look in looks):
        return
    found = drifting._shift("brightness", looks[0], looks[1], 0, z=2.0)
    degrees = sum(map(sum, both)) - 2 * len(both)
    assert (found is None) == (degrees < 2)
    if found is None:
        return
    used = [label for label, pair in enumerate(sizes) if min(pair)]
    rows, target = [], []
    for side, look in enumerate(looks):
        for label, value in zip(look.labels, look.measures[:, 0], strict=True):
            if label in used:
                rows.append([*(label == each for each in used), side])
                target.append(value)
    matrix = np.array(rows, float)
    fitted = np.linalg.lstsq(matrix, np.array(target), rcond=None)[0]
    cells = [look.measures[look.labels == label, 0] for look in looks for label in used]
    spread = max(math.sqrt(sum(((cell - cell.mean()) ** 2).sum() for cell in cells) / degrees), 1 / 255)
    assert found.d == pytest.approx(fitted[-1] / spread, rel=1e-6, abs=1e-9)
    at_zero = 2.0 * math.sqrt(np.linalg.inv(matrix.T @ matrix)[-1, -1])
    assert found.high - found.d == pytest.approx(math.hypot(at_zero, 2.0 * found.d / math.sqrt(2 * degrees)))


@given(
    ups=st.lists(st.integers(0, 6), min_size=2, max_size=15),
    downs=st.lists(st.integers(0, 6), min_size=2, max_size=15),
)
def test_auc_counts_pairs(ups: list[int], downs: list[int]) -> None:
    scores = np.array([*ups, *downs], float)
    auc, variance = auc_of(scores, np.arange(len(scores)) < len(ups))
    wins = np.array([[(up > down) + 0.5 * (up == down) for down in downs] for up in ups])
    assert auc == pytest.approx(wins.mean())
    delong = wins.mean(1).var(ddof=1) / len(ups) + wins.mean(0).var(ddof=1) / len(downs)
    assert variance == pytest.approx(max(delong, 1 / (4 * wins.size)))


def test_what_chance_makes_of_shares() -> None:
    """Of two classes the distance is that of one share: normal, so its mean is known."""
    random = np.random.default_rng(0)
    train, test = (np.repeat([0, 1], [7 * n, 3 * n]) for n in (200, 50))
    found = drifting._shares(train, test, ("x", "y"), 0.05, random)
    deviation = math.sqrt(0.7 * 0.3 * (1 / 2000 + 1 / 500))
    assert found.distance == pytest.approx(0)
    assert found.expected == pytest.approx(math.sqrt(2 / math.pi) * deviation, rel=0.1)
    assert found.limit == pytest.approx(1.96 * deviation, rel=0.1)


def test_many_classes_of_few_examples_are_no_other_shares() -> None:
    """100 classes, 150 examples: the distance is large, and all of it chance."""
    random = np.random.default_rng(0)
    names = tuple(map(str, range(100)))
    found = drifting._shares(random.integers(0, 100, 600), random.integers(0, 100, 150), names, 0.01, random)
    assert found.distance > 0.2
    assert not found.told


@pytest.mark.parametrize("n", [30, 200])
def test_the_least_shift_that_is_told(n: int) -> None:
    """One of that size has an interval that just ends at 0."""
    found = against_train(examples(3 * n, 0), examples(n, 1))
    assert found.least_d is not None
    for shift in found.shifts:
        assert shift.high - shift.d == pytest.approx(found.least_d, rel=0.05)
    assert against_train(examples(3000, 0), examples(2000, 1)).least_d == drifting.D


# Where there is little to look at


def test_a_split_without_examples_is_left_out() -> None:
    part = examples(60, 0)
    assert [found.split for found in drift(splits(part, part[:0]))] == []
    assert drift(splits(part[:0], part)) == ()


def test_no_class_in_both() -> None:
    part = examples(200, 0)
    found = against_train(part[part.labels == 0], part[part.labels == 1])
    assert found.shares.distance == 1
    assert found.shares.told
    assert found.shifts == ()
    assert found.parted is None


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_very_few(n: int) -> None:
    found = against_train(examples(n, 0), examples(n, 1))
    assert found.parted is None
    assert all(math.isfinite(shift.high) for shift in found.shifts)


def test_pictures_that_are_all_alike() -> None:
    def grey(value: int, n: int) -> Examples:
        return Examples(np.full((n, 6, 6, 1), value, np.uint8), np.arange(n) % 3)

    assert not told(against_train(grey(40, 60), grey(40, 60)))
    apart = against_train(grey(40, 60), grey(90, 60))
    assert {"brightness", "parted"} <= told(apart)
    assert apart.parted is not None
    assert apart.parted.auc == 1
    assert all(math.isfinite(value) for shift in apart.shifts for value in (shift.d, shift.low, shift.high))
