"""The one door to TensorFlow, tried in children: what it opens, refuses, and says where nothing is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def child(code: str, *, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`code` in a fresh Python that finds the modules in `path` before all others."""
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"} | environment
    if path is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [env.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


def stub(folder: Path, name: str, code: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    return folder


@pytest.mark.tf
def test_the_door_gives_keras_2_on_which_tfmot_works() -> None:
    done = child("""
from edgebig.keras import keras, load_tfmot, tf
assert keras.__version__.startswith("2."), keras.__version__
assert tf.keras.Model is keras.Model
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
tfmot = load_tfmot()
assert "quant_" in tfmot.quantization.keras.quantize_model(model).layers[1].name
assert tfmot.sparsity.keras.prune_low_magnitude(model).layers[0].pruning_vars
print("works")
""")
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr
    assert done.stderr == ""  # TensorFlow's pages on CPUs and GPUs are kept off the screen


def test_tensorflow_with_keras_3_is_refused_with_the_mend(tmp_path: Path) -> None:
    stub(tmp_path, "tensorflow", "")
    code = """
import tensorflow
from edgebig.errors import EdgebigError
try:
    import edgebig.keras
except EdgebigError as error:
    print(error.problem, "|", error.hint)
"""
    done = child(code, path=tmp_path)
    assert done.stdout == (
        "TensorFlow was imported before edgebig.keras, with Keras 3 | "
        "import edgebig first, or set TF_USE_LEGACY_KERAS=1 in the environment\n"
    ), done.stderr


@pytest.mark.parametrize("missing", ["tensorflow", "tf_keras"])
def test_what_is_missing_is_named_with_the_extra(tmp_path: Path, missing: str) -> None:
    stub(tmp_path / "stubs", "tensorflow", "")
    stub(tmp_path / "broken", missing, f"raise ImportError('no {missing} for you')")
    command = [sys.executable, "-m", "edgebig", "train", "digits-quick"]
    paths = [str(tmp_path / "broken"), str(tmp_path / "stubs"), str(Path(__file__).parent.parent)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"edgebig: training needs {missing}, which is not installed here (no {missing} for you)\n"
        "  pip install \"edgebig[train]\"; 'edgebig doctor' tells what else is missing\n"
    )
    assert not (tmp_path / "runs").exists()
