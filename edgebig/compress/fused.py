"""Which layers become one int8 operator, and stand or fall together: Conv2D -> BatchNormalization -> ReLU is one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from edgebig.keras import keras

# tfmot lets BatchNormalization follow Dense and Conv2DTranspose too, and they come out in float.
FOLDED_INTO = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_RELU_GOES_INTO = ("Add", "BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "SeparableConv2D")


def groups(model: Any) -> list[tuple[str, ...]]:
    """The layers of `model` but its inputs, in order, as the names of those that are one operator."""
    found: dict[str, list[str]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        before = only_source(layer)
        joins = before is not None and before.name in found and _joins(layer, before)
        group = found[before.name] if before is not None and joins else []
        group.append(layer.name)
        found[layer.name] = group
    return [tuple(group) for name, group in found.items() if group[0] == name]


def with_groups(model: Any, names: Collection[str]) -> frozenset[str]:
    """`names`, and all layers that are one operator with one of them."""
    return frozenset(name for group in groups(model) if set(group) & set(names) for name in group)


def only_source(layer: Any) -> Any:
    """The one layer that `layer` takes its input from, if nothing else does; else None."""
    if len(layer.inbound_nodes) != 1:
        return None
    before = layer.inbound_nodes[0].inbound_layers
    if isinstance(before, list) or len(before.outbound_nodes) != 1:
        return None
    return before


def consumers(layer: Any) -> Iterator[Any]:
    """The layers that take what `layer` gives."""
    return (node.outbound_layer for node in layer.outbound_nodes)


def _joins(layer: Any, before: Any) -> bool:
    kind, kind_before = type(layer).__name__, type(before).__name__
    linear = getattr(before, "activation", None) in (None, keras.activations.linear)
    if kind == "BatchNormalization":
        return kind_before in FOLDED_INTO and linear
    relu = kind == "ReLU" or (kind == "Activation" and layer.activation is keras.activations.relu)
    return relu and kind_before in _RELU_GOES_INTO and linear
