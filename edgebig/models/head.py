"""The last layer, as what reads a .tflite expects it: one probability for each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebig.errors import EdgebigError
from edgebig.keras import keras


def layer(units: int, activation: str) -> Any:
    """The dense layer `probabilities`. Under mixed precision too it is float32: float16 has no p below 6e-8."""
    return keras.layers.Dense(units, activation=activation, name="probabilities", dtype="float32")


def check(model: Any, classes: int) -> None:
    """Raises EdgebigError where the head is one unit, and not one that has an exact form with two outputs."""
    last = model.layers[-1]
    if model.output_shape[-1] != 1 or classes != 2:
        return
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.sigmoid:
        raise EdgebigError(
            f"{model.name}: its one output comes from {last.name} ({type(last).__name__})",
            'let a head of one unit be Dense(1, activation="sigmoid"), or use Dense(2, activation="softmax")',
        )


def two_outputs(model: Any) -> Any:
    """The same function with (1 - p, p) in place of p = sigmoid(z): softmax(0, z). Other models as they are."""
    if model.output_shape[-1] != 1:
        return model
    last = model.layers[-1]
    head = keras.layers.Dense(2, activation="softmax", use_bias=last.use_bias, name=last.name)
    whole = keras.Model(model.inputs, head(last.input), name=model.name)
    head.set_weights([np.concatenate([np.zeros_like(value), value], axis=-1) for value in last.get_weights()])
    return whole
