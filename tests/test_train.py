"""Training, held to the bit: schedules, checkpoints, kills at random moments, and every way to end badly.

The children run the real command line on the embedded digits, with nets of a few hundred weights.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import recipe, runs
from edgebig.checkpoint import Checkpoint
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Augment, Data, Train

pytestmark = pytest.mark.tf

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = {"digits-quick": 12, "keras-convnet": 6, "article-mlp": 40}
TINY = {
    # Dropout, an optimizer with a state, a moving average, and an end that is not the last epoch.
    "article-mlp": [
        'data.source="digits-5k"',
        "data.embedded=leave-out",
        "data.augment.shift_px=2",
        "model.hidden=[8]",
        "model.dropout=0.3",
        "train.batch_size=350",
        "train.learning_rate=0.5",
        "train.optimizer=nesterov",
        "train.ema=0.8",
        "train.keep=best",
        "train.patience=2",
        "train.weight_decay=0.01",
    ],
    "digits-quick": ["model.channels=[2, 4]", "model.blocks=[1, 1]", "train.batch_size=512"],
    "keras-convnet": ['data.source="digits-5k"', "train.batch_size=1750"],
}
# Of digits-quick, where what is trained need not be any good.
TINIEST = ["model.channels=[2,4]", "model.blocks=[0,0]", "train.epochs=1"]


def command(*arguments: str, **changed: Any) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-m", "edgebig", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **changed,
    )  # fmt: skip


def start(name: str, folder: Path) -> subprocess.Popen[str]:
    settings = [
        part for setting in [*TINY[name], f"train.epochs={EPOCHS[name]}"] for part in ("--set", setting)
    ]
    return command("train", name, *settings, cwd=folder)


def ended(child: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = child.communicate(timeout=300)
    assert child.returncode == code, err
    return out, err


def only_run(folder: Path) -> Path:
    (run,) = [path for path in (folder / "runs").iterdir() if not path.is_symlink()]
    return run


def wait_for(child: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 240
    while not happened():
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def epochs_done(folder: Path) -> int:
    histories = list((folder / "runs").glob("*/history.csv"))
    return len(histories[0].read_text().splitlines()) - 1 if histories else 0


def weights(run: Path) -> list[bytes]:
    from edgebig import train

    return [value.tobytes() for value in train.load_model(runs.load(str(run))).get_weights()]


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = source.load(Data(source="digits-5k"))
    return Splits("digits-5k", whole.classes, whole.train[::10], whole.validation[::5], whole.test[::10])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run that nothing disturbed, made once for each recipe."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("unbroken")
            ended(start(name, folder))
            made[name] = only_run(folder)
        return made[name]

    return of


def tiny_model(channels: tuple[int, int] = (2, 4)) -> Any:
    from edgebig import models
    from edgebig.keras import keras

    keras.utils.set_random_seed(0)
    return models.build(recipe.DigitCnn(name="digit-cnn", channels=channels, blocks=(1, 1)), (28, 28, 1), 10)


def fit(splits: Splits, spec: Train, **changed: Any) -> tuple[Any, Any]:
    from edgebig import train

    model = tiny_model()
    return model, train.fit(model, splits, spec, augment=Augment(), seed=0, what="train", **changed)


# ---- in this process


def test_keep_best_and_keep_last(splits: Splits) -> None:
    from edgebig.keras import keras

    seen: list[list[np.ndarray]] = []

    def spoil(epoch: int, _logs: Any) -> None:
        if epoch == 3:
            spoiler.model.layers[-1].kernel.assign(-spoiler.model.layers[-1].kernel)

    spoiler = keras.callbacks.LambdaCallback(
        on_epoch_begin=spoil, on_epoch_end=lambda *_: seen.append(spoiler.model.get_weights())
    )
    for keep in ("best", "last"):
        seen.clear()
        spec = Train(keep=keep, epochs=4, learning_rate=0.003, schedule="constant", batch_size=32)
        model, progress = fit(splits, spec, callbacks=[spoiler])
        scores = [(row["val_accuracy"], -row["val_loss"]) for row in progress.history]
        best = scores.index(max(scores))
        assert best < 3
        assert progress.best_epoch == (best if keep == "best" else 3)
        for kept, then in zip(model.get_weights(), seen[progress.best_epoch], strict=True):
            np.testing.assert_array_equal(kept, then)


def test_a_model_that_learnt_from_paper_has_a_threshold_in_its_card(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig import train

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    few = Splits(splits.source, splits.classes, splits.train[::4], splits.validation[::4], splits.test, "ink")
    spec = recipe.load("digits-quick", [*TINIEST, "data.augment.paper.nothings=1.0"])
    run = runs.create(spec, root=tmp_path)
    card = train.train(spec, few, run).card
    assert card is not None
    assert card.threshold is not None
    # The validation digits as they are, and those that were found on paper.
    assert len(few.validation) < card.threshold.known <= 2 * len(few.validation)
    assert card.threshold.kept >= 0.99 * card.threshold.known
    assert card.threshold.unknown > 0
    # The list of its training examples is that of the digits, not of their pictures on paper.
    assert card.train.n == len(few.train)
    plain = recipe.load("digits-quick", TINIEST)
    without = train.train(plain, few, runs.create(plain, root=tmp_path)).card
    assert without is not None
    assert without.threshold is None


def test_another_seed_gives_other_weights(splits: Splits) -> None:
    from edgebig import train

    def trained(seed: int) -> bytes:
        model = tiny_model()
        train.fit(model, splits, Train(epochs=1), augment=Augment(), seed=seed, what="train")
        return b"".join(value.tobytes() for value in model.get_weights())

    first = trained(0)
    assert trained(0) == first
    assert trained(1) != first


def test_an_epoch_before_the_first_eligible_one_is_never_the_best(splits: Splits) -> None:
    settings = {"epochs": 4, "learning_rate": 0.1, "schedule": "constant"}
    _, progress = fit(splits, Train(**settings), first_eligible_epoch=3)
    assert progress.best_epoch == 3


def test_loops_of_steps_give_the_same_bits(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig import train

    spec = Train(epochs=1, batch_size=16)
    one_by_one, _ = fit(splits, spec)
    monkeypatch.setattr(train, "_STEPS_WORTH_A_LOOP", 0)
    in_loops, _ = fit(splits, spec)
    assert one_by_one._steps_per_execution.numpy() == 1
    assert in_loops._steps_per_execution.numpy() == 16
    for one, other in zip(one_by_one.get_weights(), in_loops.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- the gradient of the article's model


def zeros_and_ones(splits: Splits) -> Splits:
    def two(part: Any) -> Any:
        return part[part.labels < 2]

    return Splits("digits-5k", ("0", "1"), two(splits.train), two(splits.validation), two(splits.test))


def test_the_gradient_of_one_sigmoid_unit_by_the_squared_error(splits: Splits) -> None:
    """The article says mean((p - y) x), which leaves out p (1 - p): that is the gradient of the cross-entropy."""
    from edgebig import models, objective, train
    from edgebig.keras import keras, tf

    spec = recipe.load("article-logistic", ["train.epochs=1"])
    digits = zeros_and_ones(splits)
    x = (digits.train.images.reshape(len(digits.train), -1) / 255).astype(np.float64)
    y = digits.train.labels
    keras.utils.set_random_seed(0)
    model = models.build(spec.model, (28, 28, 1), 2)
    w, b = (value.astype(np.float64) for value in model.get_weights())

    def p_of(w: Any, b: Any) -> Any:
        return 1 / (1 + np.exp(-(x @ w[:, 0] + b[0])))

    p = p_of(w, b)
    slope = 2 * (p - y) * p * (1 - p) / len(y)
    dw, db = x.T @ slope, slope.sum()
    # The closed form is the slope of the very loss, by differences ...
    pixel = int(np.argmax(np.abs(dw)))
    near = np.zeros_like(w)
    near[pixel] = 1e-5
    differences = [np.mean((p_of(w + sign * near, b) - y) ** 2) for sign in (1, -1)]
    assert (differences[0] - differences[1]) / 2e-5 == pytest.approx(dw[pixel], rel=1e-5)
    # ... and not what the article says, not even up to a factor.
    of_entropy = x.T @ (p - y)
    assert of_entropy @ dw / np.linalg.norm(of_entropy) / np.linalg.norm(dw) < 0.9999
    # TensorFlow's, of the model and the loss that edgebig builds.
    with tf.GradientTape() as tape:
        outputs = model(x.reshape(-1, 28, 28, 1).astype(np.float32), training=True)
        loss = tf.reduce_mean(objective.loss(spec.train, 2)(tf.one_hot(y, 2), outputs))
    by_tape = [value.numpy() for value in tape.gradient(loss, model.trainable_weights)]
    assert float(loss) == pytest.approx(np.mean((p - y) ** 2), rel=1e-5)
    np.testing.assert_allclose(by_tape[0][:, 0], dw, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(by_tape[1], [db], rtol=1e-4, atol=1e-7)
    # A step of a training goes by that gradient times the rate, over all examples at once.
    train.fit(model, digits, spec.train, augment=spec.data.augment, seed=0, what="train")
    after, bias_after = model.get_weights()
    np.testing.assert_allclose(after[:, 0] - w[:, 0], -spec.train.learning_rate * dw, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(bias_after - b, [-spec.train.learning_rate * db], rtol=1e-3, atol=1e-6)


# ---- moving averages, patience


def test_the_moving_average_is_what_is_validated_and_kept(splits: Splits) -> None:
    from edgebig import train
    from edgebig.data import pipeline
    from edgebig.keras import keras

    model = tiny_model()
    trained = [id(variable) for variable in model.trainable_variables]
    is_trained = [id(variable) in trained for variable in model.weights]
    average = [value.astype(np.float64) for value in model.get_weights()]
    raw: list[list[np.ndarray]] = []

    def step(_batch: int, _logs: Any) -> None:
        raw.append(model.get_weights())
        for index, value in enumerate(raw[-1]):
            average[index] = 0.9 * average[index] + 0.1 * value

    spec = Train(epochs=2, learning_rate=0.02, batch_size=32, ema=0.9, keep="last")

    def begin(epoch: int, _logs: Any) -> None:
        # Validation was of the average; the steps go on from where they were.
        for now, before in zip(model.get_weights(), raw[-1] if epoch else [], strict=epoch > 0):
            np.testing.assert_array_equal(now, before)

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=step, on_epoch_begin=begin)
    progress = train.fit(model, splits, spec, augment=Augment(), seed=0, what="train", callbacks=[watch])
    assert len(raw) == 2 * (350 // 32)
    # The statistics of normalisation are averages by themselves, and no step of the optimizer moves them.
    for kept, mean, last, moved in zip(model.get_weights(), average, raw[-1], is_trained, strict=True):
        np.testing.assert_allclose(kept, mean if moved else last, rtol=1e-4, atol=1e-6)
    assert any(np.abs(mean - last).max() > 1e-3 for mean, last in zip(average, raw[-1], strict=True))
    loss, accuracy = model.evaluate(pipeline.evaluation_batches(splits.validation, 10), verbose=0)
    assert (loss, accuracy) == (
        pytest.approx(progress.history[-1]["val_loss"], rel=1e-4), progress.history[-1]["val_accuracy"],
    )  # fmt: skip


@pytest.mark.parametrize("keep", ["best", "last"])
def test_patience_stops_and_never_runs_past(splits: Splits, keep: str) -> None:
    from edgebig.keras import keras

    spoilt: list[Any] = []

    def spoil(epoch: int, _logs: Any) -> None:
        if epoch >= 2:
            kernel = spoiler.model.layers[-1].kernel
            spoilt.append(-kernel.numpy())
            kernel.assign(spoilt[0])

    begun: list[int] = []
    spoiler = keras.callbacks.LambdaCallback(on_epoch_begin=spoil)
    counter = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: begun.append(epoch))
    spec = Train(epochs=9, learning_rate=0.003, schedule="constant", batch_size=32, patience=2, keep=keep)
    _, progress = fit(splits, spec, callbacks=[spoiler, counter])
    scores = [(row["val_accuracy"], -row["val_loss"]) for row in progress.history]
    best = scores.index(max(scores))
    assert best < 3
    assert begun == list(range(best + 1 + 2))
    assert progress.epoch == len(progress.history) == best + 1 + 2
    assert progress.best_epoch == (best if keep == "best" else progress.epoch - 1)


def test_patience_does_not_wait_before_the_first_eligible_epoch(splits: Splits) -> None:
    # A rate that overshoots: the best epoch is one of the first, which a pruning may not keep.
    spec = Train(epochs=8, learning_rate=1.0, schedule="constant", patience=2)
    _, progress = fit(splits, spec, first_eligible_epoch=4)
    assert progress.epoch >= 4 + 2
    assert progress.best_epoch >= 4


# ---- losses that are no numbers, full disks


def test_a_loss_that_is_no_number_names_epoch_and_step_and_keeps_the_last_good_checkpoint(
    splits: Splits, tmp_path: Path
) -> None:
    from edgebig.keras import keras

    def poison(epoch: int, _logs: Any) -> None:
        if epoch == 2:
            watch.model.layers[1].kernel.assign(watch.model.layers[1].kernel * np.nan)

    watch = keras.callbacks.LambdaCallback(on_epoch_begin=poison)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "r")
    with pytest.raises(EdgebigError) as caught:
        fit(splits, Train(epochs=5, learning_rate=0.01), checkpoint=checkpoint, callbacks=[watch])
    assert caught.value.problem == "train: the loss is nan in epoch 3, by step 1; the learning rate is 0.01"
    assert caught.value.hint == (
        f"lower it: --set train.learning_rate=0.001; {checkpoint.path} holds epoch 2, the last good one"
    )
    with np.load(checkpoint.path) as stored:
        assert json.loads(str(stored["about"]))["epoch"] == 2
        assert all(np.isfinite(stored[name]).all() for name in stored.files if name != "about")


def test_a_rate_that_is_too_high(splits: Splits) -> None:
    from edgebig import models, train

    # Each step takes ten times the weights off the weights.
    model = models.build(recipe.Mlp(name="mlp"), (28, 28, 1), 10)
    spec = Train(optimizer="sgd", learning_rate=10, weight_decay=1, schedule="constant", batch_size=32)
    with pytest.raises(EdgebigError) as caught:
        train.fit(model, splits, spec, augment=Augment(), seed=0, what="qat")
    assert re.fullmatch(
        r"qat: the loss is (nan|inf) in epoch \d, by step \d+; the learning rate is 10", caught.value.problem
    )
    assert caught.value.hint == "lower it: --set compress.qat.learning_rate=1"


def test_an_own_loss_that_becomes_no_number_at_a_step(splits: Splits, tmp_path: Path) -> None:
    from edgebig import usercode
    from edgebig.keras import keras

    path = tmp_path / "own.py"
    path.write_text(
        "import tensorflow as tf\n"
        "FACTOR = tf.Variable(1.0)\n"
        "def loss(labels, outputs):\n"
        "    return FACTOR * tf.reduce_mean((labels - outputs) ** 2, axis=-1)\n"
    )
    reference = f"python:{path}:loss"
    at = [0]

    def spoil(batch: int, _logs: Any) -> None:
        if (at[0], batch) == (1, 3):
            usercode.load(reference).__globals__["FACTOR"].assign(np.inf)

    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: at.__setitem__(0, epoch), on_train_batch_begin=spoil
    )
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "r")
    spec = Train(epochs=3, batch_size=32, loss=reference)
    with pytest.raises(EdgebigError, match="the loss is inf in epoch 2, by step 4;"):
        fit(splits, spec, callbacks=[watch], checkpoint=checkpoint)
    with np.load(checkpoint.path) as stored:
        assert json.loads(str(stored["about"]))["epoch"] == 1


def test_what_the_last_step_of_an_epoch_broke_does_not_reach_the_checkpoint(
    splits: Splits, tmp_path: Path
) -> None:
    from edgebig.keras import keras

    steps = len(splits.train) // 128

    def poison(batch: int, _logs: Any) -> None:
        if batch == steps - 1:  # the step after which the loss is not looked at
            watch.model.layers[1].kernel.assign(watch.model.layers[1].kernel * np.nan)

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=poison)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "r")
    with pytest.raises(EdgebigError, match="a weight is no number after epoch 1"):
        fit(splits, Train(epochs=5), checkpoint=checkpoint, callbacks=[watch])
    assert not checkpoint.path.exists()


def test_a_checkpoint_of_another_recipe_or_damaged_is_refused(splits: Splits, tmp_path: Path) -> None:
    from edgebig import objective

    path = tmp_path / "checkpoint.npz"
    _, progress = fit(splits, Train(epochs=1), checkpoint=Checkpoint(path, "r"))
    model = tiny_model()
    model.compile(optimizer=objective.optimizer(Train(epochs=1), 1))
    model.optimizer.build(model.trainable_variables)
    assert Checkpoint(path, "r").restore(model).history == progress.history
    with pytest.raises(EdgebigError, match="another recipe"):
        Checkpoint(path, "other").restore(model)
    whole = path.read_bytes()
    chance = random.Random(0)
    cuts = [whole[: chance.randrange(len(whole))] for _ in range(40)]
    flips = []
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        flips.append(bytes(damaged))
    refused = 0
    for data in (b"", b"PK", b"not a zip", *cuts, *flips):
        path.write_bytes(data)
        # A flip in a date or another field that nobody reads leaves the checkpoint whole; anything else is refused.
        with contextlib.suppress(EdgebigError):
            assert Checkpoint(path, "r").restore(model).history == progress.history
            continue
        refused += 1
    assert refused > 150
    path.unlink()
    assert Checkpoint(path, "r").restore(model).epoch == 0


# ---- in children, by the command line


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("digits-quick", 2), ("keras-convnet", 1), ("article-mlp", 1)])
def test_a_training_killed_at_random_moments_ends_as_an_unbroken_one(
    name: str, kills: int, tmp_path: Path, unbroken: Callable[[str], Path]
) -> None:
    # All in processes of their own: so the same seed gives the same bits in another process, too.
    expected = unbroken(name)
    chance = random.Random(os.getpid())
    child = start(name, tmp_path)
    for kill in range(kills):
        if kill:
            child = command("train", "--resume", str(only_run(tmp_path)), cwd=tmp_path)
        before = epochs_done(tmp_path)
        if kill == 1:  # while it is still getting ready
            time.sleep(chance.uniform(0, 3))
        else:
            wait_for(child, lambda before=before: epochs_done(tmp_path) > min(before + 1, EPOCHS[name] - 2))
            time.sleep(chance.uniform(0, 0.3))
        child.kill()
        child.communicate()
        run = runs.load(str(only_run(tmp_path)))
        if run.finished:  # it was faster than the kill
            break
        assert not (tmp_path / "runs" / runs.LATEST).is_symlink()
        with pytest.raises(EdgebigError, match="has not finished"):
            runs.finished(str(run.folder))
        checkpoint = run.checkpoint_path
        assert not checkpoint.exists() or np.load(checkpoint)["about"]
    if not run.finished:
        _, err = ended(command("train", "--resume", str(run.folder), cwd=tmp_path))
        assert epochs_done(tmp_path) == len((expected / "history.csv").read_text().splitlines()) - 1
        assert "goes on after epoch" in err
    assert weights(run.folder) == weights(expected)
    for made in ("float32.tflite",):
        assert (run.folder / made).read_bytes() == (expected / made).read_bytes()
    assert (tmp_path / "runs" / runs.LATEST).resolve() == run.folder.resolve()
    # No temporary file outlives the run, and no checkpoint.
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in expected.iterdir()}
    rows = [(run_folder / "history.csv").read_text().splitlines() for run_folder in (run.folder, expected)]
    seconds_off = [[line.rsplit(",", 1)[0] for line in lines] for lines in rows]
    assert seconds_off[0] == seconds_off[1]


@pytest.mark.slow
def test_ctrl_c_and_then_a_full_disk(tmp_path: Path, unbroken: Callable[[str], Path]) -> None:
    child = start("digits-quick", tmp_path)
    wait_for(child, lambda: epochs_done(tmp_path) >= 2)
    child.send_signal(signal.SIGINT)
    _, err = ended(child, 130)
    run = only_run(tmp_path)
    *epochs, last = err.splitlines()
    assert last == f"edgebig: stopped; 'edgebig train --resume runs/{run.name}' goes on from the last epoch"
    told = [line.partition("/")[0] for line in epochs]
    kept = [f"train: epoch {number + 1}" for number in range(epochs_done(tmp_path))]
    # An epoch is kept and then told: the signal may come between the two, and nowhere else takes one away.
    assert told in (kept, kept[:-1])
    assert not (tmp_path / "runs" / runs.LATEST).is_symlink()
    checkpoint = (run / "checkpoint.npz").read_bytes()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(checkpoint) // 2, len(checkpoint) // 2))

    _, err = ended(command("train", "--resume", run.name, cwd=tmp_path, preexec_fn=small_files), 1)
    assert "too large" in err
    assert "nothing half-written was left" in err
    assert "Traceback" not in err
    assert (run / "checkpoint.npz").read_bytes() == checkpoint
    assert not list(run.glob(".*"))
    assert not (run / "metrics.json").exists()
    # And with space again it ends as if nothing had been.
    ended(command("train", "--resume", run.name, cwd=tmp_path))
    assert weights(run) == weights(unbroken("digits-quick"))
    # Nothing is left to resume.
    _, err = ended(command("train", "--resume", run.name, cwd=tmp_path), 1)
    assert "its training has finished" in err
