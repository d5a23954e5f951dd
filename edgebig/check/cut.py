"""A part of a .tflite as a .tflite: a layer alone, to be fed with another model's numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgebig.tflitefile import pack_model
from edgebig.tflitegraph import Graph


def cut(tree: Any, graph: Graph, sources: Collection[int], target: int) -> tuple[bytes, list[int], int]:
    """The .tflite that computes the tensor `target` from those of `sources`, and no more.

    `tree`: the unpacked model that `graph` is of; it is not changed. Gives the bytes, the sources that are its inputs,
    in its order, as tensors of `graph`, and the output's index in it; its inputs are its tensors 0, 1, ...
    """
    wanted, inputs, operators = [target], list[int](), set[int]()
    while wanted:
        index = wanted.pop()
        operator = graph.producers.get(index)
        if (index in sources and index != target) or operator is None:
            if index not in inputs and not graph.tensors[index].constant:
                inputs.append(index)
        elif operator.index not in operators:
            operators.add(operator.index)
            wanted += [i for i in operator.inputs if i >= 0 and not graph.tensors[i].constant]
    kept = [graph.operators[index] for index in sorted(operators)]
    tensors = list(dict.fromkeys([*inputs, *(i for o in kept for i in (*o.inputs, *o.outputs) if i >= 0)]))
    place = {tensor: number for number, tensor in enumerate(tensors)} | {-1: -1}
    return _packed(tree, tensors, [o.index for o in kept], place, inputs, target), inputs, place[target]


def exposed(tree: Any, tensors: Collection[int]) -> bytes:
    """The whole model with `tensors` as its outputs, so that no runtime writes over them; `tree` is changed."""
    tree.subgraphs[0].outputs = list(tensors)
    tree.signatureDefs, tree.metadata = [], []
    return pack_model(tree, {})


def _packed(
    tree: Any, tensors: list[int], operators: list[int], place: dict[int, int], inputs: list[int], target: int
) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    old, buffers = tree.subgraphs[0], [schema.BufferT()]
    part = schema.SubGraphT(
        tensors=[], operators=[], inputs=[place[i] for i in inputs], outputs=[place[target]]
    )
    for index in tensors:
        new = _copied(old.tensors[index])
        data = tree.buffers[new.buffer].data
        new.buffer = 0
        if data is not None and len(data):
            new.buffer = len(buffers)
            buffers.append(schema.BufferT(data=data))
        part.tensors.append(new)
    for index in operators:
        new = _copied(old.operators[index])
        new.inputs = [place[int(i)] for i in new.inputs]
        new.outputs = [place[int(i)] for i in new.outputs]
        new.intermediates = None
        part.operators.append(new)
    return pack_model(
        schema.ModelT(version=3, operatorCodes=tree.operatorCodes, subgraphs=[part], buffers=buffers), {}
    )


def _copied(item: Any) -> Any:
    """A shallow copy: what it points to is shared, and stays as it is."""
    new = type(item)()
    vars(new).update(vars(item))
    return new
