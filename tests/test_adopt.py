"""Models that were trained elsewhere: what becomes of them, and what is refused or said instead of being misread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import adopt, artifact, metadata, recipe, runs
from edgebig.adopt import foreign_tflite
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Adopted, Data
from edgebig.tflitefile import pack_model, unpack_model

GOLDEN = Path(__file__).parent / "golden"
FLOAT32, INT8 = GOLDEN / "digits-float32.tflite", GOLDEN / "digits-int8.tflite"


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = source.load(Data(source="digits-5k"))
    return Splits("digits-5k", whole.classes, whole.train[::10], whole.validation[::2], whole.test[::5])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def adopted(path: Path, splits: Splits, pixels: str | None = None) -> tuple[runs.Run, artifact.Card]:
    """The run that `path` became, as it is read back, and its card."""
    found = adopt.examine(path)
    model = Adopted(name="adopted", file=path.name, sha256=found.sha256)
    made = adopt.adopt(found, recipe.load("digits-quick", (), model, found.run_name()), splits, pixels)
    run = runs.finished(None)
    assert made.path.parent.samefile(run.folder)
    return run, artifact.require_card(artifact.load(made.path), "")


def refusal(path: Path, splits: Splits, pixels: str | None = None) -> str:
    """What is said of a model that is refused; nothing is left behind then."""
    with pytest.raises(EdgebigError) as refused:
        adopted(path, splits, pixels)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    assert refused.value.hint
    return f"{refused.value.problem} | {refused.value.hint}"


def edited(path: Path, change: Callable[[Any, Any], None]) -> Path:
    """A copy of a golden .tflite whose unpacked tree was changed."""
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(path.read_bytes(), path.name)
    change(tree, schema)
    copy = Path("edited.tflite")
    copy.write_bytes(pack_model(tree, {}))
    return copy


# A .tflite


def test_a_tflite_becomes_a_run(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    run, card = adopted(FLOAT32, splits)
    assert run.name.startswith("digits-float32-")
    assert (run.recipe.name, run.recipe.data.source) == ("digits-float32", "digits-5k")
    assert isinstance(run.recipe.model, Adopted)
    assert run.recipe.model.file == FLOAT32.name
    assert (card.variant, card.parent_sha256, card.trained_elsewhere) == ("float32", None, True)
    assert card.passes[0].model_dump()["file"] == FLOAT32.name
    assert card.host_accuracy.n == 200
    assert card.host_accuracy.value > 0.85
    golden = artifact.read_card(FLOAT32.with_suffix(".json"))
    assert (card.input, card.output, card.parameters) == (golden.input, golden.output, golden.parameters)
    assert not run.model_path.exists()
    said = capsys.readouterr().err
    assert "warning" not in said
    assert said.startswith("validation: ")
    leak = artifact.leak_check(artifact.load(runs.newest_variant(run)), splits.test.hashes, "test")
    assert leak == "not known for float32: it was trained elsewhere before"


def test_an_int8_tflite_says_its_pixels_itself(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    run, card = adopted(INT8, splits)
    assert card.variant == "int8"
    assert card.host_accuracy.value > 0.85
    assert "pixels: 0..1, by the scale of its input" in capsys.readouterr().err
    runs.remove(run.folder)
    assert "made for pixels as 0..1, not 0..255 | leave --pixels out" in refusal(INT8, splits, "0..255")


def test_other_pixels_are_told_and_kept(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    run, card = adopted(FLOAT32, splits, "-1..1")
    assert (card.preprocessing.low, card.preprocessing.high) == (-1.0, 1.0)
    assert isinstance(run.recipe.model, Adopted)
    assert (run.recipe.model.low, run.recipe.model.high) == (-1.0, 1.0)
    inside = metadata.read_metadata(runs.newest_variant(run).read_bytes())
    assert inside is not None
    # (pixel - mean) / std is -1 for 0 and 1 for 255.
    assert (inside.mean, inside.std) == ((127.5,), (127.5,))
    assert "warning: with --pixels 0..1 it is right on 2" in capsys.readouterr().err


def test_classes_in_another_order_are_told(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    tree = edited(FLOAT32, lambda tree, schema: setattr(tree, "metadata", []))
    turned = Splits(
        splits.source, splits.classes[::-1],
        *(part[:] for part in (splits.train, splits.validation, splits.test)),
    )  # fmt: skip
    for part in (turned.train, turned.validation, turned.test):
        object.__setattr__(part, "labels", 9 - part.labels)
    adopted(tree, turned)
    said = capsys.readouterr().err
    assert "warning: its classes seem to be in another order; with these names it is right on 2" in said
    assert """--set 'data.classes=["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'""" in said


def test_its_own_labels_in_another_order_are_refused(splits: Splits) -> None:
    turned = Splits(splits.source, splits.classes[::-1], splits.train, splits.validation, splits.test)
    labelled = metadata.attach_metadata(
        FLOAT32.read_bytes(), name="x", description="", labels=splits.classes, mean=0.0, std=255.0
    )
    Path("labelled.tflite").write_bytes(labelled)
    said = refusal(Path("labelled.tflite"), turned)
    assert "its labels are the data's classes in another order" in said
    assert """data.classes=["0", "1",""" in said


def several_subgraphs(tree: Any, schema: Any) -> None:
    tree.subgraphs = [tree.subgraphs[0], tree.subgraphs[0]]


def several_signatures(tree: Any, schema: Any) -> None:
    first = tree.signatureDefs[0]
    second = schema.SignatureDefT(inputs=first.inputs, outputs=first.outputs, signatureKey="train")
    tree.signatureDefs = [first, second]


def flex_operator(tree: Any, schema: Any) -> None:
    code = tree.operatorCodes[0]
    code.customCode, code.builtinCode, code.deprecatedBuiltinCode = (
        "FlexErf",
        schema.BuiltinOperator.CUSTOM,
        32,
    )


def future_operator(tree: Any, schema: Any) -> None:
    tree.operatorCodes[0].builtinCode = 4000


def two_outputs(tree: Any, schema: Any) -> None:
    graph = tree.subgraphs[0]
    graph.outputs = [*graph.outputs, graph.operators[0].outputs[0]]
    tree.signatureDefs = []


def dynamic_height(tree: Any, schema: Any) -> None:
    tensor = tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]]
    tensor.shapeSignature = [1, -1, 28, 1]


def text_input(tree: Any, schema: Any) -> None:
    tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]].type = schema.TensorType.INT64


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (several_subgraphs, "has 2 subgraphs"),
        (several_signatures, "has several signatures (serving_default, train)"),
        (flex_operator, "operators that no plain runtime knows: FlexErf"),
        (future_operator, "operators that no plain runtime knows: operator 4000"),
        (two_outputs, "1 inputs and 2 outputs, not one of each"),
        (dynamic_height, "takes (1, -1, 28, 1), the pictures are (1, 28, 28, 1)"),
        (text_input, "its input is int64"),
    ],
)
def test_what_a_tflite_may_not_have(splits: Splits, change: Any, problem: str) -> None:
    assert problem in refusal(edited(FLOAT32, change), splits)


def test_a_tflite_of_other_data(splits: Splits) -> None:
    two = Splits(splits.source, ("a", "b"), splits.train, splits.validation, splits.test)
    assert "gives (1, 10), the data has 2 classes" in refusal(FLOAT32, two)
    assert "the pictures are (1, 28, 28, 1)" in refusal(GOLDEN / "dense-float32.tflite", splits)


def test_files_that_are_no_models(splits: Splits, here: Path) -> None:
    cases = {
        "none.tflite": None,
        "text.tflite": b"a model",
        "empty.tflite": b"",
        "net.pt": b"PK\x03\x04",
        "net.onnx": b"\x08\x07",
    }
    cases["cut.tflite"] = FLOAT32.read_bytes()[:3000]
    said = {}
    for name, content in cases.items():
        if content is not None:
            (here / name).write_bytes(content)
        said[name] = refusal(Path(name), splits)
    assert "no such file" in said["none.tflite"]
    assert "is not a .tflite" in said["text.tflite"]
    assert "cut short or damaged" in said["cut.tflite"]
    for name in ("net.pt", "net.onnx"):
        assert "neither Keras, SavedModel nor .tflite" in said[name]
        assert "litert-torch or onnx2tf" in said[name]
    assert "no SavedModel in it" in refusal(Path("."), splits)


def test_a_file_that_kills_the_runtime(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(foreign_tflite, "_READ", killed)
    assert "the model kills the runtime: SIGSEGV" in refusal(FLOAT32, splits)


def test_a_failure_leaves_no_run(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgebig.runs.finish", fail)
    with pytest.raises(KeyboardInterrupt):
        adopted(FLOAT32, splits)
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a b/My net (2).tflite", "My-net-2"),
        ("...tflite", "model"),
        ("größe.keras", "gr-e"),
        (f"{'x' * 300}.h5", "x" * 100),
    ],
)
def test_a_run_gets_a_name_that_it_may_have(name: str, wanted: str) -> None:
    assert adopt.Source(Path(name), "tflite", "").run_name() == wanted


# Keras


@pytest.fixture
def small() -> Callable[..., Any]:
    """A tiny classifier of 28x28 pictures, weights drawn by chance."""
    from edgebig.keras import keras

    def build(
        shape: tuple[int, ...] = (28, 28, 1), units: int = 10, end: str = "softmax", first: Any = None
    ) -> Any:
        keras.utils.set_random_seed(1)
        layers = [] if first is None else [first]
        return keras.Sequential(
            [
                keras.Input(shape),
                *layers,
                keras.layers.Flatten(name="flatten"),
                keras.layers.Dense(units, activation=end, bias_initializer="normal", name="last"),
            ]
        )

    return build


def outputs(run: runs.Run, images_u8: Any) -> Any:
    from edgebig import train

    return np.asarray(train.load_model(run)(images_u8.astype(np.float32) / np.float32(255)))


def softmax(z: Any) -> Any:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.tf
def test_a_keras_model_takes_0_to_1_and_gives_probabilities(splits: Splits, small: Any, here: Path) -> None:
    """The same function, whatever it took and gave before."""
    from edgebig.keras import keras

    images = splits.test[:20].images
    cases = {
        "plain.keras": (small(), "0..1", lambda model, x: model(x / 255)),
        "bytes.h5": (small(), "0..255", lambda model, x: model(x)),
        "own.keras": (small(first=keras.layers.Rescaling(1 / 255)), "0..255", lambda model, x: model(x)),
        "around.keras": (
            small(first=keras.layers.Rescaling(0.5, 0.5)),
            "-1..1",
            lambda model, x: model(x / 127.5 - 1),
        ),
        "half.keras": (small(first=keras.layers.Rescaling(2.0, 1.0)), "0..255", lambda model, x: model(x)),
        "logits.keras": (small(end="linear"), "0..1", lambda model, x: softmax(np.asarray(model(x / 255)))),
        "flat.keras": (small((784,)), "0..1", lambda model, x: model(x.reshape(-1, 784) / 255)),
        "square.keras": (
            small((28, 28), end="linear"),
            "0..255",
            lambda model, x: softmax(np.asarray(model(x[..., 0]))),
        ),
    }
    layers = {}
    for name, (model, pixels, wanted) in cases.items():
        model.save(name)
        run, card = adopted(Path(name), splits, pixels)
        expected = np.asarray(wanted(model, images.astype(np.float32)))
        assert np.abs(outputs(run, images) - expected).max() < 2e-6, name
        assert (card.preprocessing.low, card.preprocessing.high, card.variant) == (0.0, 1.0, "float32")
        layers[name] = [layer.name for layer in _load(run).layers if "input" not in layer.name]
    assert layers["plain.keras"] == ["flatten", "last"]
    assert layers["own.keras"] == ["image", "flatten", "last"]  # Two scalings that cancel out.
    assert layers["half.keras"] == ["image", "pixels", "flatten", "last"]
    assert layers["square.keras"] == ["image", "pixels", "as_taken", "flatten", "last", "probabilities"]


def _load(run: runs.Run) -> Any:
    from edgebig import train

    return train.load_model(run)


@pytest.mark.tf
def test_one_sigmoid_unit_becomes_two_outputs(splits: Splits, small: Any, here: Path) -> None:
    whole = source.load(Data(source="digits-5k", classes=("3", "8")))
    two = Splits("digits-5k", whole.classes, whole.train[::4], whole.validation, whole.test[::2])
    model = small(units=1, end="sigmoid")
    model.save("one.keras")
    run, _ = adopted(Path("one.keras"), two)
    images = two.test[:9].images
    p = np.asarray(model(images.astype(np.float32) / np.float32(255)))
    assert np.abs(outputs(run, images) - np.concatenate([1 - p, p], axis=1)).max() < 1e-6


@pytest.mark.tf
def test_keras_models_that_do_not_fit(splits: Splits, small: Any, here: Path) -> None:
    from edgebig.keras import keras

    two_inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    image = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(image)
    moving = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(moving)
    dense = keras.layers.Dense
    cases = {
        "takes 32x32x3, the pictures are 28x28x1": small((32, 32, 3)),
        "takes ?x?x1, the pictures are 28x28x1 | let it begin with Input(28x28x1)": keras.Model(
            moving, dense(10)(pooled)
        ),
        "gives 7, the data has 10 classes": small(units=7),
        "has 2 inputs, not one": keras.Model(
            two_inputs, dense(10)(keras.layers.Flatten()(keras.layers.Add()(two_inputs)))
        ),
        "has 2 outputs, not one": keras.Model(image, [dense(10)(flat), dense(10)(flat)]),
        "as of a sigmoid for each class by itself": small(end="sigmoid"),
    }
    for number, (problem, model) in enumerate(cases.items()):
        model.save(f"{number}.keras")
        assert problem in refusal(Path(f"{number}.keras"), splits), problem


@pytest.mark.tf
def test_saved_models(splits: Splits, small: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of Keras 2 with its layers; of anything else as the .tflite that its graph gives."""
    from edgebig.keras import keras, tf

    model = small()
    images = splits.test[:20].images
    model.save("whole", save_format="tf")
    run, card = adopted(Path("whole"), splits)
    assert run.model_path.is_file()
    assert np.abs(outputs(run, images) - np.asarray(model(images.astype(np.float32) / 255))).max() < 1e-6
    function = tf.function(model, input_signature=[tf.TensorSpec((None, 28, 28, 1), tf.float32)])
    module = tf.Module()
    module.kept, module.call = model.variables, function
    tf.saved_model.save(module, "graph", signatures=function)
    run, card = adopted(Path("graph"), splits, "0..255")
    assert not run.model_path.exists()
    assert (card.preprocessing.high, card.input.shape, card.parameters) == (255.0, (1, 28, 28, 1), 7850)
    coded = keras.Sequential([*model.layers, keras.layers.Lambda(lambda x: x)])
    coded.build((None, 28, 28, 1))
    coded.save("coded", save_format="tf")
    capsys.readouterr()
    run, _ = adopted(Path("coded"), splits)
    assert not run.model_path.exists()
    assert "holds code (Lambda), which is not run" in capsys.readouterr().err


@pytest.mark.tf
def test_mixed_precision_is_no_part_of_a_run(splits: Splits, small: Any, here: Path) -> None:
    from edgebig.keras import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = small(end="linear")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.save("mixed.keras")
    run, _ = adopted(Path("mixed.keras"), splits)
    assert {layer.compute_dtype for layer in _load(run).layers} == {"float32"}
