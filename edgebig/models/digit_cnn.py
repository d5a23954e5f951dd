"""digit-cnn: a small residual net whose cost lies where int8 kernels are good, in dense 3x3 convolutions.

Separable nets of the same accuracy have fewer multiplications, but with int8 dot-product instructions they run no
faster than keras-convnet, since depthwise convolutions do not use them. A depthwise convolution as wide as the last
map stands for global pooling, and learns where in the picture each feature counts.
"""

from __future__ import annotations

from typing import Any

from edgebig.keras import keras
from edgebig.models import head
from edgebig.recipe import DigitCnn


def build(spec: DigitCnn, input_shape: tuple[int, int, int], classes: int) -> Any:
    """A 5x5 of stride 2, then for each further stage a 3x3 of stride 2; residual 3x3s; depthwise head; dense."""
    layers = keras.layers

    def conv(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input(input_shape, name="image")
    x = image
    for stage, (channels, blocks) in enumerate(zip(spec.channels, spec.blocks, strict=True), start=1):
        x = conv(x, channels, 5 if stage == 1 else 3, 2, f"down{stage}")
        for block in range(1, blocks + 1):
            name = f"stage{stage}_{block}"
            x = layers.Add(name=f"{name}_add")([x, conv(x, channels, 3, 1, name)])
    x = layers.DepthwiseConv2D(x.shape[1:3], padding="valid", use_bias=False, name="head")(x)
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name="dropout")(x)
    return keras.Model(image, head.layer(classes, "softmax")(x), name="digit_cnn")
