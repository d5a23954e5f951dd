"""What there is on this machine besides its processor: cameras, a power meter, kinds of cores; and what LiteRT's newer
interface does here.
"""

from __future__ import annotations

import signal
import subprocess
from typing import Any

from . import cameras, cores, power, sysfs

_TRY_LIMIT_S = 120
_COMPILED_MODEL = """
import sys
try:
    from ai_edge_litert.compiled_model import CompiledModel
except ImportError as error:
    sys.exit("not here: %s" % error)
model = CompiledModel.from_file(sys.argv[1])
model.run_by_index(0, model.create_input_buffers(0), model.create_output_buffers(0))
"""


def found(python: list[str], model: str, root: str = "/") -> dict[str, Any]:
    """`python`: the words that start this Python; `model`: the path of a .tflite that is tried by CompiledModel."""
    meter, why = power.find(root)
    return {
        "cameras": cameras.found(root),
        "power": {"source": meter.source} if meter else {"source": None, "why": why},
        "clusters": [
            {"cores": sysfs.listed(kind.cores), "speed": kind.speed} for kind in cores.clusters(root)
        ],
        "compiled_model": compiled_model(python, model),
    }


def compiled_model(python: list[str], model: str) -> dict[str, Any]:
    """Whether LiteRT's CompiledModel runs the model on this processor, in a process that may die of it."""
    command = [*python, "-c", _COMPILED_MODEL, model]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=_TRY_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"works": False, "why": f"it was not done after {_TRY_LIMIT_S} s"}
    if done.returncode == 0:
        return {"works": True, "why": ""}
    # An emulator tells of a signal as a shell does.
    number = -done.returncode if done.returncode < 0 else done.returncode - 128
    if number == signal.SIGILL:
        return {
            "works": False,
            "why": "it dies of SIGILL, by instructions that this processor lacks: Interpreter is the way here",
        }
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return {"works": False, "why": lines[-1] if lines else f"it ended with exit code {done.returncode}"}
