"""The operators of a .tflite as the rules of a target look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.tflitefile import DTYPES, builtin_name, unpack_model

SAME = 0  # schema.Padding


@dataclass(frozen=True, eq=False)
class Tensor:
    """An input or output of an operator; `values` of a constant one; `dynamic`: a dimension is not fixed."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    values: npt.NDArray[Any] | None

    @property
    def constant(self) -> bool:
        return self.values is not None


@dataclass(frozen=True, eq=False)
class Operator:
    """`options` are the schema's, by its own names (strideW); an input that is left out is None."""

    name: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]

    def input(self, index: int) -> Tensor | None:
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def running(self) -> list[Tensor]:
        """The inputs that are no constants."""
        return [tensor for tensor in self.inputs if tensor is not None and not tensor.constant]


@dataclass(frozen=True)
class Left:
    """An operator that the target does not take: its name, the tensor it makes, and why."""

    operator: str
    tensor: str
    reason: str


def names(listed: str) -> frozenset[str]:
    """A table's names, as they stand in a row."""
    return frozenset(listed.split())


def operators_of(model: bytes, name: str) -> list[Operator]:
    """In the order in which they run. Raises: EdgebigError as `unpack_model`."""
    tree = unpack_model(model, name)
    tensors = [_tensor(tensor, tree.buffers) for tensor in tree.subgraphs[0].tensors]
    found = []
    for operator in tree.subgraphs[0].operators or []:
        code = tree.operatorCodes[operator.opcodeIndex]
        options = {
            key: value
            for given in (operator.builtinOptions, operator.builtinOptions2)
            if given is not None
            for key, value in vars(given).items()
        }
        found.append(
            Operator(
                name=(code.customCode or b"").decode("utf-8", "replace")
                or builtin_name(code.deprecatedBuiltinCode, code.builtinCode),
                version=int(code.version),
                inputs=tuple(tensors[i] if i >= 0 else None for i in _listed(operator.inputs)),
                outputs=tuple(tensors[i] for i in _listed(operator.outputs)),
                options=options,
            )
        )
    return found


def left_by(operators: Iterable[Operator], reason: Callable[[Operator], str | None]) -> list[Left]:
    """Those for which `reason` has one."""
    return [left(operator, why) for operator in operators if (why := reason(operator))]


def left(operator: Operator, why: str) -> Left:
    return Left(operator.name, operator.outputs[0].name if operator.outputs else "", why)


def kernel_of(operator: Operator) -> tuple[int, int]:
    """Height and width of the window of a convolution or a pooling."""
    weights = operator.input(1)
    if "filterHeight" in operator.options:
        return int(operator.options["filterHeight"]), int(operator.options["filterWidth"])
    assert weights is not None
    return weights.shape[1], weights.shape[2]


def is_padded(operator: Operator) -> bool:
    """Whether a convolution or a pooling really reads beyond the picture's edge."""
    if operator.options["padding"] != SAME:
        return False
    picture, out = operator.inputs[0], operator.outputs[0]
    assert picture is not None
    strides = (operator.options["strideH"], operator.options["strideW"])
    dilations = (operator.options.get("dilationHFactor", 1), operator.options.get("dilationWFactor", 1))
    return any(
        (out.shape[1 + axis] - 1) * strides[axis] + (kernel - 1) * dilations[axis] + 1
        > picture.shape[1 + axis]
        for axis, kernel in enumerate(kernel_of(operator))
    )


def axes_of(operator: Operator) -> list[int] | None:
    """The axes that a reduction goes over, counted from the front; None where they are no constant."""
    given, picture = operator.input(1), operator.inputs[0]
    if given is None or given.values is None or picture is None:
        return None
    return [int(axis) % len(picture.shape) for axis in np.atleast_1d(given.values)]


def _tensor(tensor: Any, buffers: Sequence[Any]) -> Tensor:
    data = buffers[tensor.buffer].data
    dtype, shape = DTYPES[tensor.type], tuple(int(size) for size in _listed(tensor.shape))
    quantization = tensor.quantization
    values = None
    if tensor.buffer and data is not None and len(data):
        values = _values(bytes(data), dtype, shape)
    return Tensor(
        name=(tensor.name or b"").decode("utf-8", "replace"),
        dtype=dtype,
        shape=shape,
        dynamic=any(size < 0 for size in _listed(tensor.shapeSignature)),
        scales=tuple(_listed(quantization.scale)) if quantization else (),
        zero_points=tuple(_listed(quantization.zeroPoint)) if quantization else (),
        values=values,
    )


def _values(data: bytes, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The numbers; the bare bytes where numpy has no such type, or a sparse tensor's are fewer than its shape's."""
    if dtype in ("int4", "int2", "uint4", "bfloat16", "string", "float8_e4m3fn", "float8_e5m2"):
        return np.frombuffer(data, np.uint8)
    values = np.frombuffer(data, dtype)
    return values.reshape(shape) if values.size == int(np.prod(shape)) else values


def _listed(vector: Any) -> list[Any]:
    return [] if vector is None else [item.item() if hasattr(item, "item") else item for item in vector]
