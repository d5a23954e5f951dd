"""Coral's Edge TPU: the operators that its compiler leaves to the CPU.

The table and the limits are Coral's (https://coral.ai/docs/edgetpu/models-intro/#supported-operations), for compiler 16
and runtime 14. The compiler is closed and no longer developed; "some unspecified limitation", in its own words, may
leave more to the CPU. It maps one part of the graph, from the start: what comes behind an operator that it does not
take runs on the CPU, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgebig.targets.operators import Left, Operator, axes_of, names
from edgebig.targets.operators import left as left_one

SOURCE = "coral.ai, TensorFlow models on the Edge TPU, supported operations (compiler 16, runtime 14)"
TAKEN = names("""
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC
    LSTM UNIDIRECTIONAL_SEQUENCE_LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN
    RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
    """)
LONGEST_SOFTMAX = 16_000


def left(operators: list[Operator]) -> list[Left]:
    """Every operator from the first that it does not take."""
    for number, operator in enumerate(operators):
        if why := reason(operator):
            behind = f"behind {operator.name}, and the compiler maps one part only, from the start"
            return [
                left_one(operator, why),
                *(left_one(o, reason(o) or behind) for o in operators[number + 1 :]),
            ]
    return []


def reason(operator: Operator) -> str | None:
    """Why the Edge TPU's compiler does not map it, or None."""
    if operator.name not in TAKEN:
        return "the Edge TPU has no such operator"
    return next(_faults(operator), None)


def _faults(operator: Operator) -> Iterator[str]:
    for tensor in (*operator.running, *operator.outputs):
        if tensor.dtype not in ("int8", "uint8"):
            yield f"{tensor.dtype}: it takes int8 and uint8"
        if tensor.dynamic:
            yield "its shape is not fixed"
        if any(size > 1 for size in tensor.shape[:-3]):
            yield f"of the shape {tensor.shape}: only the last three dimensions may be above 1"
    for check in _CHECKS.get(operator.name, ()):
        yield from check(operator)


def _plain(operator: Operator) -> Iterator[str]:
    if operator.options.get("fusedActivationFunction"):
        yield "with an activation in it"


def _even_dilation(operator: Operator) -> Iterator[str]:
    if operator.options.get("dilationHFactor", 1) != operator.options.get("dilationWFactor", 1):
        yield "dilated otherwise in height than in width"


def _constant_weights(operator: Operator) -> Iterator[str]:
    if any(tensor is not None and not tensor.constant for tensor in operator.inputs[1:]):
        yield "its weights or bias are not constant"
    if operator.options.get("weightsFormat", 0):
        yield "shuffled weights"


def _height_and_width(operator: Operator) -> Iterator[str]:
    picture, axes = operator.inputs[0], axes_of(operator)
    rank = len(picture.shape) if picture is not None else 0
    if axes is None or not {rank - 3, rank - 2}.issuperset(axes):
        yield "over other axes than height and width"


def _not_the_batch(operator: Operator) -> Iterator[str]:
    axes = axes_of(operator)
    if axes is None or 0 in axes:
        yield "over the batch"


def _pad(operator: Operator) -> Iterator[str]:
    padding = operator.input(1)
    if padding is None or padding.values is None:
        yield "its paddings are not constant"
    elif padding.values.reshape(-1, 2)[[0, -1]].any() or padding.shape[0] != 4:
        yield "it pads other axes than height and width"


def _row(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    if picture is None:
        return
    if any(size > 1 for size in picture.shape[:-1]):
        yield f"of the shape {picture.shape}, only one row"
    elif picture.shape[-1] > LONGEST_SOFTMAX:
        yield f"of {picture.shape[-1]} numbers, at most {LONGEST_SOFTMAX}"


def _one_row_out(operator: Operator) -> Iterator[str]:
    if any(size > 1 for size in operator.outputs[0].shape[:-1]):
        yield f"gives {operator.outputs[0].shape}, only one row"


def _steps(operator: Operator) -> Iterator[str]:
    strides = operator.input(3)
    if strides is None or strides.values is None or (strides.values != 1).any():
        yield "with steps other than 1"
    if operator.options.get("ellipsisMask") or operator.options.get("newAxisMask"):
        yield "with an ellipsis or a new axis"


def _leading_ones(operator: Operator) -> Iterator[str]:
    before = operator.inputs[0].shape if operator.inputs[0] is not None else ()
    after = operator.outputs[0].shape
    if before[len(before) - len(after) :] != after:
        yield "it takes away other dimensions than the first ones"


_CHECKS = {
    "AVERAGE_POOL_2D": (_plain,),
    "CONCATENATION": (_plain,),
    "CONV_2D": (_even_dilation, _constant_weights),
    "DEPTHWISE_CONV_2D": (_even_dilation, _constant_weights),
    "FULLY_CONNECTED": (_constant_weights, _one_row_out),
    "MAX_POOL_2D": (_plain,),
    "MEAN": (_height_and_width,),
    "PAD": (_pad,),
    "REDUCE_MAX": (_not_the_batch,),
    "REDUCE_MIN": (_not_the_batch,),
    "SOFTMAX": (_row,),
    "SQUEEZE": (_leading_ones,),
    "STRIDED_SLICE": (_steps,),
    "SUM": (_not_the_batch,),
}
