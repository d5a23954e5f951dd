"""A model's name -> an uncompiled Keras model; one file a family."""

from __future__ import annotations

from typing import Any

from edgebig.recipe import DigitCnn, KerasConvnet


def build(spec: DigitCnn | KerasConvnet, input_shape: tuple[int, int, int], classes: int) -> Any:
    """An uncompiled functional model: float32 (N, H, W, C) in [0, 1] -> float32 (N, classes) probabilities."""
    from edgebig.models import digit_cnn, keras_convnet

    match spec:
        case DigitCnn():
            return digit_cnn.build(spec, input_shape, classes)
        case KerasConvnet():
            return keras_convnet.build(spec, input_shape, classes)
