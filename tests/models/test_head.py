"""One sigmoid unit ships as two outputs: the same function, in Keras and in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgebig.errors import EdgebigError
from edgebig.recipe import Mlp

pytestmark = pytest.mark.tf
SHAPE = (6, 5, 1)


def images(count: int = 200) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(1).integers(0, 256, (count, *SHAPE)) / 255).astype(np.float32)


def sigmoid_model(*, use_bias: bool = True, spread: float = 3.0) -> Any:
    """Its weights are drawn so wide that p comes near 0 and near 1."""
    from edgebig.keras import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input(SHAPE)
    x = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(picture))
    model = keras.Model(picture, keras.layers.Dense(1, activation="sigmoid", use_bias=use_bias, name="p")(x))
    chance = np.random.default_rng(0)
    model.set_weights([chance.normal(0, spread, value.shape) for value in model.get_weights()])
    return model


@pytest.mark.parametrize("use_bias", [True, False])
def test_two_outputs_are_the_same_function(use_bias: bool) -> None:
    from edgebig.models import head

    model = sigmoid_model(use_bias=use_bias)
    p = model.predict(images(), verbose=0)[:, 0].astype(np.float64)
    assert p.min() < 0.01
    assert p.max() > 0.99
    two = head.two_outputs(model)
    made = two.predict(images(), verbose=0)
    assert made.shape == (200, 2)
    np.testing.assert_allclose(made, np.stack([1 - p, p], axis=1), rtol=0, atol=1e-6)
    assert two.layers[-1].name == "p"
    assert two.count_params() == model.count_params() + 4 + use_bias


def test_what_has_two_outputs_stays_as_it_is() -> None:
    from edgebig import models
    from edgebig.models import head

    model = models.build(Mlp(name="mlp"), SHAPE, 2)
    assert head.two_outputs(model) is model


def test_the_file_is_the_same_function(tmp_path: Path) -> None:
    from edgebig import convert
    from edgebig.models import head
    from edgebig.ondevice import infer

    model = sigmoid_model()
    path = tmp_path / "m.tflite"
    path.write_bytes(convert.to_tflite(head.two_outputs(model), int8=False))
    preprocessing = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}
    pictures = np.round(images() * 255).astype(np.uint8)
    made = infer.classify(infer.Model(str(path), "ai-edge-litert", "reference", 1), pictures, preprocessing)
    p = model.predict(images(), verbose=0)[:, 0].astype(np.float64)
    np.testing.assert_allclose(made, np.stack([1 - p, p], axis=1), rtol=0, atol=1e-6)


def test_another_head_of_one_unit_is_refused() -> None:
    from edgebig.keras import keras
    from edgebig.models import head

    picture = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(picture)
    for last in (
        keras.layers.Dense(1, name="last"),
        keras.layers.Dense(1, activation="tanh", name="last"),
        keras.layers.Conv1D(1, 1, name="last"),
    ):
        model = keras.Model(
            picture, last(flat[:, None] if "Conv" in type(last).__name__ else flat), name="net"
        )
        with pytest.raises(EdgebigError, match=r"^net: its one output comes from last") as caught:
            head.check(model, 2)
        assert 'Dense(1, activation="sigmoid")' in caught.value.hint
    head.check(sigmoid_model(), 2)
