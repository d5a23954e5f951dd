"""Surveys: counts, pictures that are there twice, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.data import source
from edgebig.data.examples import Examples, Pictures, Splits, hash_images
from edgebig.data.survey import Twins, survey, twins_of
from edgebig.recipe import Data

CLASSES = ("cat", "dog", "sea lion")
# (which picture, which class)
Part = list[tuple[int, int]]


def examples(part: Part) -> Examples:
    """Picture k is all k; few are enough, so that many are alike."""
    images = np.zeros((len(part), 2, 3, 1), np.uint8)
    images[:] = np.array([picture for picture, _ in part], np.uint8).reshape(-1, 1, 1, 1)
    return Examples(images, np.array([label for _, label in part], np.int64))


def splits(train: Part, validation: Part, test: Part) -> Splits:
    return Splits("x", CLASSES, *(examples(part) for part in (train, validation, test)))


PARTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=14)


@given(train=PARTS, validation=PARTS, test=PARTS)
def test_twins(train: Part, validation: Part, test: Part) -> None:
    """Each picture against the first of its kind, by looking at all of them."""
    parts = {"train": train, "validation": validation, "test": test}
    found = {(twins.split, twins.against): twins for twins in twins_of(splits(*parts.values()))}
    pairs = [(name, name) for name in parts]
    pairs += [("validation", "train"), ("test", "train"), ("test", "validation")]
    for split, against in pairs:
        expected = []
        for index, (picture, label) in enumerate(parts[split]):
            there = parts[against][:index] if split == against else parts[against]
            first = next((at for at, (other, _) in enumerate(there) if other == picture), None)
            if first is not None:
                expected.append((index, first, label != parts[against][first][1]))
        twins = found.pop((split, against), Twins(split, against, 0, 0, (), ()))
        assert twins.pictures == len(expected)
        assert twins.relabelled == sum(other for _, _, other in expected)
        for shown, wanted in ((twins.pairs, False), (twins.relabelled_pairs, True)):
            told = [(here.index, first.index) for here, first in shown]
            assert told == [(index, first) for index, first, other in expected if other == wanted]
            for here, first in shown:
                assert (here.split, first.split) == (split, against)
                assert here.label == CLASSES[parts[split][here.index][1]]
                assert first.label == CLASSES[parts[against][first.index][1]]
    assert not found


@given(train=PARTS, validation=PARTS, test=PARTS)
def test_any_splits_have_a_survey(train: Part, validation: Part, test: Part) -> None:
    found = survey(splits(train, validation, test))
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        labels = [label for _, label in part]
        assert list(found.counts[name].items()) == [(CLASSES[k], labels.count(k)) for k in range(3)]
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["counts"] == found.counts


def test_what_is_said_of_twins() -> None:
    train = [(0, 0), (1, 1), (0, 0), (0, 2)]
    found = survey(splits(train, [(5, 0)], [(7, 1), (1, 1), (0, 1)])).findings
    start = found.index("train: 2 pictures are a copy of an earlier one, 1 in another class")
    assert found[start + 1 : start + 6] == (
        "  train[3] ('sea lion') is train[0] ('cat')",
        "  train[2] ('cat') is train[0] ('cat')",
        "test: 2 pictures are in train too, 1 in another class: what was trained on tests nothing",
        "  test[2] ('dog') is train[0] ('cat')",
        "  test[1] ('dog') is train[1] ('dog')",
    )
    assert "no picture is there twice" not in found
    assert "no picture is there twice" in survey(splits([(0, 0)], [(1, 0)], [(2, 0)])).findings


def test_twins_out_of_files_are_told_by_their_files() -> None:
    """After a choice and a choice of that, as a source cuts its splits."""
    images = np.repeat(np.array([4, 9, 4, 7, 9], np.uint8), 6).reshape(5, 2, 3, 1)
    names = ("a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/2.png")
    whole = Examples(Pictures(images, hash_images(images), names=names), np.array([0, 0, 1, 1, 1]))
    train = whole[np.array([4, 3, 2])][1:]
    found = survey(Splits("x", CLASSES, train, whole[:0], whole[np.array([True, True, False, False, False])]))
    assert "  test[0] ('cat', a/0.png) is train[1] ('dog', b/0.png)" in found.findings
    assert found.twins[0].relabelled_pairs[0][1].file == "b/0.png"


def test_of_many_twins_a_few_are_shown() -> None:
    found = survey(splits([(k % 20, 0) for k in range(40)], [], []))
    start = found.findings.index("train: 20 pictures are a copy of an earlier one")
    assert found.findings[start + 5 : start + 7] == (
        "  train[24] ('cat') is train[4] ('cat')",
        "  and 15 more, which --json lists",
    )
    (twins,) = found.twins
    assert [here.index for here, _ in twins.pairs] == list(range(20, 40))
    many = survey(splits([(0, 0)] * 1500, [], [])).twins[0]
    assert (many.pictures, len(many.pairs)) == (1499, 1000)


def numbered(counts: tuple[int, int, int], start: int) -> Part:
    """So many of each class, all of different pictures as far as a byte goes."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [(start + place, label) for place, label in enumerate(labels)]


def test_what_is_said_of_the_counts() -> None:
    even = survey(splits(numbered((30, 30, 30), 0), numbered((20, 20, 20), 90), numbered((25, 25, 25), 150)))
    assert even.findings[0] == "train has 30 of each class"
    assert not any("fewer than" in line or "no example" in line for line in even.findings)
    uneven = survey(splits(numbered((80, 21, 20), 0), numbered((25, 0, 30), 130), numbered((5, 25, 3), 190)))
    assert uneven.findings[:3] == (
        "train has 20 of 'sea lion', the fewest, and 80 of 'cat', the most: 1 to 4.0: uneven, so look at each class's "
        "accuracy, not at the whole alone",
        "validation has no example of 'dog'",
        "test has fewer than 20 of 'cat', 'sea lion': too few to say much of one class",
    )


def test_long_lists_of_classes_are_cut_short() -> None:
    names = tuple(f"c{k}" for k in range(30))
    train = examples([(k, k) for k in range(30)])
    found = survey(Splits("x", names, train, train[:0], train[:3]))
    assert "test has no example of 'c3', 'c4', 'c5', 'c6', 'c7' and 22 more" in found.findings


def lines_of(found: tuple[str, ...], split: str) -> list[str]:
    return [line for line in found if split in line.split(":")[0]]


def test_what_is_said_of_drift() -> None:
    parts = source.load(Data(source="digits-5k"))
    plain = survey(parts)
    assert [line.split(":")[0] for line in plain.findings[-2:]] == [
        "no drift seen between train and validation",
        "no drift seen between train and test",
    ]
    light = parts.test.images.astype(np.int64)
    bright = Examples(np.clip(light + 60, 0, 255).astype(np.uint8), parts.test.labels)
    other = parts.validation[parts.validation.labels < 3]
    said = survey(Splits("x", parts.classes, parts.train, other, bright)).findings
    assert any(line.startswith("test is much brighter than train (d = ") for line in said)
    assert any(
        line.startswith("test can be told from train by a linear classifier: AUC 1.00") for line in said
    )
    (shares,) = [line for line in said if line.startswith("validation has other shares of the classes")]
    assert "70% would have to change" in shares
    assert not any("no drift" in line for line in said)
    assert not any("test has other shares" in line for line in said)


def test_a_small_split_says_what_may_go_unseen() -> None:
    parts = source.load(Data(source="digits-5k"))
    few = survey(Splits("x", parts.classes, parts.train, parts.validation, parts.test[::25])).findings
    validation, test = few[-2:]
    assert "but test is small, and what is under d = 0.4 may go unseen" in test
    assert "is small" not in validation


@pytest.mark.parametrize("shape", [(5, 4, 1), (5, 4, 3)])
def test_facts(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, *shape), np.uint8)
    part = Examples(images, np.arange(9) % 3)
    found = survey(Splits("x", CLASSES, part[:5], part[5:7], part[7:], "ink", ("a note",)))
    assert (found.shape, found.framing, found.notes, found.source) == (shape, "ink", ("a note",), "x")
