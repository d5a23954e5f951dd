"""Runs in the environment `tflite-micro`, where there is no edgebig: a model, its inputs -> its outputs and its arena.

stdin: {"model": PATH, "inputs": PATH of a .npy (N, ...) in the input's dtype, "outputs": PATH of the .npy to write}
stdout: {"used_bytes": N, "arena_bytes": N}, the arena being the one in which all of the inputs were run
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile

import numpy as np
from tflite_micro.python.tflite_micro import runtime

# More than any microcontroller has. One that is too small may end the process (SIGSEGV), so that it is not sought
# by trying: the interpreter's recorder tells what was taken, and that much is then tried.
AMPLE_BYTES = 1 << 26
STEP_BYTES = 64
STEPS = 16


def main() -> None:
    request = json.load(sys.stdin)
    with open(request["model"], "rb") as file:
        model = file.read()
    inputs = np.load(request["inputs"])
    ample = runtime.Interpreter.from_bytes(model, arena_size=AMPLE_BYTES)
    first = infer(ample, inputs[0])
    used = used_bytes(ample)
    interpreter, arena = snug(model, used)
    outputs = np.stack([infer(interpreter, values) for values in inputs])
    if not np.array_equal(outputs[0], first):
        sys.exit(f"in an arena of {arena} bytes the model gives other numbers than in an ample one")
    np.save(request["outputs"], outputs)
    print(json.dumps({"used_bytes": used, "arena_bytes": arena}))


def infer(interpreter: runtime.Interpreter, values: np.ndarray) -> np.ndarray:
    """(...) of the input's dtype -> (outputs,), a copy."""
    shape = interpreter.get_input_details(0)["shape"]
    interpreter.set_input(values.reshape(shape), 0)
    interpreter.invoke()
    return np.array(interpreter.get_output(0)).reshape(-1)


def used_bytes(interpreter: runtime.Interpreter) -> int:
    """What the interpreter's allocator took in all, which it only prints."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        said = file.read().decode("utf-8", "replace")
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    if not found:
        sys.exit(f"the interpreter does not tell what it allocated: {said[:200]!r}")
    return int(found.group(1))


def snug(model: bytes, used: int) -> tuple[runtime.Interpreter, int]:
    """An interpreter in the smallest arena, from `used` on, in which the model loads, and that arena's bytes."""
    for arena in range(-(-used // 16) * 16, used + STEPS * STEP_BYTES, STEP_BYTES):
        try:
            return runtime.Interpreter.from_bytes(model, arena_size=arena), arena
        except RuntimeError:
            continue
    sys.exit(f"the model took {used} bytes and does not load in {used + STEPS * STEP_BYTES}")


if __name__ == "__main__":
    main()
