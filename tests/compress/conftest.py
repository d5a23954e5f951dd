"""A trained run to compress: a net of a few hundred weights, on a tenth of the embedded digits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgebig import recipe, runs
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.recipe import Data, Recipe

# Long enough, and without augmentation, that int8 and float agree by more than the luck of one seed.
SETTINGS = [
    "data.augment={}",
    "model.channels=[2, 4]",
    "model.blocks=[1, 1]",
    "train.epochs=12",
    "train.learning_rate=0.02",
    "train.batch_size=32",
]
SHORT = [
    "compress.prune.epochs=12",
    "compress.prune.learning_rate=0.01",
    "compress.qat.epochs=2",
    "compress.prune.batch_size=32",
    "compress.qat.batch_size=32",
]


class Trained(NamedTuple):
    run: runs.Run
    spec: Recipe
    splits: Splits


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from edgebig import train

    whole = source.load(Data(source="digits-5k"))
    splits = Splits("digits-5k", whole.classes, whole.train[::5], whole.validation[::5], whole.test[::5])
    spec = recipe.load("digits-quick", SETTINGS + SHORT)
    run = runs.create(spec, tmp_path_factory.mktemp("trained") / "runs")
    train.train(spec, splits, run)
    return Trained(run, spec, splits)


@pytest.fixture
def a_copy(trained: Trained, tmp_path: Path) -> Callable[..., Any]:
    """The trained run, copied to where a test may write."""

    def copy() -> Trained:
        folder = tmp_path / "runs" / trained.run.name
        shutil.copytree(trained.run.folder, folder)
        return Trained(runs.Run(folder, trained.spec), trained.spec, trained.splits)

    return copy
