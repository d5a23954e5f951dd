"""A Keras model against the .tflite that was made from it: every layer is found, after what is fused behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebig.check import layers, running
from edgebig.check.running import Model, Side
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError

GREY = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}
pytestmark = [pytest.mark.tf, pytest.mark.slow]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small net with all that a converter fuses or splits, untrained but with lively BatchNormalizations."""
    from edgebig.keras import keras, tf

    inner = keras.layers
    keras.utils.set_random_seed(0)
    given = inner.Input((12, 12, 1), name="image")
    x = inner.Conv2D(4, 3, use_bias=False, padding="same", name="stem")(given)
    x = inner.BatchNormalization(name="stem_bn")(x)
    x = kept = inner.ReLU(name="stem_relu")(x)
    x = inner.SeparableConv2D(4, 3, padding="same", activation="relu", name="separable")(x)
    x = inner.Add(name="sum")([kept, x])
    x = inner.DepthwiseConv2D(3, strides=2, name="depthwise")(x)
    x = inner.Activation("relu", name="depthwise_relu")(x)
    x = inner.MaxPooling2D(2, name="pool")(x)
    x = inner.Dropout(0.5, name="drop")(x)
    x = inner.Flatten(name="flat")(x)
    x = inner.Dense(6, activation="relu", name="hidden")(x)
    model = keras.Model(given, inner.Dense(3, activation="softmax", name="scores")(x), name="net")
    draw = np.random.default_rng(0)
    norm = model.get_layer("stem_bn")
    norm.set_weights([draw.uniform(0.5, 1.5, 4), *draw.normal(0, 0.3, (2, 4)), draw.uniform(0.5, 1.5, 4)])
    folder = tmp_path_factory.mktemp("pair")
    model.save(folder / "model.keras")
    # A fixed batch, as edgebig's own conversion has it.
    function = tf.function(model).get_concrete_function(tf.TensorSpec((1, 12, 12, 1), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    (folder / "float32.tflite").write_bytes(converter.convert())
    return folder / "model.keras", folder / "float32.tflite"


@pytest.fixture(scope="module")
def noise() -> Examples:
    draw = np.random.default_rng(1)
    return Examples(draw.integers(0, 256, (30, 12, 12, 1), np.uint8), np.zeros(30, np.int64))


def test_every_layer_of_a_float_model_is_the_same(
    pair: tuple[Path, Path], noise: Examples, tmp_path: Path
) -> None:
    keras_side, tflite_side = (Side(path.name, path, GREY) for path in pair)
    first, outputs = running.keras_values(keras_side, noise, noise[:8], tmp_path / "a", 300.0)
    model = Model(tflite_side)
    second = running.values(model, noise[:8], tmp_path / "b", 100.0)
    found = layers.compare(first, second, tmp_path, 100.0)
    assert [layer.first for layer in found.layers] == [
        "stem", "separable", "sum", "depthwise", "pool", "flat", "hidden", "scores"
    ]  # fmt: skip
    assert found.n == 8
    for layer in found.layers:
        assert layer.accumulated.largest < 1e-5, layer
        assert layer.own is not None
        assert layer.own.largest < 1e-5, layer
    # The depthwise half of a SeparableConv2D, and the dense layer before its softmax, have no layer in Keras.
    assert len(found.only_second) == 2
    real = running.outputs(model, noise, tmp_path / "c", 100.0).real
    assert outputs.real.shape == real.shape == (30, 3)
    assert np.abs(outputs.real - real).max() < 1e-5


def test_what_is_no_model_is_one_message(noise: Examples, tmp_path: Path) -> None:
    (tmp_path / "x.keras").write_bytes(b"no zip")
    with pytest.raises(EdgebigError, match=r"x\.keras: it does not run: tf_keras cannot load it"):
        running.keras_values(Side("x.keras", tmp_path / "x.keras", GREY), noise, noise, tmp_path / "a", 300.0)


def test_other_pictures_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    large = Examples(np.zeros((2, 14, 14, 1), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(EdgebigError, match=r"takes \(12, 12, 1\), the pictures are \(14, 14, 1\)"):
        running.keras_values(Side("m", pair[0], GREY), large, large, tmp_path / "a", 300.0)
