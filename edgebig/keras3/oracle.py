"""Keras 3 itself, in a process of its own: the weights of a file as it reads them, and what the model says.

The two Keras do not go together in one process, and HDF5 is a large piece of C: a file from anywhere may kill that
process and not this one. It is given a copy of the file that holds only what was looked at before.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError
from edgebig.keras3 import archive

_DEADLINE_S = 600
_SHOWN_CHARACTERS = 300
_ASK = """if True:
    import json, sys
    import keras
    import numpy as np

    def walk(model, path=()):
        for layer in model.layers:
            here = (*path, layer.name)
            if isinstance(layer, keras.Model):
                yield from walk(layer, here)
            else:
                for weight in layer.weights:
                    yield "/".join(here) + ":" + weight.name, np.asarray(weight, np.float32)

    model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
    found = dict(walk(model))
    given = np.load(sys.argv[2], allow_pickle=False)
    inputs = [given[f"input{number}"] for number in range(len(given.files))]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    np.savez(
        sys.argv[3],
        **{f"output{number}": np.asarray(value, np.float32) for number, value in enumerate(outputs)},
        **{f"weight{number}": value for number, value in enumerate(found.values())},
    )
    print(json.dumps(list(found)))
"""
_RESAVE = """if True:
    import sys
    import keras

    keras.models.load_model(sys.argv[1], compile=False, safe_mode=True).save(sys.argv[2])
"""


@dataclass(frozen=True)
class Answer:
    """`weights`: by "path/of/layer:name", float32; `outputs`: of each output, for the inputs that were given."""

    weights: dict[str, npt.NDArray[np.float32]]
    outputs: list[npt.NDArray[np.float32]]


def ask(path: Path, config: dict[str, Any], inputs: list[npt.NDArray[np.float32]]) -> Answer:
    """What Keras 3 reads from the .keras at `path`, with `config` in place of its own. Raises EdgebigError."""
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        copy, given, answer = (Path(folder) / name for name in ("model.keras", "given.npz", "answer.npz"))
        archive.write_copy(path, config, copy)
        np.savez(given, **{f"input{number}": value for number, value in enumerate(inputs)})  # type: ignore[arg-type]
        printed = _run(_ASK, [copy, given, answer], path, folder)
        names = json.loads(printed.splitlines()[-1])
        with np.load(answer, allow_pickle=False) as found:
            weights = {name: found[f"weight{number}"] for number, name in enumerate(names)}
            outputs = [found[f"output{number}"] for number in range(len(found.files) - len(names))]
    return Answer(weights, outputs)


def resave(path: Path, target: Path) -> None:
    """Writes the .h5 of Keras 3 at `path`, whose header was looked at, as a .keras. Raises EdgebigError."""
    _run(_RESAVE, [path.absolute(), target], path, str(target.parent))


def _run(code: str, arguments: list[Path], path: Path, folder: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    # A user's keras.json may name another backend; and the CPU's float32 is the one that both are compared in.
    environment |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": folder, "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *map(str, arguments)],
            env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True, text=True, errors="replace", timeout=_DEADLINE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EdgebigError(
            f"{path}: Keras 3 did not come to an end with it in {_DEADLINE_S // 60} minutes",
            "is it the right file?",
        ) from error
    if done.returncode == 0:
        return done.stdout
    if "No module named 'keras'" in done.stderr:
        raise EdgebigError(
            f"{path}: to read it needs Keras 3, which is not installed here", "pip install keras"
        )
    raise EdgebigError(
        f"{path}: Keras 3 itself cannot read it: {_said(done)}",
        "is it whole? Copy it again, or save it again with Keras 3",
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"it dies of {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    # Its messages go over several lines, of which the first tells most.
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (raised or lines or ["nothing is said"])[-1][:_SHOWN_CHARACTERS]
