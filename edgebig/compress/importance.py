"""How much a channel matters: by its BatchNorm scale, or by what the loss says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.compress.channels import WEIGHTED, Channels, weight_axes
from edgebig.keras import tf

Scores = npt.NDArray[np.float64]


def scaled(channels: Channels) -> list[Any]:
    """The BatchNormalization layers whose scales rank channels that can be cut."""
    return [
        use.layer
        for use in channels.uses
        if use.kind == "BatchNormalization" and use.layer.scale and not channels.fixed[use.output].all()
    ]


def by_scale(channels: Channels) -> Scores:
    """(units,): the mean of a unit's |gamma|, each as a share of its layer's sum, so that layers compare.

    Liu et al., "Learning Efficient Convolutional Networks through Network Slimming" (2017). A unit without
    BatchNormalization is ranked by the L2 norms of its kernels.
    """
    scales, norms = _Mean(channels.units), _Mean(channels.units)
    for use in channels.uses:
        if use.kind == "BatchNormalization" and use.layer.scale:
            scales.add(use.output, np.abs(use.layer.gamma.numpy()))
        elif use.kind in WEIGHTED:
            name, axes = next(
                (name, axes)
                for name, axes in weight_axes(use).items()
                if name.endswith("kernel") and axes[-1 if use.kind != "Conv2DTranspose" else 2] is use.output
            )
            kernel = getattr(use.layer, name).numpy().astype(np.float64)
            others = tuple(axis for axis, ids in enumerate(axes) if ids is not use.output)
            norms.add(use.output, np.sqrt((kernel**2).sum(axis=others)))
    return np.where(scales.counts > 0, scales.mean(), norms.mean())


class _Mean:
    def __init__(self, units: int) -> None:
        self.sums, self.counts = np.zeros(units), np.zeros(units)

    def add(self, ids: Any, values: Any) -> None:
        """values (features,) of one layer, as shares of their sum."""
        np.add.at(self.sums, ids, values / max(float(values.sum()), 1e-30))
        np.add.at(self.counts, ids, 1)

    def mean(self) -> Scores:
        return self.sums / np.maximum(self.counts, 1)


def by_loss(
    model: Any,
    channels: Channels,
    loss: Callable[[Any, Any], Any],
    batches: Iterable[tuple[Any, Any]],
) -> Scores:
    """(units,): the square of the loss's first-order change if a unit is taken away, its mean over the batches.

    Molchanov et al., "Importance Estimation for Neural Network Pruning" (2019), equation 8, with a gate on what the
    layers take: a unit is gone where every layer that takes it multiplies it by 0. The change is then the sum of
    weight times gradient over those weights, also where tied channels come from several layers.
    """
    kernels, ids, others = [], [], []
    for use in channels.consumers():
        name = "depthwise_kernel" if use.kind == "SeparableConv2D" else "kernel"
        axis = {"Dense": 0, "Conv2DTranspose": 3}.get(use.kind, 2)
        kernel = getattr(use.layer, name)
        kernels.append(kernel)
        ids.append(tf.constant(use.inputs[0]))
        others.append([other for other in range(kernel.shape.rank) if other != axis])

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # TensorFlow has no types.
    def change(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            value = tf.reduce_mean(loss(labels, model(images, training=False)))
        gradients = tape.gradient(value, kernels)
        total = tf.zeros([channels.units])
        for kernel, gradient, features, axes in zip(kernels, gradients, ids, others, strict=True):
            parts = tf.reduce_sum(kernel * gradient, axis=axes)
            total += tf.math.unsorted_segment_sum(parts, features, channels.units)
        return total

    squares, count = np.zeros(channels.units), 0
    for images, labels in batches:
        squares += np.asarray(change(images, labels), np.float64) ** 2
        count += 1
    return squares / count
