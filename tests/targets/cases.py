"""Nets of which a target takes all, or not, by name; and nets drawn at random, for a target that can be asked."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from nets import SAME, VALID, Constant, Step, conv, net, pool


def i32(*values: int) -> Constant:
    return Constant(np.array(values, np.int32))


def _slice(*steps: int) -> Step:
    shape = [-(-size // step) for size, step in zip((1, 8, 8, 4), steps, strict=True)]
    constants = [i32(0, 0, 0, 0), i32(1, 8, 8, 4), i32(*steps)]
    return Step("STRIDED_SLICE", shape, constants, schema.StridedSliceOptionsT(), 2)


def _resize(factor: int, *, half_pixel: bool = False, name: str = "RESIZE_BILINEAR") -> Step:
    kind = (
        schema.ResizeBilinearOptionsT if name == "RESIZE_BILINEAR" else schema.ResizeNearestNeighborOptionsT
    )
    side = 8 * factor
    return Step(name, (1, side, side, 4), [i32(side, side)], kind(halfPixelCenters=half_pixel), 3)


def _mean(shape: tuple[int, ...], *axes: int) -> Step:
    return Step("MEAN", shape, [i32(*axes)], schema.ReducerOptionsT(), 2)


def _argmax(shape: tuple[int, ...], axis: int) -> Step:
    return Step("ARG_MAX", shape, [i32(axis)], schema.ArgMaxOptionsT(outputType=2), 2, dtype="int32")


SOFTMAX = Step("SOFTMAX", (1, 10), options=schema.SoftmaxOptionsT(beta=1.0), version=2, scale=1 / 256)
CASES = {
    "conv": net([conv("CONV_2D", 3, 8, (1, 8, 8, 8))]),
    "conv of stride 4 without padding": net([conv("CONV_2D", 4, 8, (1, 2, 2, 8), stride=4, padding=VALID)]),
    "conv of stride 4 with padding": net([conv("CONV_2D", 7, 8, (1, 2, 2, 8), stride=4)]),
    "depthwise of stride 4": net([conv("DEPTHWISE_CONV_2D", 3, 4, (1, 2, 2, 4), stride=4)]),
    "average of 9x9 with padding": net([pool("AVERAGE_POOL_2D", 9, (1, 16, 16, 4))], (1, 16, 16, 4)),
    "average of 8x8 with padding": net([pool("AVERAGE_POOL_2D", 8, (1, 16, 16, 4))], (1, 16, 16, 4)),
    "max pooling": net([pool("MAX_POOL_2D", 2, (1, 4, 4, 4), stride=2)]),
    "gelu": net([Step("GELU", (1, 8, 8, 4), options=schema.GeluOptionsT())]),
    "cos": net([Step("COS", (1, 8, 8, 4))]),
    "elu": net([Step("ELU", (1, 8, 8, 4))]),
    "hard swish": net([Step("HARD_SWISH", (1, 8, 8, 4), options=schema.HardSwishOptionsT())]),
    "twice as large": net([_resize(2, half_pixel=True)]),
    "three times as large": net([_resize(3)]),
    "four times as large, half pixels": net([_resize(4, half_pixel=True)]),
    "eight times as large, nearest": net([_resize(8, name="RESIZE_NEAREST_NEIGHBOR")]),
    "mean of a map": net([_mean((1, 4), 1, 2)]),
    "mean of the channels": net([_mean((1, 8, 8), 3)]),
    "dequantize": net(
        [Step("DEQUANTIZE", (1, 8, 8, 4), options=schema.DequantizeOptionsT(), dtype="float32", version=2)]
    ),
    "softmax": net([SOFTMAX], (1, 10)),
    "softmax in float": net([SOFTMAX], (1, 10), "float32"),
    "division": net([Step("DIV", (1, 8, 8, 4), options=schema.DivOptionsT(), uses=2)]),
    "four at once": net([conv("CONV_2D", 3, 8, (4, 8, 8, 8))], (4, 8, 8, 4)),
    "any number at once": net([conv("CONV_2D", 3, 8, (1, 8, 8, 8))], dynamic_batch=True),
    "l2 norm": net([Step("L2_NORMALIZATION", (1, 8, 8, 4), options=schema.L2NormOptionsT(), version=2)]),
    "reshape": net([Step("RESHAPE", (1, 256), [i32(1, 256)], schema.ReshapeOptionsT(newShape=[1, 256]))]),
    "argmax over rows": net([_argmax((1, 8, 4), 1)]),
    "maximum, other scale": net(
        [Step("MAXIMUM", (1, 8, 8, 4), options=schema.MaximumMinimumOptionsT(), uses=2, scale=0.07)]
    ),
    "relu of uint8": net([Step("RELU", (1, 8, 8, 4))], dtype="uint8"),
    "every second channel": net([_slice(1, 1, 1, 2)]),
    "every second row": net([_slice(1, 2, 2, 1)]),
    "channels first": net([Step("TRANSPOSE", (1, 4, 8, 8), [i32(0, 3, 1, 2)], schema.TransposeOptionsT(), 2)]),
    "turned round": net([Step("REVERSE_V2", (1, 8, 8, 4), [i32(1)], schema.ReverseV2OptionsT(), 3)]),
    "space to depth": net(
        [Step("SPACE_TO_DEPTH", (1, 4, 4, 16), options=schema.SpaceToDepthOptionsT(blockSize=2), version=2)]
    ),
    "cos between convolutions": net(
        [conv("CONV_2D", 3, 8, (1, 8, 8, 8)), Step("COS", (1, 8, 8, 8)), conv("CONV_2D", 3, 8, (1, 8, 8, 8), inputs=8)]
    ),
}  # fmt: skip


def random_nets(count: int, seed: int) -> dict[str, bytes]:
    """Convolutions, poolings, means and resizes of any size, stride and padding that fits."""
    draw = np.random.default_rng(seed)
    nets: dict[str, bytes] = {}
    while len(nets) < count:
        side, kernel, stride = (int(draw.integers(low, high)) for low, high in ((4, 24), (1, 12), (1, 7)))
        padding = int(draw.integers(0, 2))
        name = str(
            draw.choice(["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR"])
        )
        if padding == VALID and kernel > side:
            continue
        out = -(-side // stride) if padding == SAME else (side - kernel) // stride + 1
        label = f"{name} {side} {kernel} {stride} {padding}"
        if name == "RESIZE_BILINEAR":
            grown = side * int(draw.integers(1, 9))
            options = schema.ResizeBilinearOptionsT(halfPixelCenters=bool(padding), alignCorners=False)
            step = Step(name, (1, grown, grown, 4), [i32(grown, grown)], options, 3)
            label = f"{name} {side} {grown} {padding}"
        elif name.endswith("POOL_2D"):
            step = pool(name, kernel, (1, out, out, 4), stride=stride, padding=padding)
        else:
            step = conv(name, kernel, 4, (1, out, out, 4), stride=stride, padding=padding)
        nets[label] = net([step], (1, side, side, 4))
    return nets
