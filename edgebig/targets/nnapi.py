"""Android's NNAPI, version 1.3 (Android 11), the first with signed int8: the operators left to the CPU.

The rules are those of NNAPIDelegateKernel::Validate, by which the delegate itself decides:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/delegates/nnapi/nnapi_delegate.cc
What a phone's driver then takes of it is the driver's business.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgebig.targets.operators import Left, Operator, left_by

SOURCE = "TensorFlow, lite/delegates/nnapi/nnapi_delegate.cc, for NNAPI 1.3 (Android 11)"
# An operator, its highest version, and what may go in: q 8-bit, f float32, h float16, i int32, b bool, * anything.
_TABLE = """
ABS 1 f; ADD 2 qfi; ARG_MAX 2 qfhi; ARG_MIN 2 qfhi; AVERAGE_POOL_2D 2 qf; BATCH_TO_SPACE_ND 2 *; CAST 1 qfi;
CONCATENATION 2 qfh; CONV_2D 3 *; DEPTHWISE_CONV_2D 3 *; DEPTH_TO_SPACE 99 qf; DEQUANTIZE 2 q; DIV 1 f; ELU 1 f;
EMBEDDING_LOOKUP 1 *; EQUAL 2 qfib; EXP 1 f; EXPAND_DIMS 1 qfhi; FILL 1 *; FLOOR 1 *; FULLY_CONNECTED 5 *;
GATHER 2 qfhi; GREATER 2 qfib; GREATER_EQUAL 2 qfib; HARD_SWISH 99 qf; HASHTABLE_LOOKUP 1 *; L2_NORMALIZATION 2 *;
L2_POOL_2D 1 f; LEAKY_RELU 1 qf; LESS 2 qfib; LESS_EQUAL 2 qfib; LOCAL_RESPONSE_NORMALIZATION 1 *; LOG 1 f;
LOGICAL_AND 1 b; LOGICAL_NOT 1 b; LOGICAL_OR 1 b; LOGISTIC 2 qf; LOG_SOFTMAX 1 f; LSH_PROJECTION 1 *; LSTM 3 *;
MAXIMUM 3 qfi; MAX_POOL_2D 2 qf; MEAN 2 qf; MINIMUM 3 qfi; MUL 2 qfi; NEG 2 fi; NOT_EQUAL 2 qfib; PACK 2 if8;
PAD 2 qf; PADV2 2 qf; POW 1 f; PRELU 1 qf; QUANTIZE 2 qf; REDUCE_ANY 2 *; REDUCE_MAX 2 qf; REDUCE_MIN 2 qf;
REDUCE_PROD 1 f; RELU 2 qf; RELU6 2 qf; RELU_N1_TO_1 2 qf; RESHAPE 1 qf; RESIZE_BILINEAR 3 qf;
RESIZE_NEAREST_NEIGHBOR 3 qf; RSQRT 1 f; SELECT 2 *; SIN 1 f; SLICE 2 qfi; SOFTMAX 2 qf; SPACE_TO_BATCH_ND 2 *;
SPACE_TO_DEPTH 2 qf; SPLIT 3 *; SQRT 1 f; SQUEEZE 1 *; STRIDED_SLICE 2 *; SUB 3 qfi; SUM 1 f; TANH 2 qf; TILE 1 qfi;
TOPK_V2 2 qfi; TRANSPOSE 2 *; TRANSPOSE_CONV 3 *; UNIDIRECTIONAL_SEQUENCE_LSTM 2 *
"""
_DTYPES = {
    "q": ("int8", "uint8"),
    "8": ("int8",),
    "f": ("float32",),
    "h": ("float16",),
    "i": ("int32",),
    "b": ("bool",),
}
TAKEN = {
    name: (int(version), letters)
    for name, version, letters in (entry.split() for entry in _TABLE.replace("\n", " ").split(";"))
}
# Which input must be a constant, and in what words.
_FIXED = {
    "RESHAPE": 1, "RESIZE_BILINEAR": 1, "RESIZE_NEAREST_NEIGHBOR": 1, "TRANSPOSE": 1, "TRANSPOSE_CONV": 1,
    "EXPAND_DIMS": 1, "SPLIT": 0, "TOPK_V2": 1, "FILL": 0,
}  # fmt: skip


def left(operators: list[Operator]) -> list[Left]:
    return left_by(operators, reason)


def reason(operator: Operator) -> str | None:
    """Why the NNAPI delegate does not take it, or None."""
    if operator.name not in TAKEN:
        return "NNAPI has no such operator"
    return next(_faults(operator), None)


def _faults(operator: Operator) -> Iterator[str]:
    version, letters = TAKEN[operator.name]
    if operator.version > version:
        yield f"version {operator.version} of it, and NNAPI knows it to version {version}"
    picture = operator.input(0)
    if letters != "*" and picture is not None:
        allowed = [dtype for letter in letters for dtype in _DTYPES[letter]]
        if picture.dtype not in allowed:
            yield f"{picture.dtype}: it takes {', '.join(allowed)}"
    if any(tensor.dynamic for tensor in (*operator.running, *operator.outputs)):
        yield "its shape is not fixed"
    place = _FIXED.get(operator.name)
    parameter = operator.input(place) if place is not None else None
    if parameter is not None and not parameter.constant:
        yield "its parameters are not constant"
    yield from _special_faults(operator)


def _special_faults(operator: Operator) -> Iterator[str]:
    picture, out = operator.input(0), operator.outputs[0]
    rank = len(picture.shape) if picture is not None else 0
    match operator.name:
        case "CONV_2D" if len(operator.inputs) != 3:
            yield "a convolution without a bias"
        case "FULLY_CONNECTED" if out.dtype == "int16":
            yield "int16 out"
        case "SOFTMAX" | "CONCATENATION" | "SUB" if rank > 4:
            yield f"of {rank} dimensions, at most 4"
        case "RESIZE_BILINEAR" if rank != 4:
            yield f"of {rank} dimensions, not 4"
        case "L2_NORMALIZATION" | "CONCATENATION" if operator.options.get("fusedActivationFunction"):
            yield "with an activation in it"
        case "MEAN" if picture is not None and (picture.scales, picture.zero_points) != (
            out.scales,
            out.zero_points,
        ):
            yield "its input and output are quantized otherwise"
        case "MEAN" | "REDUCE_ANY" | "REDUCE_MAX" | "REDUCE_MIN" | "REDUCE_PROD" | "SUM" if not out.shape:
            yield "a single number comes out"
        case "QUANTIZE" if out.dtype not in ("int8", "uint8"):
            yield f"to {out.dtype}"
        case "PACK" if operator.options.get("axis") in (-1, rank):
            yield "along the last axis"
        case "BATCH_TO_SPACE_ND" if not _zero(operator, 2):
            yield "with crops"
        case "ARG_MAX" | "ARG_MIN" if out.dtype != "int32":
            yield f"{out.dtype} out, only int32"


def _zero(operator: Operator, place: int) -> bool:
    parameter = operator.input(place)
    return parameter is not None and parameter.values is not None and not parameter.values.any()
