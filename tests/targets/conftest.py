"""The goldens, with what a run of them would have beside them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edgebig import artifact
from edgebig.artifact import Artifact

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
# nets.py and cases.py; with --import-mode=importlib a test's folder is not on the path.
sys.path.insert(0, str(HERE))


@pytest.fixture
def int8(tmp_path: Path) -> Artifact:
    return _copied("int8", tmp_path)


@pytest.fixture
def float32(tmp_path: Path) -> Artifact:
    return _copied("float32", tmp_path)


def _copied(numbers: str, folder: Path) -> Artifact:
    for suffix in (".tflite", ".json"):
        shutil.copy(GOLDEN / f"digits-{numbers}{suffix}", folder / f"{numbers}{suffix}")
    return artifact.load(folder / f"{numbers}.tflite")
