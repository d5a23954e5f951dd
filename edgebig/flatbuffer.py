"""What a .tflite takes, gives and holds: its I/O contract, other I/O types, its float operators, its zeros.

Works on bytes, without TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError
from edgebig.tflitefile import (
    DTYPES,
    NOT_A_MODEL,
    attached_files,
    builtin_name,
    pack_model,
    parse_model,
    unpack_model,
)

FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})
MIDDLE = {"int8": 0, "uint8": 128}  # the zero point of a symmetric range
EDGE_OPERATORS = frozenset({"QUANTIZE", "DEQUANTIZE"})
WEIGHTED_OPERATORS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


@dataclass(frozen=True)
class TensorContract:
    """An input or output; a dynamic dimension is 1 in `shape`; scale and zero point are of quantized ones."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class IoContract:
    """What goes into a model and what comes out, in the model's order."""

    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]


def io_contract(model: bytes, name: str) -> IoContract:
    """The inputs and outputs of the .tflite bytes `model`; `name` opens the error messages.

    Raises: EdgebigError if it is no .tflite, is cut short or damaged, or has not exactly one subgraph.
    """
    parsed = parse_model(model, name)
    graph = parsed["subgraphs"][0]
    edges = (
        tuple(_contract(graph["tensors"][index], name) for index in graph[side])
        for side in ("inputs", "outputs")
    )
    return IoContract(*edges)


def _contract(tensor: Mapping[str, Any], model_name: str) -> TensorContract:
    name, dtype, shape = tensor["name"], DTYPES[tensor["type"]], tensor["shape"]
    if any(size < 0 for size in shape) or math.prod(shape) >= 1 << 31:
        raise EdgebigError(f"{model_name}: '{name}' has the shape {shape}, which cannot be", NOT_A_MODEL)
    quantization = tensor["quantization"] or {}
    scales, zero_points = quantization.get("scale", ()), quantization.get("zero_point", ())
    if dtype in FLOATS or not scales:
        return TensorContract(name, dtype, shape, None, None)
    if len(scales) > 1 or len(zero_points) > 1:
        raise EdgebigError(
            f"{model_name}: '{name}' is quantized per channel, which an input or output cannot be",
            NOT_A_MODEL,
        )
    scale, zero_point = scales[0], zero_points[0] if zero_points else 0
    if not (scale > 0 and math.isfinite(scale)) or (
        dtype in MIDDLE and not MIDDLE[dtype] - 128 <= zero_point <= MIDDLE[dtype] + 127
    ):
        raise EdgebigError(
            f"{model_name}: '{name}' is {dtype}, which cannot have scale {scale} and zero point {zero_point}",
            NOT_A_MODEL,
        )
    return TensorContract(name, dtype, shape, scale, zero_point)


def float_operators(model: bytes, name: str = "model") -> list[str]:
    """The names of the operators that take or give float numbers, in order; [] for a fully quantized model.

    A QUANTIZE at an input and a DEQUANTIZE at an output do not count. Raises: EdgebigError as `io_contract`.
    """
    parsed = parse_model(model, name)
    graph = parsed["subgraphs"][0]
    found = []
    for operator in graph["operators"]:
        indices = [i for i in (*operator["inputs"], *operator["outputs"]) if i >= 0]
        code = parsed["operator_codes"][operator["opcode_index"]]
        operator_name = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        at_the_edge = (operator_name == "QUANTIZE" and set(operator["inputs"]) <= set(graph["inputs"])) or (
            operator_name == "DEQUANTIZE" and set(operator["outputs"]) <= set(graph["outputs"])
        )
        if not at_the_edge and any(DTYPES[graph["tensors"][i]["type"]] in FLOATS for i in indices):
            found.append(code["custom_code"] or operator_name)
    return found


def weights(model: bytes, name: str = "model") -> dict[str, npt.NDArray[Any]]:
    """The stored weights, outputs first, by the tensor's name, of each convolution and fully connected operator.

    int8, int4 (as int8), float16 or float32 (O, ..., I), of a depthwise one (1, H, W, O); those of a sparse form, and
    of other types, are left out. Raises: EdgebigError as `io_contract`.
    """
    parsed = parse_model(model, name)
    graph = parsed["subgraphs"][0]
    found, source = {}, {}
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        kind = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        if kind == "DEQUANTIZE":  # between float16 weights and their operator
            source[operator["outputs"][0]] = operator["inputs"][0]
        if kind not in WEIGHTED_OPERATORS or len(operator["inputs"]) < 2:
            continue
        tensor = graph["tensors"][source.get(operator["inputs"][1], operator["inputs"][1])]
        data = bytes(parsed["buffers"][tensor["buffer"]]["data"])
        values = _values(data, DTYPES[tensor["type"]]) if data and tensor["sparsity"] is None else None
        if values is not None and values.size >= math.prod(tensor["shape"]) > 0:
            found[tensor["name"]] = values[: math.prod(tensor["shape"])].reshape(tensor["shape"])
    return found


def _values(data: bytes, dtype: str) -> npt.NDArray[Any] | None:
    if dtype in ("int8", "float16", "float32"):
        return np.frombuffer(data[: len(data) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize], dtype)
    if dtype == "int4":  # two in a byte, the first one low
        pairs = np.frombuffer(data, np.int8)
        return np.stack([np.left_shift(pairs, 4) >> 4, pairs >> 4], axis=-1).reshape(-1)
    return None


def weight_sparsity(model: bytes, name: str = "model") -> dict[str, float]:
    """The share of the weights that are zero, of each tensor that `weights` gives."""
    # int8 weights are symmetric: their zero point is 0.
    return {tensor: float(np.mean(values == 0)) for tensor, values in weights(model, name).items()}


def name_edges(model: bytes, input_name: str, output_name: str, name: str = "model") -> bytes:
    """`model`, of one input and one output, with these names for both, as tensors and in its one signature.

    The numbers do not change. Raises: EdgebigError as `io_contract`.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(model, name)
    graph = tree.subgraphs[0]
    sides = {input_name: graph.inputs, output_name: graph.outputs}
    maps = []
    for tensor in graph.tensors:
        if _text(tensor.name) in sides:
            tensor.name += b"_inside"
    for edge_name, (index,) in sides.items():
        graph.tensors[index].name = edge_name.encode()
        maps.append(schema.TensorMapT(name=edge_name, tensorIndex=int(index)))
    signature = schema.SignatureDefT(inputs=maps[:1], outputs=maps[1:], signatureKey="serving_default")
    tree.signatureDefs = [signature]
    return pack_model(tree, attached_files(model, name))


def rewrite_io(model: bytes, dtype: str, name: str) -> bytes:
    """`model` with int8, uint8 or float32 inputs and outputs; the same bytes where they are that already.

    Inside nothing changes: a QUANTIZE is put before an input or a DEQUANTIZE (for uint8 a QUANTIZE) behind an
    output, or the ones that are there are taken away. int8 q and uint8 q + 128 are the same real number. The
    outermost tensors keep names, shapes and places in signatures; metadata and attached files stay.

    Raises: EdgebigError as `io_contract`, and if an input or output is not 8-bit inside.
    """
    if dtype not in ("int8", "uint8", "float32"):
        raise EdgebigError(f"{name}: no I/O type '{dtype}'", "use int8, uint8 or float32")
    contract = io_contract(model, name)
    if all(tensor.dtype == dtype for tensor in (*contract.inputs, *contract.outputs)):
        return model
    tree = unpack_model(model, name)
    if any(entry.name == b"OfflineMemoryAllocation" for entry in tree.metadata or []):
        raise EdgebigError(
            f"{name}: its memory plan (OfflineMemoryAllocation) is for these inputs and outputs",
            "rewrite the model that it was compiled from",
        )
    edit = _Edit(tree, dtype, name)
    edit.side("inputs")
    edit.side("outputs")
    edit.sweep()
    rewritten = pack_model(tree, attached_files(model, name))
    io_contract(rewritten, name)
    return rewritten


class _Edit:
    """The one subgraph of an unpacked model while its inputs and outputs are changed."""

    def __init__(self, tree: Any, dtype: str, name: str) -> None:
        self.tree, self.graph, self.dtype, self.name = tree, tree.subgraphs[0], dtype, name
        self.graph.inputs, self.graph.outputs = list(self.graph.inputs), list(self.graph.outputs)
        for operator in self.graph.operators or []:
            for field in ("inputs", "outputs", "intermediates"):
                if getattr(operator, field) is not None:
                    setattr(operator, field, [int(i) for i in getattr(operator, field)])
        self.graph.operators = list(self.graph.operators or [])
        self.dropped: set[int] = set()

    def side(self, side: str) -> None:
        """Gives all inputs, or all outputs, the dtype; signatures follow."""
        edges = getattr(self.graph, side)
        moved = {old: self.retype(old, side) for old in dict.fromkeys(edges)}
        setattr(self.graph, side, [moved[old] for old in edges])
        for signature in self.tree.signatureDefs or []:
            for entry in getattr(signature, side) or []:
                entry.tensorIndex = moved.get(entry.tensorIndex, entry.tensorIndex)

    def retype(self, edge: int, side: str) -> int:
        """The tensor that stands for `edge` from now on."""
        while DTYPES[self.tensor(edge).type] != self.dtype and (found := self.removable(edge, side)):
            operator, core = found
            self.graph.operators.remove(operator)
            self.tensor(core).name = self.tensor(edge).name
            self.dropped.add(edge)
            edge = core
        if DTYPES[self.tensor(edge).type] == self.dtype:
            return edge
        return self.add(edge, side)

    def removable(self, edge: int, side: str) -> tuple[Any, int] | None:
        """The QUANTIZE or DEQUANTIZE that alone ties `edge` to an 8-bit tensor inside, and that tensor."""
        near, far = ("inputs", "outputs") if side == "inputs" else ("outputs", "inputs")
        users = [op for op in self.graph.operators if edge in (*(op.inputs or ()), *(op.outputs or ()))]
        all_edges = [*self.graph.inputs, *self.graph.outputs]
        if len(users) != 1 or all_edges.count(edge) != 1:
            return None
        user = users[0]
        if self.name_of(user.opcodeIndex) not in EDGE_OPERATORS or getattr(user, near) != [edge]:
            return None
        core = getattr(user, far)[0] if len(getattr(user, far) or ()) == 1 else -1
        if core < 0 or core in all_edges or self.quantization(core) is None:
            return None
        is_float = DTYPES[self.tensor(edge).type] == "float32"
        return (user, core) if is_float or self.quantization(edge) == self.quantization(core) else None

    def add(self, edge: int, side: str) -> int:
        from ai_edge_litert import schema_py_generated as schema

        tensor, quantization = self.tensor(edge), self.quantization(edge)
        visible = tensor.name
        if quantization is None:
            dtype = DTYPES[tensor.type]
            problem = f"'{_text(visible)}' is {dtype} inside, and only 8-bit numbers become {self.dtype}"
            mend = "quantize it first: edgebig compress --int8" if dtype in FLOATS else "use it as it is"
            raise EdgebigError(f"{self.name}: {problem}", mend)
        new = schema.TensorT(
            shape=tensor.shape,
            shapeSignature=tensor.shapeSignature,
            hasRank=tensor.hasRank,
            type=DTYPES.index(self.dtype),
            buffer=self.empty_buffer(),
            name=visible,
        )
        if self.dtype in MIDDLE:
            scale, offset = quantization
            new.quantization = schema.QuantizationParametersT(
                scale=[scale], zeroPoint=[offset + MIDDLE[self.dtype]]
            )
        tensor.name = self.free_name(f"{_text(visible)}_{DTYPES[tensor.type]}")
        self.graph.tensors.append(new)
        index = len(self.graph.tensors) - 1
        dequantizes = side == "outputs" and self.dtype == "float32"
        operator = schema.OperatorT(
            opcodeIndex=self.opcode("DEQUANTIZE" if dequantizes else "QUANTIZE"),
            inputs=[index if side == "inputs" else edge],
            outputs=[edge if side == "inputs" else index],
        )
        if dequantizes:
            operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            operator.builtinOptions = schema.DequantizeOptionsT()
        else:
            operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            operator.builtinOptions = schema.QuantizeOptionsT()
        self.graph.operators.insert(0 if side == "inputs" else len(self.graph.operators), operator)
        return index

    def tensor(self, index: int) -> Any:
        return self.graph.tensors[index]

    def quantization(self, index: int) -> tuple[float, int] | None:
        """Scale, and zero point from the middle of the range, of an 8-bit tensor; None for any other."""
        tensor = self.tensor(index)
        dtype, quantization = DTYPES[tensor.type], tensor.quantization
        scales = [] if quantization is None or quantization.scale is None else list(quantization.scale)
        if dtype not in MIDDLE or len(scales) != 1:
            return None
        zero_points = [0] if quantization.zeroPoint is None else list(quantization.zeroPoint) or [0]
        offset = int(zero_points[0]) - MIDDLE[dtype]
        return (float(scales[0]), offset) if -128 <= offset <= 127 else None

    def name_of(self, opcode_index: int) -> str:
        code = self.tree.operatorCodes[opcode_index]
        return builtin_name(code.deprecatedBuiltinCode, code.builtinCode)

    def opcode(self, operator_name: str) -> int:
        from ai_edge_litert import schema_py_generated as schema

        # These versions date from TF 1.14, as int8 convolutions do, so that min_runtime_version stays true.
        version = 2 if operator_name == "DEQUANTIZE" else 1
        for index, code in enumerate(self.tree.operatorCodes):
            if self.name_of(index) == operator_name and code.version >= version:
                return index
        number = getattr(schema.BuiltinOperator, operator_name)
        new = schema.OperatorCodeT(deprecatedBuiltinCode=number, builtinCode=number, version=version)
        self.tree.operatorCodes.append(new)
        return len(self.tree.operatorCodes) - 1

    def empty_buffer(self) -> int:
        """Buffer 0 is empty by the schema's convention; a file that breaks it gets another."""
        from ai_edge_litert import schema_py_generated as schema

        first = self.tree.buffers[0].data
        if first is None or len(first) == 0:
            return 0
        self.tree.buffers.append(schema.BufferT())
        return len(self.tree.buffers) - 1

    def free_name(self, name: str) -> bytes:
        taken = {tensor.name for tensor in self.graph.tensors}
        while name.encode() in taken:
            name += "_"
        return name.encode()

    def sweep(self) -> None:
        """Drops the tensors taken out, and the codes of QUANTIZE and DEQUANTIZE if no operator has them."""
        kept = [i for i in range(len(self.graph.tensors)) if i not in self.dropped]
        moved = {old: new for new, old in enumerate(kept)} | {-1: -1}
        self.graph.tensors = [self.graph.tensors[i] for i in kept]
        for owner in (self.graph, *self.graph.operators):
            for field in ("inputs", "outputs", "intermediates"):
                if getattr(owner, field, None) is not None:
                    setattr(owner, field, [moved[i] for i in getattr(owner, field)])
        for signature in self.tree.signatureDefs or []:
            for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                if entry.tensorIndex in self.dropped:
                    raise EdgebigError(f"{self.name}: a signature takes an input for an output", NOT_A_MODEL)
                entry.tensorIndex = moved[entry.tensorIndex]
        used = {operator.opcodeIndex for operator in self.graph.operators}
        codes = range(len(self.tree.operatorCodes))
        kept = [i for i in codes if i in used or self.name_of(i) not in EDGE_OPERATORS]
        moved = {old: new for new, old in enumerate(kept)}
        self.tree.operatorCodes = [self.tree.operatorCodes[i] for i in kept]
        for operator in self.graph.operators:
            operator.opcodeIndex = moved[operator.opcodeIndex]


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")
