"""A run's model for each target: the file, its card, what is said, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgebig import artifact, flatbuffer, metadata, recipe, runs, targets
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.cli.convert import For
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.errors import EXIT_SHORTFALL, EdgebigError, Shortfall
from edgebig.recipe import Data
from edgebig.targets import proof
from edgebig.targets.table import TARGETS, numbers_of
from edgebig.tflitefile import pack_model, parse_model, unpack_model
from tests.commandline import Edgebig


@pytest.fixture(scope="module")
def digits() -> Examples:
    return source.load(Data(source="digits-5k")).test[::20]


def labels_of(item: Artifact, digits: Examples) -> np.ndarray:
    """As the host's runner reads them; grey pictures as r = g = b where it takes colour."""
    assert item.card is not None
    channels = item.card.input.shape[-1]
    pictures = Examples(np.repeat(np.asarray(digits.images), channels, axis=-1), digits.labels)
    return tflite.labels(item.path.read_bytes(), pictures, item.card.preprocessing.model_dump())


def test_the_command_knows_the_targets() -> None:
    assert [item.value for item in For] == list(TARGETS)


@pytest.mark.parametrize(
    ("target", "file", "io"),
    [
        ("cpu", "int8", ("int8", "int8")),
        ("nnapi", "int8", ("int8", "int8")),
        ("edgetpu", "int8", ("int8", "int8")),
        ("ethos-u", "int8", ("int8", "int8")),
        ("mcu", "int8-for-mcu", ("int8", "int8")),
        ("browser", "int8-for-browser", ("uint8", "uint8")),
        ("mediapipe", "int8-for-mediapipe", ("uint8", "uint8")),
    ],
)
def test_int8_for_each_target(
    int8: Artifact, digits: Examples, target: str, file: str, io: tuple[str, str]
) -> None:
    fitted = targets.fit(int8, target)
    made, card = fitted.artifact, fitted.artifact.card
    assert card is not None
    assert made.path == int8.path.parent / f"{file}.tflite"
    assert (card.input.dtype, card.output.dtype) == io
    assert fitted.chosen
    # Its first convolution steps by 4, which the Ethos-U does not.
    assert [one.operator for one in fitted.left] == (["CONV_2D"] if target == "ethos-u" else [])
    assert np.array_equal(labels_of(made, digits), labels_of(int8, digits))
    # The card is of this file, and says where its accuracy was measured.
    assert artifact.load(made.path) == made
    if file == "int8":
        assert made == int8
        return
    assert card.variant == file
    assert card.parent_sha256 == int8.sha256
    assert card.host_accuracy.inherited_from == int8.sha256
    record = card.passes[-1].model_dump()
    assert record == {
        "name": "for", "target": target, "n": 200, "largest_difference": 0.0, "labels_differ": 0,
    }  # fmt: skip
    assert targets.fit(int8, target).artifact == made
    assert len(list(int8.path.parent.glob("*.tflite"))) == 2


def test_float_for_a_gpu(float32: Artifact, digits: Examples) -> None:
    fitted = targets.fit(float32, "gpu")
    card = fitted.artifact.card
    assert card is not None
    assert fitted.artifact.name == "float32-for-gpu"
    assert numbers_of(fitted.artifact.path.read_bytes(), "m") == "float16"
    assert fitted.left == ()
    assert 0 < card.passes[-1].model_dump()["largest_difference"] < 0.02
    assert np.array_equal(labels_of(fitted.artifact, digits), labels_of(float32, digits))
    assert targets.fit(fitted.artifact, "gpu").artifact == fitted.artifact


@pytest.mark.parametrize("target", ["browser", "cpu", "mediapipe"])
def test_float_where_it_is_taken(float32: Artifact, digits: Examples, target: str) -> None:
    fitted = targets.fit(float32, target)
    assert np.array_equal(labels_of(fitted.artifact, digits), labels_of(float32, digits))


def test_the_mcu_form_is_bare(int8: Artifact) -> None:
    made = targets.fit(int8, "mcu").artifact
    model = parse_model(made.path.read_bytes(), "m")
    assert not model["signature_defs"]
    assert not model["metadata"]
    assert {tensor["name"] for tensor in model["subgraphs"][0]["tensors"]} == {""}
    assert made.path.stat().st_size < 0.8 * int8.path.stat().st_size


def test_the_mediapipe_form_has_its_labels(int8: Artifact) -> None:
    made = targets.fit(int8, "mediapipe").artifact
    found = metadata.read_metadata(made.path.read_bytes())
    assert found is not None
    assert found.labels == tuple("0123456789")
    assert (found.mean, found.std) == ((0.0,), (255.0,))
    assert made.card is not None
    assert made.card.preprocessing.colour == "rgb"


def test_other_edges_are_made_int8(int8: Artifact) -> None:
    path = int8.path.with_name("int8-io-uint8.tflite")
    assert int8.card is not None
    data = flatbuffer.rewrite_io(int8.path.read_bytes(), "uint8", "m")
    from edgebig import convert

    other = convert.with_io(int8, "uint8")
    assert other.path == path
    assert path.read_bytes() == data
    fitted = targets.fit(other, "edgetpu")
    assert fitted.artifact.name == "int8-for-edgetpu"
    assert fitted.artifact.card is not None
    assert fitted.artifact.card.input.dtype == "int8"


# ---- what is refused


def test_numbers_that_the_target_does_not_take(int8: Artifact, float32: Artifact) -> None:
    with pytest.raises(EdgebigError, match="is float32; edgetpu takes int8") as refused:
        targets.fit(float32, "edgetpu")
    assert "edgebig compress --int8" in refused.value.hint
    with pytest.raises(EdgebigError, match="is int8; gpu takes float32 or float16"):
        targets.fit(int8, "gpu")
    assert not list(int8.path.parent.glob("*-for-*"))


def test_a_file_without_a_card_is_adopted_first(int8: Artifact) -> None:
    int8.path.with_suffix(".json").unlink()
    with pytest.raises(EdgebigError, match="no card beside it") as refused:
        targets.fit(artifact.load(int8.path), "mcu")
    assert f"edgebig adopt {int8.path}" in refused.value.hint


def test_an_unknown_target_names_the_others(int8: Artifact) -> None:
    with pytest.raises(EdgebigError, match="no target 'tpu'") as refused:
        targets.fit(int8, "tpu")
    assert "edgetpu" in refused.value.hint


def test_strict_writes_nothing(int8: Artifact) -> None:
    from edgebig import convert

    other = convert.with_io(int8, "uint8")
    with pytest.raises(Shortfall, match="ethos-u would not take 1 of 4 operators") as short:
        targets.fit(other, "ethos-u", strict=True)
    assert "stride 4x4, at most 3" in short.value.problem
    assert not list(int8.path.parent.glob("*-for-*"))
    assert targets.fit(other, "edgetpu", strict=True).left == ()


def test_a_form_with_other_answers_is_never_written(int8: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig.targets import forms

    right = forms.takes_colour

    def too_dark(model: bytes, preprocessing: artifact.Preprocessing, name: str) -> bytes:
        tree = unpack_model(right(model, preprocessing, name), name)
        for tensor in tree.subgraphs[0].tensors:
            if tensor.name == b"red_green_blue":
                tensor.quantization.scale = [tensor.quantization.scale[0] * 0.9]
        return pack_model(tree, {})

    monkeypatch.setattr(forms, "takes_colour", too_dark)
    with pytest.raises(EdgebigError, match="its scores would be off by"):
        targets.fit(int8, "mediapipe")
    assert not list(int8.path.parent.glob("*-for-*"))


# ---- which file of a run


def variants(*items: Artifact) -> list[Path]:
    return [item.path for item in items]


def test_a_target_picks_what_it_takes(int8: Artifact, float32: Artifact) -> None:
    both = variants(int8, float32)
    picked = {target: targets.pick(both, target, "run").stem for target in TARGETS}
    assert picked == {
        "cpu": "float32", "gpu": "float32", "nnapi": "int8", "edgetpu": "int8", "ethos-u": "int8", "mcu": "int8",
        "browser": "int8", "mediapipe": "int8",
    }  # fmt: skip
    assert targets.pick(both[:1], "cpu", "run") == int8.path
    for numbers, target in ((float32, "mcu"), (int8, "gpu")):
        with pytest.raises(EdgebigError, match="run: has no model that"):
            targets.pick(variants(numbers), target, "run")
    with pytest.raises(EdgebigError, match=r"run: no \.tflite in it"):
        targets.pick([], "cpu", "run")


def test_a_device_gets_the_form_that_was_made_for_it(int8: Artifact, float32: Artifact) -> None:
    made = targets.fit(int8, "browser").artifact
    all_three = variants(int8, float32, made)
    assert targets.ready(all_three, targets.implied_by("browser"), "run") == made.path
    assert targets.ready(all_three, targets.implied_by("local"), "run") == float32.path
    assert targets.ready(all_three, "mediapipe", "run") == int8.path


def test_what_xnnpack_leaves_is_the_runtimes_word(int8: Artifact, float32: Artifact) -> None:
    assert "SOFTMAX" in proof.left_to_plain_kernels(int8.path.read_bytes(), "m")
    assert proof.left_to_plain_kernels(float32.path.read_bytes(), "m") == []


def test_bench_takes_the_form_of_its_device(edgebig: Edgebig, int8: Artifact) -> None:
    """A form that was made for another target is not what a CPU gets, though it is the newest."""
    run = runs.create(
        recipe.parse({"data": {"source": "digits-5k"}, "model": {"name": "digit-cnn"}}, "tiny", file="")
    )
    for path in int8.path.parent.glob("int8.*"):
        shutil.copy(path, run.folder)
    runs.finish(run, {"schema": 1})
    targets.fit(artifact.load(run.folder / "int8.tflite"), "browser")
    done = edgebig(
        "bench", "--device", "fake", "--examples", "10", "--processes", "2", "--rounds", "1", "--json"
    )
    assert done.code == 0, done.stderr
    assert "fake: for a CPU by TFLite or LiteRT" in done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert model["name"] == str(run.folder / "int8.tflite")
    assert runs.newest_variant(run) == run.folder / "int8.tflite"


# ---- the command


@pytest.fixture
def edgebig(edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Edgebig:
    """In the test's folder."""
    monkeypatch.chdir(tmp_path)
    return edgebig


def test_the_command_says_what_it_chose(edgebig: Edgebig, int8: Artifact, float32: Artifact) -> None:
    done = edgebig("convert", "float32.tflite", "--for", "gpu")
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("float32-for-gpu.tflite: for gpu, ")
    assert lines[-1].startswith("left to the CPU: nothing  (by TensorFlow, ")
    done = edgebig("convert", "int8.tflite", "--for", "nnapi", "--json")
    answer = json.loads(done.stdout)
    assert (answer["file"], answer["target"], answer["left"], answer["schema"]) == (
        "int8.tflite",
        "nnapi",
        [],
        1,
    )
    assert any("Android 15" in line for line in answer["chosen"])
    done = edgebig("convert", "int8.tflite", "--for", "ethos-u")
    assert (done.code, done.stdout.splitlines()[-2][:18]) == (0, "left to the CPU: 1")
    assert done.stdout.splitlines()[-1].endswith("stride 4x4, at most 3")
    done = edgebig("convert", "int8.tflite", "--for", "ethos-u", "--strict", "--json")
    assert (done.code, done.stdout) == (EXIT_SHORTFALL, "")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("--for", "mcu", "--io", "uint8"), 2, "'--io'"),
        (("--strict",), 2, "'--strict'"),
        (("--for", "tpu"), 2, "'--for'"),
    ],
)
def test_clumsy_flags(
    edgebig: Edgebig, int8: Artifact, arguments: tuple[str, ...], code: int, line: str
) -> None:
    done = edgebig("convert", "int8.tflite", *arguments)
    assert done.code == code
    assert line in done.stderr
    assert done.stdout == ""


def test_keras_goes_through_adopt(edgebig: Edgebig, tmp_path: Path) -> None:
    (tmp_path / "m.keras").touch()
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").touch()
    for name, what in (("m.keras", "a Keras model"), ("saved", "a SavedModel")):
        done = edgebig("convert", name, "--for", "gpu")
        assert done.code == 1
        assert f"{name}: {what}, and convert takes a run or a .tflite" in done.stderr
        assert f"edgebig adopt {name}" in done.stderr
