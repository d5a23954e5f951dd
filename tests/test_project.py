"""edgebig init: what it writes works as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgebig import project, recipe
from edgebig.data import source
from edgebig.errors import EdgebigError

ROOT = Path(__file__).resolve().parent.parent


def test_its_recipe_and_data_are_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project.create(tmp_path / "cats")
    assert {path.name for path in made} == {
        "cats.toml", "data.py", "model.py", "test_project.py", ".gitignore",
    }  # fmt: skip
    monkeypatch.chdir("/")
    spec = recipe.load(str(tmp_path / "cats" / "cats.toml"))
    splits = source.load(spec.data)
    assert splits.classes == ("circle", "square", "triangle")
    assert splits.train.shape == (32, 32, 3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1350, 150, 300)


@pytest.mark.parametrize("name", ["a b", "latest", "-x", "ä", "x" * 101])
def test_a_name_that_names_no_recipe(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgebigError, match="is no name for a recipe"):
        project.create(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    project.create(tmp_path / "cats")  # an empty folder is as good as none
    (tmp_path / "cats" / "model.py").write_text("mine")
    (tmp_path / "dogs").write_text("a file")
    for name in ("cats", "dogs"):
        with pytest.raises(EdgebigError, match="is there already"):
            project.create(tmp_path / name)
    assert (tmp_path / "cats" / "model.py").read_text() == "mine"


@pytest.mark.tf
@pytest.mark.slow
def test_its_own_test_passes(tmp_path: Path) -> None:
    """pytest in the new folder: an epoch of training by its model, and of int8."""
    project.create(tmp_path / "cats")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "cats", env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
