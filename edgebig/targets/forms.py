"""Edits of a .tflite for a target, on its flatbuffer alone: nothing is trained, and no TensorFlow is needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgebig.artifact import Preprocessing
from edgebig.errors import EdgebigError
from edgebig.tflitefile import (
    DTYPES,
    attached_files,
    builtin_name,
    drop_unused_buffers,
    pack_model,
    unpack_model,
)

# By operator, the input that is its weights; the bias stands behind it.
WEIGHTED = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1}
LARGEST_FLOAT16 = 65504.0
# Red, green and blue of ITU-R 601, as Pillow's convert("L") has them, in 184ths: of all shares with numerators of int8
# these come nearest (0.00013 off), and of a grey picture (r = g = b) 184 times a level over 184 is that level, exactly.
RGB_TO_GREY = (55, 108, 21)
# The same in floats; they add up to 1 but for the rounding of a float.
RGB_TO_GREY_FLOAT = (0.299, 0.587, 0.114)


def static_batch(model: bytes, name: str) -> bytes:
    """`model` with a batch of 1 that is fixed; the same bytes where it is.

    Raises EdgebigError where another dimension than the first is not fixed, or the batch is another number.
    """
    tree = unpack_model(model, name)
    dynamic = [tensor for tensor in tree.subgraphs[0].tensors if _is_dynamic(tensor)]
    for tensor in dynamic:
        signature, shape = ([int(size) for size in sizes] for sizes in (tensor.shapeSignature, tensor.shape))
        if any(size < 0 for size in signature[1:]) or shape[0] != 1:
            raise EdgebigError(
                f"{name}: '{_text(tensor.name)}' has the shape {tuple(signature)}, and only the batch can be fixed",
                "convert the model anew with the size of its pictures in it",
            )
        tensor.shapeSignature = None
    first = tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]]
    if len(first.shape) and first.shape[0] != 1:
        raise EdgebigError(
            f"{name}: takes {first.shape[0]} pictures at once, not one",
            "convert the model anew with a batch of 1",
        )
    return pack_model(tree, attached_files(model, name)) if dynamic else model


def half_weights(model: bytes, name: str) -> bytes:
    """A float model with weights and biases as float16, each behind a DEQUANTIZE, as TensorFlow's converter does it.

    The GPU delegate takes them as they are; a CPU makes float32 of them when it loads the model. Weights of which one
    is beyond float16 stay float32. Raises EdgebigError where the model has no float32 weights.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(model, name)
    graph = tree.subgraphs[0]
    halved: dict[int, int] = {}
    dequantizes = []
    for index in dict.fromkeys(_weights(tree)):
        tensor = graph.tensors[index]
        data = tree.buffers[tensor.buffer].data
        if DTYPES[tensor.type] != "float32" or data is None or tensor.sparsity is not None:
            continue
        values = np.frombuffer(bytes(data), np.float32)
        if not np.abs(values).max(initial=0.0) <= LARGEST_FLOAT16:
            continue
        tree.buffers.append(schema.BufferT(data=values.astype(np.float16).tobytes()))
        graph.tensors.append(
            schema.TensorT(
                shape=tensor.shape,
                type=DTYPES.index("float16"),
                buffer=len(tree.buffers) - 1,
                name=(tensor.name or b"") + b"_float16",
            )
        )
        halved[index] = len(graph.tensors) - 1
        tensor.buffer = 0
        dequantizes.append(
            schema.OperatorT(
                opcodeIndex=_opcode(tree, "DEQUANTIZE", 3),
                inputs=[halved[index]],
                outputs=[index],
                builtinOptionsType=schema.BuiltinOptions.DequantizeOptions,
                builtinOptions=schema.DequantizeOptionsT(),
            )
        )
    if not halved:
        raise EdgebigError(f"{name}: has no float32 weights to make float16 of", "use it as it is")
    graph.operators = [*dequantizes, *graph.operators]
    drop_unused_buffers(tree)
    return pack_model(tree, attached_files(model, name))


def without_bias_quantization(model: bytes, name: str) -> bytes:
    """`model` without scale and zero point of its int32 biases: 12 bytes a channel that follow from the weights'.

    A runtime that looks at them refuses it or computes otherwise, so the caller holds its answers against the model's.
    """
    tree = unpack_model(model, name)
    for index in _weights(tree):
        tensor = tree.subgraphs[0].tensors[index]
        if DTYPES[tensor.type] == "int32":
            tensor.quantization = None
    return pack_model(tree, attached_files(model, name))


def takes_colour(model: bytes, preprocessing: Preprocessing, name: str) -> bytes:
    """A model of one grey picture as one that takes uint8 (1, H, W, 3), pixels as they are; a model of colour as it is.

    A 1x1 convolution in front weighs red, green and blue by ITU-R 601; of a grey picture it gives the same levels.
    The outputs keep their type. Raises EdgebigError where pixels 0 to 255 cannot stand for the model's numbers: where
    0 is no whole level between `low` and `high`.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(model, name)
    graph = tree.subgraphs[0]
    inside = int(graph.inputs[0])
    picture = graph.tensors[inside]
    is_float = DTYPES[picture.type] == "float32"
    scale = (preprocessing.high - preprocessing.low) / 255.0
    zero_point = -preprocessing.low / scale
    if abs(zero_point - round(zero_point)) > 1e-3 or not 0 <= round(zero_point) <= 255:
        raise EdgebigError(
            f"{name}: takes pixels as {preprocessing.low:g} to {preprocessing.high:g}, in which no pixel is 0",
            "MediaPipe's classifier hands on bytes; train with pixels as 0 to 1",
        )
    shape = [1, *(int(size) for size in picture.shape[1:])]
    pixels = _add_tensor(tree, [*shape[:3], 3], "uint8", picture.name, scale, round(zero_point))
    picture.name = _text(picture.name).encode() + b"_inside"
    if is_float:
        around = {"type": schema.BuiltinOptions.DequantizeOptions, "options": schema.DequantizeOptionsT()}
        before = _operator(tree, "DEQUANTIZE", 1, [pixels], around)
        colour = _add_tensor(tree, [*shape[:3], 3], "float32", b"colour") if shape[3] == 1 else inside
    else:
        around = {"type": schema.BuiltinOptions.QuantizeOptions, "options": schema.QuantizeOptionsT()}
        before = _operator(tree, "QUANTIZE", 1, [pixels], around)
        own = (float(picture.quantization.scale[0]), int(picture.quantization.zeroPoint[0]))
        colour = _add_tensor(tree, [*shape[:3], 3], "int8", b"colour", *own) if shape[3] == 1 else inside
    before.outputs = [colour]
    front = [before]
    if shape[3] == 1:
        front.append(_grey(tree, colour, inside, is_float))
    graph.operators = [*front, *graph.operators]
    graph.inputs = [pixels]
    for signature in tree.signatureDefs or []:
        for entry in signature.inputs or []:
            entry.tensorIndex = pixels
    return pack_model(tree, attached_files(model, name))


def _grey(tree: Any, colour: int, grey: int, is_float: bool) -> Any:
    """The CONV_2D from (1, H, W, 3) to (1, H, W, 1), both of one scale and zero point."""
    from ai_edge_litert import schema_py_generated as schema

    if is_float:
        weights = _constant(
            tree, np.array(RGB_TO_GREY_FLOAT, np.float32).reshape(1, 1, 1, 3), b"red_green_blue"
        )
        bias = _constant(tree, np.zeros(1, np.float32), b"red_green_blue_bias")
    else:
        step = 1.0 / sum(RGB_TO_GREY)
        scale = float(tree.subgraphs[0].tensors[colour].quantization.scale[0])
        values = np.array(RGB_TO_GREY, np.int8).reshape(1, 1, 1, 3)
        weights = _constant(tree, values, b"red_green_blue", step)
        bias = _constant(tree, np.zeros(1, np.int32), b"red_green_blue_bias", step * scale)
    options = schema.Conv2DOptionsT(padding=1, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    about = {"type": schema.BuiltinOptions.Conv2DOptions, "options": options}
    # int8 per channel is version 3 of it, floats version 1.
    operator = _operator(tree, "CONV_2D", 1 if is_float else 3, [colour, weights, bias], about)
    operator.outputs = [grey]
    return operator


def _operator(tree: Any, name: str, version: int, inputs: list[int], about: dict[str, Any]) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.OperatorT(
        opcodeIndex=_opcode(tree, name, version),
        inputs=inputs,
        builtinOptionsType=about["type"],
        builtinOptions=about["options"],
    )


def _add_tensor(
    tree: Any, shape: list[int], dtype: str, name: bytes, scale: float | None = None, zero_point: int = 0
) -> int:
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT(shape=shape, type=DTYPES.index(dtype), name=name)
    if scale is not None:
        tensor.quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
    tree.subgraphs[0].tensors.append(tensor)
    return len(tree.subgraphs[0].tensors) - 1


def _constant(tree: Any, values: Any, name: bytes, scale: float | None = None) -> int:
    from ai_edge_litert import schema_py_generated as schema

    index = _add_tensor(tree, list(values.shape), values.dtype.name, name, scale)
    tree.buffers.append(schema.BufferT(data=values.tobytes()))
    tree.subgraphs[0].tensors[index].buffer = len(tree.buffers) - 1
    return index


def _weights(tree: Any) -> Iterable[int]:
    """The tensors that are weights and biases of convolutions and fully connected operators."""
    for operator in tree.subgraphs[0].operators or []:
        code = tree.operatorCodes[operator.opcodeIndex]
        place = WEIGHTED.get(builtin_name(code.deprecatedBuiltinCode, code.builtinCode))
        if place is not None:
            yield from (int(index) for index in operator.inputs[place:] if index >= 0)


def _opcode(tree: Any, name: str, version: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, name)
    for index, code in enumerate(tree.operatorCodes):
        if builtin_name(code.deprecatedBuiltinCode, code.builtinCode) == name and code.version >= version:
            return index
    tree.operatorCodes.append(
        schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version)
    )
    return len(tree.operatorCodes) - 1


def _is_dynamic(tensor: Any) -> bool:
    return tensor.shapeSignature is not None and any(size < 0 for size in tensor.shapeSignature)


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")
