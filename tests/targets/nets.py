"""Nets of one operator, or of a few in a row, made with the schema: what a target says of each is then plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgebig.tflitefile import DTYPES, pack_model

SAME, VALID = 0, 1


class Constant(NamedTuple):
    """A constant input. `scales`: one, or one a channel of `axis`."""

    values: Any
    scales: Sequence[float] = ()
    axis: int = 0


class Step(NamedTuple):
    """An operator: its constant inputs, and what comes out of it."""

    name: str
    shape: Sequence[int]
    constants: Sequence[Constant] = ()
    options: Any = None
    version: int = 1
    dtype: str = ""
    # How often the running tensor goes in, before or behind the constants.
    uses: int = 1
    constants_first: bool = False
    scale: float | None = None


def net(
    steps: Sequence[Step],
    shape: Sequence[int] = (1, 8, 8, 4),
    dtype: str = "int8",
    *,
    scale: float = 0.05,
    dynamic_batch: bool = False,
) -> bytes:
    """A row of operators. All running tensors have one scale, and one zero point, unless a step says otherwise."""
    builder = _Builder()
    running = builder.tensor("image", shape, dtype, scale)
    first, current = running, dtype
    operators = []
    for number, step in enumerate(steps):
        current = step.dtype or current
        constants = [builder.constant(f"c{number}_{i}", c) for i, c in enumerate(step.constants)]
        out = builder.tensor(f"{step.name.lower()}_{number}", step.shape, current, step.scale or scale)
        inputs = [running] * step.uses
        operators.append(
            schema.OperatorT(
                opcodeIndex=builder.code(step.name, step.version),
                inputs=constants + inputs if step.constants_first else inputs + constants,
                outputs=[out],
                builtinOptionsType=0 if step.options is None else _number_of(step.options),
                builtinOptions=step.options,
            )
        )
        running = out
    if dynamic_batch:
        for tensor in builder.tensors:
            if tensor.buffer == 0:
                tensor.shapeSignature = [-1, *tensor.shape[1:]]
    graph = schema.SubGraphT(tensors=builder.tensors, inputs=[first], outputs=[running], operators=operators)
    model = schema.ModelT(version=3, operatorCodes=builder.codes, subgraphs=[graph], buffers=builder.buffers)
    return pack_model(model, {})


def conv(
    name: str,
    kernel: int,
    channels: int,
    out: Sequence[int],
    *,
    stride: int = 1,
    padding: int = SAME,
    inputs: int = 4,
) -> Step:
    """An int8 convolution with random weights, per channel."""
    draw = np.random.default_rng(kernel)
    depthwise = name == "DEPTHWISE_CONV_2D"
    weights_shape = (1, kernel, kernel, channels) if depthwise else (channels, kernel, kernel, inputs)
    weights = draw.integers(-127, 128, weights_shape).astype(np.int8)
    kind = schema.DepthwiseConv2DOptionsT if depthwise else schema.Conv2DOptionsT
    more = {"depthMultiplier": channels // inputs} if depthwise else {}
    options = kind(
        padding=padding, strideW=stride, strideH=stride, dilationWFactor=1, dilationHFactor=1, **more
    )
    constants = [
        Constant(weights, [0.01] * channels, 3 if depthwise else 0),
        Constant(draw.integers(-500, 500, channels).astype(np.int32), [0.0005] * channels),
    ]
    return Step(name, out, constants, options, version=3)


def pool(name: str, kernel: int, out: Sequence[int], *, stride: int = 1, padding: int = SAME) -> Step:
    options = schema.Pool2DOptionsT(
        padding=padding, strideW=stride, strideH=stride, filterWidth=kernel, filterHeight=kernel
    )
    return Step(name, out, options=options, version=2)


class _Builder:
    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.codes: list[Any] = []

    def tensor(self, name: str, shape: Sequence[int], dtype: str, scale: float) -> int:
        tensor = schema.TensorT(shape=list(shape), type=DTYPES.index(dtype), name=name.encode())
        if dtype in ("int8", "uint8", "int16"):
            zero_point = {"int8": -5, "uint8": 123, "int16": 0}[dtype]
            tensor.quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, constant: Constant) -> int:
        values = np.asarray(constant.values)
        self.buffers.append(schema.BufferT(data=values.tobytes()))
        tensor = schema.TensorT(
            shape=list(values.shape),
            type=DTYPES.index(values.dtype.name),
            buffer=len(self.buffers) - 1,
            name=name.encode(),
        )
        if constant.scales:
            tensor.quantization = schema.QuantizationParametersT(
                scale=list(constant.scales),
                zeroPoint=[0] * len(constant.scales),
                quantizedDimension=constant.axis,
            )
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def code(self, name: str, version: int) -> int:
        number = getattr(schema.BuiltinOperator, name)
        self.codes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version)
        )
        return len(self.codes) - 1


def _number_of(options: Any) -> int:
    return int(getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T")))
