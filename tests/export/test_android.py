"""Android's assets: the metadata is in the model, and it reads digits as its source does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig import artifact, flatbuffer, metadata
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import android, folder

from .conftest import GOLDEN

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

Model = Callable[..., Artifact]
NAMES = ("zéro", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.mark.parametrize("name", ["digits-int8", "digits-float32"])
def test_the_assets(model: Model, digits: Examples, tmp_path: Path, name: str) -> None:
    item = model(name, classes=NAMES)
    assets = android.prepare(item, "digit", digits)
    out = tmp_path / "app"
    folder.write(out, android.files(assets), android.record(assets))
    made = artifact.load(out / "assets/digit/model.tflite")  # its card is of this very file
    card = artifact.require_card(made, "")
    data = made.path.read_bytes()

    inside = metadata.read_metadata(data)
    assert inside is not None
    assert (inside.labels, inside.mean, inside.std) == (NAMES, (0.0,), (255.0,))
    assert not str(inside.mean[0]).startswith("-")
    assert (out / "assets/digit/labels.txt").read_text("utf-8").splitlines() == list(NAMES)
    contract = flatbuffer.io_contract(data, "x")
    assert [tensor.dtype for tensor in (*contract.inputs, *contract.outputs)] == ["float32", "float32"]
    assert (card.input.dtype, card.input.shape, card.parent_sha256) == (
        "float32",
        (1, 28, 28, 1),
        item.sha256,
    )
    assert card.host_accuracy.inherited_from == item.sha256

    preprocessing = card.preprocessing.model_dump()
    read = [tflite.labels(file.read_bytes(), digits, preprocessing) for file in (item.path, made.path)]
    np.testing.assert_array_equal(*read)
    assert "reads 20 examples as" in (out / "README.md").read_text()
    assert ("inside it is int8" in (out / "README.md").read_text()) == (name == "digits-int8")


def test_the_kotlin_class(model: Model, digits: Examples) -> None:
    files = android.files(android.prepare(model(), "a_digit_int8", digits))
    text = files["ADigitInt8Classifier.kt"].decode()
    assert "class ADigitInt8Classifier(context: Context)" in text
    assert '"a_digit_int8/model.tflite"' in text
    assert '"784 pixels are needed, not ${pixels.size}"' in text
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")


def test_its_grey_is_pillow_s(model: Model, digits: Examples) -> None:
    (formula,) = android._TAKE[1]
    python = formula.removeprefix("values[i] = ").replace("shr", ">>")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    ours = eval(python, {}, {"red": red, "green": green, "blue": blue})
    np.testing.assert_array_equal(ours, np.asarray(Image.fromarray(pixels).convert("L")))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255), (-0.5, 0.5)])
def test_normalisation_says_what_the_formula_does(
    model: Model, digits: Examples, low: float, high: float
) -> None:
    preprocessing = {"low": low, "high": high, "ink_is_high": True, "colour": "grey"}
    assets = android.prepare(model("digits-float32", preprocessing=preprocessing), "digit", digits)
    inside = metadata.read_metadata(assets.model)
    assert inside is not None
    pixel = np.arange(256.0)
    expected = low + (high - low) * pixel / 255
    np.testing.assert_allclose((pixel - inside.mean[0]) / inside.std[0], expected, atol=1e-5)
    kotlin = android._formula(low, high)
    python = re.sub(r"(\d)f\b", r"\1", kotlin).replace("pixels[it]", "pixel")
    np.testing.assert_allclose(eval(python, {}, {"pixel": pixel}), expected, atol=1e-9)


def test_colour_and_whole_pictures(model: Model) -> None:
    preprocessing = {
        "low": 0, "high": 1, "ink_is_high": True, "colour": "rgb", "framing": "whole", "fit": "crop",
    }  # fmt: skip
    item = model("pixels-int8", preprocessing=preprocessing, classes=("red", "green", "blue"))
    shape = artifact.require_card(item, "").input.shape[1:]
    images = np.zeros((3, *shape), np.uint8)
    for colour in range(3):
        images[colour, ..., colour] = 255
    files = android.files(android.prepare(item, "colour", Examples(images, np.arange(3))))
    text = files["ColourClassifier.kt"].decode()
    assert "values[3 * i + 2] = blue" in text
    assert "red, green and blue of each" in text
    assert "its middle cut out" in files["README.md"].decode()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"preprocessing": {"low": 0, "high": 1, "ink_is_high": False, "colour": "grey"}}, "cannot say"),
        ({"preprocessing": {"low": 1, "high": 1, "ink_is_high": True, "colour": "grey"}}, "cannot say"),
        ({"classes": ["a", "b"]}, "2 labels for"),
        ({"classes": ["a\nb", *"123456789"]}, "a label cannot be"),
    ],
)
def test_what_cannot_be_said_is_refused(model: Model, digits: Examples, changes: Any, problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem):
        android.prepare(model(**changes), "digit", digits)


def test_no_card(digits: Examples, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes((GOLDEN / "digits-int8.tflite").read_bytes())
    with pytest.raises(EdgebigError, match="no card beside it"):
        android.prepare(artifact.load(path), "digit", digits)
    assert json.loads((GOLDEN / "digits-int8.json").read_text())["sha256"] == artifact.load(path).sha256
