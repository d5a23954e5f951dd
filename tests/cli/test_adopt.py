"""edgebig adopt, and what the other commands say of what it made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgebig import cli, runs
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
runner = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("float32", "int8"):
        shutil.copy(GOLDEN / f"digits-{name}.tflite", f"{name}.tflite")
    return tmp_path


def run(*arguments: str) -> str:
    done = runner.invoke(cli.app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_recipe_without_a_model_will_do(here: Path) -> None:
    (here / "mine.toml").write_text('[data]\nsource = "digits-5k"\n[compress.ptq]\n')
    said = json.loads(run("adopt", "float32.tflite", "--recipe", "mine.toml", "--name", "theirs", "--json"))
    assert (said["recipe"], said["variant"], said["trained_elsewhere"]) == ("theirs", "float32", True)
    made = runs.finished(None)
    assert said["file"] == f"runs/{made.name}/float32.tflite"
    assert made.recipe.compress.ptq is not None
    assert "float32 9" in run("runs")
    assert "theirs-" in run("adopt", "int8.tflite", "--recipe", "digits-quick", "--name", "theirs")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["adopt", "none.keras", "--recipe", "digits-quick"], "none.keras: no such file"),
        (["adopt", "float32.tflite", "--recipe", "digits-quikc"], "no recipe 'digits-quikc'"),
        (["adopt", "float32.tflite", "--recipe", "digits-quick", "--name", "../x"], "the name of the file may hold"),
        (
            ["adopt", "float32.tflite", "--recipe", "digits-quick", "--set", "data.classes=['3', '8']"],
            "the data has 2 classes",
        ),
        (["compress", "float32.tflite"], "float32.tflite: a model, and no run"),
    ],
)  # fmt: skip
def test_the_user_s_faults(here: Path, arguments: list[str], problem: str) -> None:
    with pytest.raises(EdgebigError) as refused:
        run(*arguments)
    assert problem in refused.value.problem
    assert refused.value.hint
    assert not (here / "runs").exists() or not list((here / "runs").iterdir())


def test_usage(here: Path) -> None:
    assert runner.invoke(cli.app, ["adopt", "float32.tflite"]).exit_code == 2
    assert (
        runner.invoke(
            cli.app, ["adopt", "float32.tflite", "--recipe", "digits-quick", "--pixels", "0..7"]
        ).exit_code
        == 2
    )


def test_compress_names_the_run_of_a_model_in_one(here: Path) -> None:
    run("adopt", "int8.tflite", "--recipe", "digits-quick")
    folder = runs.finished(None).folder
    with pytest.raises(EdgebigError) as refused:
        run("compress", f"{folder}/int8.tflite")
    assert refused.value.hint == f"its run is edgebig compress {folder}"


def test_train_takes_no_adopted_recipe(here: Path) -> None:
    run("adopt", "float32.tflite", "--recipe", "digits-quick")
    with pytest.raises(EdgebigError, match="was trained elsewhere and adopted"):
        run("train", f"{runs.finished(None).folder}/recipe.toml")


@pytest.mark.tf
def test_compress_of_what_cannot_be_trained(here: Path) -> None:
    for name, problem in (
        ("int8", "has nothing to train or quantize in it"),
        ("float32", "a .tflite has no weights that could be trained on: qat cannot be"),
    ):
        run("adopt", f"{name}.tflite", "--recipe", "digits-quick")
        with pytest.raises(EdgebigError) as refused:
            run("compress", "--int8")
        assert problem in refused.value.problem
        assert "adopt the" in refused.value.hint
