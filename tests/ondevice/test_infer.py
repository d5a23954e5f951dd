"""The one code that runs models: what goes in, what comes out, who ran it, and files that are no models."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig import tflitefile
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.recipe import Data

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
RUNTIME = "ai-edge-litert"
DIGITS = {"low": 0.0, "high": 1.0, "ink_is_high": True}

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

QUICK = settings(max_examples=15, deadline=None)  # machines stall for seconds now and then
# As float32, since a .tflite holds scales so; down to where 256 levels still spread over all of int8.
scales = st.floats(2**-12, 4.0, width=32)
ranges = st.tuples(st.floats(-256, 256, width=32), st.floats(-256, 256, width=32)).filter(
    lambda low_high: low_high[0] < low_high[1]
)


def golden(name: str, delegate: str = "xnnpack") -> infer.Model:
    return infer.Model(str(GOLDEN / f"{name}.tflite"), RUNTIME, delegate, 1)


def digits(n: int) -> Examples:
    return source.load(Data(source="digits-5k")).test[:n]


def quantize_only(path: Path, scale: float, zero_point: int, dtype: str, count: int = 256) -> Path:
    """A .tflite of one QUANTIZE from float32 (1, count), made of a golden that begins with one."""
    tree = tflitefile.unpack_model((GOLDEN / "dense-int8-float32-io.tflite").read_bytes(), "golden")
    graph = tree.subgraphs[0]
    graph.operators, graph.outputs, tree.signatureDefs = graph.operators[:1], graph.operators[0].outputs, []
    source_tensor, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    source_tensor.shape = target.shape = np.array([1, count], np.int32)
    target.type = tflitefile.DTYPES.index(dtype)
    target.quantization.scale = np.array([scale], np.float32)
    target.quantization.zeroPoint = np.array([zero_point], np.int64)
    path.write_bytes(tflitefile.pack_model(tree, {}))
    return path


def table(
    dtype: str, scale: float, zero_point: int, low: float, high: float, ink_is_high: bool = True
) -> Any:
    tensor = infer.Tensor("x", dtype, (1, 256), scale, zero_point)
    return infer.input_table(tensor, {"low": low, "high": high, "ink_is_high": ink_is_high})


def zero_points(dtype: str) -> st.SearchStrategy[int]:
    return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


@QUICK
@given(scale=scales, low_high=ranges, ink_is_high=st.booleans(), data=st.data())
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_level_becomes_the_nearest_step(
    dtype: str, scale: float, low_high: tuple[float, float], ink_is_high: bool, data: st.DataObject
) -> None:
    zero_point = data.draw(zero_points(dtype))
    low, high = low_high
    limits = np.iinfo(dtype)
    found = table(dtype, scale, zero_point, low, high, ink_is_high)
    assert found.dtype == dtype
    assert found.shape == (256,)
    for level in range(0, 256, 3):  # 0 and 255 among them
        ink = level if ink_is_high else 255 - level
        exact = Fraction(low) + (Fraction(high) - Fraction(low)) * ink / 255
        steps = exact / Fraction(scale) + zero_point
        # float32 has 24 bits: once for the real value, once for the division.
        slack = Fraction(max(abs(low), abs(high))) / Fraction(scale) / 2**22
        clipped = min(max(steps, Fraction(int(limits.min))), Fraction(int(limits.max)))
        assert abs(int(found[level]) - clipped) <= Fraction(1, 2) + slack


@QUICK
@given(low_high=ranges, ink_is_high=st.booleans())
def test_a_float_input_gets_the_real_value(low_high: tuple[float, float], ink_is_high: bool) -> None:
    low, high = low_high
    found = table("float32", 0.0, 0, low, high, ink_is_high)
    level = np.arange(256) if ink_is_high else np.arange(255, -1, -1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (low + (high - low) * level / 255).astype(np.float32))


def test_training_and_device_see_the_same_floats() -> None:
    np.testing.assert_array_equal(
        table("float32", 0.0, 0, 0.0, 1.0), np.arange(256, dtype=np.float32) / np.float32(255)
    )


@QUICK
@given(scale=scales, low_high=ranges, data=st.data())
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_the_table_is_what_a_quantize_operator_gives(
    dtype: str,
    scale: float,
    low_high: tuple[float, float],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    zero_point = data.draw(zero_points(dtype))
    path = quantize_only(
        tmp_path_factory.getbasetemp() / f"quantize-{dtype}.tflite", scale, zero_point, dtype
    )
    model = infer.Model(str(path), RUNTIME, "reference", 1)
    model.set_input(table("float32", 0.0, 0, *low_high))
    model.invoke()
    np.testing.assert_array_equal(model.get_output(), table(dtype, scale, zero_point, *low_high))


def test_halves_go_away_from_zero_as_in_the_reference_kernels(tmp_path: Path) -> None:
    # Steps of 2: every odd level lies half-way.
    found = table("int8", 2.0, 0, -128.0, 127.0)
    assert list(found[125:132]) == [-2, -1, -1, 0, 1, 1, 2]
    path = quantize_only(tmp_path / "quantize.tflite", 2.0, 0, "int8")
    reference, xnnpack = (infer.Model(str(path), RUNTIME, name, 1) for name in ("reference", "xnnpack"))
    for model in (reference, xnnpack):
        model.set_input(table("float32", 0.0, 0, -128.0, 127.0))
        model.invoke()
    np.testing.assert_array_equal(reference.get_output(), found)
    difference = np.abs(xnnpack.get_output().astype(int) - found)
    assert 0 < difference.sum() <= 64  # it takes halves to even: known, and why the docstring says so
    assert difference.max() == 1


def test_whole_numbers_without_a_scale_take_only_what_fits() -> None:
    np.testing.assert_array_equal(table("uint8", 0.0, 0, 0.0, 255.0), np.arange(256, dtype=np.uint8))
    with pytest.raises(Fault, match="without a scale"):
        table("uint8", 0.0, 0, 0.0, 1.0)
    with pytest.raises(Fault, match="without a scale"):
        table("int8", 0.0, 0, 0.0, 255.0)


@QUICK
@given(scale=scales, data=st.data())
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_dequantize(dtype: str, scale: float, data: st.DataObject) -> None:
    zero_point = data.draw(zero_points(dtype))
    limits = np.iinfo(dtype)
    raw = np.arange(limits.min, limits.max + 1).astype(dtype)
    found = infer.dequantize(raw, infer.Tensor("y", dtype, (1, 256), scale, zero_point))
    assert found.dtype == np.float32
    exact = [float(Fraction(scale) * (int(value) - zero_point)) for value in raw]
    np.testing.assert_allclose(found, exact, rtol=2**-23, atol=0)


def test_float_outputs_pass_as_they_are() -> None:
    raw = np.array([[0.25, -3.5]], np.float32)
    np.testing.assert_array_equal(infer.dequantize(raw, infer.Tensor("y", "float32", (1, 2), 0.0, 0)), raw)


DELEGATED: list[tuple[str, str, tuple[str, int, int, int, list[str]]]] = [
    ("digits-float32", "xnnpack", ("xnnpack", 4, 4, 1, [])),
    ("digits-int8", "xnnpack", ("xnnpack", 3, 4, 1, ["SOFTMAX"])),
    ("dense-int8-uint8-io", "xnnpack", ("xnnpack", 1, 3, 1, ["QUANTIZE"])),
    ("digits-int8", "none", ("none", 0, 4, 0, ["CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"])),
    ("digits-int8", "reference", ("none", 0, 4, 0, ["CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"])),
]


@pytest.mark.parametrize(("name", "delegate", "expected"), DELEGATED)
def test_what_the_delegate_took_is_read_from_the_plan(name: str, delegate: str, expected: Any) -> None:
    assert golden(name, delegate).delegated() == infer.Delegated(*expected)


def test_a_delegate_that_takes_nothing_is_none(tmp_path: Path) -> None:
    tree = tflitefile.unpack_model((GOLDEN / "pixels-int8.tflite").read_bytes(), "golden")
    graph = tree.subgraphs[0]
    graph.operators = graph.operators[1:]  # the int8 SOFTMAX alone, which XNNPACK does not know
    graph.inputs, tree.signatureDefs = graph.operators[0].inputs, []
    path = tmp_path / "softmax.tflite"
    path.write_bytes(tflitefile.pack_model(tree, {}))
    model = infer.Model(str(path), RUNTIME, "xnnpack", 1)
    assert model.delegated() == infer.Delegated("none", 0, 1, 0, ["SOFTMAX"])


@pytest.mark.parametrize("name", ["digits-float32", "digits-int8"])
def test_delegates_agree_on_real_digits(name: str) -> None:
    examples = digits(100)
    raw = {
        delegate: infer.classify(golden(name, delegate), examples.images, DIGITS)
        for delegate in infer.DELEGATES
    }
    right = np.argmax(raw["reference"], axis=1) == examples.labels
    assert right.mean() > 0.8  # it reads digits, so agreement means something
    tolerance = 4 if name.endswith("int8") else 1e-5
    for delegate in ("xnnpack", "none"):
        difference = raw[delegate].astype(np.float64) - raw["reference"]
        assert np.abs(difference).max() <= tolerance


def test_reference_kernels_repeat_bit_for_bit() -> None:
    images = digits(20).images
    first, again = (infer.classify(golden("digits-int8", "reference"), images, DIGITS) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_classify_gives_a_row_a_picture() -> None:
    model = golden("digits-int8")
    images = np.zeros((1001, 28, 28, 1), np.uint8)
    raw = infer.classify(model, images, DIGITS)
    assert raw.shape == (1001, 10)
    assert raw.dtype == np.int8
    assert infer.classify(model, images[:0], DIGITS).shape == (0, 10)


@pytest.mark.parametrize("shape", [(2, 27, 28, 1), (2, 28, 28, 3), (2, 28, 28), (28, 28, 1)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Fault, match="the model takes") as caught:
        infer.classify(golden("digits-int8"), np.zeros(shape, np.uint8), DIGITS)
    assert caught.value.code == "shape"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(Fault, match="no runtime 'onnx'"):
        infer.load_runtime("onnx")
    with pytest.raises(Fault, match="no delegate 'gpu'"):
        golden("digits-int8", "gpu")


def test_a_missing_runtime_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tflite_runtime", None)
    with pytest.raises(Fault) as caught:
        infer.load_runtime("tflite-runtime")
    assert caught.value.code == "no-runtime"
    assert caught.value.hint == "pip install tflite-runtime"


def test_a_runtime_for_another_numpy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").touch()
    # As tflite-runtime 2.14.0 dies beside numpy 2.
    text = 'raise SystemError("initialization of _pywrap raised unreported exception")\n'
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Fault, match="does not load beside numpy") as caught:
        infer.load_runtime("tflite-runtime")
    assert "numpy<2" in caught.value.hint


def test_two_inputs_or_a_text_are_refused(tmp_path: Path) -> None:
    tree = tflitefile.unpack_model((GOLDEN / "digits-float32.tflite").read_bytes(), "golden")
    graph = tree.subgraphs[0]
    path = tmp_path / "odd.tflite"
    graph.outputs = np.array([graph.outputs[0], graph.operators[0].outputs[0]], np.int32)
    tree.signatureDefs = []
    path.write_bytes(tflitefile.pack_model(tree, {}))
    with pytest.raises(Fault, match="2 outputs, not one"):
        infer.Model(str(path), RUNTIME, "none", 1)
    path.write_bytes(tflitefile.pack_model(quantized_from_int64(), {}))
    with pytest.raises(Fault, match="its input is int64"):
        infer.Model(str(path), RUNTIME, "none", 1)


def quantized_from_int64() -> Any:
    """A graph whose output is its int64 input: nothing to run, all to refuse."""
    tree = tflitefile.unpack_model((GOLDEN / "dense-float32.tflite").read_bytes(), "golden")
    graph = tree.subgraphs[0]
    graph.operators, graph.outputs, tree.signatureDefs = [], graph.inputs, []
    graph.tensors[graph.inputs[0]].type = tflitefile.DTYPES.index("int64")
    return tree


def test_a_model_that_loads_and_does_not_run_is_a_fault() -> None:
    model = golden("digits-int8")

    def fail() -> None:
        raise RuntimeError("Node number 3 (SOFTMAX) failed to invoke.\nand more")

    model.invoke = fail
    with pytest.raises(Fault, match=r"does not run: Node number 3 \(SOFTMAX\) failed to invoke\.$"):
        infer.classify(model, digits(1).images, DIGITS)


def damaged_files() -> list[tuple[str, bytes]]:
    """Those that can be tried in this process: the verifier of the runtime refuses them before it reads on."""
    whole = (GOLDEN / "digits-int8.tflite").read_bytes()
    noise = random.Random(0).randbytes(4000)
    cuts = [(f"cut at {size}", whole[:size]) for size in (1, 7, 8, 100, 2000, len(whole) - 600)]
    return [("empty", b""), ("noise", noise), ("noise that says TFL3", whole[:8] + noise), *cuts]


@pytest.mark.parametrize(("what", "data"), damaged_files(), ids=[what for what, _ in damaged_files()])
def test_a_damaged_file_is_a_fault(what: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(data)
    with pytest.raises(Fault, match=r"damaged.tflite: the runtime refuses it") as caught:
        infer.Model(str(path), RUNTIME, "xnnpack", 1)
    assert caught.value.code == "bad-model"
