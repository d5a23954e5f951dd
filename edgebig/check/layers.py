"""Where do two models part? Layer by layer: what each loses by itself, and what has added up when it is reached.

Both run in processes of their own, which may die of a crafted file, and write their layers' numbers to files. A layer's
own loss is what it makes of the first model's numbers: it is cut out of the second model and run alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgebig.check import cut, matching
from edgebig.check.matching import Node
from edgebig.check.running import Values, run
from edgebig.check.signal import Loss, Range, Span, Sums, real, stored, weights_of
from edgebig.tflitefile import unpack_model
from edgebig.tflitegraph import WEIGHTS_INPUT, Graph, Operator, Tensor, macs

# Few examples have many numbers: more of them change the figures little, and large models take long.
LEAST_EXAMPLES = 4
_MOST_BYTES = 1 << 29
_MOST_MACS = 2e10
_CHUNK = 16


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
    run(second.model, runs, deadline_s)
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
