"""Clusters: as many as allowed, the nearest ones, zeros by themselves; never worse than an even grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compress import pure

labels = pure.load("centroids").labels

WEIGHTS = st.lists(st.floats(-2, 2, width=32, allow_subnormal=False), min_size=1, max_size=300)


def means(values: Any, found: Any) -> Any:
    return np.bincount(found, values) / np.maximum(np.bincount(found), 1)


@settings(max_examples=40)
@given(WEIGHTS, st.integers(2, 20))
def test_at_most_so_many_clusters_each_weight_in_the_nearest_and_zeros_apart(
    weights: list[float], clusters: int
) -> None:
    values = np.array(weights, np.float32)
    found = labels(values, clusters)
    assert found.shape == values.shape
    assert found.min() >= 0
    assert found.max() < clusters
    zero = values == 0
    if zero.any():
        assert set(found[zero]) == {0}
        assert 0 not in found[~zero]
    free = clusters - int(zero.any())
    if len(np.unique(values[~zero])) <= free:
        assert np.array_equal(means(values, found)[found].astype(np.float32), values)
    # Equal weights are in one cluster, and clusters are intervals.
    order = np.argsort(values[~zero], kind="stable")
    assert np.all(np.diff(found[~zero][order]) >= 0)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 8, 16, 32]))
def test_the_error_is_below_that_of_an_even_grid_and_no_cluster_is_idle(seed: int, clusters: int) -> None:
    values = np.random.default_rng(seed).standard_t(4, 1000)
    found = labels(values, clusters)
    error = np.sum((values - means(values, found)[found]) ** 2)
    grid = np.linspace(values.min(), values.max(), clusters)
    even = np.sum(np.min(np.abs(values[:, None] - grid), axis=1) ** 2)
    assert error < even
    assert len(np.unique(found)) >= 0.8 * clusters


def test_all_zero_is_one_cluster() -> None:
    assert labels(np.zeros(5), 4).tolist() == [0] * 5
    assert labels(np.array([0.5, 0.5]), 2).tolist() == [0, 0]
