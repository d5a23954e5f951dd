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
    """28x28 -> 14x14 (5x5, stride 2), residual 3x3s -> 7x7 (3x3, stride 2), residual 3x3s, depthwise head, dense."""
    layers = keras.layers
    first, second = spec.channels

    def conv(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input(input_shape, name="image")
    x = conv(image, first, 5, 2, "stem")
    for block in range(1, spec.blocks[0] + 1):
        x = layers.Add(name=f"stage1_{block}_add")([x, conv(x, first, 3, 1, f"stage1_{block}")])
    x = conv(x, second, 3, 2, "down")
    for block in range(1, spec.blocks[1] + 1):
        x = layers.Add(name=f"stage2_{block}_add")([x, conv(x, second, 3, 1, f"stage2_{block}")])
    x = layers.DepthwiseConv2D(x.shape[1:3], padding="valid", use_bias=False, name="head")(x)
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, head.layer(classes, "softmax")(x), name="digit_cnn")
