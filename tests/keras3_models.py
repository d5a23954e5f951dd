"""Run by a process of its own: real models of Keras 3, with random weights, and what Keras 3 says of them.

    python tests/keras3_models.py FOLDER

writes <name>.keras (or .h5) for each model, and <name>.npz with its inputs and outputs beside those that are to work.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L  # noqa: N812
from keras import ops

IMAGE, VECTOR = (8, 6, 4), (6,)
# Each is called on a picture with four channels, a row of six numbers, or a sequence.
ON_IMAGE: list[Any] = [
    L.Activation("relu"), L.Activation("swish"), L.Activation("hard_sigmoid"), L.Activation("relu6"),
    L.Activation("hard_silu"), L.Activation("leaky_relu"), L.Activation("mish"), L.Activation("softsign"),
    L.Activation("softmax"), L.Activation("linear"), L.Activation(L.ReLU(max_value=3.0)),
    L.ActivityRegularization(l1=0.1, l2=0.2), L.AlphaDropout(0.3), L.Dropout(0.3, noise_shape=(None, 1, 1, 4)),
    L.SpatialDropout2D(0.2), L.GaussianDropout(0.2), L.GaussianNoise(0.4),
    L.AveragePooling2D(3, strides=2, padding="same"), L.AveragePooling2D((2, 3)), L.MaxPooling2D(3, strides=1),
    L.MaxPooling2D(2, padding="same"),
    L.BatchNormalization(epsilon=0.02, momentum=0.7), L.BatchNormalization(center=False, scale=False),
    L.BatchNormalization(axis=2, trainable=False),
    L.CenterCrop(4, 3), L.Resizing(5, 9), L.Resizing(12, 4, interpolation="nearest"),
    L.Resizing(4, 12, interpolation="area"),
    L.Conv2D(5, 3, activation="silu"), L.Conv2D(3, (2, 3), strides=2, padding="same", activation="hard_swish"),
    L.Conv2D(4, 3, dilation_rate=2, use_bias=False, activation="relu6"), L.Conv2D(6, 3, groups=2, activation="gelu"),
    L.Conv2D(2, 1, activation=keras.activations.leaky_relu, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2)),
    L.Conv2D(2, 3, activation=L.LeakyReLU(negative_slope=0.4), bias_regularizer="l1", kernel_constraint="max_norm"),
    L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="tanh"),
    L.Conv2DTranspose(2, 3, output_padding=1, strides=2),
    L.Cropping2D(((1, 2), (0, 1))), L.ZeroPadding2D(((1, 0), (2, 3))), L.ZeroPadding2D(2),
    L.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same", activation="elu"),
    L.DepthwiseConv2D(3, dilation_rate=2, use_bias=False, depthwise_regularizer="l2"),
    L.SeparableConv2D(5, 3, depth_multiplier=3, activation="selu", pointwise_regularizer="l2"),
    L.ELU(0.3), L.LeakyReLU(negative_slope=0.15), L.PReLU(shared_axes=[1, 2]), L.PReLU(), L.Softmax(axis=1),
    L.ReLU(max_value=4.0, negative_slope=0.2, threshold=0.5), L.ReLU(6.0),
    L.Flatten(), L.GlobalAveragePooling2D(), L.GlobalAveragePooling2D(keepdims=True),
    L.GlobalMaxPooling2D(keepdims=True), L.GlobalMaxPooling2D(), L.GroupNormalization(groups=2, epsilon=0.01),
    L.LayerNormalization(epsilon=0.03),
    L.LayerNormalization(axis=[1, 3], center=False), L.UnitNormalization(axis=-1),
    L.Normalization(), L.Normalization(axis=(1, 3)),
    L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2.0, 3.0, 4.0]), L.Normalization(invert=True),
    L.Permute((3, 1, 2)), L.Rescaling(1 / 127.5, offset=-1.0), L.Rescaling([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]),
    L.Reshape((6, -1)), L.Reshape((4, 48)), L.UpSampling2D((2, 3)), L.UpSampling2D(2, interpolation="bilinear"),
]  # fmt: skip
ON_VECTOR: list[Any] = [
    L.Dense(3, activation="softmax", bias_constraint="non_neg"), L.Dense(4, use_bias=False, activation="sigmoid"),
    L.Dense(4, activation="softplus"), L.Dense(2, kernel_constraint=keras.constraints.MinMaxNorm(0.1, 0.9)),
    L.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.02), kernel_constraint="unit_norm"),
    L.Dense(3, dtype="mixed_float16", name="mixed"), L.RepeatVector(3), L.BatchNormalization(),
]  # fmt: skip
ON_SEQUENCE: list[Any] = [
    L.Conv1D(3, 3, strides=2, activation="relu"), L.SeparableConv1D(3, 2, depth_multiplier=2), L.AveragePooling1D(3, 2),
    L.MaxPooling1D(2, padding="same"), L.GlobalAveragePooling1D(), L.GlobalMaxPooling1D(keepdims=True),
    L.ZeroPadding1D((1, 2)), L.Cropping1D((2, 1)), L.UpSampling1D(3), L.SpatialDropout1D(0.1), L.Dense(3),
]  # fmt: skip
MERGES: list[Any] = [
    L.Add(), L.Average(), L.Maximum(), L.Minimum(), L.Multiply(), L.Concatenate(axis=2), L.Concatenate(),
    L.Dot(axes=(1, 1), normalize=True), L.Dot(axes=2),
]  # fmt: skip


def fill(model: Any, seed: int = 0) -> Any:
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        value = draw.normal(size=weight.shape, scale=0.3)
        weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)
    for layer in model._flatten_layers():
        if isinstance(layer, L.Normalization) and layer.built:
            layer.finalize_state()
    return model


def augmentations() -> list[Any]:
    """Every layer of chance that Keras 3 has and that keeps the size."""
    arguments = {
        "RandomRotation": (0.1,),
        "RandomZoom": (0.1,),
        "RandomTranslation": (0.1, 0.1),
        "RandomContrast": (0.2,),
    }
    arguments |= {
        "RandomBrightness": (0.2,),
        "RandomShear": ((0.0, 0.1), (0.0, 0.1)),
        "RandomHue": (0.2,),
        "RandomSaturation": (0.2,),
    }
    arguments |= {"RandomSharpness": (0.2,), "RandomColorDegeneration": (0.2,), "RandomPosterization": (4,)}
    names = sys.argv[2].split(",")
    made = []
    for name in names:
        if hasattr(L, name):
            made.append(getattr(L, name)(*arguments.get(name, ())))
    return made


def operations(x: Any, y: Any, flat: Any) -> list[Any]:
    small = x / 300.0
    return [
        x + y, x - y, x * y, ops.maximum(x, y), ops.minimum(x, y), ops.concatenate([x, y], axis=-1), x + 2.5, 1.5 - x,
        x - 3, x * 0.25, 2 * x, 7 + x, x / 255.0, ops.mean(x, axis=[1, 2]), ops.mean(x, axis=(-3, -2), keepdims=True),
        ops.max(x, axis=(1, 2)), ops.mean(ops.reshape(x, (-1, 48, 4)), axis=1), ops.transpose(x, (0, 3, 1, 2)),
        ops.relu(x), ops.relu6(x), ops.hard_sigmoid(x), ops.hard_silu(x), ops.leaky_relu(x, negative_slope=0.12),
        ops.softmax(flat),
        ops.softmax(x, axis=1), ops.gelu(x, approximate=False), ops.exp(small), ops.selu(small), ops.sigmoid(x),
        ops.silu(x), ops.softplus(x), ops.softsign(x), ops.tanh(x), keras.activations.relu6(x),
    ]  # fmt: skip


def everything() -> Any:
    image, vector = keras.Input(IMAGE, name="image"), keras.Input(VECTOR, name="vector")
    sequence = L.Reshape((8, 24), name="sequence")(image)
    small, exponential = L.Rescaling(1 / 300)(vector), L.Activation("exponential")
    two = L.Conv2D(4, 3, padding="same", name="other")(image)
    outputs = [layer(image) for layer in ON_IMAGE] + [layer(vector) for layer in ON_VECTOR]
    outputs += [layer(sequence) for layer in ON_SEQUENCE]
    outputs += [layer([sequence, L.Reshape((8, 24))(two)]) for layer in MERGES]
    outputs += [
        L.Subtract()([image, two]),
        L.Add()([image, two, image]),
        L.Multiply()([image, L.GlobalMaxPooling2D(keepdims=True)(two)]),
    ]
    outputs += [exponential(small), L.Flatten()(two), *operations(image, two, vector)]
    return keras.Model([image, vector], outputs, name="every thing")


def augmented() -> Any:
    image = keras.Input((8, 6, 3), name="image")
    return keras.Model(image, [L.Flatten()(layer(image)) for layer in [*augmentations(), L.Identity()]])


def shared() -> Any:
    """Layers and models called several times, models inside models, names that collide, a frozen backbone."""
    image, inner_image = (keras.Input((6, 6, 3), name="image") for _ in range(2))
    x = L.Conv2D(3, 3, padding="same", name="conv")(inner_image)
    inner = keras.Model(
        inner_image, [L.ReLU(name="relu")(L.BatchNormalization(name="bn")(x)), x], name="inner"
    )
    inner.trainable = False
    tail = keras.Sequential(
        [keras.Input((6, 6, 3)), L.Conv2D(3, 1, name="conv"), L.Activation("hard_silu", name="relu")],
        name="tail",
    )
    outer_conv = L.Conv2D(3, 3, padding="same", name="outer conv:1")
    relu, before = inner(outer_conv(outer_conv(image)), training=False)
    again = tail(tail(L.Add()([relu, before])))
    x = L.Concatenate()([again, inner(again)[0], L.Conv2D(2, 3, padding="same", name="bn")(again), relu])
    return keras.Model(image, L.Dense(4, activation="softmax")(L.GlobalAveragePooling2D()(x)), name="outer")


def nested_last() -> Any:
    """A functional model whose output is that of a functional model inside it."""
    image = keras.Input((5, 5, 1), name="image")
    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, L.Dense(2)(inner_input), name="head")
    return keras.Model(image, inner(L.Dense(4)(L.Flatten()(image))))


def twice() -> Any:
    """One layer object that stands in two models."""
    image = keras.Input((5, 5, 1), name="image")
    dense = L.Dense(25, name="dense")
    parts = []
    for name in ("left", "right"):
        given = keras.Input((25,))
        parts.append(keras.Model(given, L.ReLU()(dense(given)), name=name))
    x = L.Flatten()(image)
    return keras.Model(image, L.Add()([parts[0](x), parts[1](L.Dense(25)(x))]))


def classifier(**options: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            L.Conv2D(2, 3, strides=2, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(10, activation="softmax", **options),
        ],
        name="classifier",
    )


@keras.saving.register_keras_serializable("mine")
class Own(L.Layer):
    def call(self, x: Any) -> Any:
        return x


def of_layers(*layers: Any, shape: tuple[int, ...] = (4, 4, 2)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def refused() -> dict[str, Any]:
    image = keras.Input((4, 4, 2), name="image")
    named = keras.Model({"a": image}, L.Flatten()(image))
    lora = of_layers(L.Flatten(), L.Dense(3, name="low"))
    lora.layers[-1].enable_lora(1)
    quantized = of_layers(L.Flatten(), L.Dense(3, name="whole"))
    quantized.quantize("int8")
    return {
        "lambda": of_layers(L.Lambda(lambda x: x + 1, name="code")),
        "own": of_layers(Own(name="custom")),
        "several": of_layers(L.RMSNormalization(name="rms"), L.Conv2D(2, 1, activation="log_softmax", name="odd")),
        "lstm": of_layers(L.LSTM(3, name="memory"), shape=(4, 2)),
        "attention": keras.Model(image, L.MultiHeadAttention(2, 2, name="heads")(image, image)),
        "first": of_layers(L.MaxPooling2D(data_format="channels_first", name="nchw")),
        "renorm": of_layers(L.BatchNormalization(renorm=True, name="renormed")),
        "aspect": of_layers(L.Resizing(3, 3, pad_to_aspect_ratio=True, name="padded")),
        "embedding": of_layers(L.Embedding(9, 2, name="words"), shape=(4,)),
        "getitem": keras.Model(image, image[:, 1]),
        "ranks": keras.Model(image, ops.add(image, L.Reshape((4, 2))(L.Cropping2D(((0, 3), 0))(image)))),
        "array": keras.Model(image, image * np.float32([1.0, 2.0])),
        "divided": keras.Model(image, 1.0 / image),
        "total": keras.Model(image, ops.mean(image, axis=-1)),
        "approximate": keras.Model(image, ops.gelu(image)),
        "twice": twice(),
        "named": named,
        "integer": keras.Sequential([keras.Input((4,), dtype="int32", name="whole"), L.Embedding(9, 2)]),
        "unbuilt": keras.Sequential([L.Dense(3)]),
        "lora": lora,
        "quantized": quantized,
        "nan": of_layers(L.Rescaling(float("inf"), name="endless")),
    }  # fmt: skip


def save(model: Any, path: Path) -> None:
    draw = np.random.default_rng(7)
    inputs = [draw.normal(size=(3, *x.shape[1:]), scale=3.0).astype(np.float32) for x in model.inputs]
    given = inputs if len(inputs) > 1 else inputs[0]
    outputs = model(given, training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if path.suffix == ".keras":
        model.save(path)
    else:
        keras.saving.save_model(model, path)
    found = {f"input{i}": value for i, value in enumerate(inputs)}
    found |= {f"output{i}": np.asarray(value, np.float32) for i, value in enumerate(outputs)}
    np.savez(path.with_suffix(".npz"), **found)


def main(folder: Path) -> None:
    for make in (everything, augmented, shared, nested_last):
        save(fill(make()), folder / f"{make.__name__}.keras")
    save(fill(classifier()), folder / "classifier.keras")
    save(fill(classifier(), 1), folder / "legacy.h5")
    save(fill(classifier(dtype="mixed_float16")), folder / "half.keras")
    (folder / "refused").mkdir()
    for name, model in refused().items():
        model.save(folder / "refused" / f"{name}.keras")
    of_layers(L.Lambda(lambda x: x + 1, name="code")).save(folder / "refused" / "lambda.h5")
    classifier().save_weights(folder / "refused" / "alone.weights.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
