"""mlp: dense layers on the flattened picture."""

from __future__ import annotations

from typing import Any

from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.models import head
from edgebig.recipe import Mlp


def build(spec: Mlp, input_shape: tuple[int, int, int], classes: int) -> Any:
    """Flatten, the hidden layers, then softmax over the classes, or one sigmoid unit for the second of two."""
    layers = keras.layers
    if spec.head == "sigmoid" and classes != 2:
        raise EdgebigError(
            f'[model] head = "sigmoid" has one unit, for two classes; the data has {classes}',
            'use head = "softmax", or choose two with [data] classes',
        )
    image = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(image)
    for number, units in enumerate(spec.hidden, start=1):
        x = layers.Dense(units, activation=spec.activation, name=f"hidden_{number}")(x)
        if spec.dropout:
            x = layers.Dropout(spec.dropout, name=f"dropout_{number}")(x)
    units = 1 if spec.head == "sigmoid" else classes
    return keras.Model(image, head.layer(units, spec.head)(x), name="mlp")
