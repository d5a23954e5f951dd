#!/usr/bin/env python3
"""Makes the models of edgebig/zoo from their recipes, or holds those that are there against a new making.

    .venv/bin/python tools/make_zoo.py WORK [--data FOLDER]          trains what WORK/runs lacks, hours on two cores
    .venv/bin/python tools/make_zoo.py WORK [--data FOLDER] --check  and compares, writing nothing into edgebig/zoo

Of each recipe the seed is the one of three that was best on validation, of the camera's the first. On the kind of
machine that made them, with as many cores, the bytes come out the same; elsewhere --check asks that accuracy on the
test digits lies within the 95 % interval of the shipped model's, and exits with 3 where not. It tells besides on how
many both say the same: two trainings of a net that is right on 99.2 % cannot agree on many more than that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgebig import artifact, runs
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.data import source

TEACHER = ("digits-teacher", 0)
# In this order: the camera's start from the weights of the plain ones.
SEEDS = {"digits": 0, "digits-small": 1, "digits-nano": 2, "digits-camera": 0, "digits-camera-small": 0}


def edgebig(work: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "edgebig", *arguments], cwd=work, check=True)


def trained(work: Path, recipe: str, seed: int) -> runs.Run:
    """The run of that recipe and seed in WORK, trained where there is none."""

    def found() -> runs.Run | None:
        fitting = runs.of_recipe(recipe, work / "runs")
        return next((run for run in fitting if run.recipe.train.seed == seed), None)

    run = found()
    if run is None:
        edgebig(work, "train", recipe, "--seed", str(seed))
        run = found()
    assert run is not None
    return run


def made(work: Path, recipe: str, seed: int) -> Artifact:
    run = trained(work, recipe, seed)
    variant = "distil-int8" if run.recipe.compress.distil else "int8"
    path = run.folder / f"{variant}.tflite"
    if not path.is_file():
        edgebig(work, "compress", run.name)
    return artifact.load(path)


def ship(item: Artifact, name: str) -> None:
    card = artifact.require_card(item, "")
    artifact.save(runs.ZOO, name, item.path.read_bytes(), card)
    artifact.copy_lists(item, runs.ZOO)


def differs(item: Artifact, name: str) -> str:
    """What is wrong, or nothing where the shipped model is the same, or as good."""
    shipped = artifact.load(runs.zoo()[name])
    if item.sha256 == shipped.sha256:
        print(f"{name}: the same, bit for bit")
        return ""
    new, old = (artifact.require_card(each, "") for each in (item, shipped))
    test = source.load(old.data_spec()).test
    said = [
        tflite.labels(each.path.read_bytes(), test, card.preprocessing.model_dump())
        for each, card in ((item, new), (shipped, old))
    ]
    alike = float(np.mean(said[0] == said[1]))
    value, was = new.host_accuracy.value, old.host_accuracy
    print(
        f"{name}: {value:.2%}, shipped {was.value:.2%} ({was.low:.2%} .. {was.high:.2%}), alike on {alike:.2%}"
    )
    return "" if was.low <= value <= was.high else f"{name} is not as good as the shipped one, or better"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.data:
        os.environ["EDGEBIG_DATA"] = str(given.data.absolute())
    given.work.mkdir(parents=True, exist_ok=True)
    trained(given.work, *TEACHER)
    items = {name: made(given.work, name, seed) for name, seed in SEEDS.items()}
    if not given.check:
        for name, item in items.items():
            ship(item, name)
        return 0
    faults = [fault for name, item in items.items() if (fault := differs(item, name))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 3 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
