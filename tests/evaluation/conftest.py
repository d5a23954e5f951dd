"""Goldens in folders of their own, with the cards that a test wants."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, files, flatbuffer
from edgebig.artifact import Artifact
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.recipe import Data

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.fixture(scope="session")
def digits() -> Splits:
    return source.load(Data(source="digits-5k"))


@pytest.fixture(scope="session")
def model_in(digits: Splits) -> Callable[..., Artifact]:
    """model_in(folder, name, hashes=..., **changes): a golden, its training set's hashes, and changes to its card."""

    def make(folder: Path, name: str = "digits-int8", *, hashes: Any = None, **changes: Any) -> Artifact:
        path = folder / f"{name}.tflite"
        shutil.copyfile(GOLDEN / f"{name}.tflite", path)
        card = json.loads((GOLDEN / f"{name}.json").read_text())
        digest = artifact.write_hashes(folder, digits.train.hashes if hashes is None else hashes)
        card = {**card, "train": {**card["train"], "sha256": digest}, **changes}
        path.with_suffix(".json").write_text(json.dumps(card))
        return artifact.load(path)

    return make


@pytest.fixture
def model(tmp_path: Path, model_in: Callable[..., Artifact]) -> Callable[..., Artifact]:
    """The same in the test's own folder."""
    return functools.partial(model_in, tmp_path)


@pytest.fixture
def colours(tmp_path: Path) -> Artifact:
    """The golden that tells red, green and blue by the means of 4x4 pixels."""
    path = tmp_path / "colours.tflite"
    shutil.copyfile(GOLDEN / "pixels-int8.tflite", path)
    card = json.loads((GOLDEN / "digits-int8.json").read_text())
    contract = flatbuffer.io_contract(path.read_bytes(), path.name)
    digest = artifact.write_hashes(tmp_path, np.array([1], np.uint64))
    card |= {
        "sha256": files.sha256_file(path),
        "input": vars(contract.inputs[0]),
        "output": vars(contract.outputs[0]),
        "classes": ["red", "green", "blue"],
        "preprocessing": {**card["preprocessing"], "colour": "rgb", "framing": "whole", "fit": "stretch"},
        "train": {**card["train"], "sha256": digest},
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return artifact.load(path)
