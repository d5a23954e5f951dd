"""Layers that stay in float inside an int8 .tflite: which operators they became, and the barrier behind them.

Works on bytes, without TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from edgebig import tflitegraph
from edgebig.flatbuffer import EDGE_OPERATORS, FLOATS
from edgebig.tflitefile import attached_files, builtin_name, pack_model, unpack_model
from edgebig.tflitegraph import Graph, Operator

# What `compress.scheme.IslandEnd` puts behind a float layer, so that the converter leaves it in float.
_BARRIER = ("SEGMENT_SUM", "RESHAPE")
_MOVES_NUMBERS = frozenset(
    {"MAX_POOL_2D", "PAD", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE", "TRANSPOSE"}
)


def strangers(model: bytes, layers: Collection[str]) -> list[str]:
    """The operators that take or give floats and were made from none of `layers`: name, and layer where known.

    A QUANTIZE or DEQUANTIZE next to an operator of `layers`, or at an edge of the model, is none. Raises:
    EdgebigError where the file is damaged.
    """
    (graph,) = tflitegraph.read_graphs(model, "model")
    ours = {operator.index for operator in graph.operators if _made_from(graph, operator) & set(layers)}
    return [
        f"{operator.kind} ({name})"
        for operator, name in zip(graph.operators, graph.layer_names, strict=True)
        if _is_float(graph, operator) and operator.index not in ours and not _is_shore(graph, operator, ours)
    ]


def drowned(model: bytes, layers: Collection[str]) -> list[str]:
    """Those of `layers` that the .tflite computes in int8 alone. One that only moves numbers is the same in both."""
    (graph,) = tflitegraph.read_graphs(model, "model")
    computing = [operator for operator in graph.operators if operator.kind not in EDGE_OPERATORS]
    parts = {
        layer: [operator for operator in computing if layer in _made_from(graph, operator)]
        for layer in layers
    }
    return [
        layer
        for layer, operators in parts.items()
        if any(operator.kind not in _MOVES_NUMBERS for operator in operators)
        and not any(_is_float(graph, operator) for operator in operators)
    ]


def without_barriers(model: bytes) -> bytes:
    """`model` without the barriers behind float layers; the numbers do not change."""
    tree = unpack_model(model, "model")
    graph = tree.subgraphs[0]

    def kind(operator: Any) -> str:
        code = tree.operatorCodes[operator.opcodeIndex]
        return builtin_name(code.deprecatedBuiltinCode, code.builtinCode)

    barriers = [operator for operator in graph.operators if kind(operator) == _BARRIER[0]]
    if not barriers:
        return model
    for barrier in barriers:
        (reshape,) = (op for op in graph.operators if barrier.outputs[0] in op.inputs)
        assert kind(reshape) == _BARRIER[1]
        graph.operators = [op for op in graph.operators if op is not barrier and op is not reshape]
        for operator in graph.operators:
            operator.inputs = [barrier.inputs[0] if i == reshape.outputs[0] else i for i in operator.inputs]
    _sweep(tree)
    return pack_model(tree, attached_files(model, "model"))


def _sweep(tree: Any) -> None:
    """Drops the tensors and operator codes that nothing uses any more."""
    graph = tree.subgraphs[0]
    fields = [
        (owner, field)
        for owner in (graph, *graph.operators)
        for field in ("inputs", "outputs", "intermediates")
        if getattr(owner, field, None) is not None
    ]
    kept = sorted({int(i) for owner, field in fields for i in getattr(owner, field)} - {-1})
    moved = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[i] for i in kept]
    for owner, field in fields:
        setattr(owner, field, [moved[int(i)] for i in getattr(owner, field)])
    for signature in tree.signatureDefs or []:
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            entry.tensorIndex = moved[entry.tensorIndex]
    used = sorted({operator.opcodeIndex for operator in graph.operators})
    tree.operatorCodes = [tree.operatorCodes[i] for i in used]
    for operator in graph.operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _made_from(graph: Graph, operator: Operator) -> set[str]:
    """Parts of the names of what it gives, and of its weights: net/quant_conv/Conv2D is of the layer conv."""
    named = [*operator.outputs, *(i for i in operator.inputs[1:] if i >= 0 and graph.tensors[i].constant)]
    paths = (part.split("/")[:-1] for i in named for part in re.split(";", graph.tensors[i].name))
    return {folder.removeprefix("quant_") for path in paths for folder in path}


def _is_float(graph: Graph, operator: Operator) -> bool:
    touched = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
    return any(graph.tensors[i].dtype in FLOATS for i in touched)


def _is_shore(graph: Graph, operator: Operator, ours: set[int]) -> bool:
    """Whether a QUANTIZE or DEQUANTIZE has only operators of `ours`, or an edge of the model, on its float side."""
    if operator.kind not in EDGE_OPERATORS:
        return False
    if operator.kind == "QUANTIZE":
        producer = graph.producers.get(operator.inputs[0])
        return producer is None or producer.index in ours
    return all(taker.index in ours for taker in graph.consumers.get(operator.outputs[0], []))
