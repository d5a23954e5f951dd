"""The models that come with edgebig: what their cards say, what they are tested with, and that they read digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgebig import artifact, runs
from edgebig.check import tflite
from edgebig.data import pen, signs, source
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

# The largest file, and the least accuracy on MNIST's 10,000 test digits.
SHIPPED = {
    "digits": (64 * 1024, 0.996),
    "digits-camera": (64 * 1024, 0.9942),
    "digits-camera-small": (24 * 1024, 0.993),
    "digits-nano": (8 * 1024, 0.99),
    "digits-small": (24 * 1024, 0.9958),
}


def test_these_come_with_edgebig() -> None:
    assert sorted(runs.zoo()) == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_of_its_file_and_names_no_machine(name: str) -> None:
    item = artifact.load(runs.zoo()[name])
    card = artifact.require_card(item, "")
    size, accuracy = SHIPPED[name]
    assert item.path.stat().st_size == card.size_bytes <= size
    assert (card.recipe, card.host_accuracy.split, card.host_accuracy.n) == (name, "test", 10_000)
    assert card.host_accuracy.value >= accuracy
    # A teacher that has not seen what is no digit makes a net surer of it: the camera's have none.
    assert {record.name for record in card.passes} >= ({"qat"} if "camera" in name else {"distil", "qat"})
    text = json.dumps(artifact.dump_record(card))
    assert "/" not in text.replace('"image/', "").replace("N/A", ""), text


@pytest.mark.parametrize("name", ["digits-camera", "digits-camera-small"])
def test_the_camera_s_models_know_what_is_no_digit(name: str) -> None:
    item = artifact.load(runs.zoo()[name])
    card = artifact.require_card(item, "")
    assert card.threshold is not None
    assert card.threshold.kept >= 0.99 * card.threshold.known
    assert card.threshold.rejected >= 0.9 * card.threshold.unknown
    assert (card.threshold.confidence * 256) % 1 == 0.5  # between two steps of the output
    # Letters and signs as a pen draws them and no camera saw, at the size of the model's input.
    rng = np.random.default_rng(99)
    kinds = [kind for kind in signs.KINDS for _ in range(2)]
    fields = pen.of_lines([signs.draw(kind, rng) for kind in kinds])
    ink = np.clip((1.2 - fields) * 2 + 0.5, 0, 1)[:, 1 :: pen.FINE, 1 :: pen.FINE]
    things = Examples((ink * 255).astype(np.uint8)[..., np.newaxis], np.zeros(len(kinds), np.int64))
    sure = tflite.scores(item.path.read_bytes(), things, card.preprocessing.model_dump()).max(axis=1)
    assert (sure < card.threshold.confidence).mean() >= 0.85


@pytest.mark.parametrize("name", SHIPPED)
def test_it_reads_the_embedded_digits_which_it_was_not_trained_on(name: str) -> None:
    item = artifact.load(runs.zoo()[name])
    card = artifact.require_card(item, "")
    test = source.load(Data(source=runs.ZOO_SOURCE)).test
    assert artifact.leak_check(item, test.hashes, "test") == "no test example was in a training set"
    said = tflite.labels(item.path.read_bytes(), test, card.preprocessing.model_dump())
    assert np.mean(said == test.labels) >= 0.985


def test_a_name_is_a_run_first_then_the_zoo_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runs.resolve_model("digits-nano") == runs.ZOO / "digits-nano.tflite"
    with pytest.raises(EdgebigError, match="no finished run"):
        runs.resolve_model(None)
    with pytest.raises(EdgebigError, match=r"no run 'digits-nan' \(did you mean 'digits-nano'\?\)"):
        runs.resolve_model("digits-nan")
    (tmp_path / "runs" / "digits-nano").mkdir(parents=True)
    (tmp_path / "runs" / "digits-nano" / "recipe.toml").write_text('[data]\nsource = "mnist"\n')
    with pytest.raises(EdgebigError):  # It is a run now, and one that is not finished.
        runs.resolve_model("digits-nano")


def test_what_is_made_of_it_is_not_written_into_the_package(tmp_path: Path) -> None:
    assert runs.beside(runs.zoo()["digits"]) == Path("runs/zoo")
    assert runs.beside(tmp_path / "a.tflite") == tmp_path


def test_it_is_tested_on_what_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = list(runs.zoo().values())
    monkeypatch.delenv("EDGEBIG_DATA", raising=False)
    assert runs.usual_source(shipped, None) == "digits-5k"
    assert runs.usual_source([*shipped, tmp_path / "own.tflite"], None) is None
    assert runs.usual_source(shipped, tmp_path) is None
    monkeypatch.setenv("EDGEBIG_DATA", str(tmp_path))
    assert runs.usual_source(shipped, None) is None
