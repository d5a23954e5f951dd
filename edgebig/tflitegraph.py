"""A .tflite as a graph: what each operator takes and gives, what it costs, and which layer it was made from.

For looking, not for editing (`tflitefile.unpack_model` is for that). Without TensorFlow, and without a runtime.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError
from edgebig.tflitefile import DTYPES, NOT_A_MODEL, builtin_name, parse_model

MOST_ELEMENTS = 1 << 40
BITS = {
    "float32": 32, "float16": 16, "bfloat16": 16, "float64": 64, "complex64": 64, "complex128": 128, "int2": 2,
    "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64,
    "uint64": 64, "bool": 8, "float8_e4m3fn": 8, "float8_e5m2": 8,
}  # fmt: skip
# Those that numpy has too; a constant of another type is not looked into.
_NUMPY = frozenset(
    {"float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"}
)
# The input that holds the weights, by operator.
WEIGHTS_INPUT = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1, "CONV_3D": 1,
    "CONV_3D_TRANSPOSE": 1, "BATCH_MATMUL": 1, "EMBEDDING_LOOKUP": 1, "PRELU": 1,
}  # fmt: skip
BIAS_INPUT = {
    "CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3, "CONV_3D": 2,
    "CONV_3D_TRANSPOSE": 3,
}  # fmt: skip
# What the converter appends to a layer's name for what it does inside, and what training wraps it in.
_INSIDE = re.compile(
    r"ReadVariableOp|LastValueQuant|MovingAvgQuantize|AllValuesQuantize|FakeQuant|/resource\d*$|"
    r"PartitionedCall:\d+|^tfl\.|^serving_default_"
)
_WRAPPERS = ("quant_", "prune_low_magnitude_", "cluster_")


@dataclass(frozen=True)
class Tensor:
    """`data`: a constant's bytes, empty for what is computed. `scales`, `zero_points`: one, or one a channel."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    channel_axis: int
    buffer: int
    data: memoryview
    constant: bool
    is_variable: bool
    is_sparse: bool

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """What its values take in memory; of strings and handles, 0."""
        return (self.elements * BITS.get(self.dtype, 0) + 7) // 8

    @cached_property
    def values(self) -> npt.NDArray[Any] | None:
        """A constant's stored numbers, flat; int4 as int8. None where it is none, or of a type that numpy lacks."""
        raw = np.frombuffer(self.data, np.uint8)
        if self.dtype == "int4":
            halves = np.stack([raw << 4, raw], axis=1).reshape(-1).view(np.int8) >> 4
            return halves[: self.elements]
        if not len(raw) or self.dtype not in _NUMPY or len(raw) % np.dtype(self.dtype).itemsize:
            return None
        return raw.view(self.dtype)

    @property
    def quantized(self) -> bool:
        return bool(self.scales) and self.dtype in ("int8", "uint8", "int16", "int4", "int32")


@dataclass(frozen=True)
class Operator:
    """`kind`: as CONV_2D; of a custom operator its own name. Indices are of tensors; an optional input may be -1."""

    index: int
    kind: str
    custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One subgraph."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """The operator that gives a tensor."""
        return {tensor: operator for operator in self.operators for tensor in operator.outputs}

    @cached_property
    def consumers(self) -> dict[int, list[Operator]]:
        """The operators that take a tensor; the graph's own outputs are not among them."""
        found: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in dict.fromkeys(operator.inputs):
                found.setdefault(tensor, []).append(operator)
        return found

    def at(self, operator: Operator, indices: Sequence[int], place: int | None) -> Tensor | None:
        """The tensor at a place of an operator's inputs or outputs, or None where it has none there."""
        if place is None or not place < len(indices) or indices[place] < 0:
            return None
        return self.tensors[indices[place]]

    def weights_of(self, operator: Operator) -> Tensor | None:
        """Its constant weights; None where they are computed, or it has none."""
        found = self.at(operator, operator.inputs, WEIGHTS_INPUT.get(operator.kind))
        return found if found is not None and found.constant else None

    def bias_of(self, operator: Operator) -> Tensor | None:
        found = self.at(operator, operator.inputs, BIAS_INPUT.get(operator.kind))
        return found if found is not None and found.constant else None

    def computed_inputs(self, operator: Operator) -> list[int]:
        return [i for i in dict.fromkeys(operator.inputs) if i >= 0 and not self.tensors[i].constant]

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """What each operator is called: the layer that it was made from, else its kind and number."""
        model = _model_name(self)
        return tuple(_layer_name(self, operator, model) for operator in self.operators)

    def layers_in(self, tensor: int) -> frozenset[str]:
        """The names of all the layers that a tensor's name tells of: fused ones stand behind each other with ';'."""
        model = _model_name(self)
        return frozenset(
            found for part in _parts(self.tensors[tensor].name) if (found := _layer(part, model))
        )


def read_graphs(model: bytes, name: str, parsed: Mapping[str, Any] | None = None) -> tuple[Graph, ...]:
    """The subgraphs of .tflite bytes, the main one first. `parsed`: what `parse_model` gave, if it was asked already.

    Raises: EdgebigError where the file is damaged, or a tensor has a shape that cannot be.
    """
    parsed = parse_model(model, name, several=True) if parsed is None else parsed
    return tuple(_graph(parsed, graph, name) for graph in parsed["subgraphs"])


def _graph(parsed: Mapping[str, Any], graph: Mapping[str, Any], name: str) -> Graph:
    codes = parsed["operator_codes"]
    operators = []
    for index, operator in enumerate(graph["operators"]):
        code = codes[operator["opcode_index"]]
        kind = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        custom = kind == "CUSTOM"
        operators.append(
            Operator(
                index, (code["custom_code"] or kind) if custom else kind, custom, code["version"],
                tuple(operator["inputs"]), tuple(operator["outputs"]),
            )
        )  # fmt: skip
    tensors = tuple(
        _tensor(index, tensor, parsed["buffers"], name) for index, tensor in enumerate(graph["tensors"])
    )
    return Graph(graph["name"], tensors, tuple(operators), tuple(graph["inputs"]), tuple(graph["outputs"]))


def _tensor(index: int, tensor: Mapping[str, Any], buffers: Sequence[Mapping[str, Any]], name: str) -> Tensor:
    shape = tuple(int(size) for size in tensor["shape"])
    if any(size < 0 for size in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise EdgebigError(f"{name}: '{tensor['name']}' has the shape {shape}, which cannot be", NOT_A_MODEL)
    quantization = tensor["quantization"] or {}
    buffer: Mapping[str, Any] = buffers[tensor["buffer"]] if buffers else {"data": b"", "offset": 0}
    return Tensor(
        index, tensor["name"], DTYPES[tensor["type"]], shape,
        tuple(quantization.get("scale", ())), tuple(quantization.get("zero_point", ())),
        int(quantization.get("dimension", 0)), tensor["buffer"], memoryview(bytes(buffer["data"])),
        len(buffer["data"]) > 0 or buffer["offset"] > 1, bool(tensor["is_variable"]), tensor["sparsity"] is not None,
    )  # fmt: skip


def macs(graph: Graph, operator: Operator) -> int:
    """Multiplications with an addition, of one inference; of operators that only add, compare or look up, 0."""
    weights = graph.at(operator, operator.inputs, 1)
    output = graph.at(operator, operator.outputs, 0)
    if weights is None or output is None:
        return 0
    match operator.kind:
        case "CONV_2D":  # weights (out, height, width, in)
            return output.elements * math.prod(weights.shape[1:])
        case "DEPTHWISE_CONV_2D":  # (1, height, width, out)
            return output.elements * math.prod(weights.shape[1:3])
        case "FULLY_CONNECTED":  # (out, in)
            return output.elements * (weights.shape[-1] if weights.shape else 0)
        case "CONV_3D":  # (depth, height, width, in, out)
            return output.elements * math.prod(weights.shape[:4])
        case "TRANSPOSE_CONV":  # every input value goes to a window of the output
            given = graph.at(operator, operator.inputs, 2)
            return given.elements * math.prod(weights.shape[:3]) if given is not None else 0
        case "BATCH_MATMUL":
            given = graph.at(operator, operator.inputs, 0)
            return output.elements * given.shape[-1] if given is not None and given.shape else 0
    return 0


def _parts(tensor_name: str) -> list[str]:
    return [part for part in tensor_name.split(";") if part and not _INSIDE.search(part)]


def _model_name(graph: Graph) -> str:
    """The first folder of the tensors' names where most of them share it: the model's own name."""
    firsts = Counter(
        part.split("/")[0] for tensor in graph.tensors for part in _parts(tensor.name)[:1] if "/" in part
    )
    return _most_common(firsts)


def _most_common(firsts: Counter[str]) -> str:
    found = firsts.most_common(1)
    return found[0][0] if found and found[0][1] > 1 and 2 * found[0][1] > sum(firsts.values()) else ""


def _layer(part: str, model: str) -> str:
    """model/quant_conv1/Conv2D -> conv1; "" where nothing is left of it."""
    folders = part.split("/")
    if len(folders) > 1 and folders[0] == model:
        folders = folders[1:]
    # The last one says what is done; what stands alone is the layer's name itself.
    if len(folders) > 1:
        folders = folders[:-1]
    return "/".join(_unwrapped(folder) for folder in folders)


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _layer_name(graph: Graph, operator: Operator, model: str) -> str:
    output = graph.at(operator, operator.outputs, 0)
    named = [_layer(part, model) for part in _parts(output.name if output is not None else "")]
    # The last part is what was fused first: the convolution itself, before its normalisation and its ReLU.
    return next((name for name in reversed(named) if name), f"{operator.kind.lower()}_{operator.index}")


def unique(names: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """The names; where one is there twice with its operator behind it, and a number where that is there twice too."""
    names = list(names)
    total = Counter(names)
    told = [name if total[name] == 1 else f"{name} ({kind})" for name, kind in zip(names, kinds, strict=True)]
    total, seen, found = Counter(told), Counter[str](), []
    for name in told:
        seen[name] += 1
        found.append(f"{name} #{seen[name]}" if total[name] > 1 else name)
    return found
