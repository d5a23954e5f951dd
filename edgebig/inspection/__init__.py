"""What is in a .tflite: operators, multiplications, every byte of the file, the memory it needs. No TensorFlow.

Whatever the file holds is shown: several subgraphs, custom operators, types that no runtime here runs. To look is how
one finds out.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files, metadata
from edgebig.errors import EdgebigError
from edgebig.flatbuffer import TensorContract
from edgebig.inspection import arena
from edgebig.inspection.arena import Arena
from edgebig.inspection.layout import Claims, FileBytes, LayerBytes, account
from edgebig.tflitefile import attached_files, parse_model
from edgebig.tflitegraph import Graph, Operator, Tensor, macs, read_graphs

INSPECTION_SCHEMA = 1


@dataclass(frozen=True)
class Layer:
    """One operator. `sparsity`: the share of its weights that are zero; `different`: how many different ones there are.

    Shapes and dtypes are of its first output. None: it has no weights, or of a type that is not looked into.
    """

    subgraph: int
    index: int
    name: str
    operator: str
    custom: bool
    version: int
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    dtype: str
    weights_dtype: str | None
    weights_shape: tuple[int, ...] | None
    scales: int
    macs: int
    parameters: int
    bytes: LayerBytes
    sparsity: float | None
    different: int | None


@dataclass(frozen=True)
class Inspection:
    """All that is known of one file. `bytes` add up to `size_bytes`; `arenas` are empty where `no_arena` says why."""

    name: str
    sha256: str
    size_bytes: int
    deflated_bytes: int
    description: str
    subgraphs: tuple[str, ...]
    signatures: tuple[str, ...]
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    layers: tuple[Layer, ...]
    bytes: FileBytes
    arenas: tuple[Arena, ...]
    no_arena: str
    entries: dict[str, str]
    labels: tuple[str, ...]
    attached: dict[str, int]

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def of_file(path: Path) -> Inspection:
    """What is in the file at `path`. Raises: EdgebigError where there is none, and as `inspect`; OSError."""
    if not path.is_file():
        raise EdgebigError(f"{path}: no such file", "give the path of a .tflite, or a run")
    return inspect(path.read_bytes(), str(path))


def inspect(model: bytes, name: str) -> Inspection:
    """What is in the .tflite bytes `model`; `name` opens the error messages.

    Raises: EdgebigError if it is no .tflite, is cut short or damaged, or the files attached to it are.
    """
    claims = Claims()
    parsed = parse_model(model, name, several=True, claim=claims)
    graphs = read_graphs(model, name, parsed)
    attached = attached_files(model, name)
    whole, owned = account(model, parsed, graphs, claims, has_zip=bool(attached))
    layers, counted = [], set[int]()
    for number, graph in enumerate(graphs):
        for operator in graph.operators:
            own = owned.get((number, operator.index), LayerBytes())
            layers.append(_layer(number, graph, operator, own, counted))
    why_not = arena.why_not(graphs)
    return Inspection(
        name=name,
        sha256=files.sha256_bytes(model),
        size_bytes=len(model),
        deflated_bytes=len(zlib.compress(model, 9)),
        description=parsed["description"],
        subgraphs=tuple(graph.name for graph in graphs),
        signatures=tuple(signature["signature_key"] for signature in parsed["signature_defs"]),
        inputs=tuple(_edge(graphs[0].tensors[index]) for index in graphs[0].inputs),
        outputs=tuple(_edge(graphs[0].tensors[index]) for index in graphs[0].outputs),
        layers=tuple(layers),
        bytes=whole,
        arenas=() if why_not else (arena.plan(graphs[0], "tflite-micro"), arena.plan(graphs[0], "litert")),
        no_arena=why_not,
        entries=_entries(parsed),
        # The metadata is of models of one subgraph.
        labels=metadata.read_labels(model, name) if len(graphs) == 1 else (),
        attached={file: len(content) for file, content in attached.items()},
    )


def record(found: Inspection) -> dict[str, Any]:
    """All of it as JSON values, "schema" first."""
    return {
        "schema": INSPECTION_SCHEMA,
        **asdict(found),
        "macs": found.macs,
        "parameters": found.parameters,
    }


def _layer(number: int, graph: Graph, operator: Operator, own: LayerBytes, counted: set[int]) -> Layer:
    output = graph.at(operator, operator.outputs, 0)
    weights, bias = graph.weights_of(operator), graph.bias_of(operator)
    # A weight that two operators share is counted once, as it is there once.
    parameters = sum(
        tensor.elements for tensor in (weights, bias) if tensor is not None and tensor.buffer not in counted
    )
    counted.update(tensor.buffer for tensor in (weights, bias) if tensor is not None)
    sparsity, different = _numbers(weights)
    return Layer(
        subgraph=number,
        index=operator.index,
        name=graph.layer_names[operator.index],
        operator=operator.kind,
        custom=operator.custom,
        version=operator.version,
        inputs=tuple(graph.tensors[index].shape for index in graph.computed_inputs(operator)),
        output=output.shape if output is not None else (),
        dtype=output.dtype if output is not None else "",
        weights_dtype=weights.dtype if weights is not None else None,
        weights_shape=weights.shape if weights is not None else None,
        scales=len(weights.scales) if weights is not None else 0,
        macs=macs(graph, operator),
        parameters=parameters,
        bytes=own,
        sparsity=sparsity,
        different=different,
    )


def _numbers(weights: Tensor | None) -> tuple[float | None, int | None]:
    """The share of zeros, and how many different numbers there are."""
    values = weights.values if weights is not None else None
    if weights is None or values is None or not len(values):
        return None, None
    zero = 0
    if weights.dtype == "uint8" and weights.zero_points:
        zero = weights.zero_points[0]
    nonzero = int(np.count_nonzero(values != zero))
    # Bits, since a NaN differs from itself. Of a sparse tensor only what is not zero is in the file.
    different = len(np.unique(values.view(f"u{values.itemsize}")))
    return 1 - nonzero / weights.elements if weights.elements else None, different


def _edge(tensor: Tensor) -> TensorContract:
    """As the file has it; `flatbuffer.io_contract` refuses what cannot be."""
    one = len(tensor.scales) == 1
    return TensorContract(
        tensor.name,
        tensor.dtype,
        tensor.shape,
        tensor.scales[0] if one else None,
        (tensor.zero_points[0] if tensor.zero_points else 0) if one else None,
    )


def _entries(parsed: dict[str, Any]) -> dict[str, str]:
    """The metadata entries: what is text as text, of the others how many bytes."""
    found = {}
    for entry in parsed["metadata"]:
        data = bytes(parsed["buffers"][entry["buffer"]]["data"])
        text = data.rstrip(b"\0")
        readable = text.isascii() and text.decode("ascii", "replace").isprintable()
        found[entry["name"]] = text.decode() if readable else f"{len(data)} bytes"
    return found
