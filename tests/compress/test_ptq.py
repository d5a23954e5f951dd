"""Quantization after training: every dtype from both kinds of model, what the file holds, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, flatbuffer, recipe, tflitefile
from edgebig.artifact import PassRecord
from edgebig.check import tflite
from edgebig.errors import EdgebigError
from edgebig.recipe import Compress, Ptq, Recipe

pytestmark = pytest.mark.tf
PIXELS = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}
DTYPES = ("int8", "int16x8", "float16", "dynamic", "weights-int8", "weights-int4")
RANGES = ("min-max", "moving-average", "percentile", "mse")


@pytest.fixture(scope="module")
def float_tflite(trained: Any) -> bytes:
    data: bytes = (trained.run.folder / "float32.tflite").read_bytes()
    return data


@pytest.fixture(scope="module")
def model(trained: Any) -> Any:
    from edgebig import train

    return train.load_model(trained.run)


def quantized(trained: Any, source: Any, **settings: Any) -> tuple[bytes, dict[str, Any]]:
    """`source`: a Keras model or the bytes of a .tflite."""
    from edgebig.compress import ptq
    from edgebig.compress.context import Context

    context = Context(trained.splits, trained.spec, ("ptq",), 0)
    keras, data = (None, source) if isinstance(source, bytes) else (source, None)
    made, record = ptq.ptq(context, keras, Ptq(calibration=40, **settings), data)
    return made, record.model_dump()


def same_label(trained: Any, first: bytes, second: bytes) -> int:
    validation = trained.splits.validation
    of_both = (tflite.labels(model, validation, PIXELS) for model in (first, second))
    return tflite.agreement(*of_both, validation.labels).same_label


def tensors(model: bytes) -> dict[str, dict[str, Any]]:
    graph = tflitefile.parse_model(model, "model")["subgraphs"][0]
    return {tensor["name"]: tensor for tensor in graph["tensors"]}


def scales(model: bytes) -> dict[str, tuple[float, int]]:
    """Scale and zero point of each 8-bit activation."""
    found = {}
    for name, tensor in tensors(model).items():
        quantization = tensor["quantization"] or {}
        # One that an operator wrote has no data of its own.
        if tflitefile.DTYPES[tensor["type"]] == "int8" and len(quantization.get("scale", ())) == 1:
            found[name] = (quantization["scale"][0], quantization["zero_point"][0])
    return found


def raw_outputs(model: bytes, images: Any) -> Any:
    """By the reference kernels, as real values."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        real = (image[None] / 255).astype(np.float32)
        if entry["quantization"][0]:
            scale, zero = entry["quantization"]
            limits = np.iinfo(entry["dtype"])
            real = np.clip(np.round(real / scale) + zero, limits.min, limits.max).astype(entry["dtype"])
        interpreter.set_tensor(entry["index"], real)
        interpreter.invoke()
        row = interpreter.get_tensor(end["index"])[0]
        scale, zero = end["quantization"]
        rows.append((row.astype(np.float64) - zero) * scale if scale else row.astype(np.float64))
    return np.array(rows)


# What the largest difference of a probability may be on the small net; measured about half of it.
LARGEST = {
    "int8": 0.25, "int16x8": 0.05, "float16": 0.005, "dynamic": 0.15, "weights-int8": 0.05, "weights-int4": 0.9,
}  # fmt: skip
OUTSIDE = {"int8": "int8", "int16x8": "int16"}
WEIGHTS = {
    "int8": {"int8"}, "int16x8": {"int8"}, "float16": {"float16"}, "weights-int8": {"int8"},
    "weights-int4": {"int4", "int8"},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["keras", "tflite"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_from_both_kinds_of_model(
    trained: Any, model: Any, float_tflite: bytes, kind: str, dtype: str
) -> None:
    source = model if kind == "keras" else float_tflite
    data, record = quantized(trained, source, dtype=dtype)
    by_converter = kind == "keras" and not dtype.startswith("weights")
    assert record["by"].startswith("TensorFlow's converter" if by_converter else "litert-quantizer 0.11")
    contract = flatbuffer.io_contract(data, "it")
    edges = (contract.inputs[0], contract.outputs[0])
    assert [edge.name for edge in edges] == ["image", "probabilities"]
    assert {edge.dtype for edge in edges} == {OUTSIDE.get(dtype, "float32")}
    assert (flatbuffer.float_operators(data) == []) == (dtype in OUTSIDE)
    total = sum(record["weights"].values())
    assert total == sum(np.prod(shape) for shape in SHAPES)
    if dtype == "dynamic":  # the converter leaves layers of less than 1,024 weights as they are
        assert set(record["weights"]) == ({"float32"} if by_converter else {"int8"})
    else:
        assert set(record["weights"]) == WEIGHTS[dtype]
    few = trained.splits.validation.images[:40]
    difference = np.abs(raw_outputs(data, few) - raw_outputs(float_tflite, few))
    assert difference.max() <= LARGEST[dtype]
    assert same_label(trained, float_tflite, data) >= (75 if dtype == "weights-int4" else 90)
    assert ("calibration" in record) == (dtype in OUTSIDE)


SHAPES = ((2, 5, 5, 1), (2, 3, 3, 2), (4, 3, 3, 2), (4, 3, 3, 4), (1, 7, 7, 4), (10, 4))


def test_float16_is_taken_whole_by_xnnpack(trained: Any, model: Any, tmp_path: Any) -> None:
    from edgebig.ondevice import infer

    path = tmp_path / "float16.tflite"
    path.write_bytes(quantized(trained, model, dtype="float16")[0])
    taken = infer.Model(str(path), "ai-edge-litert", "xnnpack", 1).delegated()
    assert (taken.delegate, taken.partitions, taken.left) == ("xnnpack", 1, [])
    assert taken.nodes == taken.of > 10


def plain_net() -> Any:
    """Convolutions, pooling and a dense layer, as sure of itself as a trained one."""
    from edgebig.keras import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 5, strides=2, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.layers[-1].set_weights([40 * weight for weight in net.layers[-1].get_weights()])
    return net


@pytest.mark.parametrize("dtype", ["int8", "int16x8"])
def test_the_converter_and_the_library_make_the_same(trained: Any, dtype: str) -> None:
    from edgebig import convert

    net = plain_net()
    by_converter, record = quantized(trained, net, dtype=dtype)
    assert record["by"] == "TensorFlow's converter"
    by_library, record = quantized(trained, convert.to_tflite(net, int8=False), dtype=dtype)
    assert record["by"].startswith("litert-quantizer")
    first, second = scales(by_converter), scales(by_library)
    assert set(first) == set(second)
    assert len(first) == (8 if dtype == "int8" else 0)
    for name, (scale, zero) in first.items():
        assert second[name][0] == pytest.approx(scale, rel=1e-4)
        assert abs(second[name][1] - zero) <= 1
    ours, theirs = (flatbuffer.weights(data) for data in (by_converter, by_library))
    assert set(ours) == set(theirs)
    assert len(ours) == 4
    for name in ours:
        assert np.abs(ours[name].astype(int) - theirs[name].astype(int)).max() <= 1
    images = trained.splits.validation.images
    outputs = [raw_outputs(data, images) for data in (by_converter, by_library)]
    assert np.ptp(outputs[0], axis=0).max() > 0.3
    steps = np.abs(outputs[0] - outputs[1]) * 256
    assert steps.max() <= 4
    assert np.sqrt(np.mean(steps**2)) <= 0.5


def test_the_converter_widens_what_goes_into_an_add(trained: Any, model: Any, float_tflite: bytes) -> None:
    """It gives a relu before an ADD the range of the sum, the library its own: known, and told in the docs."""
    by_converter, by_library = (scales(quantized(trained, source)[0]) for source in (model, float_tflite))
    widened = added_to(float_tflite)
    assert set(by_converter) == set(by_library)
    assert len(widened) == 2
    for name, (scale, _) in by_converter.items():
        if name in widened:
            assert scale == by_converter[widened[name]][0]
            assert by_library[name][0] <= scale
        else:
            assert by_library[name][0] == pytest.approx(scale, rel=1e-4)


def added_to(model: bytes) -> dict[str, str]:
    """What a convolution gives to an ADD -> what the ADD gives."""
    parsed = tflitefile.parse_model(model, "model")
    graph = parsed["subgraphs"][0]
    kinds = [
        tflitefile.builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        for code in parsed["operator_codes"]
    ]
    names = [tensor["name"] for tensor in graph["tensors"]]
    found = {}
    for operator in graph["operators"]:
        if kinds[operator["opcode_index"]] == "ADD":
            # The other one is also what the block began with.
            found[names[max(operator["inputs"], key=lambda i: order_of(graph, i))]] = names[
                operator["outputs"][0]
            ]
    return found


def order_of(graph: Any, tensor: int) -> int:
    return next(place for place, operator in enumerate(graph["operators"]) if tensor in operator["outputs"])


@pytest.mark.parametrize("method", RANGES)
def test_the_scales_in_the_file_are_the_methods(trained: Any, float_tflite: bytes, method: Any) -> None:
    """Taken anew, from every value that the reference kernels give over the calibration set."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgebig.compress import calibration

    percent = 98.0
    data, _ = quantized(trained, float_tflite, ranges=method, percentile=percent)
    chosen = calibration.draw(trained.splits, 40, seed=6)
    interpreter = Interpreter(
        model_content=float_tflite, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )  # fmt: skip
    interpreter.allocate_tensors()
    index_of = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    in_file = scales(data)
    names = [name for name in in_file if name in index_of and name != "probabilities"]
    values: dict[str, list[Any]] = {name: [] for name in names}
    for image in chosen.examples.images:
        interpreter.set_tensor(index_of["image"], (image[None] / 255).astype(np.float32))
        interpreter.invoke()
        for name in names:
            values[name].append(interpreter.get_tensor(index_of[name]).reshape(-1).astype(np.float64))
    assert len(names) >= 7
    for name in names:
        scale, zero = in_file[name]
        low, high = (-128 - zero) * scale, (127 - zero) * scale
        pictures = np.array(values[name])
        if method == "mse":
            best, shipped, whole = (
                mean_square(pictures, *ends)
                for ends in (brute_force(pictures), (low, high), (pictures.min(), pictures.max()))
            )
            assert shipped <= max(1.05 * best, 1e-12), name
            assert shipped <= 1.01 * whole + 1e-12, name
            continue
        wanted = {
            "min-max": lambda v: (v.min(), v.max()),
            "moving-average": lambda v: (falling(v.min(axis=1)), falling(v.max(axis=1))),
            "percentile": lambda v: tuple(np.percentile(v, [100 - percent, percent])),
        }[method](pictures)
        width = max(wanted[1], 0) - min(wanted[0], 0)
        assert scale == pytest.approx(width / 255, rel=1e-3), name
        assert low == pytest.approx(min(wanted[0], 0), abs=scale), name
        assert high == pytest.approx(max(wanted[1], 0), abs=scale), name


def falling(values: Any) -> float:
    average = values[0]
    for value in values[1:]:
        average = 0.95 * average + 0.05 * value
    return float(average)


def mean_square(values: Any, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = np.round(-128 - low / scale)
    q = np.clip(np.round(values / scale) + zero, -128, 127)
    return float(np.mean(((q - zero) * scale - values) ** 2))


def brute_force(values: Any) -> tuple[float, float]:
    shares = np.linspace(0.05, 1, 20)
    ends = [(a * min(values.min(), 0), b * max(values.max(), 0)) for a in shares for b in shares]
    return min((pair for pair in ends if pair[1] > pair[0]), key=lambda pair: mean_square(values, *pair))


def test_the_io_of_int8_is_the_recipes(trained: Any, float_tflite: bytes) -> None:
    for io in ("uint8", "float32"):
        changed = trained._replace(spec=recipe.with_settings(trained.spec, [f"convert.io={io}"]))
        data, _ = quantized(changed, float_tflite)
        contract = flatbuffer.io_contract(data, "it")
        assert (contract.inputs[0].dtype, contract.outputs[0].dtype) == (io, io)
        assert flatbuffer.float_operators(data) == []


def with_ptq(spec: Recipe, *settings: str) -> Recipe:
    return recipe.with_settings(
        spec.model_copy(update={"compress": Compress(ptq=Ptq(calibration=40))}), list(settings)
    )


def passes(item: Any) -> dict[str, dict[str, Any]]:
    card = artifact.require_card(item, "")
    return {record.name: record.model_dump() for record in card.passes}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_is_compressed_to_it(trained: Any, a_copy: Callable[[], Any], dtype: str) -> None:
    from edgebig import compress, convert
    from edgebig.compress import ptq

    copied = a_copy()
    made = compress.compress(
        copied.run, with_ptq(trained.spec, f"compress.ptq.dtype={dtype}"), trained.splits
    ).artifact
    card = artifact.require_card(made, "")
    assert card.variant == ptq.VARIANT[dtype] == made.path.stem
    assert passes(made)["ptq"]["dtype"] == dtype
    assert passes(made)["ptq"]["settings"]["calibration"] == 40
    assert card.input.dtype == OUTSIDE.get(dtype, "float32")
    assert card.output_step == (card.output.scale if dtype in OUTSIDE else None)
    assert card.host_accuracy == convert.host_accuracy(
        made.path.read_bytes(), trained.splits.test, "test", card.preprocessing
    )


def test_after_pruning_the_zeros_are_still_there(trained: Any, a_copy: Callable[[], Any]) -> None:
    from edgebig import compress

    settings = ["compress.prune.epochs=2", "compress.prune.sparsity=0.5"]
    made = compress.compress(a_copy().run, with_ptq(trained.spec, *settings), trained.splits).artifact
    assert made.path.stem == "prune-ptq-int8"
    record = passes(made)
    for name, share in record["prune"]["sparsity_by_layer"].items():
        assert record["ptq"]["shipped_sparsity"][name] >= share >= 0.4


def test_what_cannot_be_quantized_is_told_before_any_pass_trains(
    trained: Any, a_copy: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig import compress
    from edgebig.keras import keras

    copied = a_copy()
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(2, 3, strides=4),
            keras.layers.Activation("elu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    net.save(copied.run.model_path)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trains"))
    for method in ("min-max", "mse"):
        spec = with_ptq(trained.spec, "compress.prune.epochs=2", f"compress.ptq.ranges={method}")
        with pytest.raises(EdgebigError, match=r"these operators stayed in float: ELU") as caught:
            compress.compress(copied.run, spec, trained.splits)
        assert "compress.ptq.dtype=float16" in caught.value.hint
    net.layers[1].activation = keras.activations.linear
    spec = with_ptq(trained.spec, "compress.prune.epochs=2", "compress.ptq.calibration=1")
    with pytest.raises(EdgebigError, match="are of one class"):
        compress.compress(a_copy_again(copied), spec, trained.splits)


def a_copy_again(copied: Any) -> Any:
    from edgebig.keras import keras

    net = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    )
    net.save(copied.run.model_path)
    return copied.run


def test_without_the_library_it_says_what_installs_it(
    trained: Any, model: Any, float_tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("litert_quantizer")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    for source, settings in (
        (float_tflite, {}),
        (model, {"ranges": "mse"}),
        (model, {"dtype": "weights-int4"}),
    ):
        with pytest.raises(EdgebigError, match="needs litert-quantizer, which is not installed") as caught:
            quantized(trained, source, **settings)
        assert "edgebig[quantize]" in caught.value.hint
    quantized(trained, model)  # which needs none of it


def edited(model: bytes, edit: Callable[[Any], None]) -> bytes:
    tree = tflitefile.unpack_model(model, "model")
    edit(tree)
    return tflitefile.pack_model(tree, {})


def test_a_tflite_without_a_signature_is_fine(trained: Any, float_tflite: bytes) -> None:
    def unsign(tree: Any) -> None:
        tree.signatureDefs = None

    for dtype in DTYPES:
        data, _ = quantized(trained, edited(float_tflite, unsign), dtype=dtype)
        assert same_label(trained, float_tflite, data) >= 75


def test_a_tflite_that_is_quantized_already_is_refused(trained: Any, model: Any, float_tflite: bytes) -> None:
    for dtype, told in (
        ("int8", "int8"), ("int16x8", "int16 and int8"), ("float16", "float16"), ("dynamic", "int8"),
        ("weights-int4", "int4 and int8"),
    ):  # fmt: skip
        data, _ = quantized(trained, float_tflite, dtype=dtype)
        with pytest.raises(EdgebigError, match=f"is {told} already") as caught:
            quantized(trained, data)
        assert "float32 .tflite" in caught.value.hint


def test_what_is_not_one_graph_of_known_operators_is_refused(trained: Any, float_tflite: bytes) -> None:
    import copy

    def two_signatures(tree: Any) -> None:
        other = copy.deepcopy(tree.signatureDefs[0])
        other.signatureKey = b"other"
        tree.signatureDefs.append(other)

    def custom(tree: Any) -> None:
        tree.operatorCodes[0].customCode = b"FlexErf"
        tree.operatorCodes[0].builtinCode = 32

    def of_the_future(tree: Any) -> None:
        tree.operatorCodes[0].builtinCode = 4000

    def two_graphs(tree: Any) -> None:
        tree.subgraphs.append(copy.deepcopy(tree.subgraphs[0]))

    def no_such_version(tree: Any) -> None:
        tree.operatorCodes[0].version = 99

    for edit, told in (
        (two_signatures, r"has 2 signatures \(serving_default, other\)"),
        (custom, "operators that are no part of TFLite: FlexErf"),
        (of_the_future, "operators newer than this ai-edge-litert: operator 4000"),
        (two_graphs, "has 2 subgraphs, and only one is understood"),
        (no_such_version, r"^float32.tflite: the runtime refuses it: .*version '99'"),
    ):
        with pytest.raises(EdgebigError, match=told) as caught:
            quantized(trained, edited(float_tflite, edit))
        assert caught.value.hint


def test_what_the_runtime_refuses_is_not_given(
    trained: Any, float_tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.compress import quantizer

    quantize = quantizer.quantize

    def of_the_future(*arguments: Any) -> bytes:
        def edit(tree: Any) -> None:
            tree.operatorCodes[0].version = 99

        return edited(quantize(*arguments), edit)

    monkeypatch.setattr(quantizer, "quantize", of_the_future)
    with pytest.raises(EdgebigError, match=r"float32.tflite, in weights-int8: .*version '99'") as caught:
        quantized(trained, float_tflite, dtype="weights-int8")
    assert "nothing was written" in caught.value.hint


def test_settings_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="dtype float16 has no ranges of activations"):
        Ptq(dtype="float16", ranges="mse")
    assert Ptq(dtype="int16x8", ranges="mse")
    assert PassRecord.model_validate({"name": "ptq"})
