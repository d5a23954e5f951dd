"""The numbers inside a .tflite as it runs, written to files: a program that runs alone, under any Python of a runtime.

    python activations.py < task.json

It imports nothing of edgebig: tflite-runtime and tflite-micro have environments of their own. A task is {"runtime",
"delegate", "arena_bytes", "runs"}, each run {"model", "keep", "inputs": [{"tensor", "values", "table"}], "outputs":
[{"tensor", "path"}]}. "values" is an .npy, (N, ...): what goes in, or numbers that "table", an .npy (256,), turns into
it. Each output becomes an .npy, (N, *shape), in the tensor's own dtype. "keep" keeps what lies between inputs and
outputs. The last line on stdout is JSON: {"done": N}, or {"problem"} where the runtime refuses.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# The folder of this file has a keras.py and others that would hide the libraries of those names.
_HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]

import numpy as np  # noqa: E402

_RESOLVERS = {"xnnpack": "AUTO", "none": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


class _LiteRt:
    """ai-edge-litert or tflite-runtime, which have one interface."""

    def __init__(self, task: dict[str, Any], run: dict[str, Any]) -> None:
        if task["runtime"] == "ai-edge-litert":
            from ai_edge_litert import interpreter
        else:
            from tflite_runtime import interpreter
        self._interpreter = interpreter.Interpreter(
            model_path=run["model"],
            num_threads=1,
            experimental_op_resolver_type=getattr(interpreter.OpResolverType, _RESOLVERS[task["delegate"]]),
            experimental_preserve_all_tensors=run["keep"],
        )
        self._interpreter.allocate_tensors()

    def set(self, tensor: int, values: Any) -> None:
        self._interpreter.set_tensor(tensor, values)

    def invoke(self) -> None:
        self._interpreter.invoke()

    def get(self, tensor: int) -> Any:
        return self._interpreter.get_tensor(tensor)

    def shape(self, tensor: int) -> tuple[int, ...]:
        details = {found["index"]: found for found in self._interpreter.get_input_details()}
        return tuple(int(size) for size in details[tensor]["shape"])


class _Micro:
    """tflite-micro, which knows inputs by their order alone."""

    def __init__(self, task: dict[str, Any], run: dict[str, Any]) -> None:
        from tflite_micro.python.tflite_micro import runtime

        with open(run["model"], "rb") as file:
            model = file.read()
        config = runtime.InterpreterConfig
        self._interpreter = runtime.Interpreter.from_bytes(
            model,
            arena_size=task["arena_bytes"],
            intrepreter_config=config.kPreserveAllTensors if run["keep"] else config.kAllocationRecording,
        )
        self._places = {given["tensor"]: place for place, given in enumerate(run["inputs"])}
        self._results = {made["tensor"]: place for place, made in enumerate(run["outputs"])}
        self._keep = run["keep"]

    def set(self, tensor: int, values: Any) -> None:
        self._interpreter.set_input(values, self._places[tensor])

    def invoke(self) -> None:
        self._interpreter.invoke()

    def get(self, tensor: int) -> Any:
        if self._keep:
            return self._interpreter.GetTensor(tensor, 0)["tensor_data"]
        return self._interpreter.get_output(self._results[tensor])

    def shape(self, tensor: int) -> tuple[int, ...]:
        details = self._interpreter.get_input_details(self._places[tensor])
        return tuple(int(size) for size in details["shape"])


def perform(task: dict[str, Any], run: dict[str, Any]) -> int:
    """One model on all its examples; gives their number."""
    model = _Micro(task, run) if task["runtime"] == "tflite-micro" else _LiteRt(task, run)
    given = [
        (
            entry["tensor"],
            np.load(entry["values"], mmap_mode="r"),
            np.load(entry["table"]) if entry["table"] else None,
            model.shape(entry["tensor"]),
        )
        for entry in run["inputs"]
    ]
    count = len(given[0][1])
    made: list[Any] = []
    for index in range(count):
        for tensor, values, table, shape in given:
            example = np.asarray(values[index])
            model.set(
                tensor, np.ascontiguousarray(table[example] if table is not None else example).reshape(shape)
            )
        model.invoke()
        for place, entry in enumerate(run["outputs"]):
            values = model.get(entry["tensor"])
            if index == 0:
                made.append(
                    np.lib.format.open_memmap(
                        entry["path"], mode="w+", dtype=values.dtype, shape=(count, *values.shape)
                    )
                )
            made[place][index] = values
    return count


def main() -> int:
    # Whatever a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = json.load(sys.stdin)
    try:
        done = sum(perform(task, run) for run in task["runs"])
    except (ValueError, RuntimeError, ImportError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        answers.write(json.dumps({"problem": lines[0]}) + "\n")
        return 0
    answers.write(json.dumps({"done": done}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
