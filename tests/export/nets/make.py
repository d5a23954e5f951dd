"""Makes many-int8.tflite and many-int16.tflite: a small net of many operators, trained on digits, quantized two ways.

.venv/bin/python tests/export/nets/make.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebig.data import source
from edgebig.keras import keras, tf
from edgebig.recipe import Data
from edgebig.strip import strip


def net() -> Any:
    layers = keras.layers
    image = keras.Input((28, 28, 1))
    stem = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(image)
    wide = layers.Add()([stem, layers.DepthwiseConv2D(3, padding="same", activation="relu")(stem)])
    deep = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 3, strides=2, padding="same")(wide)))
    both = layers.Concatenate()([layers.AveragePooling2D(2)(deep), layers.MaxPooling2D(2)(deep)])
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(both)))


def main() -> None:
    digits = source.load(Data(source="digits-5k"))
    keras.utils.set_random_seed(0)
    model = net()
    model.compile("adam", "sparse_categorical_crossentropy")
    images = digits.train.images.astype("float32") / 255
    model.fit(images, digits.train.labels, epochs=4, batch_size=32, verbose=0)
    ops = tf.lite.OpsSet
    for dtype, kernels in (
        ("int8", ops.TFLITE_BUILTINS_INT8),
        ("int16", ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8),
    ):
        function = tf.function(lambda image: model(image, training=False))
        concrete = function.get_concrete_function(tf.TensorSpec([1, 28, 28, 1], tf.float32, name="image"))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([images[k : k + 1]] for k in range(100))
        converter.target_spec.supported_ops = [kernels]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
        Path(__file__).with_name(f"many-{dtype}.tflite").write_bytes(strip(converter.convert(), dtype))


if __name__ == "__main__":
    main()
