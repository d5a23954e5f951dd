"""Whose every byte of a .tflite is: what a layer's numbers take, and what the format adds to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from edgebig.tflitegraph import Graph


@dataclass
class LayerBytes:
    """What stands in the file for one operator, by what it is. `quantization`: scales, zero points, ranges."""

    weights: int = 0
    biases: int = 0
    constants: int = 0
    quantization: int = 0
    names: int = 0
    structure: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass
class FileBytes(LayerBytes):
    """Every byte of the file, once. `structure`: tables and their vtables, lists, the shared part of it all.

    `padding`: zeros that align what follows. `unread`: what the schema is not read to (lists in operators' options), or
    nothing points to.
    """

    signatures: int = 0
    metadata: int = 0
    attached: int = 0
    unused_buffers: int = 0
    padding: int = 0
    unread: int = 0


class _Piece(NamedTuple):
    start: int
    end: int
    path: tuple[str | int, ...]


class Claims:
    """The pieces of a flatbuffer, as the reader finds them."""

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []

    def __call__(self, start: int, end: int, path: tuple[str | int, ...]) -> None:
        self.pieces.append(_Piece(start, end, path))

    @property
    def end(self) -> int:
        return max((piece.end for piece in self.pieces), default=0)


Owners = dict[tuple[int, int], LayerBytes]


def account(
    model: bytes, parsed: Mapping[str, Any], graphs: tuple[Graph, ...], claims: Claims, has_zip: bool
) -> tuple[FileBytes, Owners]:
    """All bytes of the file by kind (they add up to its size), and those of each operator, by (subgraph, operator).

    A weight that two operators share is the first one's; a piece that is there once for many (a vtable) is the first
    one's that was read.
    """
    roles, tensor_owner, buffer_owner = _roles(parsed, graphs)
    whole, owners = FileBytes(), defaultdict[tuple[int, int], LayerBytes](LayerBytes)
    at = 0
    pieces = [_Piece(0, 8, ()), *claims.pieces, *_behind(parsed, claims.end, len(model))]
    for piece in sorted(pieces):
        start, end = max(piece.start, at), min(piece.end, len(model))
        if end <= start:
            continue
        _gap(model, at, start, whole)
        kind = _kind(piece.path, roles)
        setattr(whole, kind, getattr(whole, kind) + end - start)
        owner = _owner(piece.path, tensor_owner, buffer_owner)
        if owner is not None and hasattr(LayerBytes, kind):
            setattr(owners[owner], kind, getattr(owners[owner], kind) + end - start)
        at = end
    if has_zip:
        whole.attached += len(model) - at
    else:
        _gap(model, at, len(model), whole)
    return whole, owners


def _behind(parsed: Mapping[str, Any], end: int, size: int) -> list[_Piece]:
    """Buffers of files of more than 2 GB stand behind the flatbuffer."""
    return [
        _Piece(int(buffer["offset"]), int(buffer["offset"] + buffer["size"]), ("buffers", index, "data"))
        for index, buffer in enumerate(parsed["buffers"])
        if end <= buffer["offset"] < size
    ]


def _gap(model: bytes, start: int, end: int, whole: FileBytes) -> None:
    if model.count(0, start, end) == end - start:
        whole.padding += end - start
    else:
        whole.unread += end - start


def _kind(path: tuple[str | int, ...], roles: Mapping[int, str]) -> str:
    match path:
        case ("buffers", int(index), "data"):
            return roles.get(index, "unused_buffers")
        case ("subgraphs", int(), "tensors", int(), "name"):
            return "names"
        case ("subgraphs", int(), "tensors", int(), "quantization", *_):
            return "quantization"
        case ("signature_defs", *_):
            return "signatures"
        case ("metadata" | "metadata_buffer" | "description", *_):
            return "metadata"
    return "structure"


def _owner(
    path: tuple[str | int, ...],
    tensor_owner: Mapping[tuple[int, int], tuple[int, int]],
    buffer_owner: Mapping[int, tuple[int, int]],
) -> tuple[int, int] | None:
    match path:
        case ("subgraphs", int(graph), "operators", int(operator), *_):
            return graph, operator
        case ("subgraphs", int(graph), "tensors", int(tensor), *_):
            return tensor_owner.get((graph, tensor))
        case ("buffers", int(buffer), *_):
            return buffer_owner.get(buffer)
    return None


def _roles(
    parsed: Mapping[str, Any], graphs: tuple[Graph, ...]
) -> tuple[dict[int, str], dict[tuple[int, int], tuple[int, int]], dict[int, tuple[int, int]]]:
    """What each buffer holds, and the operator that each tensor and each buffer belongs to."""
    roles: dict[int, str] = {entry["buffer"]: "metadata" for entry in parsed["metadata"]}
    tensor_owner: dict[tuple[int, int], tuple[int, int]] = {}
    buffer_owner: dict[int, tuple[int, int]] = {}
    for number, graph in enumerate(graphs):
        for operator in graph.operators:
            owner = number, operator.index
            weights, bias = graph.weights_of(operator), graph.bias_of(operator)
            for index in (*operator.inputs, *operator.outputs):
                if index < 0:
                    continue
                tensor = graph.tensors[index]
                # What is computed belongs to what computes it.
                if index in operator.outputs or tensor.constant:
                    tensor_owner.setdefault((number, index), owner)
                if tensor.constant:
                    role = "weights" if tensor is weights else "biases" if tensor is bias else "constants"
                    roles.setdefault(tensor.buffer, role)
                if index in operator.outputs or tensor.constant:
                    buffer_owner.setdefault(tensor.buffer, owner)
        for tensor in graph.tensors:
            if tensor.constant:
                roles.setdefault(tensor.buffer, "constants")
    return roles, tensor_owner, buffer_owner
