"""The kernels that pruning and clustering work on, and a model that trains while a function holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.keras import keras

# Layer class: its weight, and the argument that constrains it. DepthwiseConv2D is none of them: its weights are few,
# one channel hangs on each handful, and int8 gives each channel a scale of its own. tfmot passes it over as well.
_WEIGHT_OF = {
    **dict.fromkeys(
        (
            "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Dense", "LocallyConnected1D",
            "LocallyConnected2D",
        ),
        ("kernel", "kernel_constraint"),
    ),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), ("pointwise_kernel", "pointwise_constraint")),
    "Embedding": ("embeddings", "embeddings_constraint"),
}  # fmt: skip
# Keras has their kernels as (..., inputs, outputs).
INPUTS_THEN_OUTPUTS = frozenset({"Conv1D", "Conv2D", "Conv3D", "Dense", "SeparableConv1D", "SeparableConv2D"})
LEFT_ALONE = "has few weights, and each channel hangs on its own"


def find(model: Any) -> dict[str, Any]:
    """The kernel's variable of each layer that has one to work on, by the layer's name."""
    return {
        layer.name: getattr(layer, _WEIGHT_OF[type(layer).__name__][0])
        for layer in model.layers
        # A class of the user's own may have a built-in's name.
        if type(layer).__name__ in _WEIGHT_OF and type(layer).__module__.startswith("tf_keras.")
    }


def others(model: Any) -> dict[str, str]:
    """Why not, by the layer's name, for each layer with a kernel that `find` leaves out."""
    found = find(model)
    return {
        layer.name: f"{type(layer).__name__} {LEFT_ALONE}"
        if "Depthwise" in type(layer).__name__
        else f"{type(layer).__name__} is not known"
        for layer in model.layers
        if layer.name not in found and any("kernel" in weight.name for weight in layer.trainable_weights)
    }


def outputs_first(kernel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., I, O) as Keras has it -> (O, ..., I) as a .tflite stores it."""
    return np.moveaxis(kernel, -1, 0)


def outputs_last(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(O, ..., I) -> (..., I, O)."""
    return np.moveaxis(weights, 0, -1)


def held(model: Any, functions: Mapping[str, Callable[[Any], Any]]) -> Any:
    """A copy of `model` that puts the kernel of each of these layers through its function after every step.

    Keras's own constraints do it: no wrapper, so that a step costs what a float step costs and little more. Weights
    and their order are those of `model`.
    """

    def copy(layer: Any) -> Any:
        twin = type(layer).from_config(layer.get_config())
        if layer.name in functions:
            constraint = _WEIGHT_OF[type(layer).__name__][1]
            own, function = getattr(twin, constraint), functions[layer.name]
            setattr(twin, constraint, (lambda kernel: function(own(kernel))) if own else function)
        return twin

    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin
