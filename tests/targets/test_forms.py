"""Each edit of the flatbuffer, by what the runtime makes of the file before and behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from cases import CASES, i32
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Step, conv, net
from PIL import Image

from edgebig.artifact import Preprocessing
from edgebig.errors import EdgebigError
from edgebig.flatbuffer import io_contract
from edgebig.targets import forms
from edgebig.targets.operators import operators_of
from edgebig.tflitefile import pack_model, parse_model, unpack_model

GOLDEN = Path(__file__).parent.parent / "golden"
PIXELS = Preprocessing(low=0.0, high=1.0, ink_is_high=True, colour="grey")


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.tflite").read_bytes()


def infer(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """(N, *input shape) -> (N, *output shape), by the reference kernels."""
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    given_index = interpreter.get_input_details()[0]["index"]
    made_index = interpreter.get_output_details()[0]["index"]
    rows = []
    for example in inputs:
        interpreter.set_tensor(given_index, example)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(made_index))
    return np.stack(rows)


def passing_through(side: int) -> bytes:
    """A grey picture of int8, 1/255 a step from -128, that comes out flat and as it is."""
    flat = Step(
        "RESHAPE", (1, side * side), [i32(1, side * side)], schema.ReshapeOptionsT(newShape=[1, side * side])
    )
    model = net([flat], (1, side, side, 1), scale=1 / 255)
    tree = unpack_model(model, "m")
    for tensor in tree.subgraphs[0].tensors:
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            tensor.quantization.zeroPoint = [-128]
    return pack_model(tree, {})


# ---- the batch


def test_a_batch_that_may_change_becomes_one() -> None:
    model = CASES["any number at once"]
    fixed = forms.static_batch(model, "m")
    graph = parse_model(fixed, "m")["subgraphs"][0]
    assert all(-1 not in tensor["shape_signature"] for tensor in graph["tensors"])
    inputs = np.random.default_rng(0).integers(-128, 128, (3, 1, 8, 8, 4)).astype(np.int8)
    assert np.array_equal(infer(model, inputs), infer(fixed, inputs))
    assert forms.static_batch(fixed, "m") is fixed


def test_other_batches_and_sizes_are_refused() -> None:
    with pytest.raises(EdgebigError, match="takes 4 pictures at once"):
        forms.static_batch(CASES["four at once"], "m")
    tree = unpack_model(CASES["conv"], "m")
    tree.subgraphs[0].tensors[0].shapeSignature = [1, -1, -1, 4]
    with pytest.raises(EdgebigError, match=r"'image' has the shape \(1, -1, -1, 4\)"):
        forms.static_batch(pack_model(tree, {}), "m")


# ---- float16 weights


def test_half_weights_are_the_rounded_ones() -> None:
    model = golden("digits-float32")
    half = forms.half_weights(model, "m")
    assert len(half) < 0.7 * len(model)
    assert io_contract(half, "m") == io_contract(model, "m")
    before = {
        t.name: t.values for op in operators_of(model, "m") for t in op.inputs if t is not None and t.constant
    }
    dequantized = [op for op in operators_of(half, "m") if op.name == "DEQUANTIZE"]
    assert dequantized
    for operator in dequantized:
        stored = operator.inputs[0]
        assert stored is not None
        assert stored.dtype == "float16"
        expected = before[operator.outputs[0].name]
        assert expected is not None
        assert np.array_equal(stored.values, expected.astype(np.float16))  # type: ignore[arg-type]
    inputs = np.random.default_rng(0).random((20, 1, 28, 28, 1), np.float32)
    assert np.abs(infer(half, inputs) - infer(model, inputs)).max() < 5e-3


def test_weights_beyond_float16_stay() -> None:
    tree = unpack_model(golden("digits-float32"), "m")
    weights = [
        t for t in tree.subgraphs[0].tensors if tree.buffers[t.buffer].data is not None and len(t.shape) == 4
    ]
    values = np.frombuffer(bytes(tree.buffers[weights[0].buffer].data), np.float32).copy()
    values[0] = 1e6
    tree.buffers[weights[0].buffer].data = values.tobytes()
    half = forms.half_weights(pack_model(tree, {}), "m")
    (convolution,) = (op for op in operators_of(half, "m") if op.name == "CONV_2D")
    kept = convolution.inputs[1]
    assert kept is not None
    assert (kept.dtype, kept.constant) == ("float32", True)


def test_nothing_to_halve_is_told() -> None:
    with pytest.raises(EdgebigError, match="no float32 weights"):
        forms.half_weights(golden("digits-int8"), "m")


# ---- biases


def test_biases_without_scales_give_the_same() -> None:
    model = golden("digits-int8")
    smaller = forms.without_bias_quantization(model, "m")
    assert len(smaller) < len(model)
    inputs = np.random.default_rng(0).integers(-128, 128, (20, 1, 28, 28, 1)).astype(np.int8)
    assert np.array_equal(infer(model, inputs), infer(smaller, inputs))


# ---- colour


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_colour_is_weighed_as_pillow_does(seed: int) -> None:
    image_u8 = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    model = forms.takes_colour(passing_through(8), PIXELS, "m")
    levels = infer(model, image_u8[None, None])[0].astype(int).reshape(8, 8) + 128
    pillows = np.asarray(Image.fromarray(image_u8).convert("L")).astype(int)
    assert np.abs(levels - pillows).max() <= 1
    exact = image_u8 @ np.array([0.299, 0.587, 0.114])
    assert np.abs(levels - exact).max() <= 0.5 + 255 * 0.0003


def test_grey_stays_the_same_level() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    model = forms.takes_colour(passing_through(16), PIXELS, "m")
    contract = io_contract(model, "m")
    assert (contract.inputs[0].dtype, contract.inputs[0].shape) == ("uint8", (1, 16, 16, 3))
    assert (contract.inputs[0].scale, contract.inputs[0].zero_point) == (pytest.approx(1 / 255), 0)
    out = infer(model, np.repeat(levels, 3, axis=-1))
    assert np.array_equal(out.reshape(-1).astype(int) + 128, np.arange(256))


def test_a_float_model_takes_bytes_too() -> None:
    model = golden("digits-float32")
    coloured = forms.takes_colour(model, PIXELS, "m")
    images_u8 = np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28, 1), np.uint8)
    before = infer(model, (images_u8 / np.float32(255)).astype(np.float32))
    assert np.abs(infer(coloured, np.repeat(images_u8, 3, axis=-1)) - before).max() < 1e-5


def test_a_model_of_colour_only_gets_bytes() -> None:
    model = net([conv("CONV_2D", 3, 8, (1, 8, 8, 8), inputs=3)], (1, 8, 8, 3), scale=1 / 255)
    names = [operator.name for operator in operators_of(forms.takes_colour(model, PIXELS, "m"), "m")]
    assert names == ["QUANTIZE", "CONV_2D"]


def test_pixels_around_zero_are_refused() -> None:
    centred: Any = PIXELS.model_copy(update={"low": -1.0})
    with pytest.raises(EdgebigError, match="pixels as -1 to 1"):
        forms.takes_colour(golden("digits-int8"), centred, "m")
