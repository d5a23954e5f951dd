"""keras-convnet: the layers of the Keras documentation's "Simple MNIST convnet", the yardstick of the recipes."""

from __future__ import annotations

from typing import Any

from edgebig.keras import keras
from edgebig.recipe import KerasConvnet


def build(spec: KerasConvnet, input_shape: tuple[int, int, int], classes: int) -> Any:
    """34,826 parameters for 28x28x1 and 10 classes. Source: keras.io/examples/vision/mnist_convnet."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(spec.dropout),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ],
        name="keras_convnet",
    )
