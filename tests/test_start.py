"""A training that starts from another run's weights: whose, what those had learnt from, and going on after a cut."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgebig import artifact, files, recipe, runs
from edgebig.artifact import Artifact
from edgebig.checkpoint import Checkpoint
from edgebig.data import source
from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

pytestmark = pytest.mark.tf

TINIEST = ["model.channels=[2,4]", "model.blocks=[0,0]", "train.epochs=1"]


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = source.load(Data(source="digits-5k"))
    return Splits("digits-5k", whole.classes, whole.train[::10], whole.validation[::5], whole.test[::10])


@dataclass(frozen=True)
class Made:
    run: runs.Run
    artifact: Artifact

    def weights(self) -> list[bytes]:
        from edgebig import train

        return [value.tobytes() for value in train.load_model(self.run).get_weights()]

    def starts(self) -> list[str]:
        assert self.artifact.card is not None
        return [record.model_dump()["run"] for record in artifact.starts_of(self.artifact.card.passes)]


def begun(root: Path, *settings: str) -> runs.Run:
    return runs.create(recipe.load("digits-quick", [*TINIEST, *settings]), root=root)


def ended(run: runs.Run, splits: Splits, *, resume: bool = False) -> Made:
    from edgebig import train

    return Made(run, train.train(run.recipe, splits, run, resume=resume))


def learning_from(splits: Splits, train: Examples, test: Examples) -> Splits:
    return Splits(splits.source, splits.classes, train, splits.validation, test)


def test_training_starts_from_another_run_s_weights_and_says_whose(splits: Splits, tmp_path: Path) -> None:
    from edgebig import train

    spec = recipe.load("digits-quick", TINIEST)
    first = runs.create(spec, root=tmp_path)
    train.train(spec, splits, first)
    # A step so small that it moves no weight.
    still = ["train.learning_rate=1e-30", "train.warmup_steps=0", "train.start=digits-quick"]
    second_spec = recipe.load("digits-quick", [*TINIEST, *still])
    second = runs.create(second_spec, root=tmp_path)
    made = train.train(second_spec, splits, second)
    kernels = [
        [
            layer.get_weights()[0]
            for layer in train.load_model(run).layers
            if "conv" in type(layer).__name__.lower()
        ]
        for run in (first, second)
    ]
    assert kernels[0]
    assert all((a == b).all() for a, b in zip(*kernels, strict=True))
    assert made.card is not None
    (record,) = made.card.passes
    assert (record.name, record.model_dump()["run"]) == ("start", first.name)
    assert record.model_dump()["model_sha256"] == files.sha256_file(first.model_path)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["train.start=digits-qick"], r"\[train\] start: no finished run or recipe 'digits-qick'"),
        (["train.start=digits-quick", "model.channels=[2,6]"], "is another model"),
    ],
)
def test_a_start_that_is_no_good_is_refused(
    settings: list[str], fault: str, splits: Splits, tmp_path: Path
) -> None:
    from edgebig import train

    spec = recipe.load("digits-quick", TINIEST)
    train.train(spec, splits, runs.create(spec, root=tmp_path))
    other = recipe.load("digits-quick", [*TINIEST, *settings])
    with pytest.raises(EdgebigError, match=fault):
        train.train(other, splits, runs.create(other, root=tmp_path))


def test_a_start_that_has_seen_what_is_held_out_is_refused(splits: Splits, tmp_path: Path) -> None:
    from edgebig import train

    spec = recipe.load("digits-quick", TINIEST)
    first = runs.create(spec, root=tmp_path)
    card = train.train(spec, splits, first).card
    assert card is not None
    other = recipe.load("digits-quick", [*TINIEST, "train.start=digits-quick"])
    swapped = Splits(splits.source, splits.classes, splits.test, splits.validation, splits.train[:50])
    with pytest.raises(
        EdgebigError, match="50 of the 150 examples that are held out here were in its training"
    ):
        train.train(other, swapped, runs.create(other, root=tmp_path))
    artifact.hashes_path(first.folder, card.train.sha256).unlink()
    with pytest.raises(EdgebigError, match="the list of its training examples is lost"):
        train.train(other, splits, runs.create(other, root=tmp_path))


def test_what_a_start_had_started_from_is_not_held_out_either(splits: Splits, tmp_path: Path) -> None:
    first_half, second_half = splits.train[:150], splits.train[150:]
    first = ended(begun(tmp_path), learning_from(splits, first_half, splits.test))
    second = ended(
        begun(tmp_path, f"train.start={first.run.name}"), learning_from(splits, second_half, splits.test)
    )
    # What is known of the first must not go with it.
    runs.remove(first.run.folder, tmp_path)
    assert artifact.learnt_from(second.artifact, first_half.hashes) == len(first_half)
    with pytest.raises(EdgebigError, match="were in its training set"):
        artifact.leak_check(second.artifact, first_half.hashes[:3], "test")
    with pytest.raises(
        EdgebigError, match=r"150 of the 250 .* in its training set, or of a run that it had started from"
    ):
        ended(
            begun(tmp_path, f"train.start={second.run.name}"),
            learning_from(splits, splits.test, first_half),
        )
    third = ended(
        begun(tmp_path, f"train.start={second.run.name}"), learning_from(splits, second_half, splits.test)
    )
    assert third.starts() == [first.run.name, second.run.name]
    assert artifact.learnt_from(third.artifact, first_half.hashes) == len(first_half)
    assert artifact.learnt_from(third.artifact, splits.test.hashes) == 0
    # The first one's list is the one that is in no other's card.
    record = artifact.lists_of(artifact.starts_of(third.artifact.card.passes if third.artifact.card else ()))
    assert record[0] is not None
    artifact.hashes_path(third.run.folder, record[0]).unlink()
    assert artifact.learnt_from(third.artifact, splits.test.hashes) is None
    assert artifact.learnt_from(third.artifact, second_half.hashes) == len(second_half)
    with pytest.raises(EdgebigError, match="is lost, or of a run"):
        ended(
            begun(tmp_path, f"train.start={third.run.name}"),
            learning_from(splits, second_half, splits.test),
        )


def test_what_was_trained_elsewhere_stays_so_in_what_starts_from_it(splits: Splits, tmp_path: Path) -> None:
    first = ended(begun(tmp_path), splits)
    card = first.artifact.path.with_suffix(".json")
    files.write_json(card, {**json.loads(card.read_text("utf-8")), "trained_elsewhere": True})
    made = ended(begun(tmp_path, "train.start=digits-quick"), splits).artifact
    assert made.card is not None
    assert made.card.trained_elsewhere
    assert artifact.leak_check(made, splits.test.hashes, "test").startswith("not known")


class Cut(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_cut_training_goes_on_from_what_it_started_from_whatever_its_name_stands_for_now(
    epochs: int, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ended(begun(tmp_path, "train.seed=3"), splits)
    settings = ["train.start=digits-quick", "train.epochs=4"]
    cut = begun(tmp_path, *settings)
    kept: list[Any] = []

    def save(checkpoint: Checkpoint, model: Any, progress: Any) -> None:
        if len(kept) == epochs:
            raise Cut
        kept.append(progress)
        real(checkpoint, model, progress)

    real = Checkpoint.save
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save)
        with pytest.raises(Cut):
            ended(cut, splits)
    unbroken = ended(begun(tmp_path, *settings), splits)
    # That is now the last run of the recipe; and without a checkpoint the first one's weights are needed.
    if epochs:
        shutil.rmtree(first.run.folder)
    resumed = ended(cut, splits, resume=True)
    assert resumed.starts() == unbroken.starts() == [first.run.name]
    assert resumed.weights() == unbroken.weights()


def test_where_the_start_is_gone_before_the_first_epoch_was_kept(splits: Splits, tmp_path: Path) -> None:
    from edgebig import start

    first = ended(begun(tmp_path), splits)
    cut = begun(tmp_path, "train.start=digits-quick")
    start.of("digits-quick", splits, cut)
    other = ended(begun(tmp_path, "train.seed=1"), splits)
    shutil.copyfile(other.run.model_path, first.run.model_path)
    said = "is gone or another one than it was, and there is no checkpoint"
    with pytest.raises(EdgebigError, match=said):
        ended(cut, splits, resume=True)
    shutil.rmtree(first.run.folder)
    with pytest.raises(EdgebigError, match=said):
        ended(cut, splits, resume=True)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": 1}', '{"schema": 1, "folder": "a", "passes": []}', '{"schema": 2}',
     '{"schema": 1, "folder": 3, "passes": [{"name": "start"}]}',
     '{"schema": 1, "folder": "a", "passes": [{"name": "start"}]}'],
)  # fmt: skip
def test_a_damaged_record_of_a_start_is_one_error(text: str, splits: Splits, tmp_path: Path) -> None:
    from edgebig import start

    run = begun(tmp_path, "train.start=digits-quick")
    (run.folder / "start.json").write_text(text)
    with pytest.raises(EdgebigError, match=r"start\.json"):
        start.of("digits-quick", splits, run)
