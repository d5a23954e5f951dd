"""The GPU delegate of TensorFlow Lite: the operators that it leaves to the CPU.

The rules are those of CheckGpuDelegateCompatibility, by which the delegate itself decides:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/tools/versioning/gpu_compatibility.cc
TensorFlow's Analyzer has a switch for the same question, but in the packages of PyPI (TensorFlow 2.21, ai-edge-litert
2.3) it is built without the rules, and calls every model compatible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgebig.targets.operators import Left, Operator, Tensor, left_by, names

SOURCE = "TensorFlow, lite/tools/versioning/gpu_compatibility.cc"
UNARY = names("ABS CEIL COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH HARD_SWISH")
BINARY = names("""
    ATAN2 DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LOGICAL_AND LESS LESS_EQUAL MAXIMUM MINIMUM NOT_EQUAL
    POW SQUARED_DIFFERENCE SUB
    """)
REDUCTIONS = ("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM")
PADS = ("PAD", "PADV2", "MIRROR_PAD")
ONE_RUNNING = names("""
    AVERAGE_POOL_2D MAX_POOL_2D DEPTH_TO_SPACE SPACE_TO_DEPTH QUANTIZE RESHAPE TILE TRANSPOSE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR
    """) | {*REDUCTIONS, *PADS}
TAKEN = (
    UNARY
    | BINARY
    | ONE_RUNNING
    | names("""
        ADD ADD_N BATCH_MATMUL CAST CONCATENATION CONV_2D CUMSUM DENSIFY DEPTHWISE_CONV_2D DEQUANTIZE FULLY_CONNECTED
        GATHER MUL PACK RELU_N1_TO_1 PRELU SELECT SELECT_V2 SLICE SOFTMAX SPLIT SPLIT_V STRIDED_SLICE TRANSPOSE_CONV
        RELU RELU6 LEAKY_RELU
        """)
)
FLOAT = ("float16", "float32")
CASTS = {("bool", "float16"), ("bool", "float32"), ("float16", "bool"), ("float32", "bool")} | {
    (before, after) for before in ("float32", "int32") for after in ("float32", "int32")
}
SIGN_BIT = 5  # schema.ActivationFunctionType
REFLECT = 0  # schema.MirrorPadMode


def left(operators: list[Operator]) -> list[Left]:
    return left_by(_seen_by_the_delegate(operators), reason)


def _seen_by_the_delegate(operators: list[Operator]) -> list[Operator]:
    """As the delegate looks at them: float16 weights behind a DEQUANTIZE, and sparse ones, are constants to it."""
    unpacked = {
        id(operator.outputs[0]): replace(operator.outputs[0], values=operator.inputs[0].values)
        for operator in operators
        if operator.name in ("DEQUANTIZE", "DENSIFY") and operator.inputs[0] and operator.inputs[0].constant
    }
    return [
        replace(operator, inputs=tuple(unpacked.get(id(tensor), tensor) for tensor in operator.inputs))
        for operator in operators
    ]


def reason(operator: Operator) -> str | None:
    """Why the GPU delegate does not take it, or None."""
    if operator.name not in TAKEN:
        return "the GPU delegate has no such operator"
    return next(_faults(operator), None)


def _faults(operator: Operator) -> Iterator[str]:
    if any(tensor.dynamic for tensor in (*operator.running, *operator.outputs)):
        yield "its shape is not fixed"
    running = len(operator.running)
    if operator.name in ONE_RUNNING | UNARY and running != 1:
        yield f"{running} inputs that are computed, not one"
    if operator.name in BINARY and (len(operator.inputs) != 2 or not running):
        yield "not two inputs"
    if operator.options.get("fusedActivationFunction") == SIGN_BIT:
        yield "the activation SIGN_BIT"
    for check in _CHECKS.get(operator.name, ()):
        yield from check(operator)


def _two(operator: Operator) -> Iterator[str]:
    if len(operator.inputs) != 2:
        yield f"{len(operator.inputs)} inputs, not two"


def _broadcast(operator: Operator) -> Iterator[str]:
    shapes = [t.shape for t in operator.inputs if t is not None]
    if len(shapes) != 2:
        return
    ranks = [len(shape) for shape in shapes]
    if min(ranks) > 1 and ranks[0] != ranks[1]:
        pairs = zip(shapes[0][::-1], shapes[1][::-1], strict=False)
        if any(a != b and 1 not in (a, b) for a, b in pairs):
            yield f"shapes {shapes[0]} and {shapes[1]}"
    elif operator.name == "MUL" and ranks[0] == ranks[1]:
        below, above = (any(a < b for a, b in zip(*two, strict=True)) for two in (shapes, shapes[::-1]))
        if below and above:
            yield f"shapes {shapes[0]} and {shapes[1]}, of which neither holds the other"


def _cast(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    pair = (picture.dtype if picture else "", operator.outputs[0].dtype)
    if pair not in CASTS:
        yield f"from {pair[0]} to {pair[1]}"


def _convolution(operator: Operator) -> Iterator[str]:
    if len(operator.running) > 2:
        yield "bias, weights and picture are all computed"


def _depthwise(operator: Operator) -> Iterator[str]:
    yield from _convolution(operator)
    picture = operator.inputs[0]
    if picture is not None and operator.options.get("depthMultiplier", 1) != 1 and picture.shape[-1] != 1:
        yield "a depth multiplier, and more than one channel"


def _fully_connected(operator: Operator) -> Iterator[str]:
    picture, out = operator.inputs[0], operator.outputs[0]
    if operator.options.get("weightsFormat", 0):
        yield "shuffled weights"
    if len(operator.running) > 2:
        yield "bias, weights and input are all computed"
    if picture is not None and picture.constant:
        yield "a constant input"
    if operator.options.get("keepNumDims") and picture is not None and len(picture.shape) != len(out.shape):
        yield "it keeps dimensions that its output has not"


def _dequantize(operator: Operator) -> Iterator[str]:
    if operator.inputs[0] is not None and operator.inputs[0].dtype == "int16":
        yield "int16"


def _softmax(operator: Operator) -> Iterator[str]:
    if operator.options.get("beta", 1.0) != 1.0:
        yield f"beta {operator.options['beta']:g}, only 1"


def _block(operator: Operator) -> Iterator[str]:
    if operator.options.get("blockSize", 0) <= 1:
        yield "a block of one pixel"


def _axes(operator: Operator) -> Iterator[str]:
    axes = operator.input(1)
    if axes is None or not axes.constant or axes.dtype != "int32":
        yield "its axes are no int32 constant"


def _pad(operator: Operator) -> Iterator[str]:
    padding = operator.input(1)
    if padding is None or padding.shape not in ((3, 2), (4, 2)):
        yield "its paddings are not of 3 or 4 axes"
    if operator.name == "MIRROR_PAD" and operator.options.get("mode", REFLECT) != REFLECT:
        yield "it mirrors the edge itself too"


def _slice(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    if picture is not None and len(picture.shape) not in (3, 4):
        yield f"of {len(picture.shape)} dimensions, not 3 or 4"
    for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if operator.options.get(mask):
            yield mask


def _resize(operator: Operator) -> Iterator[str]:
    if operator.options.get("alignCorners") and operator.options.get("halfPixelCenters"):
        yield "both corners aligned and half pixel centres"


def _gather(operator: Operator) -> Iterator[str]:
    values, places = operator.inputs[0], operator.input(1)
    if values is not None and values.dtype == "int32":
        yield "of int32 numbers"
    if places is None or places.dtype != "int32" or len(places.shape) != 1:
        yield "places that are no row of int32"


def _cumsum(operator: Operator) -> Iterator[str]:
    values, axis = operator.inputs[0], operator.input(1)
    if values is None or values.dtype not in FLOAT or axis is None or not axis.constant:
        yield "not of floats along a constant axis"


def _select(operator: Operator) -> Iterator[str]:
    out = operator.outputs[0]

    def fits(tensor: Tensor | None) -> bool:
        return tensor is not None and tensor.dtype in FLOAT and tensor.shape in ((), (1,), out.shape)

    if len(operator.inputs) != 3 or not all(fits(tensor) for tensor in operator.inputs[1:]):
        yield "its choices are not two tensors of floats of its output's shape, or two numbers"


_CHECKS = {
    "ADD": (_two, _broadcast),
    "ADD_N": (_two,),
    "BATCH_MATMUL": (_two,),
    "CAST": (_cast,),
    "CONV_2D": (_convolution,),
    "CUMSUM": (_cumsum,),
    "DEPTHWISE_CONV_2D": (_depthwise,),
    "DEPTH_TO_SPACE": (_block,),
    "DEQUANTIZE": (_dequantize,),
    "FULLY_CONNECTED": (_fully_connected,),
    "GATHER": (_gather,),
    "MUL": (_two, _broadcast),
    "RESIZE_BILINEAR": (_resize,),
    "SELECT": (_select,),
    "SELECT_V2": (_select,),
    "SLICE": (_slice,),
    "SOFTMAX": (_softmax,),
    "SPACE_TO_DEPTH": (_block,),
    "STRIDED_SLICE": (_slice,),
    "TRANSPOSE_CONV": (_convolution,),
    **dict.fromkeys(REDUCTIONS, (_axes,)),
    **dict.fromkeys(PADS, (_pad,)),
}
