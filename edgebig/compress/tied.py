"""Training that keeps what a pass before it made of the kernels: zeros stay zero, equal weights stay equal.

After each step the kernel is projected: a pruned weight back to zero, weights of one cluster to their mean, the nearest
kernel that is tied so. It takes any layer class and leaves no variables behind. (The collaborative schemes of
tensorflow-model-optimization 0.8.1 take Conv2D and Dense alone, and in the one that keeps zeros and clusters all layers
share a quantizer, which stops keeping zeros when it meets a layer that has none.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgebig.keras import tf


def tie(model: Any, *, zeros: bool, clusters: int = 0, per_channel: bool = False) -> list[str]:
    """From now on training keeps the zeros of all kernels, and those kernels clustered that hold few values.

    `clusters`: at most so many different values in a kernel, or, `per_channel`, in each channel of its last axis;
    0 is none. Gives the paths of the kernels that it ties. Optimizers apply it: nothing is to be undone.
    """
    tied = []
    for variable in model.trainable_variables:
        if "kernel" not in variable.name:
            continue
        project = _projection(variable.numpy(), zeros=zeros, clusters=clusters, per_channel=per_channel)
        if project is not None:
            # A constructor's argument, but these variables were made by layers that tfmot has copied since.
            variable._constraint = _after(variable.constraint, project)
            tied.append(variable.name)
    return tied


def distinct(kernel: Any, *, per_channel: bool = False) -> int:
    """How many different values there are in `kernel`, or at most in a channel of its last axis."""
    if not per_channel:
        return len(np.unique(kernel))
    return max(len(np.unique(channel)) for channel in np.moveaxis(kernel, -1, 0))


def _projection(kernel: Any, *, zeros: bool, clusters: int, per_channel: bool) -> Any:
    """A function of the kernel after a step, or None where nothing of it is tied."""
    if 0 < distinct(kernel) <= clusters:
        _, index = np.unique(kernel, return_inverse=True)
    elif per_channel and distinct(kernel, per_channel=True) <= clusters:
        channel = np.broadcast_to(np.arange(kernel.shape[-1]), kernel.shape)
        pairs = np.stack([channel.ravel().astype(np.float64), kernel.ravel()])
        _, index = np.unique(pairs, axis=1, return_inverse=True)
    else:
        if not zeros or np.all(kernel != 0):
            return None
        kept = tf.constant((kernel != 0).astype(np.float32))
        return lambda weights: weights * kept
    index = tf.constant(index.reshape(kernel.shape), tf.int32)
    total = int(np.max(index)) + 1
    of_cluster = np.ones(total, np.float32)
    if zeros:
        of_cluster[np.unique(index.numpy()[kernel == 0])] = 0

    def project(weights: Any) -> Any:
        return tf.gather(tf.math.unsorted_segment_mean(weights, index, total) * of_cluster, index)

    return project


def _after(first: Callable[[Any], Any] | None, then: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return then if first is None else lambda weights: then(first(weights))
