"""The shapes, sizes and promises of the model families."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebig.recipe import DigitCnn, KerasConvnet

pytestmark = pytest.mark.tf


def build(spec: DigitCnn | KerasConvnet, shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> Any:
    from edgebig import models

    return models.build(spec, shape, classes)


def test_digit_cnn_has_the_parameters_its_channels_say() -> None:
    assert build(DigitCnn(name="digit-cnn")).count_params() == 25_842
    a, b = 3, 5
    kernels = 25 * a + 9 * a * a + 9 * a * b + 9 * b * b + 49 * b
    norms = 4 * (2 * a + 3 * b)
    small = build(DigitCnn(name="digit-cnn", channels=(a, b)))
    assert small.count_params() == kernels + norms + (b + 1) * 10


def test_keras_convnet_is_the_one_in_the_keras_documentation() -> None:
    model = build(KerasConvnet(name="keras-convnet"))
    assert model.count_params() == 34_826
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dropout", "Dense",
    ]  # fmt: skip
    assert build(KerasConvnet(name="keras-convnet", dropout=0.25)).layers[5].rate == 0.25


@pytest.mark.parametrize(
    "spec", [DigitCnn(name="digit-cnn", channels=(2, 4)), KerasConvnet(name="keras-convnet")]
)
@pytest.mark.parametrize(("shape", "classes"), [((28, 28, 1), 10), ((32, 32, 3), 4), ((27, 19, 1), 2)])
def test_pictures_in_probabilities_out(
    spec: DigitCnn | KerasConvnet, shape: tuple[int, int, int], classes: int
) -> None:
    model = build(spec, shape, classes)
    made = model.predict(np.random.default_rng(0).random((3, *shape), np.float32), verbose=0)
    assert made.shape == (3, classes)
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["digits-quick", "digits", "keras-convnet"])
def test_the_preflight_lets_every_recipe_pass(name: str) -> None:
    from edgebig import recipe
    from edgebig.compress import preflight

    for settings in ([], ["compress.prune.sparsity=0.8", "compress.qat.epochs=1"]):
        preflight.check_recipe(recipe.load(name, settings), (28, 28, 1), 10)
