"""What the pre-flight lets pass comes out of tensorflow-model-optimization in int8; what it refuses does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebig.errors import EdgebigError
from edgebig.recipe import Compress, Prune, Qat

pytestmark = pytest.mark.tf
SHAPE = (8, 8, 2)
QAT, PRUNE = Compress(qat=Qat()), Compress(prune=Prune())
BOTH = Compress(qat=Qat(), prune=Prune())
ACTIVATIONS = ("gelu", "linear", "relu", "sigmoid", "softmax", "tanh")


def layers() -> Any:
    from edgebig.keras import keras

    return keras.layers


def conv(**settings: Any) -> Any:
    return layers().Conv2D(4, 3, padding="same", **settings)


def sequence(*between: Any, shape: tuple[int, ...] = SHAPE) -> Any:
    """A model of these layers with a flat end."""
    from edgebig.keras import keras

    end = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input(shape, name="image"), *between, *end])


def graph(build: Callable[[Any], Any]) -> Any:
    from edgebig.keras import keras

    image = keras.Input(SHAPE, name="image")
    x = keras.layers.Flatten()(build(image))
    return keras.Model(image, keras.layers.Dense(3)(x))


def flat(*between: Any) -> Any:
    """Layers that take (steps, channels): 8 rows, 16 numbers each."""
    return sequence(layers().Reshape((8, 16)), *between)


def deep(*between: Any) -> Any:
    """Layers that take (depth, height, width, channels)."""
    return sequence(layers().Reshape((8, 8, 2, 1)), *between)


def normed(layer: Any) -> Any:
    return sequence(layer, layers().BatchNormalization(), layers().ReLU())


def norm_and_shortcut(x: Any) -> Any:
    x = conv()(x)
    return layers().Add()([layers().BatchNormalization()(x), x])


def own_layer() -> Any:
    class Doubling(layers().Layer):  # type: ignore[misc]  # Keras has no types.
        def call(self, x: Any) -> Any:
            return x * 2.0

    return Doubling()


# By layer class: the smallest model with it.
TAKEN: dict[str, Callable[[], Any]] = {
    "Activation": lambda: sequence(conv(), layers().Activation("relu")),
    "ActivityRegularization": lambda: sequence(conv(), layers().ActivityRegularization()),
    "Add": lambda: graph(lambda x: layers().Add()([conv()(x), conv()(x)])),
    "AveragePooling1D": lambda: flat(layers().AveragePooling1D()),
    "AveragePooling2D": lambda: sequence(conv(), layers().AveragePooling2D()),
    "Concatenate": lambda: graph(lambda x: layers().Concatenate()([conv()(x), conv()(x)])),
    "Conv2D": lambda: sequence(conv(activation="relu")),
    "Conv2DTranspose": lambda: sequence(layers().Conv2DTranspose(4, 3)),
    "Cropping1D": lambda: flat(layers().Cropping1D()),
    "Cropping2D": lambda: sequence(layers().Cropping2D(), conv()),
    "Cropping3D": lambda: deep(layers().Cropping3D((1, 1, 0))),
    "Dense": sequence,
    "DepthwiseConv2D": lambda: sequence(layers().DepthwiseConv2D(3)),
    "Dropout": lambda: sequence(conv(), layers().Dropout(0.5)),
    "Flatten": sequence,
    "GlobalAveragePooling1D": lambda: flat(layers().GlobalAveragePooling1D()),
    "GlobalAveragePooling2D": lambda: sequence(conv(), layers().GlobalAveragePooling2D()),
    "GlobalAveragePooling3D": lambda: deep(layers().GlobalAveragePooling3D()),
    "GlobalMaxPooling1D": lambda: flat(layers().GlobalMaxPooling1D()),
    "GlobalMaxPooling2D": lambda: sequence(conv(), layers().GlobalMaxPooling2D()),
    "GlobalMaxPooling3D": lambda: deep(layers().GlobalMaxPooling3D()),
    "InputLayer": lambda: sequence(conv()),
    "LeakyReLU": lambda: sequence(conv(), layers().LeakyReLU()),
    "MaxPooling2D": lambda: sequence(conv(), layers().MaxPooling2D()),
    "Permute": lambda: sequence(layers().Permute((2, 1, 3)), conv()),
    "ReLU": lambda: sequence(conv(), layers().ReLU()),
    "Reshape": lambda: sequence(layers().Reshape((4, 16, 2)), conv()),
    "SeparableConv1D": lambda: flat(layers().SeparableConv1D(4, 3)),
    "SeparableConv2D": lambda: sequence(layers().SeparableConv2D(4, 3)),
    "Softmax": lambda: sequence(conv(), layers().Softmax()),
    "SpatialDropout1D": lambda: flat(layers().SpatialDropout1D(0.5)),
    "SpatialDropout2D": lambda: sequence(conv(), layers().SpatialDropout2D(0.5)),
    "SpatialDropout3D": lambda: deep(layers().SpatialDropout3D(0.5)),
    "UpSampling2D": lambda: sequence(conv(), layers().UpSampling2D()),
    "ZeroPadding1D": lambda: flat(layers().ZeroPadding1D()),
    "ZeroPadding2D": lambda: sequence(layers().ZeroPadding2D(), conv()),
}
TAKEN_TOO = {
    "Conv2D, BatchNormalization, ReLU": lambda: normed(conv()),
    "DepthwiseConv2D, BatchNormalization, ReLU": lambda: normed(layers().DepthwiseConv2D(3)),
    "SeparableConv2D, BatchNormalization, ReLU": lambda: normed(layers().SeparableConv2D(4, 3)),
    "Conv2D, BatchNormalization": lambda: sequence(conv(), layers().BatchNormalization()),
    "Conv2D with each activation": lambda: sequence(*(conv(activation=name) for name in ACTIVATIONS)),
    "each Activation": lambda: sequence(
        conv(), *(layers().Activation(name) for name in (*ACTIVATIONS, "relu6", "swish"))
    ),
}  # fmt: skip
# tensorflow-model-optimization raises.
REFUSED: dict[str, Callable[[], Any]] = {
    "Conv2D(relu), BatchNormalization": lambda: normed(conv(activation="relu")),
    "ReLU, BatchNormalization": lambda: sequence(conv(), layers().ReLU(), layers().BatchNormalization()),
    "BatchNormalization first": lambda: sequence(layers().BatchNormalization(), conv()),
    "Conv2D used twice, BatchNormalization": lambda: graph(norm_and_shortcut),
    "SeparableConv2D(relu), BatchNormalization": lambda: normed(layers().SeparableConv2D(4, 3, activation="relu")),
    "Rescaling": lambda: sequence(layers().Rescaling(1 / 255), conv()),
    "Conv1D": lambda: flat(layers().Conv1D(4, 3)),
    "Conv3D": lambda: deep(layers().Conv3D(2, 2)),
    "LayerNormalization": lambda: sequence(conv(), layers().LayerNormalization()),
    "Normalization": lambda: sequence(layers().Normalization(mean=0.0, variance=1.0), conv()),
    "RandomFlip": lambda: sequence(layers().RandomFlip(), conv()),
    "RandomRotation": lambda: sequence(layers().RandomRotation(0.1), conv()),
    "RandomZoom": lambda: sequence(layers().RandomZoom(0.1), conv()),
    "GaussianNoise": lambda: sequence(layers().GaussianNoise(0.1), conv()),
    "ELU": lambda: sequence(conv(), layers().ELU()),
    "PReLU": lambda: sequence(conv(), layers().PReLU()),
    "MaxPooling1D": lambda: flat(layers().MaxPooling1D()),
    "Multiply": lambda: graph(lambda x: layers().Multiply()([conv()(x), conv()(x)])),
    "LSTM": lambda: flat(layers().LSTM(4)),
    "Activation elu": lambda: sequence(conv(), layers().Activation("elu")),
    "Conv2D relu6": lambda: sequence(conv(activation="relu6")),
    "Conv2D elu": lambda: sequence(conv(activation="elu")),
    "model inside": lambda: sequence(sequence(conv())),
    "a class of one's own": lambda: sequence(own_layer(), conv()),
    "arithmetic": lambda: graph(lambda x: x * 2.0),
}  # fmt: skip
# It takes them, and they stay in float.
LEFT_IN_FLOAT: dict[str, Callable[[], Any]] = {
    "Dense, BatchNormalization": lambda: sequence(layers().Flatten(), layers().Dense(4), layers().BatchNormalization()),
    "Conv2DTranspose, BatchNormalization": lambda: normed(layers().Conv2DTranspose(4, 3)),
    "Conv2D swish": lambda: sequence(conv(activation="swish")),
    "Lambda": lambda: sequence(layers().Lambda(lambda x: x * 2.0), conv()),
}  # fmt: skip


def test_the_lists_are_those_of_tfmot() -> None:
    from edgebig.compress import preflight
    from edgebig.keras import load_tfmot

    module = "quantization.keras.default_8bit.default_8bit_quantize_registry"
    known = load_tfmot(module).Default8BitQuantizeRegistry()._layer_quantize_map
    rewritten = {"InputLayer", "SeparableConv1D", "SeparableConv2D"}
    assert {kind.__name__ for kind in known} | rewritten == preflight.INT8_LAYERS == set(TAKEN)
    assert set(ACTIVATIONS) == preflight.INT8_ACTIVATIONS
    assert {*ACTIVATIONS, "relu6", "swish"} == preflight.INT8_ACTIVATION_LAYERS


@pytest.mark.parametrize("name", [*TAKEN, *TAKEN_TOO])
def test_what_passes_comes_out_in_int8(name: str) -> None:
    from edgebig import convert, flatbuffer
    from edgebig.compress import preflight

    model = (TAKEN | TAKEN_TOO)[name]()
    preflight.check(model, QAT)
    quantized = preflight.apply_qat(model)
    assert flatbuffer.float_operators(convert.to_tflite(quantized, int8=True)) == []


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused_raises_in_tfmot(name: str) -> None:
    from edgebig.compress import preflight

    model = REFUSED[name]()
    (fault,) = preflight.qat_faults(model)
    assert ";" in fault or "BatchNormalization" in fault, "no mend"
    with pytest.raises(EdgebigError, match="refuses 1 of its layers"):
        preflight.check(model, QAT)
    # Of arithmetic in a graph it says so by an AttributeError.
    with pytest.raises((EdgebigError, AttributeError)):
        preflight.apply_qat(model)


@pytest.mark.parametrize("name", LEFT_IN_FLOAT)
@pytest.mark.filterwarnings("ignore")
def test_what_tfmot_takes_and_leaves_in_float_is_refused(name: str) -> None:
    from edgebig import convert
    from edgebig.compress import preflight

    model = LEFT_IN_FLOAT[name]()
    with pytest.raises(EdgebigError, match="refuses 1 of its layers"):
        preflight.check(model, QAT)
    with pytest.raises(EdgebigError, match="stayed in float"):
        convert.to_tflite(preflight.apply_qat(model), int8=True)


def test_every_fault_is_told_at_once_with_its_mend() -> None:
    from edgebig.compress import preflight

    model = sequence(
        layers().Rescaling(1 / 255, name="scale"),
        layers().RandomFlip(name="flip"),
        conv(activation="relu", name="first"),
        layers().BatchNormalization(name="norm"),
        layers().LayerNormalization(name="other"),
        layers().Lambda(lambda x: x, name="code"),
    )
    with pytest.raises(EdgebigError) as caught:
        preflight.check(model, BOTH)
    assert caught.value.hint.startswith("change these layers, or name them in [compress.qat] float_layers")
    assert caught.value.problem.splitlines()[1:] == [
        "  scale (Rescaling): there is no int8 form of it; edgebig scales pixels to [0, 1] already, leave it out",
        "  flip (RandomFlip): there is no int8 form of it; augmentation belongs in [data] augment of the recipe",
        "  norm (BatchNormalization): after first with activation 'relu'; put that after it, as a layer: "
        "Conv2D -> BatchNormalization -> ReLU",
        "  other (LayerNormalization): there is no int8 form of it; use BatchNormalization behind a convolution",
        "  code (Lambda): there is no int8 form of it; a Lambda's code does not travel with a model, "
        "write it with layers",
    ]


def test_a_model_that_no_pass_can_look_into() -> None:
    from edgebig.compress import preflight
    from edgebig.keras import keras

    class Own(keras.Model):  # type: ignore[misc]  # Keras has no types.
        def call(self, x: Any) -> Any:
            return x

    for passes in (QAT, PRUNE):
        with pytest.raises(EdgebigError, match="a subclassed model"):
            preflight.check(Own(), passes)
    with pytest.raises(EdgebigError, match="does not know its input's shape"):
        preflight.check(keras.Sequential([keras.layers.Dense(2)]), QAT)


def test_pruning_refuses_what_has_nothing_to_prune() -> None:
    from edgebig.compress import preflight
    from edgebig.keras import keras

    bare = keras.Sequential([keras.Input(SHAPE), keras.layers.DepthwiseConv2D(3), keras.layers.ReLU()])
    with pytest.raises(EdgebigError, match="prun"):
        preflight.check(bare, PRUNE)
    preflight.check(sequence(own_layer(), conv()), PRUNE)
    preflight.check(sequence(conv()), PRUNE)
    preflight.check(sequence(conv()), BOTH)


def test_tfmot_is_asked_before_the_passes_that_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig.compress import preflight

    monkeypatch.setattr(preflight, "qat_faults", lambda *_: [])
    with pytest.raises(EdgebigError, match="refuses it"):
        preflight.check(sequence(conv(), layers().LayerNormalization()), BOTH)


def test_a_model_of_several_inputs_is_refused() -> None:
    from edgebig.compress import preflight
    from edgebig.keras import keras

    left, right = (keras.Input((4,), name=name) for name in ("left", "right"))
    model = keras.Model([left, right], layers().Dense(2)(layers().Add()([left, right])), name="two")
    for passes in (QAT, PRUNE):
        with pytest.raises(EdgebigError, match=r"two: has 2 inputs and 1 outputs \(left, right, dense"):
            preflight.check(model, passes)


def test_a_recipes_model_is_held_as_it_will_be_rewritten(tmp_path: Path) -> None:
    from edgebig import recipe
    from edgebig.compress import preflight

    code = (
        "import tf_keras as keras\n"
        "def build(shape, classes):\n"
        "    l = keras.layers\n"
        "    return keras.Sequential([keras.Input(shape), l.Rescaling(2.0, -1.0), l.Conv2D(4, 3, activation='relu'),\n"
        "        l.BatchNormalization(), {more} l.Flatten(), l.Dense(classes, activation='softmax')])\n"
    )
    for more, refused in (("", False), ("l.LayerNormalization(name='other'),", True)):
        file = tmp_path / f"net{refused}.py"
        file.write_text(code.format(more=more))
        spec = recipe.load("digits-quick", [f"model={{name='python:{file}:build'}}", "compress.qat.epochs=1"])
        if not refused:
            preflight.check_recipe(spec, (28, 28, 1), 10)
        else:
            with pytest.raises(EdgebigError, match=r"refuses 1 of its layers\n  other"):
                preflight.check_recipe(spec, (28, 28, 1), 10)
