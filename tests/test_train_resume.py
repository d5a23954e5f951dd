"""A training that was cut off and goes on ends with the same bits, whatever it is made of.

Here the cut is an exception at a random step, in this process; tests/test_train.py kills real processes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import models, recipe
from edgebig.checkpoint import Checkpoint, Progress
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Augment, Data, Mlp, Train

pytestmark = pytest.mark.tf
EPOCHS = 4


class Cut(Exception):
    """The moment of a kill."""


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = source.load(Data(source="digits-5k"))
    return Splits("digits-5k", whole.classes, whole.train[::10], whole.validation[::5], whole.test[::10])


def built(spec: recipe.Model, seed: int = 0) -> Any:
    from edgebig.keras import keras

    keras.utils.set_random_seed(seed)
    return models.build(spec, (28, 28, 1), 10)


def fit(model: Any, splits: Splits, spec: Train, folder: Path, **changed: Any) -> Any:
    from edgebig import train

    checkpoint = Checkpoint(folder / "checkpoint.npz", "r")
    return train.fit(
        model,
        splits,
        spec,
        augment=Augment(shift_px=1),
        seed=5,
        what="train",
        checkpoint=checkpoint,
        **changed,
    )


def cut_at(epoch: int, batch: int) -> Any:
    from edgebig.keras import keras

    at = [-1]

    def on_batch(now: int, _logs: Any) -> None:
        if (at[0], now) == (epoch, batch):
            raise Cut

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda now, _: at.__setitem__(0, now), on_train_batch_begin=on_batch
    )


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def same_when_cut(
    spec: recipe.Model, settings: Train, splits: Splits, folder: Path
) -> list[dict[str, float]]:
    """Trains unbroken and twice cut, holds the two against each other, and gives the history."""
    whole, parts = folder / "whole", folder / "parts"
    unbroken = built(spec)
    expected = fit(unbroken, splits, settings, whole)
    chance = random.Random(str(settings))

    def started() -> Any:
        """Other weights where there is a checkpoint: it has to overwrite them."""
        return built(spec, seed=9 if (parts / "checkpoint.npz").exists() else 0)

    for epoch in sorted(chance.sample(range(expected.epoch), 2)):
        cut = cut_at(epoch, chance.randrange(5))
        with pytest.raises(Cut):
            fit(started(), splits, settings, parts, resume=True, callbacks=[cut])
    resumed = started()
    found = fit(resumed, splits, settings, parts, resume=True)
    assert without_seconds(found.history) == without_seconds(expected.history)
    assert (found.epoch, found.best_epoch) == (expected.epoch, expected.best_epoch)
    for one, other in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    columns = [(run / "history.csv").read_text().splitlines()[0] for run in (whole, parts)]
    assert columns[0] == columns[1]
    history: list[dict[str, float]] = found.history
    return history


CONV = recipe.DigitCnn(name="digit-cnn", channels=(2, 4), blocks=(1, 1))
DROPPING = Mlp(name="mlp", hidden=(8,), dropout=0.4)
PLAIN = Mlp(name="mlp", hidden=())


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (PLAIN, {"optimizer": "sgd", "schedule": "step", "step_epochs": 1, "clip_norm": 0.5}),
        (PLAIN, {"optimizer": "momentum", "keep": "last", "schedule": "one-cycle"}),
        (PLAIN, {"optimizer": "nesterov", "ema": 0.9, "keep": "last", "warmup_steps": 9}),
        (DROPPING, {"optimizer": "adam", "ema": 0.8, "label_smoothing": 0.1}),
        (DROPPING, {"optimizer": "adamw", "weight_decay": 0.1, "loss": "mean-squared-error"}),
        (CONV, {"optimizer": "rmsprop", "ema": 0.7}),
    ],
    ids=lambda value: value.name if isinstance(value, recipe.Spec) else value["optimizer"],
)
def test_a_cut_training_ends_with_the_same_bits(
    model: recipe.Model, settings: dict[str, Any], splits: Splits, tmp_path: Path
) -> None:
    spec = Train(epochs=EPOCHS, learning_rate=0.01, batch_size=64, **settings)
    assert len(same_when_cut(model, spec, splits, tmp_path)) == EPOCHS


@pytest.mark.parametrize("keep", ["best", "last"])
def test_patience_stops_a_cut_training_at_the_same_epoch(keep: str, splits: Splits, tmp_path: Path) -> None:
    # A rate that overshoots: the first epochs are the best ones.
    spec = Train(
        epochs=30,
        learning_rate=3.0,
        batch_size=64,
        optimizer="sgd",
        schedule="constant",
        patience=3,
        keep=keep,
    )
    history = same_when_cut(PLAIN, spec, splits, tmp_path)
    scores = [(row["val_accuracy"], -row["val_loss"]) for row in history]
    best = scores.index(max(scores))
    assert len(history) == best + 1 + 3 < 30


def test_a_kill_between_the_last_checkpoint_and_what_follows(splits: Splits, tmp_path: Path) -> None:
    spec = Train(epochs=2, batch_size=64)
    model = built(PLAIN)
    expected = fit(model, splits, spec, tmp_path)
    table = tmp_path / "history.csv"
    whole = table.read_text()
    assert len(whole.splitlines()) == 3
    table.write_text("\n".join(whole.splitlines()[:2]) + "\n")  # the last row had not been written
    again = built(PLAIN, seed=9)
    found = fit(
        again, splits, spec, tmp_path, resume=True, callbacks=[cut_at(0, 0), cut_at(1, 0), cut_at(2, 0)]
    )
    assert found.history == expected.history
    assert table.read_text() == whole
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_scale_of_a_mixed_loss_goes_on_too(tmp_path: Path) -> None:
    from edgebig import objective
    from edgebig.keras import keras

    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "r")
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        first, second = built(PLAIN), built(PLAIN)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for model in (first, second):
        model.compile(objective.optimizer(Train(), 1))
        model.optimizer.build(model.trainable_variables)
    first.optimizer._loss_scale.current_loss_scale.assign(4.0)
    first.optimizer._loss_scale.counter.assign(7)
    checkpoint.save(first, Progress())
    checkpoint.restore(second)
    assert (float(second.optimizer.loss_scale), int(second.optimizer.dynamic_counter)) == (4.0, 7)


def test_a_checkpoint_of_a_model_whose_code_changed_is_refused(splits: Splits, tmp_path: Path) -> None:
    spec = Train(epochs=1, batch_size=64)
    fit(built(PLAIN), splits, spec, tmp_path)
    for other in (DROPPING, CONV):
        with pytest.raises(EdgebigError, match=r"checkpoint\.npz: a checkpoint of another model") as caught:
            fit(built(other), splits, spec, tmp_path, resume=True)
        assert "undo the change to the model's code" in caught.value.hint


def test_without_resume_a_training_starts_over(splits: Splits, tmp_path: Path) -> None:
    spec = Train(epochs=1, batch_size=64)
    first = fit(built(PLAIN), splits, spec, tmp_path)
    again = fit(built(PLAIN), splits, spec, tmp_path)
    assert (again.epoch, without_seconds(again.history)) == (1, without_seconds(first.history))
