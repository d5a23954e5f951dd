"""`edgebig eval` as it is typed: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig import artifact, files, flatbuffer, recipe, runs
from edgebig.data import source
from edgebig.recipe import Data
from tests.commandline import Edgebig

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SMALLEST = '[data]\nsource = "digits-5k"\n[model]\nname = "digit-cnn"\n'

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def edgebig(edgebig: Edgebig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgebig:
    """`edgebig eval ARGUMENTS`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(edgebig, "eval")


def make_run(variant: str, seed: int) -> runs.Run:
    """A finished run that holds a golden."""
    run = runs.create(recipe.parse(recipe.tomllib.loads(SMALLEST), "tiny", file=""))
    train = source.load(Data(source="digits-5k")).train
    card = artifact.read_card(GOLDEN / f"{variant}.json")
    digest = artifact.write_hashes(run.folder, train.hashes)
    card = card.model_copy(update={"seed": seed, "train": card.train.model_copy(update={"sha256": digest})})
    artifact.save(run.folder, variant, (GOLDEN / f"{variant}.tflite").read_bytes(), card)
    runs.finish(run, {"schema": 1})
    return run


def test_the_newest_model_of_the_latest_run_on_its_own_test(edgebig: Edgebig) -> None:
    run = make_run("digits-int8", 0)
    done = edgebig("--examples", "50")
    assert done.code == 0
    assert done.stderr == f"model: {run.folder}/digits-int8.tflite\n"
    lines = done.stdout.splitlines()
    assert lines[0] == f"{run.folder}/digits-int8.tflite on digits-5k"
    assert "of 50 test examples right: " in lines[1]
    assert lines[-1] == "50 of the 1,000 were looked at, every class alike"


def test_runs_together_in_json_and_in_files(edgebig: Edgebig, tmp_path: Path) -> None:
    names = [make_run(variant, seed).name for seed, variant in enumerate(("digits-float32", "digits-int8"))]
    done = edgebig(*names, "--examples", "50", "--json", "--out", "looked/at")
    assert done.code == 0
    told = json.loads(done.stdout)
    assert [(row["model"], row["seed"]) for row in told["models"]] == [
        (f"runs/{names[0]}/digits-float32.tflite", 0), (f"runs/{names[1]}/digits-int8.tflite", 1),
    ]  # fmt: skip
    assert (told["schema"], told["data"]["n"], told["spreads"]["accuracy"]["n"]) == (1, 50, 2)
    assert json.loads((tmp_path / "looked/at/evaluation.json").read_text()) == told
    for folder in ("A-digits-float32", "B-digits-int8"):
        for name in ("confusion.png", "misread.png"):
            with Image.open(tmp_path / "looked/at" / folder / name) as image:
                image.verify()
    written = [line for line in done.stderr.splitlines() if line.startswith("looked")]
    assert len(written) == 5


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(
    edgebig: Edgebig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("digits-int8", 0)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("edgebig.evaluation.run", lambda *_: pytest.fail("it ran"))
    done = edgebig("--out", "file/x")
    assert (done.code, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["no-such-run"], 1, "no run 'no-such-run'"),
        (["--source", "image:photos"], 1, "did you mean 'images'?"),
        (["--source", "images:nowhere"], 1, "nowhere: no such folder"),
        (["--device", "fake"], 4, "fake: it tells the classes alone, and not the outputs"),
        (["--device", "toaster"], 1, "no device 'toaster'"),
        (["latest", "latest"], 1, "are the same file"),
        (["--split", "all"], 1, "of the 5000 examples were in its training set"),
    ],
)
def test_what_is_refused(edgebig: Edgebig, arguments: list[str], code: int, told: str) -> None:
    make_run("digits-int8", 0)
    done = edgebig(*arguments)
    assert (done.code, done.stdout) == (code, "")
    assert told in done.stderr
    assert done.stderr.splitlines()[-1].startswith("  ")


def colours(folder: Path, classes: list[str]) -> Path:
    """The golden that tells red, green and blue by the means of 4x4 pixels."""
    path = folder / "colours.tflite"
    shutil.copyfile(GOLDEN / "pixels-int8.tflite", path)
    card = json.loads((GOLDEN / "digits-int8.json").read_text())
    contract = flatbuffer.io_contract(path.read_bytes(), path.name)
    card |= {
        "sha256": files.sha256_file(path), "input": vars(contract.inputs[0]), "output": vars(contract.outputs[0]),
        "classes": classes, "preprocessing": {**card["preprocessing"], "colour": "rgb", "framing": "whole"},
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def photograph(path: Path, rgb: tuple[int, int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 40, (30, 20, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(rgb) * 0.8 + noise).astype(np.uint8)).save(path)


COLOURS: dict[str, tuple[int, int, int]] = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def test_pictures_of_ones_own_by_the_names_of_their_folders(edgebig: Edgebig, tmp_path: Path) -> None:
    """Folders come in order of their names, the model has another; a red one lies among the green."""
    for name, rgb in COLOURS.items():
        for index in range(3):
            photograph(tmp_path / "photos" / name / f"{index}.png", rgb, index)
    photograph(tmp_path / "photos" / "green" / "red.png", COLOURS["red"], 9)
    model = colours(tmp_path, ["red", "green", "blue"])
    done = edgebig(str(model), "--source", "images:photos", "--json")
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    (row,) = told["models"]
    assert (told["data"]["n"], told["data"]["split"], row["accuracy"]["correct"]) == (10, "all", 9)
    (misread,) = row["misread"]
    assert (misread["true"], misread["read"]) == ("green", "red")
    assert row["confusion"] == [[3, 0, 0], [1, 3, 0], [0, 0, 3]]


def test_pictures_of_classes_that_the_model_does_not_know(edgebig: Edgebig, tmp_path: Path) -> None:
    for name, rgb in COLOURS.items():
        photograph(tmp_path / "photos" / name / "0.png", rgb, 0)
    model = colours(tmp_path, ["red", "green", "azure"])
    done = edgebig(str(model), "--source", "images:photos")
    assert (done.code, done.stdout) == (1, "")
    assert "its classes are 'red', 'green', 'azure'; the examples have others: 'blue'" in done.stderr


def test_names_of_classes_cannot_steer_the_terminal(edgebig: Edgebig, tmp_path: Path) -> None:
    card = json.loads((GOLDEN / "digits-int8.json").read_text())
    shutil.copyfile(GOLDEN / "digits-int8.tflite", tmp_path / "m.tflite")
    names = [f"\x1b[{index}J\r" for index in range(10)]
    evil: dict[str, Any] = {**card, "classes": names}
    (tmp_path / "m.json").write_text(json.dumps(evil))
    done = edgebig("m.tflite", "--examples", "20")
    assert done.code == 1
    assert "\x1b" not in done.stdout + done.stderr
