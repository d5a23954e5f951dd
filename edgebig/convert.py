"""Keras -> .tflite, checked on the host, with metadata in it and a card beside it."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgebig
from edgebig import artifact, files, flatbuffer, islands, metadata, rejection, stats, strip
from edgebig.artifact import Artifact, Card, ExampleSet, HostAccuracy, PassRecord, Preprocessing, Tensor
from edgebig.check import tflite
from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.progress import quiet
from edgebig.recipe import Adopted, Augment, Recipe

_VERSIONED = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert", "numpy")


def to_tflite(model: Any, *, int8: bool, io: str = "int8", sparse: bool = False) -> bytes:
    """A Keras model with one picture in as .tflite bytes, batch 1.

    Its input is named `image`, its output `probabilities`. int8: the model has been through QAT; every operator must
    come out in int8, but for the layers that QAT left in float, or EdgebigError says which did not; `io` is then the
    type of its input and output. `sparse`: in the converter's sparse format, to be weighed, not shipped: XNNPACK
    fails on an int8 FULLY_CONNECTED of it.
    """
    from edgebig.keras import tf

    converter = converter_of(model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    if sparse:
        converter.optimizations = [*converter.optimizations, tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    data = run_converter(converter)
    if not int8:
        return data
    data = islands.without_barriers(data)
    in_float = _left_in_float(model)
    if lost := islands.drowned(data, in_float):
        raise EdgebigError(
            f"these layers were to stay in float and came out in int8: {', '.join(lost)}",
            "leave them out of [compress.qat] float_layers",
        )
    if left := islands.strangers(data, in_float):
        raise EdgebigError(
            f"these operators stayed in float: {', '.join(left)}",
            "the model is not fully int8; a layer of it cannot be quantized",
        )
    return flatbuffer.rewrite_io(data, io, model.name)


def _left_in_float(model: Any) -> list[str]:
    """The layers that quantization-aware training left in float, which their wrappers say."""
    configs = {layer: getattr(layer, "quantize_config", None) for layer in model.layers}
    return [layer.layer.name for layer, config in configs.items() if getattr(config, "stays_in_float", False)]


def layer_weights(data: bytes, layers: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """The weights as stored, outputs first (`flatbuffer.weights`), of each of `layers` that has any, by its name."""
    found: dict[str, npt.NDArray[Any]] = {}
    for tensor, weights in flatbuffer.weights(data).items():
        # The converter names a weight after its place in the graph: digit_cnn/quant_stem/Conv2D;digit_cnn/...
        path = {part.removeprefix("quant_") for part in re.split("[/;]", tensor)[1:]}
        found |= {layer: weights for layer in layers if layer in path}
    return found


def converter_of(model: Any) -> Any:
    """TensorFlow's converter, set to a float .tflite of batch 1, for further settings."""
    from edgebig.keras import tf

    shape = [1, *model.inputs[0].shape[1:]]
    # A batch of 1 that is fixed in the graph: GPU delegates refuse a dynamic one.
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    # The same operators and weights come out, to the bit, in a tenth of the time.
    converter.experimental_lower_to_saved_model = False
    return converter


def run_converter(converter: Any) -> bytes:
    """What a converter makes, with `to_tflite`'s names of input and output."""
    with quiet():
        return flatbuffer.name_edges(bytes(converter.convert()), "image", "probabilities")


def layer_sparsity(data: bytes, layers: Iterable[str]) -> dict[str, float]:
    """The share of zeros among the stored weights of each of `layers` that has any, by the layer's name."""
    return {layer: float(np.mean(weights == 0)) for layer, weights in layer_weights(data, layers).items()}


def publish(
    folder: Path,
    variant: str,
    data: bytes,
    spec: Recipe,
    splits: Splits,
    *,
    parameters: int,
    passes: Sequence[PassRecord],
    parent: str | None,
    stripped: bool = False,
) -> Artifact:
    """Puts the metadata in, or strips the file of all but what a runtime needs, measures accuracy on the test split on
    this host, and writes <variant>.tflite and its card.
    """
    data = as_shipped(data, variant, spec, splits, stripped=stripped)
    contract = flatbuffer.io_contract(data, f"{variant}.tflite")
    card = Card(
        recipe=spec.name,
        variant=variant,
        sha256=files.sha256_bytes(data),
        parent_sha256=parent,
        size_bytes=len(data),
        deflated_bytes=len(zlib.compress(data, 9)),
        parameters=parameters,
        passes=tuple(passes),
        input=Tensor(**asdict(contract.inputs[0])),
        output=Tensor(**asdict(contract.outputs[0])),
        preprocessing=preprocessing(spec, splits),
        classes=splits.classes,
        train=_example_set(folder, splits.source, "train", splits.train),
        trained_elsewhere=isinstance(spec.model, Adopted)
        or any(record.model_dump().get("trained_elsewhere") for record in artifact.starts_of(passes)),
        test=_example_set(folder, splits.source, "test", splits.test),
        data=spec.data.model_copy(update={"augment": Augment()}),
        output_step=contract.outputs[0].scale or _step_behind(data, variant),
        threshold=rejection.threshold(data, splits, preprocessing(spec, splits))
        if spec.data.augment.paper
        else None,
        validation_examples=len(splits.validation),
        seed=spec.train.seed,
        versions=versions(),
        host_accuracy=host_accuracy(data, splits.test, "test", preprocessing(spec, splits)),
    )
    return artifact.save(folder, variant, data, card)


def as_shipped(data: bytes, variant: str, spec: Recipe, splits: Splits, *, stripped: bool) -> bytes:
    """The .tflite bytes as they ship: with labels and normalisation in them, or with nothing but the graph."""
    if stripped:
        return strip.strip(data, variant)
    mean, std = preprocessing(spec, splits).mean_and_std()
    return metadata.attach_metadata(
        data,
        name=f"{spec.name} {variant}",
        description="Made by edgebig. The card beside this file tells how, from what, and how well it does.",
        labels=splits.classes,
        mean=mean,
        std=std,
    )


def with_io(source: Artifact, dtype: Any, folder: Path | None = None) -> Artifact:
    """The same model with inputs and outputs of `dtype`, as <variant>-io-<dtype>.tflite with a card of its own.

    Only the edges of the graph change, and the rewritten file is run against its source on the host: predictions must
    be equal, or EdgebigError. Gives `source` itself where it has that type, and the file that was made before.
    """
    card = artifact.require_card(source, "which says what its numbers mean")
    data = source.path.read_bytes()
    if card.input.dtype == card.output.dtype == dtype:
        return source
    rewritten = flatbuffer.rewrite_io(data, dtype, source.path.name)
    folder = folder or source.path.parent
    variant = f"{source.name.split('-io-')[0]}-io-{dtype}"
    if made_before := artifact.made_before(folder, variant, rewritten):
        return made_before
    _check_same(data, rewritten, card.preprocessing, source.path.name)
    variant = artifact.free_variant(folder, variant)
    record = PassRecord.model_validate({"name": "io", "dtype": dtype})
    return artifact.save(folder, variant, rewritten, artifact.derived(card, rewritten, variant, record))


def preprocessing(spec: Recipe, splits: Splits) -> Preprocessing:
    """What training makes of pixels: 0..255 become 0..1, and the picture is as the recipe's [data] frames it.

    A .tflite that was adopted takes them as it was told to.
    """
    low, high = (spec.model.low, spec.model.high) if isinstance(spec.model, Adopted) else (0.0, 1.0)
    return Preprocessing(
        low=low, high=high, ink_is_high=True, colour="grey" if splits.train.shape[2] == 1 else "rgb",
        framing=splits.framing, fit=spec.data.fit,
    )  # fmt: skip


def host_accuracy(data: bytes, examples: Examples, split: Any, preprocessing: Preprocessing) -> HostAccuracy:
    """Accuracy of .tflite bytes on `examples` by the runtime on this host."""
    predicted = tflite.labels(data, examples, preprocessing.model_dump())
    correct = int(np.sum(predicted == examples.labels))
    interval = stats.accuracy_interval(correct, len(examples))
    runtime = f"{tflite.HOST_RUNTIME} {_version(tflite.HOST_RUNTIME)}"
    return HostAccuracy(
        split=split, runtime=runtime, correct=correct, n=len(examples),
        value=interval.value, low=interval.low, high=interval.high,
    )  # fmt: skip


def _check_same(before: bytes, after: bytes, preprocessing: Preprocessing, name: str) -> None:
    shape = flatbuffer.io_contract(before, name).inputs[0].shape
    images_u8 = tflite.noise(shape)
    noise = Examples(images_u8, np.zeros(len(images_u8), np.int64))
    read = [tflite.labels(data, noise, preprocessing.model_dump()) for data in (before, after)]
    if differing := int(np.sum(read[0] != read[1])):
        raise EdgebigError(
            f"{name}: with other I/O, {differing} of {len(noise)} pictures are read otherwise",
            "please report this",
        )


def _step_behind(data: bytes, name: str) -> float | None:
    """The step of an int8 model whose outputs are floats, read from the same model with int8 outputs."""
    if flatbuffer.float_operators(data):
        return None
    return flatbuffer.io_contract(flatbuffer.rewrite_io(data, "int8", name), name).outputs[0].scale


def _example_set(folder: Path, source: str, split: Any, examples: Examples) -> ExampleSet:
    sha256 = artifact.write_hashes(folder, examples.hashes)
    return ExampleSet(source=source, split=split, n=len(examples), sha256=sha256)


def versions() -> dict[str, str]:
    found = {name: _version(name) for name in _VERSIONED}
    return {
        "edgebig": edgebig.__version__,
        "python": platform.python_version(),
        **{n: v for n, v in found.items() if v},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
