"""Arm Ethos-U55 and U65: the operators that the compiler Vela leaves to the Cortex-M beside it.

The limits are those that ethos-u-vela 5.2.0 prints by `vela --supported-ops-report`; a test holds this list against
what Vela itself does with the same models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgebig.targets.operators import Left, Operator, Tensor, axes_of, is_padded, kernel_of, left_by, names

SOURCE = "ethos-u-vela 5.2.0, vela --supported-ops-report, Ethos-U55 and U65"
TAKEN = names("""
    ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP EXPAND_DIMS
    FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK
    PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB
    SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
    """)
TAKES_INT32 = names(
    "ADD ARG_MAX BATCH_MATMUL EXPAND_DIMS FULLY_CONNECTED MIRROR_PAD MUL NEG RESHAPE SQUEEZE SUB SUM TRANSPOSE"
)
UNQUANTIZED = names("ARG_MAX EXPAND_DIMS MIRROR_PAD PAD PADV2 QUANTIZE TRANSPOSE")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
FIXED_PARAMETERS = ("MEAN", "MIRROR_PAD", "PAD", "PADV2", "SLICE", "STRIDED_SLICE", "TRANSPOSE")
LARGEST_WEIGHT_SUM = 127 << 16
LARGEST_MEAN = {"int8": 1 << 24, "uint8": 1 << 23, "int16": 1 << 16}
LARGEST_AXIS = 1 << 16

Check = Callable[[Operator], Iterator[str]]


def left(operators: list[Operator]) -> list[Left]:
    return left_by(operators, reason)


def reason(operator: Operator) -> str | None:
    """Why Vela places it on the CPU, or None."""
    if operator.name not in TAKEN:
        return "the Ethos-U55 and U65 have no such operator"
    return next(_faults(operator), None)


def _faults(operator: Operator) -> Iterator[str]:
    yield from _tensor_faults(operator)
    if operator.name in WEIGHTED:
        yield from _weight_faults(operator)
    if operator.name in FIXED_PARAMETERS and not all(_is_constant(t) for t in operator.inputs[1:]):
        yield "its parameters are not constant"
    for check in _CHECKS.get(operator.name, ()):
        yield from check(operator)


def _is_constant(tensor: Tensor | None) -> bool:
    return tensor is None or tensor.constant


def feature_maps(operator: Operator) -> list[Tensor]:
    """The inputs that are data, not parameters, and the outputs."""
    places = {"SPLIT": [1], "TRANSPOSE_CONV": [2]}.get(operator.name, [0])
    if operator.name in (
        "ADD", "BATCH_MATMUL", "CONCATENATION", "MAXIMUM", "MINIMUM", "MUL", "PACK", "SQUARED_DIFFERENCE", "SUB",
    ):  # fmt: skip
        places = list(range(len(operator.inputs)))
    return [t for t in (*(operator.input(place) for place in places), *operator.outputs) if t is not None]


def _tensor_faults(operator: Operator) -> Iterator[str]:
    for tensor in feature_maps(operator):
        bits = {"int8": 8, "uint8": 8, "int16": 16, "int32": 32, "int64": 64}.get(tensor.dtype)
        if bits is None:
            yield f"{tensor.dtype}: it takes whole numbers only"
        elif bits == 64 and operator.name != "ARG_MAX":
            yield "int64: not taken"
        elif bits == 32 and operator.name not in TAKES_INT32:
            yield "int32: not taken by this operator"
        elif bits <= 16 and operator.name not in UNQUANTIZED and not tensor.scales:
            yield f"'{tensor.name}' has no quantization"
        if len(tensor.scales) > 1:
            yield f"'{tensor.name}' is quantized per channel"
        if bits == 32 and any(tensor.zero_points):
            yield "int32 with a zero point other than 0"


def _weight_faults(operator: Operator) -> Iterator[str]:
    weights = operator.input(1)
    bias = operator.input(3 if operator.name == "TRANSPOSE_CONV" else 2)
    if weights is None or weights.dtype not in ("int8", "uint8"):
        yield f"weights are {weights.dtype if weights else 'missing'}, not 8-bit"
        return
    if bias is not None and not bias.constant:
        yield "its bias is not constant"
    if bias is not None and bias.dtype not in ("int32", "int64"):
        yield f"its bias is {bias.dtype}"
    if weights.values is not None and weights.values.ndim == len(weights.shape):
        channel = -1 if operator.name == "DEPTHWISE_CONV_2D" else 0
        rows = np.moveaxis(weights.values.astype(np.int64), channel, 0).reshape(weights.shape[channel], -1)
        zero_points = np.array(weights.zero_points or (0,), np.int64).reshape(-1, 1)
        if np.abs(rows - zero_points).sum(axis=1).max(initial=0) > LARGEST_WEIGHT_SUM:
            yield "the weights of a channel add up to more than 127 * 65536"


def _stride(operator: Operator) -> Iterator[str]:
    height, width = operator.options["strideH"], operator.options["strideW"]
    if max(height, width) > 3:
        yield f"stride {height}x{width}, at most 3"


def _unrolled_stride(operator: Operator) -> Iterator[str]:
    dilated = max(operator.options.get("dilationHFactor", 1), operator.options.get("dilationWFactor", 1)) > 1
    # Where a single window covers the picture there are no steps.
    if (dilated or is_padded(operator)) and operator.outputs[0].shape[1:3] != (1, 1):
        yield from _stride(operator)


def _average_window(operator: Operator) -> Iterator[str]:
    height, width = kernel_of(operator)
    if is_padded(operator) and max(height, width) > 8:
        yield f"a window of {height}x{width} with padding, at most 8x8"
    elif height > 256 or height * width > 1 << 16:
        yield f"a window of {height}x{width}, at most 256 high and 65536 in all"


def _max_window(operator: Operator) -> Iterator[str]:
    height, width = kernel_of(operator)
    if height > 256 or height * width > 1 << 16:
        yield f"a window of {height}x{width}, at most 256 high and 65536 in all"


def _like_output(operator: Operator) -> Iterator[str]:
    out = operator.outputs[0]
    if any((t.scales, t.zero_points) != (out.scales, out.zero_points) for t in feature_maps(operator)):
        yield "its inputs are quantized otherwise than its output"


def _last_axis(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    assert picture is not None
    if axes_of(operator) != [len(picture.shape) - 1]:
        yield "over another axis than the last"
    elif picture.shape[-1] > 127:
        yield f"over {picture.shape[-1]} channels, at most 127"


def _only(*dtypes: str) -> Check:
    def check(operator: Operator) -> Iterator[str]:
        picture, out = operator.inputs[0], operator.outputs[0]
        assert picture is not None
        if picture.dtype not in dtypes:
            yield f"{picture.dtype}: it takes {' and '.join(dtypes)}"
        elif out.dtype != picture.dtype:
            yield f"{picture.dtype} in and {out.dtype} out"

    return check


def _resize(operator: Operator) -> Iterator[str]:
    picture, out = operator.inputs[0], operator.outputs[0]
    assert picture is not None
    before, after = picture.shape[1:3], out.shape[1:3]
    half_pixel = operator.name == "RESIZE_BILINEAR" and bool(operator.options.get("halfPixelCenters"))
    if before == (1, 1) or (before == after and not half_pixel):
        return
    aligned = int(bool(operator.options.get("alignCorners")))
    scales = [
        1.0 if aligned and new == 1 else (new - aligned) / max(old - aligned, 1)
        for old, new in zip(before, after, strict=True)
    ]
    one_row = any(new == 1 and scale == 1 for new, scale in zip(after, scales, strict=True))
    if scales[0] != scales[1] and (half_pixel or not one_row):
        yield f"height and width grow by {scales[0]:g} and {scales[1]:g}, not alike"
    elif max(scales) not in ((2.0,) if half_pixel else (2.0, 4.0, 8.0)):
        yield f"grows by {max(scales):g}, not by {'2' if half_pixel else '2, 4 or 8'}"


def _mean(operator: Operator) -> Iterator[str]:
    picture, axes = operator.inputs[0], axes_of(operator)
    if picture is None or axes is None:
        return
    offset = 4 - len(picture.shape)
    shape = (1,) * offset + picture.shape
    sizes = [picture.shape[axis] for axis in axes]
    if picture.dtype not in LARGEST_MEAN:
        yield f"{picture.dtype}: not taken by this operator"
    elif shape[0] > 1:
        yield f"a batch of {shape[0]}"
    elif 3 - offset in axes and 1 not in shape[1:]:
        yield "over the channels, where height, width and channels are all above 1"
    elif any(size > 4096 for size in sizes) or np.prod(sizes) > LARGEST_MEAN[picture.dtype]:
        yield f"over {' x '.join(map(str, sizes))} numbers"


def _softmax(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    assert picture is not None
    if int(np.prod((1, 1, 1, *picture.shape)[-3:-1])) > LARGEST_AXIS:
        yield "height times width is above 65536"


def _strided_slice(operator: Operator) -> Iterator[str]:
    strides, picture = operator.input(3), operator.inputs[0]
    if strides is None or strides.values is None or picture is None:
        return
    steps = [int(step) for step in strides.values]
    rank = len(picture.shape)
    if any(step != 1 and axis not in (rank - 3, rank - 2) for axis, step in enumerate(steps)):
        yield "steps over another axis than height and width"
    elif min(steps) < 0:
        yield "steps backwards"


def _transposed_stride(operator: Operator) -> Iterator[str]:
    picture, weights, out = operator.input(2), operator.input(1), operator.outputs[0]
    assert picture is not None
    assert weights is not None
    strides = (operator.options["strideH"], operator.options["strideW"])
    row = strides == (1, 2) and picture.shape[1] == weights.shape[1] == 1
    column = strides == (2, 1) and picture.shape[2] == weights.shape[2] == 1
    if strides not in ((1, 1), (2, 2)) and not row and not column:
        yield f"stride {strides[0]}x{strides[1]}, only 1x1 and 2x2"
        return
    valid = operator.options["padding"] != 0
    for axis, stride in enumerate(strides):
        more = max(weights.shape[1 + axis] - stride, 0) if valid else 0
        if out.shape[1 + axis] != picture.shape[1 + axis] * stride + more:
            yield f"an output of {out.shape[1]}x{out.shape[2]} does not fit its stride"
            return


def _matrix(operator: Operator) -> Iterator[str]:
    picture, other = operator.inputs[0], operator.input(1)
    assert picture is not None
    if operator.name == "FULLY_CONNECTED" and _is_constant(other):
        return
    if picture.dtype != "int8":
        yield f"{picture.dtype} with weights that are computed, only int8"
    elif max(picture.shape[-1], operator.outputs[0].shape[-1]) > LARGEST_AXIS:
        yield "more than 65536 numbers in a row"


def _transpose(operator: Operator) -> Iterator[str]:
    picture = operator.inputs[0]
    assert picture is not None
    if len(picture.shape) > 8 or any(size > LARGEST_AXIS for size in picture.shape):
        yield f"of the shape {picture.shape}"
    permutation = operator.input(1)
    if picture.dtype != "int32" or permutation is None or permutation.values is None:
        return
    offset = 4 - len(picture.shape)
    order = [*range(offset), *(int(axis) + offset for axis in permutation.values)]
    if order not in ([0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]):
        yield "int32 in this order of axes"


def _reverse(operator: Operator) -> Iterator[str]:
    yield "it can turn round no axis"


def _counted(operator: Operator) -> Iterator[str]:
    if operator.options.get("numSplits") != len(operator.outputs):
        yield "its outputs are not as many as its splits"


_CHECKS = {
    "ARG_MAX": (_last_axis,),
    "AVERAGE_POOL_2D": (_unrolled_stride, _average_window),
    "BATCH_MATMUL": (_matrix,),
    "CONV_2D": (_unrolled_stride,),
    "DEPTHWISE_CONV_2D": (_stride,),
    "ELU": (_only("int8"),),
    "FULLY_CONNECTED": (_matrix,),
    "GELU": (_only("int8", "uint8"),),
    "LOG": (_only("int8", "int16"),),
    "MAXIMUM": (_like_output,),
    "MAX_POOL_2D": (_unrolled_stride, _max_window),
    "MEAN": (_mean,),
    "MINIMUM": (_like_output,),
    "RESIZE_BILINEAR": (_resize,),
    "RESIZE_NEAREST_NEIGHBOR": (_resize,),
    "REVERSE_V2": (_reverse,),
    "RSQRT": (_only("int8", "int16"),),
    "SOFTMAX": (_softmax,),
    "SPLIT": (_counted,),
    "SPLIT_V": (_counted,),
    "STRIDED_SLICE": (_strided_slice,),
    "TRANSPOSE": (_transpose,),
    "TRANSPOSE_CONV": (_transposed_stride,),
}
