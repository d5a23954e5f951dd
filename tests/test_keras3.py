"""Models of Keras 3 in tf_keras: made by Keras 3 itself in one process, and held against what it says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError

pytestmark = [pytest.mark.tf, pytest.mark.slow]
MAKER = Path(__file__).with_name("keras3_models.py")
# What each model in keras3_models.refused() is refused with.
REFUSED = {
    "lambda.keras": "  code (Lambda)",
    "lambda.h5": "  code (Lambda)",
    "alone.weights.h5": "holds weights alone",
    "own.keras": "  custom (mine>Own)",
    "several.keras": "2 of its layers cannot be brought from Keras 3 to tf_keras\n"
    "  rms (RMSNormalization): there is no form of it in tf_keras that was held against Keras 3\n"
    "  odd (Conv2D): there is no form of activation 'log_softmax' in tf_keras",
    "lstm.keras": "memory (LSTM): there is no form of it",
    "attention.keras": "heads (MultiHeadAttention): there is no form of it",
    "first.keras": "nchw (MaxPooling2D): with data_format = 'channels_first'",
    "renorm.keras": "renormed (BatchNormalization): with renorm = True",
    "aspect.keras": "padded (Resizing): with pad_to_aspect_ratio = True",
    "embedding.keras": "words (Embedding): there is no form of it",
    "getitem.keras": "(GetItem): this operation of keras.ops has no form",
    "ranks.keras": "(Add): takes two tensors of one rank, or a tensor and a number",
    "array.keras": "a layer is called with a __numpy__",
    "divided.keras": "(TrueDivide): divides by what is no number",
    "total.keras": "(Mean): over axes -1 of a tensor of rank 4; only over height and width",
    "approximate.keras": "(Gelu): approximate",
    "twice.keras": "Keras 3 itself cannot read it: ValueError: A total of 1 objects could not be loaded",
    "named.keras": "its inputs or outputs go by names",
    "integer.keras": "whole (InputLayer): takes int32",
    "unbuilt.keras": "a Sequential that does not know its input's shape",
    "lora.keras": "low (Dense): with lora_rank = 1",
    "quantized.keras": "whole (Dense): with quantization_config",
    "nan.keras": "gives what are no numbers",
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models that a process with Keras 3 wrote."""
    from edgebig.keras3.layers import LEFT_OUT

    folder = tmp_path_factory.mktemp("keras3")
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, str(MAKER), str(folder), ",".join(sorted(LEFT_OUT))],
        env={**environment, "KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def apart(model: Any, path: Path) -> list[float]:
    """For each output: the largest difference from what Keras 3 said, as a share of its largest number if over 1."""
    found = np.load(path.with_suffix(".npz"))
    inputs = [found[name] for name in found.files if name.startswith("input")]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    pairs = zip(outputs if isinstance(outputs, list) else [outputs], found.files[len(inputs) :], strict=True)
    return [float(np.abs(o - found[name]).max() / max(1.0, np.abs(found[name]).max())) for o, name in pairs]


def config_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read("config.json"))
    return found


def rewritten(path: Path, target: Path, change: Any) -> Path:
    """The .keras with each member's bytes as `change` of its name and bytes gives them; None leaves it out."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if (data := change(name, source.read(name))) is not None:
                copy.writestr(name, data)
    return target


def test_every_layer_and_operation_says_what_keras_3_says(made: Path) -> None:
    """Some 120 layers with options of their own, each an output of one model."""
    from edgebig import keras3
    from edgebig.keras3.layers import OPTIONS
    from edgebig.keras3.operations import OPERATIONS

    path = made / "everything.keras"
    members = config_of(path)["config"]["layers"]
    layers = {member["class_name"] for member in members if member["module"] == "keras.layers"}
    operations = {member["class_name"] for member in members if member["module"].startswith("keras.src")}
    assert layers - {"InputLayer"} == set(OPTIONS)
    assert operations | {"Divide"} == set(OPERATIONS)  # an older Keras 3 called TrueDivide so
    model = keras3.load(path)
    half = [index for index, output in enumerate(model.outputs) if "mixed" in output.name]
    differences = np.asarray(apart(model, path))
    assert len(half) == 1
    assert differences[half] < 1e-3  # Keras 3 computed it in float16.
    assert [
        (model.outputs[i].name, differences[i]) for i in np.flatnonzero(differences > 1e-5) if i not in half
    ] == []


def test_what_does_nothing_outside_training_is_left_out(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgebig import keras3
    from edgebig.keras3.layers import LEFT_OUT

    path = made / "augmented.keras"
    taken = {member["class_name"] for member in config_of(path)["config"]["layers"]}
    assert taken - {"Flatten", "InputLayer"} == LEFT_OUT
    model = keras3.load(path)
    assert {type(layer).__name__ for layer in model.layers} == {"Flatten", "InputLayer"}
    assert max(apart(model, path)) == 0.0
    assert "left out, since they do nothing outside training: aug_mix (AugMix), " in capsys.readouterr().err


def test_shared_and_nested_models_become_one_flat_model(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgebig import keras3

    model = keras3.load(made / "shared.keras")
    assert max(apart(model, made / "shared.keras")) < 1e-5
    names = [layer.name for layer in model.layers]
    assert {"outer_conv_1", "conv", "bn", "relu", "tail_conv", "bn_1"} <= set(names)
    assert not any(hasattr(layer, "layers") for layer in model.layers)
    trainable = {layer.name: layer.trainable for layer in model.layers}
    assert (trainable["conv"], trainable["bn"], trainable["tail_conv"]) == (False, False, True)
    assert "2 of its layers are frozen" in capsys.readouterr().err
    # Each layer once, however often it is called.
    assert len(names) == len(set(names))
    last = keras3.load(made / "nested_last.keras")
    assert max(apart(last, made / "nested_last.keras")) < 1e-5


def test_files_of_each_kind(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgebig import keras3
    from edgebig.keras import keras

    for name in ("classifier.keras", "legacy.h5"):
        assert keras3.is_keras3(made / name)
        assert max(apart(keras3.load(made / name), made / name)) < 1e-5
    half = keras3.load(made / "half.keras")
    assert {weight.dtype.name for weight in half.weights} == {"float32"}
    assert max(apart(half, made / "half.keras")) < 1e-3
    assert "its mixed_float16 became float32" in capsys.readouterr().err
    for name in ("old.keras", "old.h5"):
        half.save(tmp_path / name)
        assert not keras3.is_keras3(tmp_path / name)
        assert max(apart(keras3.load(tmp_path / name), made / "half.keras")) < 1e-3
    coded = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1, name="code")])
    for name in ("code.keras", "code.h5"):
        coded.save(tmp_path / name)
        with pytest.raises(EdgebigError, match=r"would run code from elsewhere\n  code \(Lambda\)"):
            keras3.load(tmp_path / name)


def test_what_quantizes_takes_it(made: Path) -> None:
    """The reason for it all: tensorflow-model-optimization refuses a model of Keras 3."""
    from edgebig import keras3
    from edgebig.keras import load_tfmot

    model = keras3.load(made / "classifier.keras")
    quantized = load_tfmot().quantization.keras.quantize_model(model)
    assert len(quantized.layers) == len(model.layers) + 1


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_what_is_refused(made: Path, name: str) -> None:
    from edgebig import keras3

    assert {path.name for path in (made / "refused").iterdir()} == set(REFUSED)
    with pytest.raises(EdgebigError) as refusal:
        keras3.load(made / "refused" / name)
    assert refusal.value.problem.startswith(str(made / "refused" / name))
    assert REFUSED[name] in refusal.value.problem
    assert refusal.value.hint


def test_damaged_and_hostile_files(made: Path, tmp_path: Path) -> None:
    from edgebig import keras3

    whole = made / "classifier.keras"
    config = config_of(whole)

    def with_config(changed: Any) -> Any:
        return lambda name, data: json.dumps(changed).encode() if name == "config.json" else data

    def elsewhere(value: Any) -> Any:
        return {**value, "module": "os", "class_name": "system"}

    def deep(name: str, data: bytes) -> bytes:
        return b"[" * 100_000 if name == "config.json" else data

    orphan = config_of(made / "shared.keras")
    orphan["config"]["output_layers"] = ["nobody", 0, 0]
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", bytes(100 << 20))
    empty, text, cut, hdf5 = (
        tmp_path / name for name in ("empty.keras", "text.keras", "cut.keras", "cut.h5")
    )
    empty.write_bytes(b"")
    text.write_text("a model")
    cut.write_bytes(whole.read_bytes()[:-200])
    hdf5.write_bytes((made / "legacy.h5").read_bytes()[:2000])
    cases = {
        empty: "no model file of Keras",
        text: "no model file of Keras",
        cut: "no model file of Keras",
        hdf5: "cannot be read as HDF5",
        bomb: "its weights unpack to 104,857,600 bytes",
        rewritten(
            whole, tmp_path / "a.keras", lambda n, d: None if n == "config.json" else d
        ): "no config.json in it",
        rewritten(whole, tmp_path / "b.keras", lambda n, d: d[: len(d) // 2]): "is no JSON",
        rewritten(
            whole, tmp_path / "c.keras", lambda n, d: b"[]" if n == "config.json" else d
        ): "is no JSON object",
        rewritten(whole, tmp_path / "d.keras", deep): "is no JSON",
        rewritten(whole, tmp_path / "e.keras", with_config(elsewhere(config))): r"os.system",
        rewritten(
            whole, tmp_path / "f.keras", with_config({**config, "class_name": "Mine"})
        ): "Mine: a model is a functional",
        rewritten(
            whole, tmp_path / "g.keras", lambda n, d: d[:500] if n.endswith("h5") else d
        ): "Keras 3 itself cannot read",
        rewritten(
            made / "shared.keras", tmp_path / "h.keras", with_config(orphan)
        ): "its config is none of Keras 3",
    }
    for path, problem in cases.items():
        with pytest.raises(EdgebigError) as refusal:
            keras3.load(path)
        assert problem in refusal.value.problem, path
        assert refusal.value.hint


def test_weights_that_are_mixed_up_are_noticed(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of defence: outputs that differ are an error, whatever made them differ."""
    from edgebig import keras3
    from edgebig.keras3 import layers

    monkeypatch.setitem(layers._SAME_ACTIVATIONS, "relu", "tanh")
    with pytest.raises(EdgebigError, match=r"its outputs differ by .*, more than 1e-05"):
        keras3.load(made / "classifier.keras")
