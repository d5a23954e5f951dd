"""Makes tests/golden/*.tflite with TensorFlow's converter, so that the fast tests need no TensorFlow.

    python tools/make_golden.py [NAME]...      default: all of them

digits-*.tflite are classifiers of digits-5k with their cards, for the tests that want a model which learnt something:
digits-float32 and digits-int8 are one small net, digits-slow is another that is worse and takes many times as long.

Two goldens come from elsewhere. pixels-by-tflite-support.tflite is pixels-int8 with uint8 inputs and outputs after
tflite-support 0.4.4's image_classifier.MetadataWriter.create_for_inference(model, [127.5], [127.5], ["labels.txt"])
with the labels red, green and blue: another's file for our reader. pixels.tflitemeta is a metadata buffer of ours that
MediaPipe and tflite-support decoded (tests/test_metadata.py): a change to it needs that check again.
"""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgebig import artifact, files, flatbuffer
from edgebig.data import source
from edgebig.data.examples import Examples, Splits
from edgebig.keras import keras, tf
from edgebig.recipe import Data

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


def normalised() -> Any:
    """A GPU leaves LOCAL_RESPONSE_NORMALIZATION, and LiteRT then gives it one of the two parts around that."""
    layers = [
        keras.Input((8, 8, 1), batch_size=1),
        keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal"),
        keras.layers.Lambda(tf.nn.local_response_normalization),
        keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers)


def of_any_batch() -> Any:
    """A Reshape where the batch is not fixed works its shape out as it runs."""
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal"),
        keras.layers.Reshape((36, 4)),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers)


def digits(batch_size: int | None) -> Any:
    layers = [
        keras.Input((28, 28, 1), batch_size=batch_size),
        keras.layers.Conv2D(4, 5, strides=4, padding="same", activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    return keras.Sequential(layers)


def digits_slow(batch_size: int | None) -> Any:
    convolutions = [keras.layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(5)]
    head = [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28, 1), batch_size=batch_size), *convolutions, *head])


@functools.cache
def digits_5k() -> Splits:
    return source.load(Data(source="digits-5k"))


@functools.cache
def trained(build: Callable[[int | None], Any], epochs: int) -> Any:
    """The net for one picture at a time, with the weights that another of any batch size learnt."""
    keras.utils.set_random_seed(7)
    learner, single = build(None), build(1)
    learner.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    train = digits_5k().train
    learner.fit(train.images / np.float32(255), train.labels, 50, epochs, verbose=0)
    single.set_weights(learner.get_weights())
    return single


def convert(
    build: Callable[[], Any], io_type: Any | None, quantize: bool = True, real: bool = False
) -> bytes:
    """A .tflite; if quantized, to int8 with `io_type` inputs and outputs, calibrated on random numbers or digits."""
    keras.utils.set_random_seed(7)
    model = build()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        random = np.random.default_rng(7)
        examples = random.random((64, *model.input_shape), dtype=np.float32)
        if real:
            examples = digits_5k().train.images[:100, np.newaxis] / np.float32(255)

        def representative() -> Iterator[list[np.ndarray]]:
            for example in examples:
                yield [example]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [BUILTINS]
        converter.inference_input_type = converter.inference_output_type = io_type
    return bytes(converter.convert())


def card(name: str, model: bytes, parameters: int) -> artifact.Card:
    """Its facts. No accuracy was measured for it, and none is claimed."""
    contract = flatbuffer.io_contract(model, name)
    splits = digits_5k()
    return artifact.Card(
        recipe="golden",
        variant=name,
        sha256=files.sha256_bytes(model),
        parent_sha256=None,
        size_bytes=len(model),
        deflated_bytes=len(zlib.compress(model, 9)),
        parameters=parameters,
        passes=(),
        input=artifact.Tensor(**vars(contract.inputs[0])),
        output=artifact.Tensor(**vars(contract.outputs[0])),
        preprocessing=artifact.Preprocessing(low=0.0, high=1.0, ink_is_high=True, colour="grey"),
        classes=splits.classes,
        train=example_set("train", splits.train),
        test=example_set("test", splits.test),
        validation_examples=len(splits.validation),
        seed=7,
        versions={"tensorflow": tf.__version__},
        host_accuracy=artifact.HostAccuracy(
            split="test", runtime="none", correct=0, n=0, value=0.0, low=0.0, high=1.0
        ),
    )


def example_set(split: Literal["train", "test"], examples: Examples) -> artifact.ExampleSet:
    hashes = np.sort(examples.hashes).astype("<u8").tobytes()
    return artifact.ExampleSet(
        source="digits-5k", split=split, n=len(examples), sha256=files.sha256_bytes(hashes)
    )


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    small, slow = functools.partial(trained, digits, 15), functools.partial(trained, digits_slow, 2)
    makers: dict[str, Callable[[], bytes]] = {
        "dense-float32": lambda: convert(dense, None, quantize=False),
        "dense-int8": lambda: convert(dense, tf.int8),
        "dense-int8-uint8-io": lambda: convert(dense, tf.uint8),
        "dense-int8-float32-io": lambda: convert(dense, tf.float32),
        "conv-int8": lambda: convert(conv, tf.int8),
        "normalised-float32": lambda: convert(normalised, None, quantize=False),
        "any-batch-float32": lambda: convert(of_any_batch, None, quantize=False),
        "pixels-int8": lambda: convert(pixels, tf.int8),
        "digits-float32": lambda: convert(small, None, quantize=False),
        "digits-int8": lambda: convert(small, tf.int8, real=True),
        "digits-slow": lambda: convert(slow, None, quantize=False),
    }
    for name in sys.argv[1:] or makers:
        model = makers[name]()
        (GOLDEN / f"{name}.tflite").write_bytes(model)
        print(f"{name}.tflite: {len(model)} bytes")
        if name.startswith("digits"):
            net = slow() if name == "digits-slow" else small()
            files.write_json(
                GOLDEN / f"{name}.json", artifact.dump_record(card(name, model, net.count_params()))
            )


if __name__ == "__main__":
    main()
