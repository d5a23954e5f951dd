"""A .tflite from elsewhere: whether it can be a model of pictures here, and what it says, by a process that may die."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgebig
from edgebig import flatbuffer, metadata
from edgebig.check import tflite
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.tflitefile import DTYPES, builtin_name, parse_model

_DEADLINE_S = 600
_PLAIN = "convert it with one subgraph, one signature and TFLite's own operators (no SELECT_TF_OPS)"
_READ = """if True:
    import json, sys
    import numpy as np
    from edgebig.ondevice import infer
    from edgebig.ondevice.faults import Fault

    path, images, answer, runtime, preprocessing = sys.argv[1:]
    try:
        model = infer.Model(path, runtime, "xnnpack", threads=1)
        np.save(answer, infer.classify(model, np.load(images), json.loads(preprocessing)))
    except Fault as fault:
        print(json.dumps([fault.problem, fault.hint]))
"""


def check(
    data: bytes, name: str, picture: tuple[int, int, int], classes: tuple[str, ...]
) -> tuple[float, float] | None:
    """The range of real numbers that its input takes, where that is quantized; of raw uint8 it is 0..255.

    Raises EdgebigError where it is damaged, has what is not understood, or does not fit pictures (H, W, C) and classes.
    """
    parsed = parse_model(data, name)
    if len(parsed["signature_defs"]) > 1:
        names = ", ".join(entry["signature_key"] for entry in parsed["signature_defs"])
        raise EdgebigError(f"{name}: has several signatures ({names})", _PLAIN)
    unknown = [named for code in parsed["operator_codes"] if (named := _unknown(code))]
    if unknown:
        raise EdgebigError(f"{name}: has operators that no plain runtime knows: {', '.join(unknown)}", _PLAIN)
    contract = flatbuffer.io_contract(data, name)
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise EdgebigError(
            f"{name}: {len(contract.inputs)} inputs and {len(contract.outputs)} outputs, not one of each",
            "a model of pictures takes one picture and gives a score for each class",
        )
    taken, given = contract.inputs[0], contract.outputs[0]
    graph = parsed["subgraphs"][0]
    dynamic = graph["tensors"][graph["inputs"][0]]["shape_signature"][1:]
    if taken.shape != (1, *picture) or -1 in dynamic:
        shown = tuple(graph["tensors"][graph["inputs"][0]]["shape_signature"]) or taken.shape
        raise EdgebigError(
            f"{name}: takes {shown}, the pictures are (1, {', '.join(map(str, picture))})",
            "convert it for one picture of that size, or bring the pictures to its own: --set 'data.size=[H, W]', "
            "--set data.colour=grey or rgb",
        )
    if taken.dtype not in infer.INPUT_DTYPES:
        raise EdgebigError(
            f"{name}: its input is {taken.dtype}", f"use one of {', '.join(infer.INPUT_DTYPES)}"
        )
    if math.prod(given.shape) != len(classes):
        one = "; of a single sigmoid unit adopt the Keras model" if math.prod(given.shape) == 1 else ""
        raise EdgebigError(
            f"{name}: gives {given.shape}, the data has {len(classes)} classes",
            f"use the data that it was trained for, or choose its classes by [data] classes{one}",
        )
    _check_labels(metadata.read_labels(data, name), classes, name)
    if taken.dtype not in ("int8", "uint8", "int16"):
        return None
    if taken.scale is None or taken.zero_point is None:
        return (0.0, 255.0) if taken.dtype == "uint8" else None
    limits = np.iinfo(taken.dtype)
    low, high = ((limit - taken.zero_point) * taken.scale for limit in (limits.min, limits.max))
    return float(low), float(high)


def _unknown(code: dict[str, Any]) -> str:
    """The name of an operator that is not TFLite's own, else ""."""
    own = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
    if code["custom_code"] or own == "CUSTOM":
        return str(code["custom_code"] or own)
    return own if own.startswith("operator ") else ""


def _check_labels(labels: tuple[str, ...], classes: tuple[str, ...], name: str) -> None:
    """Raises EdgebigError where the file's own labels are the data's classes in another order."""
    if labels != classes and sorted(labels) == sorted(classes):
        quoted = ", ".join(f'"{label}"' for label in labels)
        raise EdgebigError(
            f"{name}: its labels are the data's classes in another order",
            f"give the data its order: --set 'data.classes=[{quoted}]'",
        )


def variant(data: bytes) -> str:
    """What a .tflite is called in a run, by its types: float32, int8, int16x8, float16, or dynamic."""
    graph = parse_model(data, "model")["subgraphs"][0]
    types = {DTYPES[graph["tensors"][index]["type"]] for operator in graph["operators"] for index in operator["inputs"]
             if index >= 0}  # fmt: skip
    if not flatbuffer.float_operators(data):
        return "int16x8" if "int16" in types else "int8"
    weights = types & {"int8", "uint8", "int4", "float16"}
    return "float32" if not weights else "float16" if weights == {"float16"} else "dynamic"


def parameters(data: bytes) -> int:
    """How many numbers its convolutions and other operators hold: weights and biases, and no shapes."""
    parsed = parse_model(data, "model")
    graph = parsed["subgraphs"][0]
    held = {index for operator in graph["operators"] for index in operator["inputs"] if index >= 0}
    tensors = [graph["tensors"][index] for index in held]
    return sum(
        math.prod(tensor["shape"])
        for tensor in tensors
        if len(parsed["buffers"][tensor["buffer"]]["data"])
        and (DTYPES[tensor["type"]] in flatbuffer.FLOATS or (tensor["quantization"] or {}).get("scale"))
    )


def labels(data: bytes, examples: Examples, low: float, high: float) -> npt.NDArray[np.intp]:
    """(N,): the class that .tflite bytes give each picture, with pixels as low..high.

    Raises EdgebigError where it does not run, or kills the process that runs it.
    """
    preprocessing = {"low": low, "high": high, "ink_is_high": True}
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        model, images, answer = (Path(folder) / name for name in ("model.tflite", "images.npy", "answer.npy"))
        model.write_bytes(data)
        examples.write_npy(images)
        root = str(Path(edgebig.__file__).resolve().parent.parent)
        arguments = [model, images, answer, tflite.HOST_RUNTIME, json.dumps(preprocessing)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", _READ, *map(str, arguments)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
                capture_output=True, text=True, errors="replace", timeout=_DEADLINE_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise EdgebigError(
                "the model did not come to an end in 10 minutes", "is it the right file?"
            ) from error
        if done.returncode:
            raise EdgebigError(
                f"the model kills the runtime: {_said(done)}", "the file is damaged; make it again"
            )
        if done.stdout.startswith("["):
            problem, hint = json.loads(done.stdout)
            raise EdgebigError(problem.replace(f"{model}: ", ""), hint)
        best: npt.NDArray[np.intp] = np.argmax(np.load(answer, allow_pickle=False), axis=1)
    return best


def _said(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
