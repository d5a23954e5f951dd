"""Where do two models part? Layer by layer: what each loses by itself, and what has added up when it is reached.

Both run in processes of their own, which may die of a crafted file, and write their layers' numbers to files. A layer's
own loss is what it makes of the first model's numbers: it is cut out of the second model and run alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import edgebig
from edgebig import environment
from edgebig.check import activations, cut, matching
from edgebig.check.matching import Node
from edgebig.check.signal import Floats, Loss, Range, Span, Sums, real, scale_of, stored, weights_of
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.tflitefile import unpack_model
from edgebig.tflitegraph import WEIGHTS_INPUT, Graph, Operator, Tensor, macs, read_graphs

# What a user calls kernels -> the runtime and its delegate. The first are ai-edge-litert's.
RUNTIMES = {
    "xnnpack": ("ai-edge-litert", "xnnpack"),
    "none": ("ai-edge-litert", "none"),
    "reference": ("ai-edge-litert", "reference"),
    "tflite-runtime": ("tflite-runtime", "none"),
    "tflite-micro": ("tflite-micro", "none"),
}
# Few examples have many numbers: more of them change the figures little, and large models take long.
LEAST_EXAMPLES = 4
_MOST_BYTES = 1 << 29
_MOST_MACS = 2e10
_CHUNK = 16


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
class Weights:
    """The second model's weights against the first's, by `loss`, and how many scales they have: one a channel, or one.

    `moved`: the share of them that is further from the first's than rounding goes: they were trained on.
    """

    loss: Loss
    scales: int
    moved: float


@dataclass(frozen=True)
class LayerLoss:
    """One layer of both models. `own` is None where it could not be run alone, and says why in `no_own`."""

    first: str
    second: str
    operator: str
    shape: tuple[int, ...]
    dtype: str
    accumulated: Loss
    own: Loss | None
    no_own: str
    range: Range | None
    weights: Weights | None


@dataclass(frozen=True)
class Layers:
    """All layers that both have, in the second model's order, from `n` examples; then those that one has alone."""

    n: int
    layers: tuple[LayerLoss, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def worst(self) -> LayerLoss | None:
        """Where most is lost: by a layer itself, or where none could be run alone, by all up to it."""
        own = [layer for layer in self.layers if layer.own is not None and layer.own.sqnr_db is not None]
        if own:
            return min(own, key=lambda layer: _db(layer.own))
        whole = [layer for layer in self.layers if layer.accumulated.sqnr_db is not None]
        return min(whole, key=lambda layer: _db(layer.accumulated), default=None)


def _db(loss: Loss | None) -> float:
    return loss.sqnr_db if loss is not None and loss.sqnr_db is not None else float("inf")


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
    _run(model, [_whole(model, folder, made, keep=False)], deadline_s)
    raw = np.load(path).reshape(len(examples), -1)
    return Outputs(real(raw, model.output).astype(np.float32), scale_of(model.output)[0])


def affordable(graphs: Sequence[Graph], most: int) -> int:
    """So many examples that the numbers of all layers fit on the disk, and a large model does not take hours."""
    size = sum(2 * tensor.size_bytes for graph in graphs for tensor in graph.tensors if not tensor.constant)
    cost = sum(2 * macs(graph, operator) for graph in graphs for operator in graph.operators)
    return max(LEAST_EXAMPLES, min(most, _MOST_BYTES // max(size, 1), int(_MOST_MACS // max(cost, 1))))


def compare(first: Values, second: Values, folder: Path, deadline_s: float) -> Layers:
    """Both models' layers on the same examples, whose numbers are in `first` and `second`."""
    pairs = matching.match(first.nodes, second.nodes)
    own = _alone(pairs, first, second, folder, deadline_s)
    found = tuple(_layer(a, b, first, second, own.get(b.values, "")) for a, b in pairs)
    seen_a, seen_b = {a.values for a, _ in pairs}, {b.values for _, b in pairs}
    return Layers(
        second.n,
        found,
        tuple(node.label for node in first.nodes if node.values not in seen_a and _tells(node)),
        tuple(node.label for node in second.nodes if node.values not in seen_b and _tells(node)),
    )


def _tells(node: Node) -> bool:
    return node.kind not in matching.PASSES_ON


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
    _run(model, [whole], deadline_s)
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


def _run(model: Model, runs: list[dict[str, Any]], deadline_s: float) -> None:
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


def _alone(
    pairs: Sequence[tuple[Node, Node]], first: Values, second: Values, folder: Path, deadline_s: float
) -> dict[Hashable, Path | str]:
    """Each layer of the second model fed with the first model's numbers: the file of what it gives, or why not."""
    if second.model is None or second.model.graph is None:
        return {}
    graph = second.model.graph
    tree = unpack_model(second.model.data, second.model.side.name)
    partner: dict[int, Hashable] = {int(str(b.values)): a.values for a, b in pairs}
    alone: dict[Hashable, Path | str] = {}
    runs = []
    for _, node in pairs:
        target = int(str(node.values))
        if len(tree.subgraphs[0].operators[node.operator].intermediates or ()):
            alone[node.values] = "it keeps numbers from one call to the next"
            continue
        sources = {tensor for tensor in partner if tensor != target} | {second.model.input.index}
        part, inputs, output = cut.cut(tree, graph, sources, target)
        here = folder / f"alone-{target}"
        here.mkdir()
        (here / "part.tflite").write_bytes(part)
        given = []
        for place, tensor in enumerate(inputs):
            path = here / f"in-{place}.npy"
            _write_input(tensor, partner, first, second, path)
            given.append({"tensor": place, "values": str(path), "table": None})
        alone[node.values] = here / "out.npy"
        made = [{"tensor": output, "path": str(here / "out.npy")}]
        # Its output is the part's own, so that nothing more is kept; its kernels may write in place.
        runs.append({"model": str(here / "part.tflite"), "keep": False, "inputs": given, "outputs": made})
    _run(second.model, runs, deadline_s)
    return alone


def _write_input(
    tensor: int, partner: Mapping[int, Hashable], first: Values, second: Values, path: Path
) -> None:
    """The first model's numbers for a tensor of the second, as that stores them; of the input, its own."""
    assert second.model is not None
    assert second.model.graph is not None
    wanted = second.model.graph.tensors[tensor]
    if tensor not in partner:
        np.save(path, np.load(second.paths[tensor], mmap_mode="r"))
        return
    shape = (second.n, *wanted.shape)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(wanted.dtype), shape=shape)
    for start in range(0, second.n, _CHUNK):
        theirs = first.of(partner[tensor], start, start + _CHUNK)
        out[start : start + _CHUNK] = stored(theirs, wanted).reshape(-1, *wanted.shape)


def _layer(a: Node, b: Node, first: Values, second: Values, alone: Path | str) -> LayerLoss:
    tensor = None
    if second.model is not None and second.model.graph is not None:
        tensor = second.model.graph.tensors[int(str(b.values))]
    accumulated, own, span = Sums(), Sums(), Span(tensor)
    file = np.load(alone, mmap_mode="r") if isinstance(alone, Path) else None
    for start in range(0, second.n, _CHUNK):
        wanted = first.of(a.values, start, start + _CHUNK).reshape(-1)
        made = second.of(b.values, start, start + _CHUNK).reshape(-1)
        accumulated.add(wanted, made)
        span.add(wanted, made)
        if file is not None and tensor is not None:
            own.add(wanted, real(np.asarray(file[start : start + _CHUNK]), tensor).reshape(-1))
    own_loss = own.loss() if file is not None else None
    return LayerLoss(
        first=a.label,
        second=b.label,
        operator=b.kind,
        shape=b.shape,
        dtype=tensor.dtype if tensor is not None else "float32",
        accumulated=accumulated.loss(),
        own=own_loss,
        no_own=alone if isinstance(alone, str) else "",
        range=span.range(own_loss),
        weights=_weights(a, b, first, second),
    )


def _weights(a: Node, b: Node, first: Values, second: Values) -> Weights | None:
    """None where one of them has no constant weights of a like shape."""
    if first.model is None or second.model is None:
        return None
    both = []
    for model, node in ((first.model, a), (second.model, b)):
        assert model.graph is not None
        both.append(_constant(model.graph, model.graph.operators[node.operator]))
    if both[0] is None or both[1] is None or both[0].shape != both[1].shape:
        return None
    numbers, step = [], np.zeros(1)
    for tensor in both:
        assert tensor is not None
        found = weights_of(tensor)
        if found is None:
            return None
        numbers.append(found[0])
        step = found[1]
    sums = Sums()
    sums.add(numbers[0].reshape(-1), numbers[1].reshape(-1))
    further = np.abs(numbers[1] - numbers[0]) > 0.51 * step + 1e-9
    return Weights(sums.loss(), len(both[1].scales), float(further.mean()))


def _constant(graph: Graph, operator: Operator) -> Tensor | None:
    """An operator's weights, also where they are stored as float16 and made into floats by a DEQUANTIZE."""
    found = graph.weights_of(operator)
    place = WEIGHTS_INPUT.get(operator.kind)
    index = operator.inputs[place] if place is not None and place < len(operator.inputs) else -1
    before = graph.producers.get(index)
    if found is None and before is not None and before.kind == "DEQUANTIZE":
        stored_as = graph.tensors[before.inputs[0]]
        return stored_as if stored_as.constant else None
    return found


Cause = Literal["clipping", "too-wide", "rounding", "kernels", "trained-on", "weights", ""]
# Rounding moves no weight by more than half a step; a converter's own arithmetic a few.
_MOVED = 0.2


def cause(layer: LayerLoss) -> Cause:
    """What the layer's own loss comes from, as far as its numbers tell; "" where they do not."""
    span = layer.range
    if layer.weights is not None and not layer.weights.loss.mse:
        return "kernels"
    if span is None or span.rounding is None or span.clipping is None:
        return ""
    if span.clipping >= 0.5:
        return "clipping"
    if span.rounding >= 0.5:
        return "too-wide" if span.used < 0.5 else "rounding"
    if layer.weights is not None and layer.weights.moved > _MOVED:
        return "trained-on"
    return "weights"
