"""What is rewritten is the same function, in layers that int8 takes; what has no exact form stays, and is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError

pytestmark = pytest.mark.tf
SHAPE = (8, 8, 2)


def layers() -> Any:
    from edgebig.keras import keras

    return keras.layers


def conv(name: str = "conv", **settings: Any) -> Any:
    return layers().Conv2D(4, 3, name=name, **{"padding": "same", **settings})


def norm(name: str = "norm", **settings: Any) -> Any:
    return layers().BatchNormalization(name=name, **settings)


def sequence(*between: Any, shape: tuple[int, ...] = SHAPE) -> Any:
    from edgebig.keras import keras

    end = [layers().Flatten(name="flat"), layers().Dense(3, activation="softmax", name="probabilities")]
    return drawn(keras.Sequential([keras.Input(shape, name="image"), *between, *end], name="net"))


def graph(build: Callable[[Any], Any]) -> Any:
    from edgebig.keras import keras

    image = keras.Input(SHAPE, name="image")
    x = layers().Flatten(name="flat")(build(image))
    return drawn(
        keras.Model(image, layers().Dense(3, activation="softmax", name="probabilities")(x), name="net")
    )


def drawn(model: Any) -> Any:
    """With other numbers than 0 and 1 in every statistic, scale and bias."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if not isinstance(
            layer, layers().Normalization
        ):  # What it has learnt it takes over by `adapt` alone.
            layer.set_weights(
                [
                    value + rng.uniform(0.1, 0.5, value.shape) * rng.choice([-0.5, 1], value.shape)
                    for value in layer.get_weights()
                ]
            )
    for layer in model.layers:
        if isinstance(layer, layers().BatchNormalization):
            layer.set_weights([*layer.get_weights()[:-1], rng.uniform(0.2, 2, layer.get_weights()[-1].shape)])
    return model


def inside() -> Any:
    from edgebig.keras import keras

    return keras.Sequential([keras.Input(SHAPE), conv("conv"), layers().ReLU(name="relu")], name="body")


def shortcut(x: Any) -> Any:
    x = conv()(x)
    return layers().Add(name="add")([norm()(x), x])


def adapted() -> Any:
    layer = layers().Normalization(name="standard")
    layer.adapt(np.random.default_rng(0).random((50, *SHAPE)))
    return layer


# What it is, a model with it, the lines that tell of it, the layer classes that come out.
EXACT: dict[str, tuple[Callable[[], Any], list[str], list[str]]] = {
    "activation before BatchNormalization": (
        lambda: sequence(conv(activation="relu"), norm(), conv("next", padding="valid")),
        ["norm (BatchNormalization): folded into the weights of next"],
        ["Conv2D", "Conv2D"],
    ),
    "the same before a padding": (
        lambda: sequence(conv(activation="relu"), norm(), conv("next")),
        ["norm (BatchNormalization): is a depthwise 1x1 convolution now"],
        ["Conv2D", "DepthwiseConv2D", "Conv2D"],
    ),
    "past Dropout and Flatten into Dense": (
        lambda: sequence(conv(activation="relu"), norm(), layers().Dropout(0.5, name="drop")),
        ["norm (BatchNormalization): folded into the weights of probabilities"],
        ["Conv2D", "Dropout"],
    ),
    "without scale or center": (
        lambda: sequence(conv(activation="relu"), norm(scale=False),
                         layers().MaxPooling2D(name="pool"), norm("n2", center=False)),
        ["norm (BatchNormalization): is a depthwise 1x1 convolution now",
         "n2 (BatchNormalization): folded into the weights of probabilities"],
        ["Conv2D", "DepthwiseConv2D", "MaxPooling2D"],
    ),
    "into a depthwise convolution": (
        lambda: sequence(norm(), layers().DepthwiseConv2D(3, depth_multiplier=2, strides=2, name="next")),
        ["norm (BatchNormalization): folded into the weights of next"],
        ["DepthwiseConv2D"],
    ),
    "into a separable convolution": (
        lambda: sequence(norm(), layers().SeparableConv2D(3, 3, depth_multiplier=2, use_bias=False, name="next")),
        ["norm (BatchNormalization): folded into the weights of next"],
        ["SeparableConv2D"],
    ),
    "into a 1x1 convolution that says same": (
        lambda: sequence(norm(), layers().Conv2D(3, 1, padding="same", strides=2, name="next")),
        ["norm (BatchNormalization): folded into the weights of next"],
        ["Conv2D"],
    ),
    "SeparableConv2D(relu)": (
        lambda: sequence(layers().SeparableConv2D(4, 3, activation="relu", name="conv"), norm()),
        ["norm (BatchNormalization): folded into the weights of probabilities"],
        ["SeparableConv2D"],
    ),
    "behind a dense layer": (
        lambda: sequence(layers().Flatten(name="f"), layers().Dense(4, use_bias=False, name="dense"),
                         norm(), layers().ReLU(name="relu")),
        ["norm (BatchNormalization): folded into the weights of dense"],
        ["Flatten", "Dense", "ReLU"],
    ),
    "behind a transposed convolution": (
        lambda: sequence(layers().Conv2DTranspose(4, 3, name="up"), norm(), layers().ReLU(name="relu")),
        ["norm (BatchNormalization): folded into the weights of up"],
        ["Conv2DTranspose", "ReLU"],
    ),
    "a convolution that is used elsewhere too": (
        lambda: graph(shortcut),
        ["norm (BatchNormalization): is a depthwise 1x1 convolution now"],
        ["Conv2D", "DepthwiseConv2D", "Add"],
    ),
    "two in a row": (
        lambda: sequence(norm("one"), norm("two"), conv(padding="valid")),
        ["one (BatchNormalization): is a depthwise 1x1 convolution now"],
        ["DepthwiseConv2D", "BatchNormalization", "Conv2D"],
    ),
    "Rescaling": (
        lambda: sequence(layers().Rescaling(2.0, name="scale"), conv()),
        ["scale (Rescaling): folded into the weights of conv"],
        ["Conv2D"],
    ),
    "Rescaling to -1 .. 1, no padding": (
        lambda: sequence(layers().Rescaling(2.0, -1.0, name="scale"), conv(padding="valid")),
        ["scale (Rescaling): folded into the weights of conv"],
        ["Conv2D"],
    ),
    "Rescaling to -1 .. 1, padded": (
        lambda: sequence(layers().Rescaling(2.0, -1.0, name="scale"), conv()),
        ["scale (Rescaling): is a depthwise 1x1 convolution now"],
        ["DepthwiseConv2D", "Conv2D"],
    ),
    "Rescaling before a padding of its own": (
        lambda: sequence(layers().Rescaling(2.0, -1.0, name="scale"),
                         layers().ZeroPadding2D(name="pad"), conv(padding="valid")),
        ["scale (Rescaling): is a depthwise 1x1 convolution now"],
        ["DepthwiseConv2D", "ZeroPadding2D", "Conv2D"],
    ),
    "Rescaling behind a convolution": (
        lambda: sequence(conv(), layers().Rescaling(0.5, 0.1, name="scale"), layers().ReLU(name="relu")),
        ["scale (Rescaling): folded into the weights of conv"],
        ["Conv2D", "ReLU"],
    ),
    "Normalization by given numbers": (
        lambda: sequence(layers().Normalization(mean=[0.1, 0.3], variance=[0.5, 2.0],
                         name="standard"), conv(padding="valid")),
        ["standard (Normalization): folded into the weights of conv"],
        ["Conv2D"],
    ),
    "Normalization that has adapted": (
        lambda: sequence(adapted(), conv()),
        ["standard (Normalization): is a depthwise 1x1 convolution now"],
        ["DepthwiseConv2D", "Conv2D"],
    ),
    "augmentation and noise": (
        lambda: sequence(layers().RandomFlip(name="flip"), conv(), layers().GaussianNoise(0.1, name="noise")),
        ["flip (RandomFlip): taken out, at inference it changes nothing",
         "noise (GaussianNoise): taken out, at inference it changes nothing"],
        ["Conv2D"],
    ),
    "activations inside": (
        lambda: sequence(conv(activation="relu6"), conv("swished", activation="swish")),
        ["conv (Conv2D): its activation relu6 is the layer conv_relu6 now",
         "swished (Conv2D): its activation swish is the layer swished_swish now"],
        ["Conv2D", "ReLU", "Conv2D", "Activation"],
    ),
    "a model inside, twice over": (
        lambda: graph(lambda x: layers().Add(name="add")([inside()(x), conv()(x)])),
        ["body: a model inside the model; its layers are put in directly"],
        ["Conv2D", "Conv2D", "ReLU", "Add"],
    ),
    "an augmentation at the end of a model inside": (
        lambda: sequence(drawn_body(), conv("next")),
        ["outer: a model inside the model; its layers are put in directly",
         "flip (RandomFlip): taken out, at inference it changes nothing"],
        ["Conv2D", "Conv2D"],
    ),
}  # fmt: skip


def drawn_body() -> Any:
    from edgebig.keras import keras

    return keras.Sequential([keras.Input(SHAPE), conv("c"), layers().RandomFlip(name="flip")], name="outer")


@pytest.mark.parametrize("name", EXACT)
def test_it_is_the_same_function_and_int8_takes_it(name: str) -> None:
    from edgebig.compress import preflight, rewrite
    from edgebig.keras import keras

    build, told, kinds = EXACT[name]
    model = build()
    before = [value.copy() for value in model.get_weights()]
    rewritten, done = rewrite.rewrite(model)
    assert sorted(done) == sorted(told)
    found = [
        type(layer).__name__ for layer in rewritten.layers if not isinstance(layer, keras.layers.InputLayer)
    ]
    assert sorted(found[:-2]) == sorted(kinds)
    images = np.random.default_rng(3).normal(size=(16, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(model(images, training=False), rewritten(images, training=False), atol=2e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    if name != "two in a row":  # tfmot takes the second one, which is trained on
        assert preflight.qat_faults(rewritten) == []
    again, nothing = rewrite.rewrite(rewritten)
    assert again is rewritten
    assert nothing == []


@pytest.mark.parametrize(
    "name", ["activation before BatchNormalization", "the same before a padding", "activations inside"]
)
def test_it_comes_out_in_int8(name: str) -> None:
    from edgebig import convert, flatbuffer
    from edgebig.compress import qat, rewrite

    rewritten, _ = rewrite.rewrite(EXACT[name][0]())
    assert flatbuffer.float_operators(convert.to_tflite(qat.apply_qat(rewritten), int8=True)) == []


def own_layer() -> Any:
    class BatchNormalization(layers().Layer):  # type: ignore[misc]  # Keras has no types; a built-in's name.
        def call(self, x: Any) -> Any:
            return x * 2.0

    return BatchNormalization(name="own")


def twice(x: Any) -> Any:
    shared = conv("shared")
    return layers().Add(name="add")([shared(x), shared(layers().ReLU(name="relu")(x))])


UNTOUCHED: dict[str, Callable[[], Any]] = {
    "nothing to do": lambda: sequence(conv(use_bias=False), norm(), layers().ReLU(name="relu")),
    "a class of one's own": lambda: sequence(conv(activation="relu"), own_layer()),
    "a layer that is called twice": lambda: graph(twice),
    "arithmetic": lambda: graph(lambda x: conv()(x) * 2.0),
    "no form for 2-D": lambda: graph(lambda x: layers().Add(name="add")(
        [norm()(layers().Dense(4, activation="relu", name="d")(layers().Flatten(name="f")(x))),
         layers().Dense(4, name="e")(layers().Flatten(name="g")(x))])),
    "per place": lambda: sequence(layers().Normalization(axis=(1, 3), name="standard", mean=np.zeros((8, 2)),
                         variance=np.ones((8, 2))), conv()),
    "across rows": lambda: sequence(conv(activation="relu"), norm(axis=1), conv("next")),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_has_no_exact_form_stays(name: str) -> None:
    from edgebig.compress import preflight, rewrite

    model = UNTOUCHED[name]()
    rewritten, done = rewrite.rewrite(model)
    assert rewritten is model
    assert done == []
    if name != "nothing to do":
        assert preflight.qat_faults(model)


def test_a_wrong_rewriting_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig.compress import rewrite

    monkeypatch.setattr(rewrite, "_fold_forward", lambda node, affine: None)
    with pytest.raises(EdgebigError, match=r"net: rewritten, it gives other outputs \(scale \(Rescaling\)"):
        rewrite.rewrite(EXACT["Rescaling"][0]())


def test_multi_input_models_are_left_to_the_preflight() -> None:
    from edgebig.compress import preflight, rewrite
    from edgebig.keras import keras
    from edgebig.recipe import Compress, Qat

    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    model = keras.Model([left, right], layers().Add()([left, right]), name="two")
    assert rewrite.rewrite(model) == (model, [])
    with pytest.raises(EdgebigError, match=r"two: has 2 inputs and 1 outputs \(left, right"):
        preflight.check(model, Compress(qat=Qat()))
