"""What a Keras model costs: multiplications (MACs) and parameters, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgebig.errors import EdgebigError
from edgebig.keras import keras

_Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class LayerCost:
    """`macs`: multiply-accumulates for one example; `parameters`: of them all, trainable or not."""

    name: str
    kind: str
    macs: int
    parameters: int


def of(model: Any) -> tuple[LayerCost, ...]:
    """The cost of each layer of a functional or sequential model, in the order of the data flow.

    Convolutions and dense layers are counted; additions, pooling, activations and BatchNormalization (which folds into
    the layer before it) have no MACs. A transposed convolution counts kernel times input positions, those that
    padding "same" cuts off again too. A layer that is called several times costs its MACs as often.
    Raises EdgebigError where a layer's MACs are not known, or its shape is not.
    """
    return tuple(
        _layer_cost(layer, nodes)
        for layer, nodes in calls(model)
        if not isinstance(layer, keras.layers.InputLayer)
    )


def macs(model: Any) -> int:
    """Of the whole model, for one example. Raises EdgebigError as `of`."""
    return sum(layer.macs for layer in of(model))


def calls(model: Any) -> list[tuple[Any, list[Any]]]:
    """Each layer of a functional or sequential model, inputs first, with the nodes where the model calls it.

    A layer comes after those whose outputs it takes, if it is called once.
    """
    if not getattr(model, "_is_graph_network", False):
        raise EdgebigError(
            f"{model.name}: no functional model, so that its shapes are not known",
            "write it as a functional model, or as a Sequential that begins with Input(shape)",
        )
    found: dict[int, tuple[Any, list[Any]]] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            found.setdefault(id(node.layer), (node.layer, []))[1].append(node)
    return list(found.values())


def _layer_cost(layer: Any, nodes: list[Any]) -> LayerCost:
    kind = type(layer).__name__
    if isinstance(layer, keras.Model):
        once = macs(layer)
        return LayerCost(layer.name, kind, once * len(nodes), int(layer.count_params()))
    built_in = type(layer).__module__.startswith("tf_keras.")
    counted = _MACS.get(kind) if built_in else None
    if counted is None and not (built_in and (kind in _FREE or not (layer.weights or kind in _UNKNOWN))):
        raise EdgebigError(
            f"{layer.name} ({kind}): nobody knows how many multiplications it takes",
            f"counted are {', '.join(sorted(_MACS))}",
        )
    total = sum(counted(layer, _shape(layer, node.input_shapes), _shape(layer, node.output_shapes))
                for node in nodes) if counted else 0  # fmt: skip
    return LayerCost(layer.name, kind, total, int(layer.count_params()))


def _shape(layer: Any, shape: _Shape) -> tuple[int, ...]:
    """Without the batch."""
    if None in shape[1:]:
        raise EdgebigError(
            f"{layer.name} ({type(layer).__name__}): a side of its pictures {tuple(shape[1:])} is not known",
            "give the model's Input its height and width",
        )
    return tuple(size for size in shape[1:] if size is not None)


def _size(weight: Any) -> int:
    return math.prod(map(int, weight.shape))


def _convolution(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    # The kernel (..., channels in / groups, channels out) is used at each position of the output.
    return _size(layer.kernel) * (math.prod(after) // int(layer.filters))


def _transposed(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    # (..., channels out, channels in), at each position of the input.
    return _size(layer.kernel) * (math.prod(before) // int(layer.kernel.shape[-1]))


def _depthwise(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    kernel = tuple(map(int, layer.depthwise_kernel.shape))
    return math.prod(kernel) * (math.prod(after) // (kernel[-2] * kernel[-1]))


def _separable(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    positions = math.prod(after) // int(layer.filters)
    return positions * (_size(layer.depthwise_kernel) + _size(layer.pointwise_kernel))


def _dense(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    return math.prod(after) * int(layer.kernel.shape[0])


_MACS: dict[str, Callable[[Any, tuple[int, ...], tuple[int, ...]], int]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    "Dense": _dense,
}
# They have weights, and no multiplications that count.
_FREE = frozenset({
    "BatchNormalization", "SyncBatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization",
    "PReLU", "Embedding", "Normalization", "Rescaling",
})  # fmt: skip
# Without weights, and what they multiply is not told by their class.
_UNKNOWN = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "Dot", "Attention", "AdditiveAttention"})
