"""Which channels of a model stand or fall together.

Each feature, an index of a tensor's last axis, is given the number of the unit that it belongs to. Convolutions and
dense layers make new units; BatchNormalization, activations, pooling and depthwise convolutions hand them on; Flatten
repeats them for each place in the picture; Concatenate puts them side by side; Add makes one unit of two. A unit is
what can be cut: all its features in all layers at once. Only NHWC models with one input and one output are understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig import cost
from edgebig.errors import EdgebigError
from edgebig.keras import keras

Ids = npt.NDArray[np.int64]
Keep = npt.NDArray[np.bool_]

# What a unit comes from and goes into; all other layers hand it on.
WEIGHTED = frozenset({"Conv2D", "Conv2DTranspose", "SeparableConv2D", "Dense"})
MERGES = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
RESHAPES = frozenset({"Flatten", "Reshape"})
CHANNELWISE = frozenset({
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "BatchNormalization",
    "ActivityRegularization", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D",
    "ZeroPadding2D", "Cropping2D", "UpSampling2D",
})  # fmt: skip
_OTHERS = frozenset({"InputLayer", "DepthwiseConv2D", "Concatenate"})
TAKEN = WEIGHTED | MERGES | RESHAPES | CHANNELWISE | _OTHERS
ELEMENTWISE = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "sigmoid", "hard_sigmoid", "tanh", "elu", "selu", "gelu", "swish",
    "silu", "softplus", "softsign", "exponential", "mish",
})  # fmt: skip
# Their outputs depend on all channels at once: those before them stay.
MIXING = frozenset({"softmax", "log_softmax", "softmax_v2", "log_softmax_v2"})


class Use(NamedTuple):
    """A layer of the model, the units of each of its inputs' features, and those of its output's."""

    layer: Any
    inputs: tuple[Ids, ...]
    output: Ids
    input_names: tuple[str, ...]

    @property
    def kind(self) -> str:
        return type(self.layer).__name__


@dataclass(frozen=True)
class Channels:
    """`uses`: of every layer, in the order of the data flow. `fixed` (units,): bool, what is never cut.

    `groups`: the units that can be cut, those made by the same layers together; sorted, none in two of them.
    """

    uses: tuple[Use, ...]
    fixed: Keep
    groups: tuple[Ids, ...]

    @property
    def units(self) -> int:
        return len(self.fixed)

    def consumers(self) -> list[Use]:
        """The layers that a unit ends in."""
        return [use for use in self.uses if use.kind in WEIGHTED]

    def counts(self, keep: Keep) -> dict[str, int]:
        """How many channels each convolution and dense layer has if `keep` (units,) is kept."""
        return {use.layer.name: int(keep[use.output].sum()) for use in self.consumers()}

    def everything(self) -> Keep:
        return np.ones(self.units, np.bool_)


def check(model: Any) -> None:
    """Raises EdgebigError that names every layer of a functional model whose channels cannot be followed, and why."""
    faults = [f"  {fault}" for layer, nodes in cost.calls(model) if (fault := _fault(layer, len(nodes)))]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        faults.append(
            f"  it has {len(model.inputs)} inputs and {len(model.outputs)} outputs; use one of each"
        )
    if faults:
        raise EdgebigError(
            f"{model.name}: slim cannot cut it because of {len(faults)} of its layers\n" + "\n".join(faults),
            "change these layers, or leave slim out; nothing was trained",
        )
    of(model)


def of(model: Any) -> Channels:
    """The units of a model whose layers `check` takes. Raises EdgebigError where none can be cut."""
    trace = _Trace()
    features: dict[str, Ids] = {}
    uses = []
    for layer, (node,) in cost.calls(model):
        before = [source.name for source, *_ in node.iterate_inbound()]
        inputs = [features[name] for name in before]
        features[layer.name] = output = trace.through(layer, inputs, node)
        uses.append(Use(layer, tuple(inputs), output, tuple(before)))
    trace.fixed.update(features[model.output_names[0]].tolist())
    roots = np.array([trace.root(unit) for unit in range(len(trace.parents))], np.int64)
    _, number = np.unique(roots, return_inverse=True)
    fixed = np.zeros(int(number.max()) + 1, np.bool_)
    fixed[number[sorted(trace.fixed)]] = True
    uses = [
        use._replace(inputs=tuple(number[ids] for ids in use.inputs), output=number[use.output])
        for use in uses
    ]
    groups = _groups(uses, fixed)
    if not groups:
        raise EdgebigError(
            f"{model.name}: slim finds no channel in it that could be cut",
            "it cuts what stands between two convolutions or dense layers",
        )
    return Channels(tuple(uses), fixed, groups)


def weight_axes(use: Use) -> dict[str, tuple[Ids | None, ...]]:
    """The units along each axis of each weight, by its attribute; None for an axis that is not cut."""
    layer, output = use.layer, use.output
    match use.kind:
        case "Conv2D":
            return {"kernel": (None, None, use.inputs[0], output), "bias": (output,)}
        case "Conv2DTranspose":
            return {"kernel": (None, None, output, use.inputs[0]), "bias": (output,)}
        case "Dense":
            return {"kernel": (use.inputs[0], output), "bias": (output,)}
        case "DepthwiseConv2D":
            return {"depthwise_kernel": (None, None, use.inputs[0], None), "bias": (output,)}
        case "SeparableConv2D":
            between = np.repeat(use.inputs[0], layer.depth_multiplier)
            return {
                "depthwise_kernel": (None, None, use.inputs[0], None),
                "pointwise_kernel": (None, None, between, output),
                "bias": (output,),
            }
        case "BatchNormalization":
            return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (output,))
        case "PReLU" if layer.alpha.shape[-1] == len(output):
            return {"alpha": (*[None] * (len(layer.alpha.shape) - 1), output)}
    return {}


def _groups(uses: Sequence[Use], fixed: Keep) -> tuple[Ids, ...]:
    makers: dict[int, tuple[str, ...]] = {}
    for use in uses:
        if use.kind in WEIGHTED:
            for unit in np.unique(use.output).tolist():
                makers[unit] = (*makers.get(unit, ()), use.layer.name)
    groups: dict[tuple[str, ...], list[int]] = {}
    for unit in sorted(makers):
        if not fixed[unit]:
            groups.setdefault(makers[unit], []).append(unit)
    return tuple(np.array(units, np.int64) for units in groups.values())


class _Trace:
    """Units while they are made and tied: a forest, each unit with its parent, and the units that must stay."""

    def __init__(self) -> None:
        self.parents: list[int] = []
        self.fixed: set[int] = set()

    def root(self, unit: int) -> int:
        while self.parents[unit] != unit:
            self.parents[unit] = unit = self.parents[self.parents[unit]]
        return unit

    def new(self, count: int) -> Ids:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def tie(self, a: Ids, b: Ids) -> None:
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            self.parents[self.root(one)] = self.root(other)

    def through(self, layer: Any, inputs: list[Ids], node: Any) -> Ids:
        """The units of a layer's output."""
        kind = type(layer).__name__
        if kind in WEIGHTED or kind == "InputLayer":
            output = self.new(
                int(layer.output_shape[0][-1] if kind == "InputLayer" else layer.output_shape[-1])
            )
        elif kind == "DepthwiseConv2D":
            output = np.repeat(inputs[0], layer.depth_multiplier)
        elif kind == "Concatenate":
            output = self.concatenated(layer, inputs)
        elif kind in MERGES:
            output = self.merged(layer, inputs)
        elif kind in RESHAPES:
            output = self.reshaped(layer, inputs[0])
        else:
            output = inputs[0]
        if kind in ("InputLayer", "Softmax") or activation(layer) in MIXING:
            self.fixed.update(output.tolist())
        return output

    def concatenated(self, layer: Any, inputs: list[Ids]) -> Ids:
        if layer.axis in (-1, len(layer.output_shape) - 1):
            return np.concatenate(inputs)
        for other in inputs[1:]:
            self.tie(inputs[0], other)
        return inputs[0]

    def merged(self, layer: Any, inputs: list[Ids]) -> Ids:
        widest = max(inputs, key=len)
        for ids in inputs:
            if len(ids) == len(widest):
                self.tie(ids, widest)
            elif type(layer).__name__ == "Multiply":
                self.fixed.update(ids.tolist())  # one map for all channels
            else:
                raise EdgebigError(
                    f"{layer.name} ({type(layer).__name__}): spreads one channel over {len(widest)}, "
                    "which slim cannot follow",
                    "let all that it takes have as many channels, or leave slim out",
                )
        return widest

    def reshaped(self, layer: Any, ids: Ids) -> Ids:
        size = int(layer.output_shape[-1])
        if size % len(ids) == 0:
            # Channels are last in memory: (..., H, W, C) flattened has feature place * C + c.
            return np.tile(ids, size // len(ids))
        if self.fixed.issuperset(ids.tolist()):
            output = self.new(size)
            self.fixed.update(output.tolist())
            return output
        raise EdgebigError(
            f"{layer.name} (Reshape): makes {size} channels of {len(ids)}, which slim cannot follow",
            "let the last side stay as it is, or hold all channels whole; or leave slim out",
        )


def activation(layer: Any) -> str:
    """The name of a built-in activation; "" for any other."""
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear"
    # A function of the user's own may have a built-in's name.
    built_in = str(getattr(function, "__module__", "")).startswith(("tf_keras.", "tensorflow."))
    return str(getattr(function, "__name__", "")) if built_in else ""


def _fault(layer: Any, calls: int) -> str:
    kind = type(layer).__name__
    name = f"{layer.name} ({kind})"
    if isinstance(layer, keras.Model):
        return f"{name}: a model inside the model; put its layers in directly"
    # A class of the user's own may have a built-in's name.
    if not type(layer).__module__.startswith("tf_keras.") or kind not in TAKEN:
        return f"{name}: its channels cannot be followed{_MENDS.get(kind, '')}"
    if calls > 1:
        return f"{name}: it is called {calls} times; use a layer of its own each time"
    if getattr(layer, "groups", 1) != 1:
        return f"{name}: its channels are in {layer.groups} groups; use groups=1 or a DepthwiseConv2D"
    if getattr(layer, "data_format", None) == "channels_first":
        return f"{name}: its channels come first; write the model with channels last"
    if kind == "BatchNormalization" and list(layer.axis) != [len(layer.input_shape) - 1]:
        return f"{name}: it is over axis {list(layer.axis)}; use the last one"
    if kind == "Softmax" and layer.axis not in (-1, len(layer.input_shape) - 1):
        return f"{name}: it is over axis {layer.axis}; use the last one"
    if activation(layer) not in ELEMENTWISE | MIXING:
        called = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        return (
            f"{name}: activation '{called}' is not known; use a built-in, such as relu, or a layer of its own"
        )
    return ""


_MENDS = {
    "Conv1D": "; write it as a Conv2D of height 1",
    "Lambda": "; write it with layers",
    "TFOpLambda": "; write it with layers, as in Add()([a, b]) for a + b",
    "Rescaling": "; edgebig scales pixels to [0, 1] already, leave it out",
}
