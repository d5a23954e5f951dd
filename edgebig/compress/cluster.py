"""Weight clustering: each layer keeps so many different weights, which train on as one number each.

Han, Mao and Dally, "Deep Compression" (2015). Which weight belongs to which cluster is found once, from the trained
weights; after every step the weights of a cluster are their mean. The clusters are ours: of
tensorflow-model-optimization, per-channel clustering passes over each convolution without a bias, so all in front of a
BatchNormalization, with a warning and no clustering; and its clusters do worse (docs/decisions.md has the figures).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.artifact import PassRecord
from edgebig.compress import centroids, kernels, tied
from edgebig.compress.context import Context
from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.recipe import Cluster


def cluster(context: Context, model: Any, spec: Cluster) -> tuple[Any, PassRecord]:
    """Trains on with at most `clusters` different weights a layer; zeros stay zeros, and are one of them.

    `model` itself gets the weights, and stays an ordinary one. Raises EdgebigError where no layer can be clustered,
    before any training.
    """
    layers, left = plan(model, spec, context.passes)
    found = {name: kernel.numpy() for name, kernel in kernels.find(model).items() if name in layers}
    held = keras.models.clone_model(model)
    held.set_weights(model.get_weights())
    for name, kernel in kernels.find(held).items():
        if name in found:
            kernel.assign(means(found[name], spec))
    tied.tie(held, zeros=True, clusters=spec.clusters, per_channel=spec.per_channel)
    fitted = context.fit(held, spec, "cluster")
    model.set_weights(held.get_weights())
    made = {name: kernel.numpy() for name, kernel in kernels.find(model).items() if name in layers}
    _check_made(found, made, spec)
    record = {
        "name": "cluster",
        "clusters": spec.clusters,
        "per_channel": spec.per_channel,
        "distinct_by_layer": {name: tied.distinct(kernel) for name, kernel in made.items()},
        "distinct_by_channel": {
            name: tied.distinct(kernel, per_channel=True) for name, kernel in made.items()
        },
        "not_clustered": left,
        **fitted.facts(),
    }
    return model, PassRecord.model_validate(record)


def plan(model: Any, spec: Cluster, passes: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The layers that would be clustered, and by name why the others are not. Raises EdgebigError where none would."""
    if spec.clusters == 2 and "prune" in passes:
        raise EdgebigError(
            "[compress.cluster] clusters: 2 after pruning are zero and one other number, which can learn nothing",
            "at least 3, as in --set compress.cluster.clusters=16",
        )
    layers, left = [], kernels.others(model)
    for name, kernel in kernels.find(model).items():
        shape = tuple(kernel.shape)
        per_channel = _per_channel(shape, spec)
        weights = int(np.prod(shape[:-1] if per_channel else shape))
        if weights <= spec.clusters:
            of = " a channel" if per_channel else ""
            left[name] = f"{weights} weights{of}, which {spec.clusters} clusters would not make fewer"
        else:
            layers.append(name)
    if not layers:
        why = "".join(f"\n  {name}: {reason}" for name, reason in left.items())
        raise EdgebigError(
            f"{model.name}: it has no layer that can be clustered{why}",
            "fewer clusters, as in --set compress.cluster.clusters=8; nothing was trained"
            if kernels.find(model)
            else "cluster takes Conv2D, Dense and their like",
        )
    return tuple(layers), left


def means(kernel: npt.NDArray[Any], spec: Cluster) -> npt.NDArray[np.float32]:
    """The kernel (..., O) with the mean of its cluster in place of each weight; a zero is zero."""
    labels = _labels(kernel, spec)
    sizes = np.bincount(labels.reshape(-1))
    sums = np.bincount(labels.reshape(-1), kernel.reshape(-1))
    return np.where(kernel == 0, 0, (sums / np.maximum(sizes, 1))[labels]).astype(np.float32)


def _per_channel(shape: tuple[int, ...], spec: Cluster) -> bool:
    return spec.per_channel and len(shape) > 2


def _labels(kernel: npt.NDArray[Any], spec: Cluster) -> npt.NDArray[np.int32]:
    """The cluster of each weight of (..., O), in the kernel's shape."""
    if not _per_channel(kernel.shape, spec):
        return centroids.labels(kernel.reshape(-1), spec.clusters).reshape(kernel.shape)
    channels = [
        spec.clusters * channel + centroids.labels(weights, spec.clusters)
        for channel, weights in enumerate(kernel.reshape(-1, kernel.shape[-1]).T)
    ]
    return np.stack(channels, axis=-1).reshape(kernel.shape)


def _check_made(before: dict[str, Any], made: dict[str, Any], spec: Cluster) -> None:
    faults = []
    for name, kernel in made.items():
        different = tied.distinct(kernel, per_channel=_per_channel(kernel.shape, spec))
        if different > spec.clusters:
            faults.append(f"{name} has {different} different weights")
        if np.any(kernel[before[name] == 0]):
            faults.append(f"{name} lost zeros")
    if faults:
        raise EdgebigError(
            f"clustering did not reach {spec.clusters} clusters: {', '.join(faults)}", "please report this"
        )
