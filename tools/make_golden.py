"""Makes tests/golden/*.tflite with TensorFlow's converter, so that the fast tests need no TensorFlow.

    python tools/make_golden.py

Two goldens come from elsewhere. pixels-by-tflite-support.tflite is pixels-int8 with uint8 inputs and outputs after
tflite-support 0.4.4's image_classifier.MetadataWriter.create_for_inference(model, [127.5], [127.5], ["labels.txt"])
with the labels red, green and blue: another's file for our reader. pixels.tflitemeta is a metadata buffer of ours that
MediaPipe and tflite-support decoded (tests/test_metadata.py): a change to it needs that check again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgebig.keras import keras, tf

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
BUILTINS = tf.lite.OpsSet.TFLITE_BUILTINS_INT8


def dense() -> Any:
    return keras.Sequential(
        [keras.Input((4,), batch_size=1), keras.layers.Dense(3, bias_initializer="random_normal")]
    )


def conv() -> Any:
    return keras.Sequential(
        [
            keras.Input((5, 5, 1), batch_size=1),
            keras.layers.Conv2D(2, 3, activation="relu", bias_initializer="random_normal"),
        ]
    )


def pixels() -> Any:
    layers = [
        keras.Input((4, 4, 3), batch_size=1),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ]
    return keras.Sequential(layers)


def convert(build: Callable[[], Any], io_type: Any | None, quantize: bool = True) -> bytes:
    """A .tflite; if quantized, to int8 with `io_type` inputs and outputs, calibrated on random numbers."""
    keras.utils.set_random_seed(7)
    model = build()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        random = np.random.default_rng(7)
        examples = random.random((64, *model.input_shape), dtype=np.float32)

        def representative() -> Iterator[list[np.ndarray]]:
            for example in examples:
                yield [example]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [BUILTINS]
        converter.inference_input_type = converter.inference_output_type = io_type
    return bytes(converter.convert())


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    models = {
        "dense-float32": convert(dense, None, quantize=False),
        "dense-int8": convert(dense, tf.int8),
        "dense-int8-uint8-io": convert(dense, tf.uint8),
        "dense-int8-float32-io": convert(dense, tf.float32),
        "conv-int8": convert(conv, tf.int8),
        "pixels-int8": convert(pixels, tf.int8),
    }
    for name, model in models.items():
        (GOLDEN / f"{name}.tflite").write_bytes(model)
        print(f"{name}.tflite: {len(model)} bytes")


if __name__ == "__main__":
    main()
