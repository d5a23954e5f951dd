"""The user's own model: what may come of it, and each way to be none, told by one message."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError
from edgebig.recipe import PythonModel

pytestmark = pytest.mark.tf
SHAPE = (6, 5, 1)
# A file is run once a process.
FILES = itertools.count()
START = "import tf_keras as keras\nlayers = keras.layers\n"


def build(folder: Path, body: str, classes: int = 3, **options: Any) -> Any:
    """What edgebig makes of `def model(input_shape, classes, ...)` with this body."""
    from edgebig import models

    path = folder / f"own{next(FILES)}.py"
    arguments = ", ".join(["input_shape", "classes", *options])
    path.write_text(
        START + f"def model({arguments}):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    )
    return models.build(PythonModel(name=f"python:{path}:model", options=options), SHAPE, classes)


def fault_of(folder: Path, body: str, classes: int = 3) -> EdgebigError:
    with pytest.raises(EdgebigError) as caught:
        build(folder, body, classes)
    assert caught.value.hint
    return caught.value


SEQUENTIAL = """return keras.Sequential([
    keras.Input(input_shape), layers.Flatten(), layers.Dense(units), layers.Dense(classes, activation="softmax")
])"""
WITHOUT_INPUT = 'return keras.Sequential([layers.Flatten(), layers.Dense(classes, activation="softmax")])'
FUNCTIONAL = """image = keras.Input(input_shape)
x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
return keras.Model(image, layers.Softmax()(layers.Dense(classes)(x)))"""
ONE_UNIT = """return keras.Sequential([
    keras.Input(input_shape), layers.Flatten(), layers.Dense(1, activation="sigmoid")
])"""


def test_options_are_handed_to_the_function(tmp_path: Path) -> None:
    model = build(tmp_path, SEQUENTIAL, units=7)
    assert model.layers[1].units == 7
    assert model.output_shape == (None, 3)


def test_a_summary_does_not_go_among_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = SEQUENTIAL.replace("return", "model =").replace("units", "4")
    assert build(tmp_path, f"{body}\nmodel.summary()\nprint('built')\nreturn model").layers[1].units == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Total params" in printed.err
    assert "built" in printed.err


@pytest.mark.parametrize("body", [WITHOUT_INPUT, FUNCTIONAL])
def test_forms_of_a_model(tmp_path: Path, body: str) -> None:
    model = build(tmp_path, body)
    made = model.predict(np.zeros((2, *SHAPE), np.float32), verbose=0)
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)


def test_one_sigmoid_unit_for_two_classes(tmp_path: Path) -> None:
    assert build(tmp_path, ONE_UNIT, classes=2).output_shape == (None, 1)
    assert "head is (None, 1); the data has 3 classes" in fault_of(tmp_path, ONE_UNIT).problem


def test_a_function_that_raises_is_told_with_its_line(tmp_path: Path) -> None:
    where = f"{tmp_path}/own[0-9]+.py"
    fails = r"model\(input_shape, classes\) fails"
    error = fault_of(tmp_path, "x = 1\nraise ValueError('no such size')")
    assert re.fullmatch(f"{where}:5: {fails}: ValueError: no such size", error.problem)
    # In Keras, by way of the user's line.
    error = fault_of(tmp_path, "x = keras.Input(input_shape)\n\nreturn layers.Conv2D(3, 9)(x)")
    assert re.match(f"{where}:6: {fails}: ValueError: .*conv2d", error.problem)
    error = fault_of(tmp_path, "units = options")
    assert re.match(f"{where}:4: {fails}: NameError", error.problem)


def test_an_option_that_the_function_does_not_take(tmp_path: Path) -> None:
    from edgebig import models

    path = tmp_path / "own.py"
    path.write_text("def model(input_shape, classes):\n    pass\n")
    with pytest.raises(
        EdgebigError, match=r"fails: TypeError: model\(\) got an unexpected keyword argument 'units'"
    ):
        models.build(PythonModel(name=f"python:{path}:model", options={"units": 3}), SHAPE, 3)


FORGOT = "keras.Sequential([keras.Input(input_shape), layers.Flatten(), {}])"
SOFTMAX = 'layers.Dense(classes, activation="softmax")'
REFUSED = {
    "nothing": ("pass", "gave a builtins.NoneType, not a model of tf_keras", "import tf_keras as keras"),
    "a layer": ("return layers.Dense(3)", "not a model of tf_keras", "import tf_keras as keras"),
    "a model of Keras 3": (
        "import keras as keras_3\n"
        'return keras_3.Sequential([keras_3.Input(input_shape), keras_3.layers.Dense(classes, activation="softmax")])',
        "not a model of tf_keras, but one of Keras 3",
        "import tf_keras as keras",
    ),
    "a subclassed model": (
        "class Own(keras.Model):\n    def call(self, x): return x\nreturn Own()",
        "gave a subclassed model",
        "Sequential or functional",
    ),
    "another input": (
        f"return keras.Sequential([keras.Input((6, 5, 3)), layers.Flatten(), {SOFTMAX}])",
        "takes (None, 6, 5, 3), the pictures are (6, 5, 1)",
        "keras.Input(input_shape)",
    ),
    "two inputs": (
        "a, b = keras.Input(input_shape), keras.Input(input_shape)\n"
        f"return keras.Model([a, b], {SOFTMAX}(layers.Flatten()(layers.Add()([a, b]))))",
        "takes (None, 6, 5, 1), (None, 6, 5, 1)",
        "keras.Input(input_shape)",
    ),
    "another number of classes": (
        "return " + FORGOT.format('layers.Dense(4, activation="softmax")'),
        "head is (None, 4); the data has 3 classes",
        'end in Dense(3, activation="softmax")',
    ),
    "a map for a head": (
        f"return keras.Sequential([keras.Input(input_shape), {SOFTMAX}])",
        "head is (None, 6, 5, 3)",
        'end in Dense(3, activation="softmax")',
    ),
    "two heads": (
        f"a = keras.Input(input_shape)\nx = layers.Flatten()(a)\nreturn keras.Model(a, [{SOFTMAX}(x), {SOFTMAX}(x)])",
        "head is (None, 3), (None, 3)",
        'end in Dense(3, activation="softmax")',
    ),
    "logits": (
        "return " + FORGOT.format("layers.Dense(classes)"),
        "outputs are no probabilities",
        'end in Dense(3, activation="softmax")',
    ),
    "a sigmoid for each class": (
        "return " + FORGOT.format('layers.Dense(classes, activation="sigmoid")'),
        "outputs are no probabilities",
        'end in Dense(3, activation="softmax")',
    ),
    "no number": (
        "nan = lambda shape, dtype: float('nan') * keras.backend.ones(shape)\nreturn "
        + FORGOT.format('layers.Dense(classes, activation="softmax", kernel_initializer=nan)'),
        "outputs are no probabilities",
        'end in Dense(3, activation="softmax")',
    ),
    "nothing to train": (
        f"model = {FORGOT.format(SOFTMAX)}\nmodel.trainable = False\nreturn model",
        "a model without a weight to train",
        "trainable = True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_classifier_is_refused(name: str, tmp_path: Path) -> None:
    body, problem, hint = REFUSED[name]
    error = fault_of(tmp_path, body)
    assert re.match(f"{tmp_path}/own[0-9]+.py: model gave a", error.problem)
    assert problem in error.problem
    assert hint in error.hint
    assert len(error.problem.splitlines()) == 1


def test_a_head_of_one_unit_that_is_no_sigmoid(tmp_path: Path) -> None:
    body = "return " + FORGOT.format("layers.Dense(1)")
    error = fault_of(tmp_path, body, classes=2)
    assert "its one output comes from dense" in error.problem
