"""Pictures by their hashes, and how some of each class are chosen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgebig.data import examples
from edgebig.data.examples import Examples, Pictures


def test_a_hash_is_of_shape_and_pixels() -> None:
    images = np.zeros((2, 4, 9, 1), np.uint8)
    images[1, 0, 0] = 1
    labels = np.zeros(2, np.int64)
    hashes = Examples(images, labels).hashes
    assert hashes[0] != hashes[1]
    assert Examples(images[::-1], labels).hashes.tolist() == hashes[::-1].tolist()
    assert Examples(images.reshape(2, 6, 6, 1), labels).hashes[0] != hashes[0]


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    count=st.integers(0, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_per_class(labels: list[int], count: int, seed: int) -> None:
    array = np.array(labels, np.int64)
    chosen = examples.per_class(array, count, seed=seed)
    assert chosen.dtype == np.bool_
    assert chosen.sum() == min(count, len(labels))
    assert np.array_equal(chosen, examples.per_class(array, count, seed=seed))
    taken, there = np.bincount(array[chosen], minlength=6), np.bincount(array, minlength=6)
    # Every class alike up to one, unless all of it is taken.
    unfinished = taken[taken < there]
    if len(unfinished):
        assert taken.max() - unfinished.min() <= 1
    more = examples.per_class(array, count + 1, seed=seed)
    assert not (chosen & ~more).any()  # a larger choice holds the smaller one


def test_per_class_shuffles() -> None:
    labels = np.zeros(100, np.int64)
    assert not np.array_equal(examples.per_class(labels, 10, seed=0), examples.per_class(labels, 10, seed=1))
    assert not examples.per_class(labels, 10, seed=0)[:10].all()


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    count=st.integers(0, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_in_proportion(labels: list[int], count: int, seed: int) -> None:
    array = np.array(labels, np.int64)
    chosen = examples.in_proportion(array, count, seed=seed)
    assert chosen.dtype == np.bool_
    taken, there = np.bincount(array[chosen], minlength=6), np.bincount(array, minlength=6)
    assert (taken <= there // 2).all()  # train keeps some of every class
    assert taken.sum() == min(count, (there // 2).sum())
    # None has one more than its share before another has its share: Adams' method.
    for ahead in np.flatnonzero(taken > 0):
        for behind in np.flatnonzero(taken < there // 2):
            assert (taken[ahead] - 1) * there[behind] <= taken[behind] * there[ahead]
    more = examples.in_proportion(array, count + 1, seed=seed)
    assert not (chosen & ~more).any()
    assert np.array_equal(chosen, examples.in_proportion(array, count, seed=seed))


def test_in_proportion_keeps_the_balance() -> None:
    labels = np.repeat(np.arange(3), [900, 90, 10])
    chosen = examples.in_proportion(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [90, 9, 1]
    assert not np.array_equal(chosen, examples.in_proportion(labels, 100, seed=1))
    balanced = np.arange(1000) % 10
    assert np.bincount(balanced[examples.in_proportion(balanced, 100, seed=0)]).tolist() == [10] * 10


def test_a_choice_keeps_the_hashes_that_are_known() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3, 1), np.uint8)
    whole = Examples(images, np.arange(20))
    mask = np.arange(20) % 3 == 0
    afresh = whole[mask].hashes
    assert len(whole.hashes) == 20
    assert "hashes" in vars(whole[mask])
    assert np.array_equal(whole[mask].hashes, afresh)
    mapped = Examples(Pictures(images, whole.hashes), whole.labels)
    assert np.array_equal(mapped[mask].hashes, afresh)


def test_a_count_or_a_share() -> None:
    assert [examples.count_of(share, 50) for share in (1, 7, 0.1, 0.5)] == [1, 7, 5, 25]
