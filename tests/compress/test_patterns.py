"""Masks: the share that was asked for, to one group; whole groups; the smallest first; and no way back."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compress import pure

patterns = pure.load("patterns")
Pattern = patterns.Pattern

PATTERNS = [
    Pattern(),
    Pattern("2:4"),
    *(Pattern("block", block) for block in [(1, 4), (2, 2), (4, 1), (1, 1)]),
]
SHARES = st.floats(0.01, 0.99)


@st.composite
def weights(draw: st.DrawFn) -> Any:
    """float32 (O, kh, kw, I) or (O, I), outputs and inputs multiples of 4, some weights equal and some zero."""
    outputs, inputs = 4 * draw(st.integers(1, 3)), 4 * draw(st.integers(1, 3))
    between = draw(st.sampled_from([(), (3,), (2, 3)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.normal(size=(outputs, *between, inputs)).astype(np.float32)
    if draw(st.booleans()):
        values = np.round(values, 1)  # many ties, and zeros
    return values


def by_hand(pattern: Pattern, shape: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """The indices of each group, by loops."""
    high, wide = pattern.size
    between = list(itertools.product(*(range(size) for size in shape[1:-1])))
    return [
        [(o + i, *place, c + j) for i in range(high) for j in range(wide)]
        for o in range(0, shape[0], high)
        for place in between
        for c in range(0, shape[-1], wide)
    ]


@settings(max_examples=40)
@given(weights(), st.sampled_from(PATTERNS))
def test_groups_are_those_found_by_loops_and_come_back(values: Any, pattern: Pattern) -> None:
    groups = pattern.groups(values)
    expected = [[values[index] for index in group] for group in by_hand(pattern, values.shape)]
    assert groups.tolist() == expected
    assert np.array_equal(pattern.spread(groups, values.shape), values)


@settings(max_examples=40)
@given(weights(), SHARES, st.sampled_from([pattern for pattern in PATTERNS if pattern.kind != "2:4"]))
def test_a_mask_takes_whole_groups_the_smallest_ones_and_as_many_as_asked(
    values: Any, share: float, pattern: Pattern
) -> None:
    mask = patterns.layer_mask(values, share, pattern)
    kept = pattern.groups(mask)
    assert np.all(kept.all(axis=1) == kept.any(axis=1))
    dropped = ~kept.all(axis=1)
    assert abs(dropped.sum() - share * len(kept)) <= 1
    assert dropped.sum() < len(kept)
    size = np.abs(pattern.groups(values)).astype(np.float64).sum(axis=1)
    if dropped.any():
        assert size[dropped].max() <= size[~dropped].min()
    assert pattern.share(values * mask) >= dropped.mean()


@settings(max_examples=40)
@given(weights())
def test_two_of_four_keeps_the_two_largest_of_every_quad(values: Any) -> None:
    pattern = Pattern("2:4")
    mask = patterns.layer_mask(values, 0.5, pattern)
    assert np.all(pattern.groups(mask).sum(axis=1) == 2)
    for quad, kept in zip(np.abs(pattern.groups(values)), pattern.groups(mask), strict=True):
        assert sorted(quad[kept]) == sorted(quad)[2:]
    assert pattern.share(values * mask) == 1.0


@settings(max_examples=40)
@given(weights(), SHARES, SHARES, st.sampled_from(PATTERNS), st.booleans())
def test_what_is_zero_stays_zero_on_the_way_up(
    values: Any, first: float, second: float, pattern: Pattern, everywhere: bool
) -> None:
    first, second = sorted((first, second))
    if pattern.kind == "2:4":
        first, second, everywhere = first / 2, second / 2, False

    def mask(of: Any, share: float) -> Any:
        if everywhere:
            return patterns.global_masks([of], share, pattern, least_kept=0.05)[0]
        return patterns.layer_mask(of, share, pattern)

    before = mask(values, first)
    pruned = np.where(values == 0, 1e-3, values) * before  # a mask alone makes the zeros
    after = mask(pruned, second)
    assert not np.any(after & ~before)
    if pattern.kind == "2:4":
        assert np.all(pattern.groups(~after).sum(axis=1) <= 2)


@settings(max_examples=40)
@given(st.lists(weights(), min_size=1, max_size=4), SHARES, st.sampled_from(PATTERNS[:1] + PATTERNS[2:]))
def test_one_threshold_over_all_layers_closes_none(layers: Any, share: float, pattern: Pattern) -> None:
    # Layers of very different scales, so that the floor is needed.
    layers = [values * 10.0 ** (-3 * place) for place, values in enumerate(layers)]
    least = min(0.05, (1 - share) / 2)
    masks = patterns.global_masks(layers, share, pattern, least_kept=least)
    total = zeros = 0
    sizes, kept = [], []
    for values, mask in zip(layers, masks, strict=True):
        alive = pattern.groups(mask).all(axis=1)
        assert alive.sum() >= max(1, least * len(alive))
        total, zeros = total + len(alive), zeros + int(np.sum(~alive))
        size = np.abs(pattern.groups(values)).astype(np.float64).sum(axis=1)
        safe = np.argsort(size, kind="stable")[-max(1, math.ceil(least * len(size))) :]
        assert alive[safe].all()
        free = np.setdiff1d(np.arange(len(size)), safe)
        sizes.append(size[free])
        kept.append(alive[free])
    assert abs(zeros - share * total) <= len(layers) or zeros == sum(map(len, sizes))
    all_sizes, all_kept = np.concatenate(sizes), np.concatenate(kept)
    if all_kept.any() and not all_kept.all():
        assert all_sizes[~all_kept].max() <= all_sizes[all_kept].min()


@pytest.mark.parametrize(
    ("groups", "share", "zeros"), [(10, 0.5, 5), (10, 0.999, 9), (1, 0.9, 0), (3, 0.5, 1), (144, 0.5, 72)]
)
def test_the_number_of_zero_groups(groups: int, share: float, zeros: int) -> None:
    assert patterns.zero_groups(groups, share) == zeros


def test_why_weights_cannot_be_cut() -> None:
    assert Pattern().why_not(3, 1) == ""
    assert Pattern("2:4").why_not(3, 8) == ""
    assert Pattern("2:4").why_not(8, 1) == "1 input, not a multiple of 4"
    assert Pattern("block", (4, 2)).why_not(10, 8) == "10 outputs, not a multiple of 4"


def test_the_share_that_is_in_pattern() -> None:
    quads = np.array([[1, 0, 0, 2, 1, 1, 0, 1]])
    assert Pattern("2:4").share(quads) == 0.5
    assert Pattern("block", (1, 4)).share(quads) == 0.0
    assert Pattern("block", (1, 2)).share(np.array([[0, 0, 0, 2]])) == 0.5
    assert Pattern().share(quads) == 0.375
