"""The shapes, sizes and promises of the model families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import recipe
from edgebig.errors import EdgebigError
from edgebig.recipe import Compress, DigitCnn, KerasConvnet, Mlp, Model, PictureCnn, Prune, Qat

pytestmark = pytest.mark.tf
RECIPES = sorted(path.stem for path in (Path(__file__).parent.parent.parent / "recipes").glob("*.toml"))
SMALL = [
    DigitCnn(name="digit-cnn", channels=(2, 4), blocks=(1, 1)),
    KerasConvnet(name="keras-convnet"),
    PictureCnn(name="picture-cnn", channels=(2, 3), dropout=0.1),
    Mlp(name="mlp", hidden=(5,), dropout=0.1),
    Mlp(name="mlp", hidden=(), activation="tanh"),
]


def build(spec: Model, shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> Any:
    from edgebig import models

    return models.build(spec, shape, classes)


def test_digit_cnn_has_the_parameters_its_channels_and_blocks_say() -> None:
    for spec in (
        DigitCnn(name="digit-cnn"),
        *(
            DigitCnn(name="digit-cnn", channels=channels, blocks=blocks)
            for channels, blocks in (((5,), (2,)), ((3, 5), (0, 0)), ((3, 5), (1, 2)), ((3, 5, 2), (2, 0, 1)))
        ),
    ):
        weights, before, side = 0, 1, 28
        for stage, (channels, blocks) in enumerate(zip(spec.channels, spec.blocks, strict=True)):
            weights += (9 if stage else 25) * before * channels + blocks * 9 * channels**2
            weights += (1 + blocks) * 4 * channels
            before, side = channels, (side + 1) // 2
        head = (side**2 + 4) * before + (before + 1) * 10
        assert build(spec).count_params() == weights + head
    # What the first measurements were made with.
    assert build(DigitCnn(name="digit-cnn", channels=(16, 40), blocks=(1, 1))).count_params() == 25_842


def test_keras_convnet_is_the_one_in_the_keras_documentation() -> None:
    model = build(KerasConvnet(name="keras-convnet"))
    assert model.count_params() == 34_826
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dropout", "Dense",
    ]  # fmt: skip
    assert build(KerasConvnet(name="keras-convnet", dropout=0.25)).layers[5].rate == 0.25


def test_mlp_has_the_units_that_it_says() -> None:
    # The article's: 784-64-32-10, and logistic regression with one unit.
    assert build(Mlp(name="mlp")).count_params() == 784 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10 == 52_650
    assert build(Mlp(name="mlp", hidden=(), head="sigmoid"), classes=2).count_params() == 785
    assert build(Mlp(name="mlp", hidden=()), (4, 6, 3), 5).count_params() == (4 * 6 * 3 + 1) * 5
    for activation in ("relu", "tanh", "sigmoid"):
        model = build(Mlp(name="mlp", hidden=(7, 6), activation=activation, dropout=0.2))
        assert [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")] == [
            activation, activation, "softmax",
        ]  # fmt: skip
        assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.2, 0.2]


def test_one_sigmoid_unit_is_for_two_classes() -> None:
    with pytest.raises(EdgebigError, match=r"one unit, for two classes; the data has 10") as caught:
        build(Mlp(name="mlp", head="sigmoid"))
    assert caught.value.hint == 'use head = "softmax", or choose two with [data] classes'


def test_mlp_computes_what_a_matrix_product_does() -> None:
    model = build(Mlp(name="mlp", hidden=(3,)), (2, 2, 1), 2)
    images = np.random.default_rng(0).random((5, 2, 2, 1), np.float32)
    first, bias, second, last_bias = model.get_weights()
    hidden = np.maximum(images.reshape(5, 4) @ first + bias, 0)
    logits = np.exp(hidden @ second + last_bias)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), logits / logits.sum(axis=1, keepdims=True), rtol=1e-5
    )


def test_picture_cnn_has_the_parameters_its_stages_say() -> None:
    a, b = 4, 6
    for blocks in (0, 2):
        spec = PictureCnn(name="picture-cnn", channels=(a, b), blocks=blocks)
        kernels = 25 * 3 * a + blocks * 9 * a * a + 9 * a * b + blocks * 9 * b * b
        norms = 4 * (1 + blocks) * (a + b)
        # Whatever the picture's size: it is averaged over the map.
        for shape in ((64, 64, 3), (33, 97, 3)):
            assert build(spec, shape, 5).count_params() == kernels + norms + (b + 1) * 5
    assert [layer.rate for layer in build(SMALL[2]).layers if hasattr(layer, "rate")] == [0.1]


@pytest.mark.parametrize(("shape", "fits"), [((8, 8, 1), True), ((7, 100, 1), False)])
def test_a_picture_that_is_too_small_for_its_stages(shape: tuple[int, int, int], fits: bool) -> None:
    spec = PictureCnn(name="picture-cnn", channels=(2, 2, 2))
    if fits:
        assert build(spec, shape).output_shape == (None, 10)
        return
    with pytest.raises(
        EdgebigError, match="3 stages halve the picture as often; 7x100 is too small"
    ) as caught:
        build(spec, shape)
    assert caught.value.hint == "leave some out, or have pictures of at least 8x8"


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("shape", "classes"), [((28, 28, 1), 10), ((32, 32, 3), 4), ((27, 19, 1), 2)])
def test_pictures_in_probabilities_out(spec: Model, shape: tuple[int, int, int], classes: int) -> None:
    model = build(spec, shape, classes)
    made = model.predict(np.random.default_rng(0).random((3, *shape), np.float32), verbose=0)
    assert made.shape == (3, classes)
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_the_preflight_lets_every_recipe_pass(name: str) -> None:
    from edgebig.compress import preflight

    for settings in ([], ["compress.prune.sparsity=0.8", "compress.qat.epochs=1"]):
        spec = recipe.load(name, settings)
        shape = (*(spec.data.size or (28, 28)), 3 if spec.data.colour == "rgb" else 1)
        preflight.check_recipe(spec, shape, len(spec.data.classes or range(10)))


QUANTIZED = [
    (PictureCnn(name="picture-cnn", channels=(2, 3)), (31, 18, 3), 3),
    (Mlp(name="mlp", hidden=(4, 3), activation="tanh", dropout=0.1), (5, 7, 3), 4),
    (Mlp(name="mlp", hidden=(), head="sigmoid"), (6, 6, 1), 2),
]


@pytest.mark.parametrize(
    ("spec", "shape", "classes"), QUANTIZED, ids=lambda value: getattr(value, "name", "")
)
def test_tfmot_takes_them_and_they_come_out_in_int8(
    spec: Model, shape: tuple[int, int, int], classes: int
) -> None:
    from edgebig import convert, flatbuffer
    from edgebig.compress import preflight
    from edgebig.models import head

    model = head.two_outputs(build(spec, shape, classes))
    preflight.check(model, Compress(prune=Prune(), qat=Qat()))
    data = convert.to_tflite(preflight.apply_qat(model), int8=True)
    assert flatbuffer.float_operators(data) == []
    assert flatbuffer.io_contract(data, "m").inputs[0].shape == (1, *shape)
    assert flatbuffer.io_contract(data, "m").outputs[0].shape == (1, classes)
