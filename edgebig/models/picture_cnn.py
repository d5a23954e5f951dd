"""picture-cnn: a residual net of dense 3x3 convolutions for pictures of any size, grey or in colour."""

from __future__ import annotations

from typing import Any

from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.models import head
from edgebig.recipe import PictureCnn


def build(spec: PictureCnn, input_shape: tuple[int, int, int], classes: int) -> Any:
    """A 5x5 stem of stride 2, then for each further stage a 3x3 of stride 2; residual 3x3s; mean over the map; dense.

    Global averaging, unlike digit-cnn's head, does not grow with the picture.
    """
    layers = keras.layers
    smallest = 2 ** len(spec.channels)
    if min(input_shape[:2]) < smallest:
        raise EdgebigError(
            f"[model] channels: {len(spec.channels)} stages halve the picture as often; "
            f"{input_shape[0]}x{input_shape[1]} is too small for that",
            f"leave some out, or have pictures of at least {smallest}x{smallest}",
        )

    def conv(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input(input_shape, name="image")
    x = image
    for stage, channels in enumerate(spec.channels, start=1):
        x = conv(x, channels, 5 if stage == 1 else 3, 2, f"down{stage}")
        for block in range(1, spec.blocks + 1):
            name = f"stage{stage}_{block}"
            x = layers.Add(name=f"{name}_add")([x, conv(x, channels, 3, 1, name)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name="dropout")(x)
    return keras.Model(image, head.layer(classes, "softmax")(x), name="picture_cnn")
