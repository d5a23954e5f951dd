"""What conversion promises of the file: names, batch, metadata, the same numbers with other I/O, a true card."""

from __future__ import annotations

import importlib.metadata
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgebig import artifact, convert, files, flatbuffer, metadata, stats
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.recipe import Data
from edgebig.tflitefile import parse_model

GOLDEN = Path(__file__).parent / "golden"
GREY = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = source.load(Data(source="digits-5k"))
    return Splits("digits-5k", whole.classes, whole.train[::5], whole.validation[::5], whole.test[::5])


@pytest.fixture(scope="module")
def models(splits: Splits) -> dict[str, Any]:
    """A float and a QAT model of each family, trained for a moment."""
    from edgebig import models, train
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras
    from edgebig.recipe import Augment, DigitCnn, KerasConvnet, Train

    keras.utils.set_random_seed(0)
    made = {}
    spec = Train(epochs=8, learning_rate=0.02, batch_size=32)
    for name, family in (
        ("digit-cnn", DigitCnn(name="digit-cnn", channels=(3, 5), blocks=(1, 1))),
        ("keras-convnet", KerasConvnet(name="keras-convnet")),
    ):
        model = models.build(family, (28, 28, 1), 10)
        train.fit(model, splits, spec, augment=Augment(), seed=0, what="train")
        made[f"{name} float32"] = model
        quantized = apply_qat(model)
        train.fit(quantized, splits, Train(epochs=1), augment=Augment(), seed=0, what="qat")
        made[f"{name} int8"] = quantized
    return made


MODELS = [f"{family} {dtype}" for family in ("digit-cnn", "keras-convnet") for dtype in ("float32", "int8")]


def outputs(
    data: bytes, images_u8: npt.NDArray[np.uint8], path: Path, kernels: str = "reference"
) -> npt.NDArray[Any]:
    path.write_bytes(data)
    found: npt.NDArray[Any] = infer.classify(
        infer.Model(str(path), "ai-edge-litert", kernels, 1), images_u8, GREY
    )
    return found


# ---- Keras -> .tflite


@pytest.mark.tf
@pytest.mark.parametrize("name", MODELS)
def test_names_shapes_and_types(name: str, models: dict[str, Any]) -> None:
    dtype = name.split()[1]
    data = convert.to_tflite(models[name], int8=dtype == "int8")
    contract = flatbuffer.io_contract(data, "m")
    (given,), (made,) = contract.inputs, contract.outputs
    assert (given.name, given.dtype, given.shape) == ("image", dtype, (1, 28, 28, 1))
    assert (made.name, made.dtype, made.shape) == ("probabilities", dtype, (1, 10))
    if dtype == "int8":
        assert given.scale == pytest.approx(1 / 255, rel=1e-6)  # a grey level a step
        assert given.zero_point == -128
        assert (made.scale, made.zero_point) == (1 / 256, -128)
        assert flatbuffer.float_operators(data) == []
    (graph,) = parse_model(data, "m")["subgraphs"]
    assert len({tensor["name"] for tensor in graph["tensors"]}) == len(graph["tensors"])
    # Batch 1 is fixed: no dimension is left open.
    assert all(-1 not in tensor["shape_signature"] for tensor in graph["tensors"])


@pytest.mark.tf
@pytest.mark.parametrize("name", MODELS)
def test_the_signature_runs_by_its_names(name: str, models: dict[str, Any]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=convert.to_tflite(models[name], int8="int8" in name))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    run = interpreter.get_signature_runner()
    image = np.zeros((1, 28, 28, 1), interpreter.get_input_details()[0]["dtype"])
    assert run(image=image)["probabilities"].shape == (1, 10)


@pytest.mark.tf
@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_keras(
    name: str, models: dict[str, Any], splits: Splits, tmp_path: Path
) -> None:
    model, int8 = models[name], "int8" in name
    images = splits.test.images[:60]
    data = convert.to_tflite(model, int8=int8)
    assert convert.to_tflite(model, int8=int8) == data  # and the same bytes again
    made = outputs(data, images, tmp_path / "m.tflite")
    expected = model.predict(images / np.float32(255), verbose=0)
    real = made.astype(np.float32) if not int8 else (made.astype(np.float32) + 128) / 256
    assert np.abs(real - expected).max() < (0.15 if int8 else 1e-5)
    # Of a net that was trained for moments many digits are nearly ties, which rounding may turn.
    second, first = np.sort(expected, axis=1)[:, -2:].T
    sure = first - second > (0.1 if int8 else 0)
    assert sure.sum() >= 15
    np.testing.assert_array_equal(real.argmax(axis=1)[sure], expected.argmax(axis=1)[sure])


@pytest.mark.tf
def test_the_way_by_a_saved_model_gives_the_same_bits(
    models: dict[str, Any], splits: Splits, tmp_path: Path
) -> None:
    from edgebig.keras import tf

    model = models["digit-cnn int8"]
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 28, 28, 1), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    both = (convert.to_tflite(model, int8=True), bytes(converter.convert()))
    first, second = (outputs(data, splits.test.images[:60], tmp_path / "m.tflite") for data in both)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*int8*.tflite")), ids=lambda path: path.stem)
def test_naming_changes_names_alone(path: Path) -> None:
    before = path.read_bytes()
    after = flatbuffer.name_edges(before, "image", "probabilities", path.name)
    contract = flatbuffer.io_contract(after, path.name)
    assert [tensor.name for tensor in (*contract.inputs, *contract.outputs)] == ["image", "probabilities"]
    assert flatbuffer.name_edges(after, "image", "probabilities", path.name) == after
    assert flatbuffer.weight_sparsity(before) == flatbuffer.weight_sparsity(after)


def test_a_tensor_inside_that_has_the_name_gives_way() -> None:
    before = (GOLDEN / "digits-int8.tflite").read_bytes()
    swapped = flatbuffer.name_edges(before, "probabilities", "image")
    back = flatbuffer.name_edges(swapped, "image", "probabilities")
    (graph,) = parse_model(back, "m")["subgraphs"]
    names = [tensor["name"] for tensor in graph["tensors"]]
    assert len(set(names)) == len(names)
    test = source.load(Data(source="digits-5k")).test[:50]
    np.testing.assert_array_equal(*(tflite.labels(data, test, GREY) for data in (before, back)))


# ---- publish


@pytest.fixture(scope="module")
def published(models: dict[str, Any], splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from edgebig import recipe

    folder = tmp_path_factory.mktemp("published")
    data = convert.to_tflite(models["digit-cnn int8"], int8=True)
    spec = recipe.load("digits-quick", ["train.seed=7"])
    convert.publish(
        folder, "int8", data, spec, splits, parameters=123, passes=(), parent=files.sha256_bytes(b"")
    )
    return artifact.load(folder / "int8.tflite")


@pytest.mark.tf
def test_the_card_is_true_of_the_file(published: Artifact, splits: Splits) -> None:
    data = published.path.read_bytes()
    card = artifact.require_card(published, "")
    assert card.sha256 == published.sha256 == files.sha256_bytes(data)
    assert (card.size_bytes, card.deflated_bytes) == (len(data), len(zlib.compress(data, 9)))
    assert (card.recipe, card.variant, card.seed, card.parameters) == ("digits-quick", "int8", 7, 123)
    assert card.versions["ai-edge-litert"] == importlib.metadata.version("ai-edge-litert")
    assert card.versions["tensorflow"] == importlib.metadata.version("tensorflow")
    correct = int(np.sum(tflite.labels(data, splits.test, GREY) == splits.test.labels))
    interval = stats.accuracy_interval(correct, 200)
    said = card.host_accuracy
    assert (said.split, said.correct, said.n) == ("test", correct, 200)
    assert (said.value, said.low, said.high) == (interval.value, interval.low, interval.high)
    contract = flatbuffer.io_contract(data, "m")
    for tensor, there in ((card.input, contract.inputs[0]), (card.output, contract.outputs[0])):
        assert tensor.model_dump() == vars(there)
    for part, examples in ((card.train, splits.train), (card.test, splits.test)):
        hashes = artifact.read_hashes(published.path.parent, part.sha256)
        assert hashes is not None
        np.testing.assert_array_equal(hashes, np.sort(examples.hashes))
        assert (part.source, part.n) == ("digits-5k", len(examples))
    assert card.validation_examples == len(splits.validation)


@pytest.mark.tf
def test_labels_and_normalisation_are_in_the_file(published: Artifact) -> None:
    found = metadata.read_metadata(published.path.read_bytes())
    assert found is not None
    assert found.name == "digits-quick int8"
    assert (found.labels, found.mean, found.std) == (tuple("0123456789"), (0.0,), (255.0,))


# ---- other I/O types


@pytest.mark.tf
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_other_io_reads_the_same_and_leads_back_to_the_same_bytes(
    published: Artifact, splits: Splits, dtype: str, tmp_path: Path
) -> None:
    for path in published.path.parent.iterdir():
        shutil.copy(path, tmp_path)
    original = artifact.load(tmp_path / "int8.tflite")
    made = convert.with_io(original, dtype)
    assert made.path == tmp_path / f"int8-io-{dtype}.tflite"
    data = made.path.read_bytes()
    card = artifact.require_card(artifact.load(made.path), "")
    assert (card.input.dtype, card.output.dtype) == (dtype, dtype)
    assert (card.input.name, card.output.name) == ("image", "probabilities")
    assert (card.size_bytes, card.sha256) == (len(data), files.sha256_bytes(data))
    assert card.parent_sha256 == original.sha256
    assert card.passes[-1].model_dump() == {"name": "io", "dtype": dtype}
    # Floats behind a DEQUANTIZE still move by the steps of the int8 number before it.
    assert card.output_step == original.card.output.scale
    assert metadata.read_labels(data) == tuple("0123456789")
    before = tflite.labels(original.path.read_bytes(), splits.test, GREY)
    np.testing.assert_array_equal(before, tflite.labels(data, splits.test, GREY))
    # The accuracy on its card is its parent's: it must be its own too.
    measured = convert.host_accuracy(data, splits.test, "test", card.preprocessing)
    assert measured.model_copy(update={"inherited_from": original.sha256}) == card.host_accuracy
    kept = original.path.read_bytes()
    back = convert.with_io(made, "int8", tmp_path / "back")
    assert back.path == tmp_path / "back" / "int8-io-int8.tflite"
    np.testing.assert_array_equal(
        outputs(kept, splits.test.images[:100], tmp_path / "a.tflite"),
        outputs(back.path.read_bytes(), splits.test.images[:100], tmp_path / "b.tflite"),
    )
    # What has that type is given back, and what was made before is not made again, nor written over.
    assert convert.with_io(made, dtype) == made
    stamp = made.path.stat().st_mtime_ns
    assert convert.with_io(original, dtype, made.path.parent).path == made.path
    assert made.path.stat().st_mtime_ns == stamp
    assert made.card is not None
    assert made.card.host_accuracy.inherited_from == original.sha256


def test_io_of_a_float_model_and_of_a_file_without_a_card(tmp_path: Path) -> None:
    for name in ("digits-float32.tflite", "digits-float32.json"):
        shutil.copy(GOLDEN / name, tmp_path)
    with pytest.raises(EdgebigError, match="only 8-bit numbers become uint8"):
        convert.with_io(artifact.load(tmp_path / "digits-float32.tflite"), "uint8")
    (tmp_path / "digits-float32.json").unlink()
    with pytest.raises(EdgebigError, match="no card beside it"):
        convert.with_io(artifact.load(tmp_path / "digits-float32.tflite"), "uint8")


def test_zeros_by_layer() -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    by_tensor = flatbuffer.weight_sparsity(data)
    assert by_tensor
    assert all(0 <= share < 0.5 for share in by_tensor.values())
    assert convert.layer_sparsity(data, ["no such layer"]) == {}
