"""A model under a runtime, in a process of its own that may die of it: what it says, and every layer's numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgebig
from edgebig import environment
from edgebig.check import activations, cut, matching
from edgebig.check.matching import Node
from edgebig.check.signal import Floats, real, scale_of
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.tflitefile import unpack_model
from edgebig.tflitegraph import Graph, read_graphs

# What a user calls kernels -> the runtime and its delegate. The first are ai-edge-litert's.
RUNTIMES = {
    "xnnpack": ("ai-edge-litert", "xnnpack"),
    "none": ("ai-edge-litert", "none"),
    "reference": ("ai-edge-litert", "reference"),
    "tflite-runtime": ("tflite-runtime", "none"),
    "tflite-micro": ("tflite-micro", "none"),
}


@dataclass(frozen=True)
class Side:
    """One model under one runtime, which `kernels` name. `preprocessing`: what a picture is made into, as in a card."""

    name: str
    path: Path
    preprocessing: Mapping[str, Any]
    kernels: str = "reference"

    @property
    def is_keras(self) -> bool:
        return self.path.suffix == ".keras"


@dataclass(frozen=True)
class Outputs:
    """What a model made of N examples: `real`, float32 (N, C), and `step` of a quantized output, else 0."""

    real: npt.NDArray[np.float32]
    step: float


class Model:
    """One side, opened: what can be asked of it before it runs."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.graph: Graph | None = None
        if not side.is_keras:
            self.data = side.path.read_bytes()
            graphs = read_graphs(self.data, side.name)
            if len(graphs) != 1 or len(graphs[0].inputs) != 1 or len(graphs[0].outputs) != 1:
                raise EdgebigError(
                    f"{side.name}: not one picture in and one row out, in one subgraph",
                    "check takes classifiers of one picture; edgebig inspect shows what this is",
                )
            self.graph = graphs[0]
            self.input, self.output = (
                self.graph.tensors[i] for i in (*self.graph.inputs, *self.graph.outputs)
            )

    def table(self) -> npt.NDArray[Any]:
        """(256,): what a pixel becomes in the dtype of the input."""
        tensor = infer.Tensor("input", "float32", (), 0.0, 0)
        if self.graph is not None:
            tensor = infer.Tensor("input", self.input.dtype, (), *scale_of(self.input))
        try:
            found: npt.NDArray[Any] = infer.input_table(tensor, dict(self.side.preprocessing))
        except Fault as fault:
            raise EdgebigError(f"{self.side.name}: {fault.problem}", fault.hint) from fault
        return found


def outputs(model: Model, examples: Examples, folder: Path, deadline_s: float) -> Outputs:
    """What a .tflite says of `examples`, as it really runs. Raises: EdgebigError where it does not."""
    assert model.graph is not None
    _write_examples(model, examples, folder)
    path = folder / "out.npy"
    made = [{"tensor": model.output.index, "path": str(path)}]
    run(model, [_whole(model, folder, made, keep=False)], deadline_s)
    raw = np.load(path).reshape(len(examples), -1)
    return Outputs(real(raw, model.output).astype(np.float32), scale_of(model.output)[0])


@dataclass(frozen=True)
class Values:
    """A model's layers, and where the numbers of each lie: .npy files (n, ...). `model` is None of a Keras model."""

    nodes: list[Node]
    paths: Mapping[Hashable, Path]
    n: int
    model: Model | None = None

    def of(self, node: Hashable, start: int = 0, end: int | None = None) -> Floats:
        """Real values, float64 (n, ...), of some of the examples."""
        raw = np.load(self.paths[node], mmap_mode="r")[start:end]
        if self.model is None:
            return real(np.asarray(raw))
        assert self.model.graph is not None
        return real(np.asarray(raw), self.model.graph.tensors[int(str(node))])


def values(model: Model, examples: Examples, folder: Path, deadline_s: float) -> Values:
    """Runs a .tflite on `examples` and keeps what each layer gives. Raises: EdgebigError where it does not run."""
    assert model.graph is not None
    nodes = matching.nodes(model.graph)
    _write_examples(model, examples, folder)
    paths: dict[Any, Path] = {node.values: folder / f"tensor-{node.values}.npy" for node in nodes}
    made = [{"tensor": index, "path": str(path)} for index, path in paths.items()]
    whole = _whole(model, folder, made, keep=True)
    if model.side.kernels == "tflite-runtime":
        # 2.14 lets an ADD write over its input even where all tensors are to be kept.
        (folder / "exposed.tflite").write_bytes(
            cut.exposed(unpack_model(model.data, model.side.name), list(paths))
        )
        whole |= {"model": str(folder / "exposed.tflite"), "keep": False}
    run(model, [whole], deadline_s)
    table = np.load(folder / "table.npy")
    np.save(
        folder / "input.npy", table[np.load(folder / "images.npy")].reshape(len(examples), *model.input.shape)
    )
    paths[model.input.index] = folder / "input.npy"
    return Values(nodes, paths, len(examples), model)


def keras_values(
    side: Side, examples: Examples, some: Examples, folder: Path, deadline_s: float
) -> tuple[Values, Outputs]:
    """What a Keras model says of `examples`, and its layers' numbers for `some` of them."""
    _write_examples(Model(side), examples, folder)
    some.write_npy(folder / "some.npy")
    task = {"model": str(side.path.absolute()), "folder": str(folder)}
    root = str(Path(edgebig.__file__).parent.parent)
    answer = _answer(
        [sys.executable, "-m", "edgebig.check.keras"], side.name, task, deadline_s, {"PYTHONPATH": root}
    )
    nodes = [
        Node(
            row["label"], row["kind"], tuple(row["shape"]), frozenset(row["names"]), row["values"],
            row["operator"],
        )
        for row in answer["nodes"]
    ]  # fmt: skip
    paths: dict[Hashable, Path] = {node.values: folder / f"layer-{node.operator}.npy" for node in nodes}
    answers = real(np.load(folder / "outputs.npy")).reshape(len(examples), -1)
    return Values(nodes, paths, len(some)), Outputs(answers.astype(np.float32), 0.0)


def _write_examples(model: Model, examples: Examples, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    examples.write_npy(folder / "images.npy")
    np.save(folder / "table.npy", model.table())


def _whole(model: Model, folder: Path, made: list[dict[str, Any]], *, keep: bool) -> dict[str, Any]:
    given = {
        "tensor": model.input.index,
        "values": str(folder / "images.npy"),
        "table": str(folder / "table.npy"),
    }
    return {"model": str(model.side.path.absolute()), "keep": keep, "inputs": [given], "outputs": made}


def run(model: Model, runs: list[dict[str, Any]], deadline_s: float) -> None:
    assert model.graph is not None
    runtime, delegate = RUNTIMES[model.side.kernels]
    own = runtime == "ai-edge-litert"
    python = [sys.executable] if own else [str(environment.python(runtime)), "-I"]
    # tflite-micro dies where its arena is too small, and takes what it is given.
    arena = (1 << 22) + 4 * sum(tensor.size_bytes + 64 for tensor in model.graph.tensors)
    task = {"runtime": runtime, "delegate": delegate, "arena_bytes": arena, "runs": runs}
    _answer([*python, activations.__file__], f"{model.side.name} in {runtime}", task, deadline_s)


def _answer(
    command: list[str],
    what: str,
    task: Mapping[str, Any],
    deadline_s: float,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a child says of a task. Raises: EdgebigError where it dies, is late, or its runtime refuses the model."""
    said = environment.call(command, what, json.dumps(task), deadline_s=deadline_s, environ=environ)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    if "problem" in answer:
        raise EdgebigError(
            f"{what}: it does not run: {answer['problem']}",
            answer.get("hint")
            or "the file is damaged, or not for this runtime; edgebig inspect shows what is in it",
        )
    return answer
