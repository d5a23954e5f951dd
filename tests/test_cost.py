"""Multiplications and parameters, against sums made by hand and against the shapes in a .tflite."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgebig.errors import EdgebigError

pytestmark = pytest.mark.tf


def by_name(model: Any) -> dict[str, tuple[int, int]]:
    from edgebig import cost

    return {layer.name: (layer.macs, layer.parameters) for layer in cost.of(model)}


def test_each_layer_by_hand() -> None:
    from edgebig import cost
    from edgebig.keras import keras

    layers = keras.layers
    image = keras.Input((12, 10, 3), name="image")
    x = layers.Conv2D(8, (3, 5), strides=2, padding="same", name="strided")(image)  # 6x5x8
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2, use_bias=False, name="dilated")(x)
    x = layers.Conv2D(4, 1, groups=2, name="grouped")(x)  # 6x5x4
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)  # 4x3x8
    x = layers.SeparableConv2D(6, 2, depth_multiplier=3, padding="same", name="separable")(x)  # 4x3x6
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same", name="transposed")(x)  # 8x6x5
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.Dense(7, name="each_place")(x)
    x = layers.Flatten(name="flatten")(layers.Add(name="add")([x, x]))
    model = keras.Model(image, layers.Dense(2, name="dense")(x))
    table = {
        "strided": (6 * 5 * 3 * 5 * 3 * 8, 3 * 5 * 3 * 8 + 8),
        "bn": (0, 4 * 8),
        "dilated": (6 * 5 * 9 * 8 * 8, 9 * 8 * 8),
        "grouped": (6 * 5 * 4 * 4, 4 * 4 + 4),  # each output takes 4 of the 8 channels
        "depthwise": (4 * 3 * 9 * 8, 9 * 8 + 8),
        "separable": (4 * 3 * (4 * 24 + 24 * 6), 4 * 24 + 24 * 6 + 6),
        "transposed": (4 * 3 * 9 * 6 * 5, 9 * 6 * 5 + 5),
        "prelu": (0, 5),
        "each_place": (8 * 6 * 5 * 7, 5 * 7 + 7),
        "add": (0, 0),
        "flatten": (0, 0),
        "dense": (8 * 6 * 7 * 2, 8 * 6 * 7 * 2 + 2),
    }
    assert by_name(model) == table
    assert cost.macs(model) == sum(macs for macs, _ in table.values())
    assert model.count_params() == sum(parameters for _, parameters in table.values())


def test_the_yardstick_by_hand() -> None:
    from edgebig import cost, models
    from edgebig.recipe import KerasConvnet

    model = models.build(KerasConvnet(name="keras-convnet"), (28, 28, 1), 10)
    assert cost.macs(model) == 26 * 26 * 9 * 32 + 11 * 11 * 9 * 32 * 64 + 1600 * 10
    assert sum(layer.parameters for layer in cost.of(model)) == 34_826


def test_a_shared_layer_and_a_model_inside_cost_as_often_as_they_are_called() -> None:
    from edgebig import cost
    from edgebig.keras import keras

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="d")], name="inner")
    x = keras.Input((4,), name="x")
    model = keras.Model(x, inner(inner(x)))
    assert cost.macs(inner) == 16  # and not the calls that another model makes
    assert by_name(model) == {"inner": (32, 20)}


def test_the_multiplications_are_those_of_the_tflite() -> None:
    from edgebig import convert, cost, models
    from edgebig.flatbuffer import builtin_name, parse_model
    from edgebig.recipe import DigitCnn

    spec = DigitCnn(name="digit-cnn", channels=(4, 6), blocks=(1, 1))
    model = models.build(spec, (28, 28, 1), 10)
    parsed = parse_model(convert.to_tflite(model, int8=False), "model")
    graph, total = parsed["subgraphs"][0], 0
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        name = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernel = graph["tensors"][operator["inputs"][1]]["shape"]
            output = graph["tensors"][operator["outputs"][0]]["shape"]
            total += math.prod(kernel) * math.prod(output[:-1])
    assert total == cost.macs(model) > 0


def test_what_is_not_known_is_refused_by_name() -> None:
    from edgebig import cost
    from edgebig.keras import keras

    layers = keras.layers
    sequence = keras.Input((5, 4))
    with pytest.raises(EdgebigError, match=r"^memory \(LSTM\): nobody knows"):
        cost.of(keras.Model(sequence, layers.LSTM(3, name="memory")(sequence)))
    with pytest.raises(EdgebigError, match=r"\(TFOpLambda\): nobody knows"):
        cost.of(keras.Model(sequence, sequence @ keras.backend.ones((4, 2))))
    any_size = keras.Input((None, None, 3))
    with pytest.raises(EdgebigError, match=r"^conv \(Conv2D\): a side of its pictures \(None, None, 3\)"):
        cost.of(keras.Model(any_size, layers.Conv2D(4, 3, name="conv")(any_size)))
    with pytest.raises(EdgebigError, match="no functional model"):
        cost.of(keras.Sequential([layers.Dense(3)], name="open"))
