"""Quantization-aware training: what it keeps, what stays in float, and that the .tflite says what Keras says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError
from edgebig.recipe import Cluster, Compress, Qat

pytestmark = pytest.mark.tf
SHORT = {"epochs": 2, "batch_size": 32}
PRUNED = ("down1", "stage2_1", "probabilities")


def layers() -> Any:
    from edgebig.keras import keras

    return keras.layers


def context(trained: Any, passes: tuple[str, ...], **compress: Any) -> Any:
    from edgebig.compress.context import Context

    spec = trained.spec.model_copy(update={"compress": Compress(qat=Qat(**SHORT), **compress)})
    return Context(trained.splits, spec, passes, 0)


def loaded(trained: Any, change: Callable[[Any], Any] | None = None) -> Any:
    """The trained model; the kernels of PRUNED through `change`."""
    from edgebig import train

    model = train.load_model(trained.run)
    for name in PRUNED if change else ():
        kernel, *others = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([change(kernel), *others])  # type: ignore[misc]
    return model


def half_zero(kernel: Any) -> Any:
    return np.where(np.abs(kernel) < np.median(np.abs(kernel)), 0, kernel)


@pytest.mark.parametrize("passes", [("qat",), ("prune", "qat")])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_zeros_stay_only_where_they_were_asked_for(trained: Any, passes: tuple[str, ...], ema: float) -> None:
    from edgebig import convert
    from edgebig.compress.qat import qat

    quantized, record = qat(context(trained, passes), loaded(trained, half_zero), Qat(ema=ema, **SHORT))
    made = record.model_dump()
    assert (made["name"], made["epochs"], made["scheme"], made["float_layers"]) == ("qat", 2, "int8", [])
    assert made["keeps"] == (["zeros"] if "prune" in passes else [])
    assert 0 < made["validation_accuracy"] <= 1
    shares = convert.layer_sparsity(convert.to_tflite(quantized, int8=True), [*PRUNED, "down2"])
    assert set(shares) == {*PRUNED, "down2"}
    for name in PRUNED:
        assert (shares[name] >= 0.5) == ("prune" in passes), shares
    assert shares["down2"] < 0.2


@pytest.mark.parametrize("passes", [("cluster", "qat"), ("prune", "cluster", "qat")])
def test_clusters_stay_to_the_file(trained: Any, passes: tuple[str, ...]) -> None:
    from edgebig import convert
    from edgebig.compress.qat import qat

    def clustered(kernel: Any) -> Any:
        values = np.linspace(-1, 1, 7) * np.abs(kernel).max()
        return values[np.abs(kernel[..., None] - values).argmin(axis=-1)].astype(np.float32)

    model = loaded(trained, clustered)
    zeros = {name: model.get_layer(name).get_weights()[0] == 0 for name in PRUNED}
    ctx = context(trained, passes, cluster=Cluster(clusters=7))
    quantized, record = qat(ctx, model, Qat(**SHORT))
    assert record.model_dump()["keeps"] == (["zeros", "clusters"] if "prune" in passes else ["clusters"])
    weights = convert.layer_weights(convert.to_tflite(quantized, int8=True), PRUNED)
    for name in PRUNED:
        assert all(len(np.unique(channel)) <= 7 for channel in weights[name]), name
        kept = np.moveaxis(weights[name], 0, -1) == 0
        if "prune" in passes:
            assert kept[zeros[name]].all(), name
        assert len(np.unique(weights[name])) > 3


def ends(kind: str, *, relu: bool, momentum: float = 0.9) -> Any:
    """A net that ends with the pattern itself: what follows a map would blur or blow up its steps."""
    from edgebig.keras import keras

    image = keras.Input((28, 28, 1), name="image")
    x = layers().Conv2D(4, 5, 2, padding="same", use_bias=False, name="stem")(image)
    x = layers().BatchNormalization(momentum=momentum, name="stem_bn")(x)
    x = layers().ReLU(name="stem_relu")(x)
    x = {
        "conv": layers().Conv2D(6, 3, 2, padding="same", use_bias=False, name="conv"),
        "conv with bias": layers().Conv2D(6, 3, 2, padding="same", name="conv"),
        "depthwise": layers().DepthwiseConv2D(3, 2, padding="same", name="conv"),
        "depthwise of two": layers().DepthwiseConv2D(3, 2, depth_multiplier=2, name="conv"),
        "separable": layers().SeparableConv2D(6, 3, 2, use_bias=False, name="conv"),
    }[kind](x)
    x = layers().BatchNormalization(momentum=momentum, name="bn")(x)
    return keras.Model(image, layers().ReLU(name="relu")(x) if relu else x, name="net")


def digits(trained: Any, n: int) -> tuple[Any, Any]:
    some = trained.splits.train
    return some.images[np.arange(n)].astype(np.float32) / np.float32(255), some.labels[:n]


def run_int8(data: bytes, images: Any) -> tuple[Any, float, int]:
    """(N, ...) int8 outputs by the reference kernels, and their scale and zero point."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (given,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    outputs = []
    for image in images:
        interpreter.set_tensor(
            given["index"], np.clip(np.round(image[None] / scale) + zero, -128, 127).astype(np.int8)
        )
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(out["index"])[0])
    return np.array(outputs), *out["quantization"]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("kind", ["conv", "conv with bias", "depthwise", "depthwise of two", "separable"])
def test_batch_normalization_is_folded_as_keras_has_it(trained: Any, kind: str, relu: bool) -> None:
    """The known trouble spots: each operator of the .tflite is within a step of the fake-quantized Keras model."""
    from edgebig import convert
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras

    keras.utils.set_random_seed(0)
    images, _ = digits(trained, 256)
    model = ends(kind, relu=relu)
    quantized = apply_qat(model)
    target = np.random.default_rng(0).normal(size=(256, *model.output_shape[1:])).astype(np.float32)
    quantized.compile(keras.optimizers.Adam(0.01), "mse")
    quantized.fit(images, target, batch_size=32, epochs=4, verbose=0)
    outputs, scale, zero = run_int8(convert.to_tflite(quantized, int8=True), images[:100])
    keras_steps = np.round(np.asarray(quantized(images[:100], training=False)) / scale) + zero
    away = np.abs(outputs - keras_steps)
    # A sum on the border of two steps may fall either way, and what falls so in the stem is in the pattern's sums.
    assert away.max() <= 3
    assert (away > 1).mean() < 0.001
    # How many do depends on the bits of the training, which differ with the number of threads.
    assert (away > 0).mean() < (0.15 if kind == "depthwise of two" else 0.05)


def test_the_statistics_do_not_drift_from_what_training_sees(trained: Any) -> None:
    """In training BatchNormalization sees its batch, at inference the moving mean: the ranges must fit both."""
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras

    keras.utils.set_random_seed(0)
    images, _ = digits(trained, 256)
    for momentum in (0.5, 0.99):
        model = ends("conv", relu=True, momentum=momentum)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        target = np.random.default_rng(0).normal(size=(256, *model.output_shape[1:]))
        model.fit(images, target, batch_size=32, epochs=60, verbose=0)
        quantized = apply_qat(model)
        quantized.compile(keras.optimizers.Adam(1e-5), "mse")
        quantized.fit(images, target, batch_size=32, epochs=2, verbose=0)
        exact = np.asarray(model(images, training=False))
        off = np.asarray(quantized(images, training=False)) - exact
        assert np.sqrt(np.mean(off**2)) < 0.02 * exact.max(), momentum


def test_the_first_batch_sets_the_ranges(trained: Any) -> None:
    """tfmot's start at -6 .. 6, and 81 steps, a training on 3,500 digits, change them by 8 %."""
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras

    images, _ = digits(trained, 64)
    model = ends("conv", relu=True)
    quantized = apply_qat(model)
    quantized.compile("sgd", "mse")
    quantized.fit(images, np.zeros((64, *model.output_shape[1:])), batch_size=64, epochs=1, verbose=0)
    stem = keras.Model(model.inputs, model.get_layer("stem_relu").output)
    highs = {
        weight.name: float(weight) for weight in quantized.get_layer("quant_stem_relu").weights if weight.shape == ()
    }  # fmt: skip
    high = next(value for name, value in highs.items() if "max" in name)
    assert high == pytest.approx(float(np.max(stem(images, training=True))), rel=0.05)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (("stage1_1_bn",), {"stage1_1", "stage1_1_bn", "stage1_1_relu"}),  # one operator, in the middle
        (("down1", "probabilities"), {"down1", "down1_bn", "down1_relu", "probabilities"}),  # first and last
        (("stage1_1", "stage1_1_add"), {"stage1_1", "stage1_1_bn", "stage1_1_relu", "stage1_1_add"}),
        (("head",), {"head", "head_bn", "head_relu"}),
    ],
)
def test_the_named_layers_and_no_others_stay_in_float(
    trained: Any, named: tuple[str, ...], expected: set[str]
) -> None:
    from edgebig import convert, flatbuffer, tflitegraph
    from edgebig.compress.qat import qat

    settings = Qat(float_layers=named, epochs=1, batch_size=32)
    quantized, record = qat(context(trained, ("qat",)), loaded(trained), settings)
    assert set(record.model_dump()["float_layers"]) == expected
    data = convert.to_tflite(quantized, int8=True)
    (graph,) = tflitegraph.read_graphs(data, "made")
    assert "SEGMENT_SUM" not in {operator.kind for operator in graph.operators}
    floats = {
        name for operator, name in zip(graph.operators, graph.layer_names, strict=True)
        if operator.kind not in ("QUANTIZE", "DEQUANTIZE") and graph.tensors[operator.outputs[0]].dtype == "float32"
    }  # fmt: skip
    assert {name for name in floats if name in expected} == floats & expected != set()
    heads = {"down1", "stage1_1", "stage1_1_add", "head", "probabilities"} & expected
    found = [
        kind for kind in flatbuffer.float_operators(data) if kind in ("ADD", *flatbuffer.WEIGHTED_OPERATORS)
    ]
    assert len(found) == len(heads)
    images, _ = digits(trained, 60)
    outputs, scale, zero = run_int8(data, images)
    said = np.asarray(quantized(images, training=False))
    assert np.mean(np.abs((outputs.astype(np.int32) - zero) * scale - said)) < 0.01
    assert outputs.dtype == np.int8


def test_the_most_sensitive_layers_stay_in_float(trained: Any, capfd: pytest.CaptureFixture[str]) -> None:
    from edgebig import convert
    from edgebig.compress.qat import qat

    model = loaded(trained)
    kernel, *others = model.get_layer("down2").get_weights()
    kernel[1, 1, 0, :] *= 1000  # A scale for each channel, of which the other weights are all but nothing.
    model.get_layer("down2").set_weights([kernel, *others])
    quantized, record = qat(context(trained, ("qat",)), model, Qat(keep_float=1, **SHORT))
    made = record.model_dump()
    assert made["float_layers"][0] == made["sensitivity"][0]["layer"]
    assert {row["layer"] for row in made["sensitivity"]} == {
        "down1", "stage1_1", "down2", "stage2_1", "head", "probabilities",
    }  # fmt: skip
    assert made["scheme"] == "int8 with float layers"
    convert.to_tflite(quantized, int8=True)
    told = capfd.readouterr().err
    assert "sensitivity: one layer alone in int8, on 100 validation pictures" in told
    assert f"qat: in float stay {', '.join(made['float_layers'])}" in told


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"float_layers": ("down3", "stage1_1_rely")}, r"has no layer 'down3' \(did you mean 'down\d'\?\), no layer"),
        ({"float_layers": ("image",)}, "no layer 'image'"),
        ({"keep_float": 6}, "keep_float = 6: digit_cnn has 6 layers with weights"),
        ({"keep_float": 5, "float_layers": ("down1",)}, "has 5 layers with weights to choose from"),
    ],
)  # fmt: skip
def test_float_layers_that_cannot_be_are_told_before_training(
    trained: Any, settings: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.compress import preflight
    from edgebig.keras import keras

    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(EdgebigError, match=problem):
        preflight.check(loaded(trained), Compress(qat=Qat(**settings)))


def test_a_layer_without_an_int8_form_may_stay_in_float(trained: Any) -> None:
    from edgebig import convert, flatbuffer
    from edgebig.compress import preflight
    from edgebig.compress.qat import apply_qat, named_layers
    from edgebig.keras import keras

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers().Conv2D(4, 3, name="conv"),
            layers().LayerNormalization(name="norm"),
            layers().Flatten(name="flat"),
            layers().Dense(3, activation="softmax", name="probabilities"),
        ],
        name="net",
    )
    with pytest.raises(EdgebigError, match="norm \\(LayerNormalization\\)") as caught:
        preflight.check(model, Compress(qat=Qat()))
    assert "float_layers" in caught.value.hint
    settings = Qat(float_layers=("norm",))
    preflight.check(model, Compress(qat=settings))
    quantized = apply_qat(model, named_layers(model, settings))
    data = convert.to_tflite(quantized, int8=True)
    assert not {"CONV_2D", "FULLY_CONNECTED"} & set(flatbuffer.float_operators(data))
    assert flatbuffer.float_operators(data)


@pytest.mark.parametrize("float_layers", [(), ("probabilities",)])
def test_a_teacher_is_learnt_from_by_the_softmaxs_input(trained: Any, float_layers: tuple[str, ...]) -> None:
    """What comes out may be rounded to 1/256, and the logarithm of that says nothing of the small ones."""
    from edgebig import objective
    from edgebig.compress.qat import apply_qat
    from edgebig.data.taught import Taught
    from edgebig.keras import tf

    images, labels = digits(trained, 32)
    quantized = apply_qat(loaded(trained), float_layers)
    quantized.compile("sgd", "mse")
    quantized.fit(images, np.zeros((32, 10)), epochs=1, verbose=0)
    said = np.full((1, 1, 32, 10), 0.1, np.float16)
    loss = objective.distillation(Qat(), Taught(trained.splits.train, said, 4.0, 0.0, "teacher", "0" * 64))
    both = np.concatenate([np.eye(10)[labels], said[0, 0]], axis=-1).astype(np.float32)
    operations = []

    @tf.function  # type: ignore[untyped-decorator]
    def step(training: bool) -> Any:
        outputs = quantized(images, training=training)
        logits = objective._logits(outputs)
        operations.append((outputs.op.type, logits.op.type))
        return loss(both, outputs), logits, outputs

    for training in (True, False):
        values, logits, outputs = (np.asarray(value) for value in step(training))
        exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert np.abs(exact - outputs).max() <= (1 / 256 if float_layers else 1e-6)
        softened = np.exp(logits / 4) / np.exp(logits / 4).sum(axis=1, keepdims=True)
        expected = 16 * np.sum(0.1 * np.log(0.1 / softened), axis=1)
        np.testing.assert_allclose(values, expected, rtol=0.01)
    assert "Log" not in str(operations)
    if float_layers:  # Else tfmot rounds the softmax's input, and not what it gives.
        assert "FakeQuant" in operations[-1][0]
        assert (outputs == 0).any()  # whose logarithm would be none


@pytest.mark.parametrize("kind", ["Conv1D", "LSTM", "own", "Lambda"])
def test_what_has_no_int8_form_is_refused_by_name_before_training(kind: str) -> None:
    from edgebig.compress import preflight
    from edgebig.keras import keras

    class Own(layers().Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    layer = {
        "Conv1D": lambda: layers().Conv1D(2, 2, name="odd"),
        "LSTM": lambda: layers().LSTM(2, name="odd"),
        "own": lambda: Own(name="odd"),
        "Lambda": lambda: layers().Lambda(lambda x: x, name="odd"),
    }[kind]()
    model = keras.Sequential([keras.Input((4, 2)), layer], name="net")
    with pytest.raises(EdgebigError, match=r"net: .* refuses 1 of its layers\n  odd \(") as caught:
        preflight.check(model, Compress(qat=Qat()))
    assert "; " in caught.value.problem.splitlines()[1]  # the mend


def test_tfmots_own_reason_is_told() -> None:
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras

    model = keras.Sequential([keras.Input((4, 2)), layers().Conv1D(2, 2)], name="net")
    with pytest.raises(EdgebigError, match=r"net: quantization-aware training refuses it: .*conv1d"):
        apply_qat(model)
