"""`edgebig train` as its entry point runs it, in this process: several seeds, TensorBoard, a project of one's own."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, runs
from edgebig.errors import EdgebigError
from tests.commandline import Edgebig

pytestmark = pytest.mark.tf
ROOT = Path(__file__).resolve().parent.parent
# All layers without a name of their own: Keras names them by a count.
OWN = """
import tf_keras as keras
import tensorflow as tf

from widths import WIDTH


@keras.saving.register_keras_serializable()
class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2


def build(input_shape, classes, units=4):
    return keras.Sequential([
        keras.Input(input_shape),
        Halved(),
        keras.layers.Flatten(),
        keras.layers.Dense(units * WIDTH, activation="relu"),
        keras.layers.Dense(classes, activation="softmax"),
    ])


def loss(labels, outputs):
    return tf.reduce_sum(tf.square(labels - outputs), axis=-1)
"""
RECIPE = """
[data]
source = "digits-5k"
[model]
name = "python:own.py:build"
options = { units = 5 }
[train]
epochs = 2
batch_size = 350
learning_rate = 0.01
loss = "python:own.py:loss"
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and what it names, and another one to stand in."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    (folder / "widths.py").write_text("WIDTH = 2\n")
    (folder / "mine.toml").write_text(RECIPE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "widths", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def all_runs() -> list[runs.Run]:
    return [runs.load(str(path)) for path in runs.list_all()]


def history(run: runs.Run) -> list[dict[str, str]]:
    with (run.folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_several_seeds_give_a_mean_and_a_spread(edgebig: Edgebig, project: Path) -> None:
    recipe = str(project / "mine.toml")
    told = edgebig("train", recipe, "--seeds", "3", "--seed", "7", "--json")
    assert told.code == 0, told.stderr
    record = json.loads(told.stdout)
    made = all_runs()
    assert [run.recipe.train.seed for run in made] == [7, 8, 9]
    assert [row["run"] for row in record["runs"]] == [run.name for run in made]
    assert record["runs"] == [json.loads(json.dumps(runs.summary(run))) for run in made]
    accuracies = [row["metrics"]["float32_test_accuracy"] for row in record["runs"]]
    assert len(set(accuracies)) > 1
    assert record["test_accuracy"] == {
        "seeds": 3,
        "mean": pytest.approx(statistics.mean(accuracies)),
        "standard_deviation": pytest.approx(statistics.stdev(accuracies)),
    }
    # In words. Each is what that seed gives, to the byte, though other models were built before it in this process.
    told = edgebig("train", recipe, "--seeds", "2", "--seed", "8")
    for one, other in zip(made[1:], all_runs()[3:], strict=True):
        assert (one.folder / "float32.tflite").read_bytes() == (other.folder / "float32.tflite").read_bytes()
    *each, spread = told.stdout.splitlines()
    assert [f"seed {seed}" in line for seed, line in zip((8, 9), each, strict=True)] == [True, True]
    mean, deviation = statistics.mean(accuracies[1:]), statistics.stdev(accuracies[1:])
    assert spread == (
        f"2 seeds: {mean:.2%} of 1,000 test examples on average, standard deviation {100 * deviation:.2f} points, "
        f"{min(accuracies[1:]):.2%} .. {max(accuracies[1:]):.2%}"
    )
    assert Path(runs.ROOT, runs.LATEST).resolve() == all_runs()[-1].folder.resolve()


def test_several_seeds_are_not_resumed(edgebig: Edgebig) -> None:
    for flag in (["--seeds", "2"], ["--seed", "3"], ["--set", "train.epochs=3"]):
        told = edgebig("train", "--resume", "x", *flag)
        assert told.code == 2
        assert "--resume goes on with a run as it was" in told.stderr


def test_a_project_of_ones_own_trains_and_is_read_again(edgebig: Edgebig, project: Path) -> None:
    from edgebig import train, usercode
    from edgebig.keras import keras

    told = edgebig("train", str(project / "mine.toml"), "--set", "model.options.units=3", "--tensorboard")
    assert told.code == 0, told.stderr
    assert f"runs your code: {project / 'own.py'} (sha256 " in told.stderr
    (run,) = all_runs()
    # What the recipe names is found from anywhere.
    assert f'name = "python:{project / "own.py"}:build"' in (run.folder / "recipe.toml").read_text()
    card = artifact.require_card(artifact.load(run.folder / "float32.tflite"), "")
    assert card.parameters == 785 * 6 + 7 * 10
    assert card.host_accuracy.n == 1000
    # In a process that has not run the user's code, its layer class is not known.
    keras.saving.get_custom_objects().clear()
    usercode._loaded.clear()
    model = train.load_model(run)
    assert type(model.layers[0]).__name__ == "Halved"
    _check_event_files(run)


def _check_event_files(run: runs.Run) -> None:
    """By TensorFlow's reader, which checks the checksums; TensorBoard's own reads the same records."""
    from edgebig.keras import tf

    found: dict[tuple[str, int], float] = {}
    for path in (run.folder / "tensorboard").rglob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    names = {name for name, _ in found}
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= names
    for row in history(run):
        for name in names:
            assert found[name, int(row["epoch"])] == pytest.approx(float(row[name]), rel=1e-6)
    assert len(found) == len(names) * 2


def test_event_files_that_cannot_be_written_are_one_message(tmp_path: Path) -> None:
    from edgebig import tensorboard

    writer = tensorboard.EventFiles(tmp_path / "tensorboard")
    writer.on_epoch_end(0, {"loss": 1.0})
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, kept[1]))
    try:
        with pytest.raises(EdgebigError, match=r"tensorboard: cannot be written \(.*too large") as caught:
            writer.on_epoch_end(1, {"loss": 1.0, "val_loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert "--resume" in caught.value.hint


def test_a_training_that_diverges_is_one_message(edgebig: Edgebig, project: Path) -> None:
    wild = ["train.optimizer=sgd", "train.learning_rate=10", "train.weight_decay=1", "train.schedule=constant",
            "train.epochs=9", "model={name='mlp', hidden=[]}", "train.loss=cross-entropy"]  # fmt: skip
    told = edgebig("train", str(project / "mine.toml"), *(part for one in wild for part in ("--set", one)))
    assert (told.code, told.stdout) == (1, "")
    assert "Traceback" not in told.stderr
    *_, problem, hint = told.stderr.splitlines()
    (run,) = all_runs()
    last_good = len(history(run))
    assert last_good > 0
    assert re.match(rf"edgebig: train: the loss is (nan|inf) in epoch {last_good + 1}, by step \d+;", problem)
    assert hint == (
        f"  lower it: --set train.learning_rate=1; {run.checkpoint_path} holds epoch {last_good}, the last good one"
    )
    with np.load(run.checkpoint_path) as stored:
        assert all(np.isfinite(stored[name]).all() for name in stored.files if name != "about")
    # Going on comes to the same end. With another rate it is another recipe.
    assert edgebig("train", "--resume", run.name).stderr.splitlines()[-2] == problem
    text = (run.folder / "recipe.toml").read_text()
    (run.folder / "recipe.toml").write_text(text.replace("learning_rate = 10.0", "learning_rate = 0.1"))
    told = edgebig("train", "--resume", run.name)
    assert told.code == 1
    assert f"edgebig: {run.checkpoint_path}: a checkpoint of another recipe" in told.stderr


def test_mixed_precision_needs_a_gpu(
    edgebig: Edgebig, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig import train

    monkeypatch.setattr(train, "gpus", list)  # where there is one, too
    told = edgebig("train", str(project / "mine.toml"), "--set", "train.precision=mixed")
    assert told.code == 1
    *_, problem, hint = told.stderr.splitlines()
    assert (
        problem == 'edgebig: [train] precision = "mixed" is for GPUs, and there is none that TensorFlow sees'
    )
    assert hint == "  leave it out; 'edgebig doctor' tells what is here"


def test_mixed_precision_computes_in_float16_and_ships_float32(
    edgebig: Edgebig, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig import train
    from edgebig.keras import keras

    seen: list[Any] = []
    fit = train.fit

    def watched(model: Any, *arguments: Any, **named: Any) -> Any:
        progress = fit(model, *arguments, **named)
        seen.extend([model, keras.mixed_precision.global_policy().name])
        return progress

    monkeypatch.setattr(train, "gpus", lambda: ["GPU:0"])
    monkeypatch.setattr(train, "fit", watched)
    settings = ["train.precision=mixed", "train.epochs=3", "model={name='mlp', hidden=[16]}"]
    told = edgebig(
        "train", str(project / "mine.toml"), *(part for one in settings for part in ("--set", one))
    )
    assert told.code == 0, told.stderr
    model, policy = seen
    assert policy == "float32"  # set back as soon as the model was built
    assert model.get_layer("hidden_1").compute_dtype == "float16"
    assert model.get_layer("hidden_1").kernel.dtype == "float32"
    assert model.get_layer("probabilities").compute_dtype == "float32"
    assert type(model.optimizer).__name__ == "LossScaleOptimizerV3"
    (run,) = all_runs()
    shipped = train.load_model(run)
    assert {layer.compute_dtype for layer in shipped.layers} == {"float32"}
    for one, other in zip(shipped.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    card = artifact.require_card(artifact.load(run.folder / "float32.tflite"), "")
    assert (card.input.dtype, card.output.dtype) == ("float32", "float32")
    assert card.host_accuracy.value > 0.5


MIRRORED = """if True:
    import json, sys
    from pathlib import Path
    from edgebig.keras import tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from edgebig import recipe, runs, train
    from edgebig.data import source

    spec = recipe.load("digits-quick", json.loads(sys.argv[1]))
    splits = source.load(spec.data)
    accuracies = {}
    for name, strategy in (
        ("one", tf.distribute.get_strategy()),
        ("two", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])),
    ):
        train._strategy = lambda strategy=strategy: strategy
        run = runs.create(spec, Path(name))
        fitted = train.train(spec, splits, run, tensorboard=True)
        accuracies[name] = fitted.card.host_accuracy.value
    print(json.dumps({**accuracies, "replicas": strategy.num_replicas_in_sync}))
"""


@pytest.mark.slow
def test_two_devices_train_about_as_well_as_one(tmp_path: Path) -> None:
    # The batch does not divide by two.
    settings = ["model={name='mlp', hidden=[16], dropout=0.1}", "train.epochs=4", "train.batch_size=63",
                "train.ema=0.5", "train.schedule=constant"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, json.dumps(settings)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert found["one"] > 0.7
    assert abs(found["one"] - found["two"]) < 0.1
