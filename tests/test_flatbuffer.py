"""Held against the real runtime, the converter's own I/O types, and damage of every kind."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import EdgebigError
from edgebig.flatbuffer import TensorContract, _values, float_operators, io_contract, rewrite_io
from edgebig.metadata import attach_metadata, read_metadata
from edgebig.tflitefile import pack_model, unpack_model

GOLDEN = Path(__file__).parent / "golden"
INT8_MODELS = ["conv-int8", "dense-int8", "pixels-int8"]
RESOLVERS = [OpResolverType.BUILTIN_REF, OpResolverType.AUTO]


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.tflite").read_bytes()


def labelled() -> bytes:
    texts = {"name": "pixels", "description": "A colour."}
    return attach_metadata(golden("pixels-int8"), labels=["red", "green", "blue"], mean=0, std=255, **texts)


def infer(
    model: bytes, inputs: np.ndarray, resolver: OpResolverType = OpResolverType.BUILTIN_REF
) -> np.ndarray:
    """(N, *input shape) -> (N, *output shape), one invoke for each."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    given_index, made_index = (
        interpreter.get_input_details()[0]["index"],
        interpreter.get_output_details()[0]["index"],
    )
    outputs = []
    for example in inputs:
        interpreter.set_tensor(given_index, example)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(made_index))
    return np.stack(outputs)


def random_int8(shape: tuple[int, ...], n: int = 40) -> np.ndarray:
    return np.random.default_rng(3).integers(-128, 128, (n, *shape)).astype(np.int8)


def dequantize(q: np.ndarray, tensor: TensorContract) -> np.ndarray:
    assert tensor.scale is not None
    assert tensor.zero_point is not None
    return np.float32(tensor.scale) * (q.astype(np.int32) - tensor.zero_point).astype(np.float32)


def edited(model: bytes, edit: Callable[[Any], None]) -> bytes:
    tree = unpack_model(model, "m")
    edit(tree)
    return pack_model(tree, {})


def flatten_model(scale: float, zero_point: int, dtype: int = schema.TensorType.INT8) -> bytes:
    """One RESHAPE, (2, 3) to (6,), which passes 8-bit numbers through unchanged."""

    def tensor(name: str, shape: list[int]) -> Any:
        quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
        return schema.TensorT(shape=shape, type=dtype, name=name, quantization=quantization)

    shape = schema.TensorT(shape=[1], type=schema.TensorType.INT32, buffer=1, name="shape")
    operator = schema.OperatorT(
        inputs=[0, 1],
        outputs=[2],
        builtinOptionsType=schema.BuiltinOptions.ReshapeOptions,
        builtinOptions=schema.ReshapeOptionsT(newShape=[6]),
    )
    graph = schema.SubGraphT(
        tensors=[tensor("x", [2, 3]), shape, tensor("y", [6])], inputs=[0], outputs=[2], operators=[operator]
    )
    code = schema.OperatorCodeT(deprecatedBuiltinCode=22, builtinCode=22, version=1)
    buffers = [schema.BufferT(), schema.BufferT(data=struct.pack("<i", 6))]
    return pack_model(schema.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=buffers), {})


# ---- the contract


def test_contract_is_what_the_runtime_says() -> None:
    for path in GOLDEN.glob("*.tflite"):
        model = path.read_bytes()
        contract, interpreter = io_contract(model, path.name), Interpreter(model_content=model)
        details = interpreter.get_input_details() + interpreter.get_output_details()
        for tensor, detail in zip((*contract.inputs, *contract.outputs), details, strict=True):
            assert (tensor.name, tensor.shape) == (detail["name"], tuple(detail["shape"]))
            assert tensor.dtype == np.dtype(detail["dtype"]).name
            if tensor.dtype == "float32":
                assert (tensor.scale, tensor.zero_point) == (None, None)
            else:
                assert (tensor.scale, tensor.zero_point) == pytest.approx(detail["quantization"])


def test_float_operators() -> None:
    assert float_operators(golden("dense-float32")) == ["FULLY_CONNECTED"]
    for name in (*INT8_MODELS, "dense-int8-float32-io", "dense-int8-uint8-io"):
        assert float_operators(golden(name)) == []

    def through_float(tree: Any) -> None:
        tree.subgraphs[0].outputs = [tree.subgraphs[0].operators[-1].inputs[0]]

    model = edited(golden("dense-int8-float32-io"), through_float)  # its DEQUANTIZE feeds no output any more
    assert float_operators(model) == ["DEQUANTIZE"]


# ---- the goldens against numpy


def rounded_once(accumulator: np.ndarray, mantissa: int, shift: int) -> np.ndarray:
    return (accumulator * mantissa + (1 << (shift - 1))) >> shift


def rounded_twice(accumulator: np.ndarray, mantissa: int, shift: int) -> np.ndarray:
    """To 31 bits, halves away from zero, then by the rest of the shift (gemmlowp's doubling high product)."""
    product = accumulator * mantissa
    high = np.sign(product) * ((np.abs(product) + (1 << 30) - (product < 0)) >> 31)
    mask = (1 << (shift - 31)) - 1
    return (high >> (shift - 31)) + ((high & mask) > (mask >> 1) + (high < 0))


@pytest.mark.parametrize(("name", "rescaled"), [("dense-int8", rounded_once), ("conv-int8", rounded_twice)])
def test_golden_against_numpy(name: str, rescaled: Callable[[np.ndarray, int, int], np.ndarray]) -> None:
    """The reference kernels, which round FULLY_CONNECTED once and CONV_2D twice."""
    model = golden(name)
    contract, tree = io_contract(model, name), unpack_model(model, name)
    given_tensor, made_tensor = contract.inputs[0], contract.outputs[0]
    graph = tree.subgraphs[0]
    tensors = [graph.tensors[i] for i in graph.operators[0].inputs[1:]]
    weights, bias = (
        np.frombuffer(bytes(tree.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)
        for tensor, dtype in zip(tensors, (np.int8, np.int32), strict=True)
    )
    scales = np.asarray(tensors[0].quantization.scale, np.float64)
    inputs = random_int8(given_tensor.shape, 1000)
    centred = inputs.astype(np.int64) - given_tensor.zero_point
    if name == "conv-int8":
        windows = np.lib.stride_tricks.sliding_window_view(centred[:, 0, :, :, 0], (3, 3), axis=(1, 2))
        accumulator = np.einsum("nijkl,ckl->nijc", windows, weights[..., 0].astype(np.int64)) + bias
    else:
        accumulator = centred[:, 0] @ weights.T.astype(np.int64) + bias
    assert given_tensor.scale is not None
    assert made_tensor.scale is not None
    multipliers = np.frexp(given_tensor.scale * scales / made_tensor.scale)
    product = [
        rescaled(accumulator[..., channel], round(float(mantissa) * (1 << 31)), 31 - int(exponent))
        for channel, (mantissa, exponent) in enumerate(zip(*multipliers, strict=True))
    ]
    # -128, the lowest number, is the zero point of the convolution's ReLU too.
    expected = np.clip(np.stack(product, axis=-1) + made_tensor.zero_point, -128, 127)
    np.testing.assert_array_equal(infer(model, inputs).reshape(expected.shape), expected)


# ---- other I/O types


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("name", INT8_MODELS)
def test_rewritten_models_compute_the_same(name: str, resolver: OpResolverType) -> None:
    model = golden(name)
    contract = io_contract(model, name)
    inputs = random_int8(contract.inputs[0].shape)
    expected = infer(model, inputs, resolver)
    as_uint8 = rewrite_io(model, "uint8", name)
    shifted = (inputs.astype(np.int16) + 128).astype(np.uint8)
    np.testing.assert_array_equal(infer(as_uint8, shifted, resolver), expected.astype(np.int16) + 128)
    as_float = rewrite_io(model, "float32", name)
    reals = infer(as_float, dequantize(inputs, contract.inputs[0]), resolver)
    np.testing.assert_array_equal(reals, dequantize(expected, contract.outputs[0]))
    for other in (as_uint8, as_float):
        again = rewrite_io(other, "int8", name)
        np.testing.assert_array_equal(infer(again, inputs, resolver), expected)
        assert io_contract(again, name) == contract


@pytest.mark.parametrize("name", INT8_MODELS)
def test_there_and_back_leaves_nothing_behind(name: str) -> None:
    model = golden(name)
    for path in (["uint8"], ["float32"], ["uint8", "float32"], ["float32", "uint8", "float32"]):
        changed = model
        for dtype in path:
            changed = rewrite_io(changed, dtype, name)
        assert rewrite_io(changed, "int8", name) == edited(model, lambda tree: None)
    assert rewrite_io(model, "int8", name) is model


def test_the_edges_are_those_of_the_converter() -> None:
    inputs = random_int8((1, 4))
    for dtype in ("uint8", "float32"):
        ours, theirs = rewrite_io(golden("dense-int8"), dtype, "m"), golden(f"dense-int8-{dtype}-io")
        ours_contract, theirs_contract = io_contract(ours, "ours"), io_contract(theirs, "theirs")
        for a, b in zip(
            (*ours_contract.inputs, *ours_contract.outputs),
            (*theirs_contract.inputs, *theirs_contract.outputs),
            strict=True,
        ):
            assert (a.dtype, a.shape, a.scale, a.zero_point) == (b.dtype, b.shape, b.scale, b.zero_point)
        codes = [
            [(code.builtinCode, code.deprecatedBuiltinCode, code.version) for code in tree.operatorCodes]
            for tree in (unpack_model(ours, "ours"), unpack_model(theirs, "theirs"))
        ]
        assert sorted(codes[0]) == sorted(codes[1])
        np.testing.assert_array_equal(
            infer(rewrite_io(theirs, "int8", "m"), inputs), infer(golden("dense-int8"), inputs)
        )


@given(st.floats(2.0**-20, 2.0**10, width=32), st.integers(-128, 127), st.sampled_from(["int8", "uint8"]))
@settings(max_examples=40, deadline=None)
def test_any_scale_and_zero_point(scale: float, zero_point: int, inner: str) -> None:
    middle = {"int8": 0, "uint8": 128}
    number_types = {"int8": schema.TensorType.INT8, "uint8": schema.TensorType.UINT8}
    model = flatten_model(scale, zero_point + middle[inner], number_types[inner])
    for dtype in ("int8", "uint8"):
        rewritten = rewrite_io(model, dtype, "m")
        tensor = io_contract(rewritten, "m").inputs[0]
        assert (tensor.name, tensor.scale, tensor.zero_point) == ("x", scale, zero_point + middle[dtype])
        everything = (np.arange(-128, 128, dtype=np.int16) + middle[dtype]).astype(dtype)
        inputs = np.resize(everything, (43, 2, 3))
        np.testing.assert_array_equal(infer(rewritten, inputs), inputs.reshape(43, 6))
    as_float = rewrite_io(model, "float32", "m")
    reals = np.float32(scale) * np.resize(np.arange(-128, 128, dtype=np.float32) - zero_point, (43, 2, 3))
    np.testing.assert_array_equal(infer(as_float, reals), reals.reshape(43, 6))
    between = reals + np.float32(scale) * np.float32(0.3)
    np.testing.assert_array_equal(infer(as_float, between), reals.reshape(43, 6))
    beyond = np.full((1, 2, 3), 600 * scale, np.float32)
    assert infer(as_float, beyond).max() == np.float32(scale) * np.float32(127 - zero_point)


def test_names_signatures_and_the_rest_survive() -> None:
    model = labelled()
    before = unpack_model(model, "m")
    for dtype in ("uint8", "float32"):
        rewritten = rewrite_io(model, dtype, "m")
        after = unpack_model(rewritten, "m")
        names = [
            tensor.name for tensor in io_contract(rewritten, "m").inputs + io_contract(rewritten, "m").outputs
        ]
        assert names == [
            tensor.name for tensor in io_contract(model, "m").inputs + io_contract(model, "m").outputs
        ]
        all_names = [tensor.name for tensor in after.subgraphs[0].tensors]
        assert len(set(all_names)) == len(all_names)
        assert [entry.name for entry in after.metadata] == [entry.name for entry in before.metadata]
        for a, b in zip(after.buffers, before.buffers, strict=True):
            assert bytes(a.data if a.data is not None else b"") == bytes(
                b.data if b.data is not None else b""
            )
        assert read_metadata(rewritten) == read_metadata(model)
        interpreter = Interpreter(model_content=rewritten)
        assert interpreter.get_signature_list() == Interpreter(model_content=model).get_signature_list()
        runner = interpreter.get_signature_runner()
        (key,) = runner.get_input_details()
        assert runner.get_input_details()[key]["dtype"] == np.dtype(dtype)
        (output,) = runner(**{key: np.zeros((1, 4, 4, 3), dtype)}).values()
        assert output.dtype == np.dtype(dtype)


def test_buffers_are_aligned_to_16_bytes() -> None:
    rewritten = rewrite_io(golden("conv-int8"), "uint8", "m")
    model = schema.Model.GetRootAs(rewritten, 0)
    starts = []
    for i in range(model.BuffersLength()):
        table = model.Buffers(i)._tab
        if offset := table.Offset(4):
            starts.append(table.Vector(offset))
    assert len(starts) >= 3
    assert all(start % 16 == 0 for start in starts)


def test_an_edge_that_really_rescales_is_kept() -> None:
    def other_scale(tree: Any) -> None:
        graph = tree.subgraphs[0]
        graph.tensors[graph.inputs[0]].quantization.scale = [0.01]

    model = edited(golden("dense-int8-uint8-io"), other_scale)
    rewritten = rewrite_io(model, "int8", "m")
    tensor = io_contract(rewritten, "m").inputs[0]
    assert (tensor.scale, tensor.zero_point) == (pytest.approx(0.01), -128)
    inputs = random_int8((1, 4))
    expected = infer(model, (inputs.astype(np.int16) + 128).astype(np.uint8)).astype(np.int16) - 128
    np.testing.assert_array_equal(infer(rewritten, inputs), expected)


def test_one_tensor_in_and_out_and_twice_out() -> None:
    def twice(tree: Any) -> None:
        graph = tree.subgraphs[0]
        graph.outputs = [graph.outputs[0], graph.inputs[0], graph.outputs[0]]

    rewritten = rewrite_io(edited(flatten_model(0.5, 3), twice), "float32", "m")
    interpreter = Interpreter(model_content=rewritten)
    interpreter.allocate_tensors()
    reals = np.arange(6, dtype=np.float32).reshape(2, 3) / 2
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], reals)
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        np.testing.assert_array_equal(interpreter.get_tensor(detail["index"]).ravel(), reals.ravel())


@pytest.mark.tf
def test_a_model_made_by_qat() -> None:
    from edgebig.keras import keras, load_tfmot, tf

    tfmot = load_tfmot()
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    model = tfmot.quantization.keras.quantize_model(keras.Model(image, x))
    model.compile("adam", "mse")
    images = np.random.default_rng(5).random((64, 12, 12, 1), dtype=np.float32)
    model.fit(images, images[:, 0, :10, 0], epochs=1, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    as_float = bytes(converter.convert())
    assert [tensor.dtype for tensor in io_contract(as_float, "qat").inputs] == ["float32"]
    assert float_operators(as_float) == []
    as_int8 = rewrite_io(as_float, "int8", "qat")
    contract = io_contract(as_int8, "qat")
    inputs = random_int8((1, 12, 12, 1), 64)
    for resolver in RESOLVERS:
        outputs = infer(as_int8, inputs, resolver)
        assert len(np.unique(outputs)) > 10
        reals = infer(as_float, dequantize(inputs, contract.inputs[0]), resolver)
        np.testing.assert_array_equal(reals, dequantize(outputs, contract.outputs[0]))
        as_uint8 = rewrite_io(as_float, "uint8", "qat")
        shifted = (inputs.astype(np.int16) + 128).astype(np.uint8)
        np.testing.assert_array_equal(infer(as_uint8, shifted, resolver), outputs.astype(np.int16) + 128)


# ---- what is refused


def refuse(call: Callable[[], object], problem: str, hint: str = "") -> None:
    with pytest.raises(EdgebigError, match=problem) as caught:
        call()
    assert str(caught.value).startswith("m: ")
    assert hint in caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"TFL3", "is not a .tflite"),
        (b"PK\x03\x04" + bytes(100), "is a zip"),
        (bytes(1000), "is not a .tflite"),
        (b"\x1c\0\0\0M001" + bytes(100), "is not a .tflite"),
        (b"\x1c\0\0\0TFL3", "cut short or damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "cut short or damaged"),
        (b"\x00\0\0\0TFL3" + bytes(100), "cut short or damaged"),
    ],
)
def test_not_a_model(content: bytes, problem: str) -> None:
    refuse(lambda: io_contract(content, "m"), problem, "the right file")


def test_float_models_are_refused_with_the_mend() -> None:
    model = golden("dense-float32")
    assert rewrite_io(model, "float32", "m") is model
    for dtype in ("int8", "uint8"):
        refuse(lambda dtype=dtype: rewrite_io(model, dtype, "m"), "float32 inside", "edgebig compress --int8")
    refuse(lambda: rewrite_io(model, "int4", "m"), "no I/O type 'int4'", "int8, uint8 or float32")
    refuse(lambda: rewrite_io(flatten_model(1, 0, schema.TensorType.INT16), "int8", "m"), "int16 inside")


def test_odd_models_are_refused() -> None:
    def offline_plan(tree: Any) -> None:
        tree.metadata.append(schema.MetadataT(name="OfflineMemoryAllocation", buffer=0))

    def two_subgraphs(tree: Any) -> None:
        tree.subgraphs = tree.subgraphs * 2

    def no_subgraph(tree: Any) -> None:
        tree.subgraphs = []

    def no_input(tree: Any) -> None:
        tree.subgraphs[0].inputs = []

    def per_channel(tree: Any) -> None:
        graph = tree.subgraphs[0]
        graph.tensors[graph.inputs[0]].quantization.scale = [1.0, 2.0]

    def bad_scale(tree: Any) -> None:
        graph = tree.subgraphs[0]
        graph.tensors[graph.inputs[0]].quantization.scale = [float("nan")]

    def huge(tree: Any) -> None:
        graph = tree.subgraphs[0]
        graph.tensors[graph.inputs[0]].shape = [1 << 30, 1 << 30]

    model = golden("dense-int8")
    refuse(lambda: rewrite_io(edited(model, offline_plan), "uint8", "m"), "memory plan")
    refuse(lambda: io_contract(edited(model, two_subgraphs), "m"), "2 subgraphs", "control flow")
    refuse(lambda: io_contract(edited(model, no_subgraph), "m"), "0 subgraphs|no subgraph")
    refuse(lambda: io_contract(edited(model, no_input), "m"), "no inputs")
    refuse(lambda: io_contract(edited(model, per_channel), "m"), "per channel")
    refuse(lambda: io_contract(edited(model, bad_scale), "m"), "scale nan")
    refuse(lambda: io_contract(edited(model, huge), "m"), "cannot be")


def test_a_small_file_does_not_unfold_into_a_huge_one() -> None:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    data = builder.CreateByteVector(bytes(20_000))
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    buffer = builder.EndObject()
    builder.StartVector(4, 50_000, 4)
    for _ in range(50_000):  # a gigabyte, were it read
        builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    builder.StartObject(8)
    builder.PrependUint32Slot(0, 3, 0)
    builder.PrependUOffsetTRelativeSlot(4, buffers, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    refuse(lambda: io_contract(bytes(builder.Output()), "m"), "overlap")


def survives(model: bytes, dtypes: tuple[str, ...] = ("int8", "uint8", "float32")) -> None:
    """Every function either works on `model` or raises EdgebigError."""
    calls: list[Callable[[], object]] = [
        lambda: io_contract(model, "m"),
        lambda: float_operators(model, "m"),
        lambda: read_metadata(model, "m"),
        *(lambda dtype=dtype: rewrite_io(model, dtype, "m") for dtype in dtypes),
    ]
    for call in calls:
        try:
            call()
        except EdgebigError as error:
            assert error.problem.startswith("m: ")  # noqa: PT017, to work is fine as well


def test_cut_short_at_every_length() -> None:
    for model in (golden("conv-int8"), labelled()):
        for length in range(len(model)):
            with pytest.raises(EdgebigError):
                read_metadata(model[:length], "m")
    for length in range(len(golden("conv-int8"))):  # cut off before the zip a labelled model is still whole
        with pytest.raises(EdgebigError):
            io_contract(golden("conv-int8")[:length], "m")


WHOLE = [*(golden(name) for name in (*INT8_MODELS, "dense-int8-float32-io")), labelled()]


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4))
@settings(max_examples=200, deadline=2000)
def test_flipped_bytes(model: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(model)
    for at, value in flips:
        damaged[at % len(damaged)] = value
    survives(bytes(damaged))


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=2000)
def test_random_bytes_behind_the_identifier(tail: bytes) -> None:
    survives(b"\x10\0\0\0TFL3" + tail)


@pytest.mark.parametrize(
    "word", [0x7FFFFFFF, *(pytest.param(w, marks=pytest.mark.slow) for w in (0, 1, 0x80000000, 0xFFFFFFF0))]
)
def test_every_word_overwritten(word: int) -> None:
    model = golden("dense-int8-float32-io")
    for at in range(0, len(model) - 3, 4):
        survives(model[:at] + struct.pack("<I", word) + model[at + 4 :], dtypes=("int8",))


def test_int4_weights_are_two_in_a_byte_the_first_one_low() -> None:
    numbers = np.arange(-8, 8, dtype=np.int8)
    packed = ((numbers[0::2] & 15) | (numbers[1::2] << 4)).astype(np.int8).tobytes()
    values = _values(packed, "int4")
    assert values is not None
    assert values.tolist() == numbers.tolist()
