"""TensorFlow itself as a runtime: the Keras model of a run, held against the .tflite that was made of it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgebig import artifact, bench, device, files, flatbuffer, predict
from edgebig.artifact import Artifact
from edgebig.bench import Settings
from edgebig.data import source
from edgebig.device import Device
from edgebig.errors import DeviceError, EdgebigError
from edgebig.recipe import Data
from edgebig.report import table

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SETTINGS = Settings(examples=50, processes=2, rounds=2, samples=3, warmup_s=0.1)

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def with_card(path: Path, variant: str = "float32") -> Artifact:
    contract = flatbuffer.io_contract(path.read_bytes(), path.name)
    card = json.loads((GOLDEN / "digits-float32.json").read_text())
    card |= {
        "variant": variant, "sha256": files.sha256_file(path), "input": vars(contract.inputs[0]),
        "output": vars(contract.outputs[0]),
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(card))
    artifact.write_hashes(path.parent, source.load(Data(source="digits-5k")).train.hashes)
    return artifact.load(path)


def golden(folder: Path, variant: str = "float32") -> Artifact:
    path = folder / f"{variant}.tflite"
    path.write_bytes((GOLDEN / "digits-float32.tflite").read_bytes())
    return with_card(path, variant)


def tensorflow(**facts: Any) -> Device:
    return device.load("tensorflow").model_copy(update=facts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Keras model and the float32.tflite that was made of it, as train leaves them."""
    from edgebig import convert
    from edgebig.keras import keras

    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, use_bias=False, input_shape=(28, 28, 1)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.save(folder / "model.keras")
    (folder / "float32.tflite").write_bytes(convert.to_tflite(model, int8=False))
    with_card(folder / "float32.tflite")
    return folder


# ---------------------------------------------------------------- without TensorFlow


def test_only_the_model_as_it_was_trained_has_a_keras_model(tmp_path: Path) -> None:
    (tmp_path / "model.keras").touch()
    with pytest.raises(
        EdgebigError, match=r"pruned-float32\.tflite: TensorFlow runs the Keras model"
    ) as caught:
        bench.bench([golden(tmp_path, "pruned-float32")], tensorflow(), SETTINGS, None)
    assert caught.value.hint == "give the float32.tflite of a run"


def test_a_keras_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match=r"float32\.tflite: no model\.keras beside it"):
        bench.bench([golden(tmp_path)], tensorflow(), SETTINGS, None)


# ---------------------------------------------------------------- with it


@pytest.mark.tf
@pytest.mark.slow
def test_it_answers_as_the_tflite_does_and_the_report_says_what_ran(run: Path) -> None:
    item = artifact.load(run / "float32.tflite")
    record, host = (
        bench.bench([item], target, SETTINGS, None) for target in (tensorflow(), device.load("local"))
    )
    found = record.models[0]
    assert record.provenance == "real"
    assert record.machine.model_dump()["runtimes"]["tensorflow"].startswith("2.")
    assert found.keras_sha256 == files.sha256_file(run / "model.keras")
    assert (found.verdict, found.delegate.actual, found.delegate.nodes) == ("OK", "none", 0)
    assert found.delegate.of > 3
    assert found.parity is not None
    assert found.parity.rms_difference < 1e-6
    assert found.predictions == host.models[0].predictions
    assert host.models[0].keras_sha256 is None
    assert [len(process) for process in found.latency.processes] == [6, 6]
    shown = io.StringIO()
    table.show(record, Console(file=shown, width=200))
    assert "TensorFlow ran the Keras model that it was made of" in shown.getvalue()


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize(
    ("delegate", "kind", "problem", "hint"),
    [
        ("xnnpack", EdgebigError, "TensorFlow has no delegate 'xnnpack'", "'gpu' a CUDA GPU"),
        ("gpu", DeviceError, "TensorFlow finds no CUDA GPU here", "tensorflow[and-cuda]"),
    ],
)
def test_what_it_does_not_have_is_told(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    delegate: str,
    kind: type[EdgebigError],
    problem: str,
    hint: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(kind) as caught:
        bench.bench([artifact.load(run / "float32.tflite")], tensorflow(delegate=delegate), SETTINGS, None)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


@pytest.mark.tf
@pytest.mark.slow
def test_a_damaged_keras_model_is_one_error(tmp_path: Path) -> None:
    item = golden(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(EdgebigError, match=r"float32\.tflite: TensorFlow cannot read it"):
        bench.bench([item], tensorflow(), SETTINGS, None)


def test_pictures_are_read_by_a_tflite_alone(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="tensorflow: TensorFlow runs Keras models") as caught:
        next(predict.predict(golden(tmp_path), [tmp_path / "a.png"], tensorflow()))
    assert caught.value.hint == "use --device local"
