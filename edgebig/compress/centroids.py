"""Weights sorted into a few clusters, as a pure function of them, without TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_ROUNDS = 300


def labels(weights: npt.NDArray[Any], clusters: int) -> npt.NDArray[np.int32]:
    """float (N,) -> int32 (N,): the cluster of each weight, from 0 to at most `clusters` - 1.

    k-means (Lloyd's), begun from centroids spread evenly over the range (Han, Mao and Dally, "Deep Compression", 2015:
    the few large weights matter most) and from quantiles; the one with the smaller error is taken. Weights that are
    zero are a cluster of their own, number 0, that counts as one of them.
    """
    values = np.asarray(weights, np.float64)
    found = np.zeros(len(values), np.int32)
    alive = np.flatnonzero(values)
    first = int(len(alive) < len(values))
    found[alive] = first + _k_means(values[alive], clusters - first)
    return found


def _k_means(values: npt.NDArray[np.float64], clusters: int) -> npt.NDArray[np.int32]:
    different, back, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(different) <= clusters:
        return back.astype(np.int32).reshape(-1)
    evenly = np.linspace(different[0], different[-1], clusters)
    # Those of a long tail that no weight is near to go where the weights are.
    evenly = evenly[np.unique(_nearest(different, evenly))]
    evenly = np.sort(np.concatenate([evenly, _quantiles(values, clusters - len(evenly))]))
    tried = [_lloyd(different, counts, start) for start in (evenly, _quantiles(values, clusters))]
    nearest, _ = min(tried, key=lambda found: found[1])
    return nearest[back.reshape(-1)].astype(np.int32)


def _quantiles(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    return np.quantile(values, (np.arange(count) + 0.5) / max(count, 1))


def _lloyd(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], centres: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], float]:
    """The cluster of each of the sorted values, of which there are so many, and the squared error of all."""
    nearest = _nearest(values, centres)
    for _ in range(_ROUNDS):
        sizes = np.bincount(nearest, counts)
        kept = sizes > 0  # A centre that is far from every value has none.
        before, centres = nearest, np.bincount(nearest, counts * values)[kept] / sizes[kept]
        nearest = _nearest(values, centres)
        if np.array_equal(nearest, before):
            break
    return nearest, float(np.sum(counts * (values - centres[nearest]) ** 2))


def _nearest(values: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The index of the nearest of sorted centres."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
