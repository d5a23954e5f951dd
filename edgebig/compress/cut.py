"""The cut: a model without some of its channels, and which of them nobody would miss."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.compress.channels import (
    CHANNELWISE,
    MERGES,
    MIXING,
    RESHAPES,
    WEIGHTED,
    Channels,
    Keep,
    Use,
    activation,
    weight_axes,
)
from edgebig.keras import keras, tf

Values = npt.NDArray[np.float32]
# Of one constant that is computed at several places, by float32 sums in different orders.
_ROUNDING = 1e-6


def cut(model: Any, channels: Channels, keep: Keep) -> Any:
    """An ordinary model of the same layers with the features of the kept units alone; `model` stays as it is.

    keep: bool (units,); all that is fixed must be in it, and some unit of each group. A channel that goes, and always
    had the same value, is added to the biases of the layers that took it, where that is exact.
    """
    if not keep[channels.fixed].all() or not all(keep[use.output].any() for use in channels.uses):
        raise ValueError("a fixed unit, or a whole layer, is to be cut")
    folded = _folded_biases(channels, keep)
    config = copy.deepcopy(model.get_config())
    uses = {use.layer.name: use for use in channels.uses}
    for entry in config["layers"]:
        # It holds the shape before the cut.
        entry.pop("build_config", None)
        _shrink(entry["config"], uses[entry["config"]["name"]], keep)
        if entry["config"]["name"] in folded:
            entry["config"]["use_bias"] = True
    config.pop("build_input_shape", None)
    kind = keras.Sequential if isinstance(model, keras.Sequential) else keras.Model
    smaller = kind.from_config(config)
    for layer in smaller.layers:
        _hand_over(uses[layer.name], layer, keep, folded.get(layer.name))
    return smaller


def _shrink(config: dict[str, Any], use: Use, keep: Keep) -> None:
    left = int(keep[use.output].sum())
    match use.kind:
        case "Conv2D" | "Conv2DTranspose" | "SeparableConv2D":
            config["filters"] = left
        case "Dense":
            config["units"] = left
        case "Reshape" if config["target_shape"][-1] != -1:
            config["target_shape"] = (*config["target_shape"][:-1], left)


def _hand_over(use: Use, layer: Any, keep: Keep, folded: Values | None) -> None:
    """Sets the weights of the smaller `layer` from those of the layer of `use`."""
    axes = weight_axes(use)
    values = []
    for variable in layer.weights:
        name = next(name for name in axes if getattr(layer, name) is variable)
        old = getattr(use.layer, name)
        value = np.zeros(len(use.output), np.float32) if old is None else old.numpy()
        if name == "bias" and folded is not None:
            value = value + folded
        for axis, ids in enumerate(axes[name]):
            if ids is not None:
                value = np.compress(keep[ids], value, axis)
        values.append(value)
    layer.set_weights(values)


def _folded_biases(channels: Channels, keep: Keep) -> dict[str, Values]:
    """What the channels that go, and are constant, add to the outputs of the layers that took them."""
    known = constants(channels)
    folded = {}
    for use in filter(_folds, channels.consumers()):
        gone = np.where(keep[use.inputs[0]], 0, np.nan_to_num(known[use.input_names[0]]))
        if gone.any():
            folded[use.layer.name] = gone.astype(np.float32) @ _response(use)
    return folded


def dead(channels: Channels) -> Keep:
    """bool (units,): those without which the outputs are the same for every input, once `cut` has folded constants.

    Each layer that takes such a unit takes it with weights that are all 0, or it is 0 for every input, or it is another
    constant and the layer has no border, where padding would take its place.
    """
    known = constants(channels)
    alive = channels.fixed.copy()
    for use in channels.consumers():
        value = known[use.input_names[0]]
        missed = np.isnan(value) if _folds(use) else value != 0  # NaN is not 0 either
        alive[use.inputs[0][missed & _used(use)]] = True
    return ~alive


def constants(channels: Channels) -> dict[str, Values]:
    """float32 (features,) of the output of each layer: its value where that is the same for every input, else NaN."""
    known: dict[str, Values] = {}
    for use in channels.uses:
        name = use.layer.name
        known[name] = _constants(use, [known[before] for before in use.input_names])
    return known


def _constants(use: Use, inputs: list[Values]) -> Values:
    unknown = np.full(len(use.output), np.nan, np.float32)
    if use.kind in ("InputLayer", "Softmax") or activation(use.layer) in MIXING:
        return unknown
    candidates = ~_varies(use, inputs)
    if not candidates.any():
        return unknown
    values = _computed(use, [np.nan_to_num(value) for value in inputs])
    low, high = values.min(axis=0), values.max(axis=0)
    # Else it is not the same everywhere in the picture: beside a border there is padding.
    same = high - low <= _ROUNDING * np.minimum(np.abs(low), np.abs(high))
    return np.where(candidates & same, low, np.nan).astype(np.float32)


def _computed(use: Use, inputs: list[Values]) -> Values:
    """(places, features): the layer's outputs where each channel of its inputs has one value everywhere."""
    shapes = use.layer.input_shape if isinstance(use.layer.input_shape, list) else [use.layer.input_shape]
    tensors = [
        tf.constant(np.broadcast_to(value, (1, *shape[1:])), tf.float32)
        for value, shape in zip(inputs, shapes, strict=True)
    ]
    output = use.layer(tensors if len(tensors) > 1 or use.kind in MERGES else tensors[0], training=False)
    return np.asarray(output).reshape(-1, len(use.output))


def _varies(use: Use, inputs: list[Values]) -> Keep:
    """bool (features,): those that depend on a feature of the inputs that varies."""
    layer, varying = use.layer, [np.isnan(value) for value in inputs]
    first = varying[0]
    if use.kind in WEIGHTED:
        return np.asarray((first[:, None] & _linked(use)).any(axis=0))
    if use.kind == "DepthwiseConv2D":
        linked = (layer.depthwise_kernel.numpy() != 0).any(axis=(0, 1))
        return np.asarray(first[:, None] & linked).reshape(-1)
    if use.kind == "BatchNormalization" and layer.scale:
        return np.asarray(first & (layer.gamma.numpy() != 0))
    if use.kind == "Concatenate" and len(use.output) != len(first):
        return np.concatenate(varying)
    if use.kind == "Concatenate" or use.kind in MERGES:
        either = np.logical_or.reduce([np.broadcast_to(one, use.output.shape) for one in varying])
        if use.kind == "Multiply":
            either &= ~np.logical_or.reduce([np.broadcast_to(one == 0, use.output.shape) for one in inputs])
        return np.asarray(either)
    if use.kind in RESHAPES:
        if len(use.output) % len(first):
            return np.full(use.output.shape, first.any())
        return np.tile(first, len(use.output) // len(first))
    assert use.kind in CHANNELWISE, use.kind
    return first


def _folds(use: Use) -> bool:
    """Whether a constant input adds the same at each place: no padding is mixed in."""
    if use.kind == "Dense":
        return True
    one = all(size == 1 for size in use.layer.kernel_size)
    return use.kind != "Conv2DTranspose" and (use.layer.padding == "valid" or one)


def _used(use: Use) -> Keep:
    """bool (features in,): those that have a weight other than 0."""
    return np.asarray(_linked(use).any(axis=1))


def _linked(use: Use) -> Keep:
    """bool (features in, features out): where there is a weight other than 0 between them."""
    layer = use.layer
    if use.kind == "SeparableConv2D":
        depthwise = (layer.depthwise_kernel.numpy() != 0).any(axis=(0, 1))
        pointwise = layer.pointwise_kernel.numpy()[0, 0].reshape(*depthwise.shape, -1) != 0
        return np.asarray((depthwise[:, :, None] & pointwise).any(axis=1))
    linked = (layer.kernel.numpy() != 0).any(axis=tuple(range(layer.kernel.shape.rank - 2)))
    return np.asarray(linked.T if use.kind == "Conv2DTranspose" else linked)


def _response(use: Use) -> Values:
    """float32 (features in, features out): what a 1 everywhere in a feature adds, where there is no border."""
    layer = use.layer
    if use.kind == "SeparableConv2D":
        depthwise = layer.depthwise_kernel.numpy().sum(axis=(0, 1))
        pointwise = layer.pointwise_kernel.numpy()[0, 0].reshape(*depthwise.shape, -1)
        return np.asarray(np.einsum("im,imo->io", depthwise, pointwise))
    return np.asarray(layer.kernel.numpy().sum(axis=tuple(range(layer.kernel.shape.rank - 2))))
