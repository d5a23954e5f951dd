"""Models to export, with cards, and real digits to run them on."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebig import artifact, files, flatbuffer
from edgebig.artifact import Artifact
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.recipe import Data

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
NETS = Path(__file__).resolve().parent / "nets"  # made by make.py there
HOSTILE = ('say "7"', "a\\", "??/", "5*/", "é", "%s", "\x1b[2J", "1", "//", "ten")


@pytest.fixture
def digits() -> Examples:
    """Twenty of the embedded test digits."""
    return source.load(Data(source="digits-5k")).test[:20]


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Artifact]:
    """A golden model in a folder of the test's own, with the card of digits-int8 and `changes` to it."""

    def make(name: str = "digits-int8", data: bytes | None = None, **changes: Any) -> Artifact:
        path = tmp_path / "models" / f"{name}.tflite"
        path.parent.mkdir(exist_ok=True)
        if data is None:
            shelf = NETS if (NETS / path.name).is_file() else GOLDEN
            shutil.copyfile(shelf / path.name, path)
        else:
            path.write_bytes(data)
        contract = flatbuffer.io_contract(path.read_bytes(), path.name)
        card = json.loads((GOLDEN / "digits-int8.json").read_text())
        card |= {
            "variant": name,
            "sha256": files.sha256_file(path),
            "input": vars(contract.inputs[0]),
            "output": vars(contract.outputs[0]),
            **changes,
        }
        path.with_suffix(".json").write_text(json.dumps(card))
        return artifact.load(path)

    return make


@pytest.fixture(scope="session")
def compiler() -> Callable[..., Path]:
    """A program of sources, by gcc or g++, each warning an error."""
    for name in ("gcc", "g++"):
        if not shutil.which(name):
            pytest.skip(f"needs {name}")

    def build(out: Path, standard: str, *arguments: str | Path) -> Path:
        name = "g++" if "++" in standard else "gcc"
        strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror"]
        command = [name, f"-std={standard}", *strict, *map(str, arguments), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return out

    return build
