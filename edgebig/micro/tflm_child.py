"""Runs in the environment `tflite-micro`, where there is no edgebig: a model, its inputs -> its outputs and its arena.

stdin, a line: {"model": PATH, "inputs": PATH of a .npy (N, ...), "table": PATH of a .npy (256,) that makes numbers of
the input's dtype of them, or null, "outputs": PATH of the .npy (N, outputs) to write}
stdout, lines: {"event": "rows", "start", "end"} of the outputs that are written, then {"event": "ran", "used_bytes",
"arena_bytes"}; or {"event": "error", "code", "problem", "hint"} where the interpreter refuses the model. The arena is
the smallest, in steps of 16 bytes, in which the model loads and gives the right numbers; all of the inputs run in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# More than any microcontroller has.
AMPLE_BYTES = 1 << 26
STEP_BYTES = 16
ROWS = 500
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    _end_with_the_parent()
    request = json.loads(sys.stdin.readline())
    try:
        told = run(request)
    except (RuntimeError, ValueError) as error:
        told = {
            "event": "error",
            "code": "bad-model",
            "problem": f"TFLite Micro refuses it: {error}",
            "hint": "'edgebig convert --for mcu' tells what it has no kernel for",
        }
    say(told)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Raises RuntimeError where the interpreter refuses the model, ValueError where the inputs do not fit it."""
    with open(request["model"], "rb") as file:
        model = file.read()
    given = np.load(request["inputs"], mmap_mode="r")
    table = np.load(request["table"]) if request["table"] else None

    def inputs(index: int) -> Any:
        return given[index] if table is None else table[given[index]]

    ample = load(model, AMPLE_BYTES)
    first = infer(ample, inputs(0))
    used = used_bytes(ample)

    def suffices(arena_bytes: int) -> bool:
        return survives(lambda: np.array_equal(infer(load(model, arena_bytes), inputs(0)), first))

    arena = smallest(suffices, -(-used // STEP_BYTES) * STEP_BYTES, AMPLE_BYTES, STEP_BYTES)
    interpreter = load(model, arena)
    outputs = np.lib.format.open_memmap(
        request["outputs"], mode="w+", dtype=first.dtype, shape=(len(given), *first.shape)
    )
    for start in range(0, len(given), ROWS):
        end = min(start + ROWS, len(given))
        for index in range(start, end):
            outputs[index] = infer(interpreter, inputs(index))
        outputs.flush()
        say({"event": "rows", "start": start, "end": end})
    return {"event": "ran", "used_bytes": used, "arena_bytes": arena}


def smallest(suffices: Callable[[int], bool], guess: int, most: int, step: int) -> int:
    """The least multiple of `step` that `suffices`, sought from `guess` on; whatever is more than one that does, does.

    Raises RuntimeError where not even `most` does.
    """
    good = max(guess, step)
    while not suffices(good):
        if good >= most:
            raise RuntimeError(
                f"it loads in an arena of {most} bytes and not in a process that begins with it"
            )
        good = min(2 * good, most // step * step)
    bad = 0
    while good - bad > step:
        middle = (bad + good) // 2 // step * step
        if suffices(middle):
            good = middle
        else:
            bad = middle
    return good


def survives(attempt: Callable[[], bool]) -> bool:
    """Whether `attempt` is true, tried in a process of its own: an arena that is too small may end it (SIGSEGV)."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os._exit(0 if attempt() else 1)
        except BaseException:  # noqa: BLE001 the fork may not come back as a second parent
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def load(model: bytes, arena_bytes: int) -> Any:
    """An interpreter in an arena of that size. Raises RuntimeError with what TFLite Micro printed of the reason."""
    from tflite_micro.python.tflite_micro import runtime

    with tempfile.TemporaryFile() as file:
        with printed_to(file):
            try:
                return runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
            except RuntimeError as error:
                refusal = error
        file.seek(0)
        said = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    raise RuntimeError(said[0].strip() if said else str(refusal)) from refusal


def infer(interpreter: Any, values: Any) -> Any:
    """(...) of the input's dtype -> (outputs,), a copy."""
    shape = interpreter.get_input_details(0)["shape"]
    interpreter.set_input(values.reshape(shape), 0)
    interpreter.invoke()
    return np.array(interpreter.get_output(0)).reshape(-1)


def used_bytes(interpreter: Any) -> int:
    """What the interpreter's allocator took in all, which it only prints."""
    with tempfile.TemporaryFile() as file:
        with printed_to(file):
            interpreter.print_allocations()
        file.seek(0)
        said = file.read().decode("utf-8", "replace")
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    if not found:
        sys.exit(f"the interpreter does not tell what it allocated: {said[:200]!r}")
    return int(found.group(1))


@contextlib.contextmanager
def printed_to(file: Any) -> Iterator[None]:
    """What the library prints to stderr goes to `file` meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def say(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _end_with_the_parent() -> None:
    """Nobody waits for the outputs where edgebig was killed; Linux then kills this process too."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
