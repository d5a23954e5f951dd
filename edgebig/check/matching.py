"""Which layers of two models are the same layer.

A converter fuses, renames and reorders: a convolution, its BatchNormalization and its ReLU become one operator with all
three names; training for quantization puts quant_ before them; a stripped file has no names. So layers are paired in
order, by operator and shape, as many as can be, and names decide where that leaves a choice.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from edgebig.errors import EdgebigError
from edgebig.tflitegraph import Graph, Operator, unique

MOST_PAIRS = 1_000_000
_EDGES = frozenset({"QUANTIZE", "DEQUANTIZE"})
# What a converter fuses into the operator before it, or does not.
_ACTIVATIONS = frozenset({"RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"})
# Numbers pass through these unchanged: where one model has them and the other has not, nothing is amiss.
PASSES_ON = frozenset({"RESHAPE", "EXPAND_DIMS", "SQUEEZE", "BITCAST"})


@dataclass(frozen=True)
class Node:
    """A layer as both models have it: `values` is where its numbers are read, after what is fused behind it.

    `values` is a tensor's index in a .tflite and a layer's name in a Keras model; `shape` is without the batch.
    """

    label: str
    kind: str
    shape: tuple[int, ...]
    names: frozenset[str]
    values: Hashable
    operator: int


def nodes(graph: Graph) -> list[Node]:
    """The layers of a .tflite in order: an activation behind an operator is a part of it, and quantization is none."""
    labels = unique(graph.layer_names, (operator.kind for operator in graph.operators))
    found = []
    fused: set[int] = set()
    for operator in graph.operators:
        if operator.kind in _EDGES or operator.index in fused or not graph.computed_inputs(operator):
            continue
        last = operator
        while (follower := _activation_behind(graph, last)) is not None:
            fused.add(follower.index)
            last = follower
        for tensor in last.outputs[:1]:
            names = frozenset().union(
                *(graph.layers_in(output) for part in (operator, last) for output in part.outputs[:1])
            )
            shape = graph.tensors[tensor].shape
            found.append(
                Node(labels[operator.index], operator.kind, shape[1:] or shape, names, tensor, operator.index)
            )
    return found


def _activation_behind(graph: Graph, operator: Operator) -> Operator | None:
    """The activation that alone takes what `operator` gives."""
    if len(operator.outputs) != 1 or operator.outputs[0] in graph.outputs:
        return None
    users = graph.consumers.get(operator.outputs[0], [])
    return users[0] if len(users) == 1 and users[0].kind in _ACTIVATIONS else None


def match(first: Sequence[Node], second: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Pairs of like operator and shape, each model's in its order: as many as can be, of those the most with a name.

    Raises: EdgebigError where there are too many to compare.
    """
    if len(first) * len(second) > MOST_PAIRS:
        raise EdgebigError(
            f"{len(first)} and {len(second)} layers: too many to be compared layer by layer",
            "--no-layers compares the answers alone",
        )
    # Longest common subsequence, where a shared name is worth a little.
    name_worth = 1 / (min(len(first), len(second)) + 1)
    best = [[0.0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first) - 1, -1, -1):
        for j in range(len(second) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if worth := _worth(first[i], second[j], name_worth):
                best[i][j] = max(best[i][j], best[i + 1][j + 1] + worth)
    pairs, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        worth = _worth(first[i], second[j], name_worth)
        if worth and best[i][j] == best[i + 1][j + 1] + worth:
            pairs.append((first[i], second[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _worth(a: Node, b: Node, name_worth: float) -> float:
    if a.kind != b.kind or a.shape != b.shape:
        return 0.0
    return 1.0 + (name_worth if a.names & b.names else 0.0)
