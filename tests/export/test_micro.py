"""The real tflite-micro, in its environment: what is exported gives there what the reference kernels give."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgebig import environment
from edgebig.artifact import Artifact
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError, Shortfall
from edgebig.export import board, c, micro
from edgebig.micro import arena
from edgebig.recipe import Data
from tests.commandline import exit_code

from .conftest import GOLDEN

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

Model = Callable[..., Artifact]
TOLD = {"used_bytes": 1, "arena_bytes": 1}
GREY = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}


def compared(outputs: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> micro.Check:
    return micro.compare(outputs, expected, "it", TOLD)


def test_differences_are_counted() -> None:
    expected = np.array([[-128, 127, 0], [5, 4, 3]], np.int8)
    same = compared(expected, expected)
    assert (same.differ, same.largest, same.labels_differ, same.outputs) == (0, 0, 0, 6)
    assert same.sentence() == "it gives the reference kernels' outputs bit for bit on 2 examples"
    # From one end of int8 to the other: no wrap-around.
    far = compared(np.array([[127, 127, 0], [5, 4, 3]], np.int8), expected)
    assert (far.differ, far.largest, far.labels_differ) == (1, 255, 1)
    near = compared(np.array([[-127, 127, 0], [4, 5, 3]], np.int8), expected)
    assert near.sentence().endswith("3 of 6 outputs differ, by 1 step at most; 1 label differs")
    assert far.sentence().endswith("by 255 steps at most; 1 label differs")
    floats = np.array([[0.5, 0.25]], np.float32)
    odd = compared(np.array([[0.5, np.nan]], np.float32), floats)
    assert odd.largest == np.inf
    assert "by 1.0e+00 at most; no label differs" in compared(floats + 1, floats).sentence()


def test_without_its_environment() -> None:
    assert not micro.is_there()
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    expected = micro.reference(data, source.load(Data(source="digits-5k")).test[:2].images, GREY)
    with pytest.raises(EdgebigError, match="needs the environment 'tflite-micro'"):
        micro.check(data, expected, "x", 2)


def test_pictures_of_another_size_are_told() -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    with pytest.raises(EdgebigError, match="the pictures are"):
        micro.reference(data, np.zeros((1, 8, 8, 1), np.uint8), GREY)


@pytest.fixture
def real(environments: Callable[[str], Path]) -> Path:
    return environments(micro.ENVIRONMENT)


@pytest.fixture
def many_digits() -> Examples:
    """250 of the embedded test digits."""
    return source.load(Data(source="digits-5k")).test[::4]


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-int8", "digits-float32", "digits-slow", "many-int8", "many-int16"])
def test_a_board_gives_the_reference_kernels_outputs(
    real: Path, model: Model, many_digits: Examples, name: str
) -> None:
    made = board.prepare(model(name), "digit", many_digits)
    check = made.check
    assert check is not None
    assert (check.n, check.outputs, check.labels_differ) == (250, 2500, 0)
    assert check.largest <= {"int8": 2, "int16": 16, "float32": 1e-5}[made.output.dtype]
    assert made.arena.measured
    assert check.used_bytes <= check.arena_bytes < made.arena.size_bytes
    # Without the environment there would be an estimate: enough, and not twice as much.
    guess = arena.estimated(made.model)
    assert check.arena_bytes <= guess.size_bytes < 2 * made.arena.size_bytes
    header = c.files(made, "digit")["digit.h"].decode()
    assert f"#define DIGIT_ARENA_BYTES {made.arena.size_bytes}\n" in header
    assert check.runtime in header
    assert "ESTIMATE" not in header
    assert "UNCHECKED" not in header


@pytest.mark.network
@pytest.mark.slow
def test_other_outputs_are_a_shortfall(real: Path, many_digits: Examples) -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    expected = micro.reference(data, np.asarray(many_digits.images[:9]), GREY)
    shifted = expected.outputs.copy()
    shifted[4, 2] += np.int8(50)
    with pytest.raises(Shortfall) as short:
        micro.check(data, dataclasses.replace(expected, outputs=shifted), "m.tflite", 2)
    assert short.value.problem.startswith("m.tflite: tflite-micro ")
    assert "of 90 outputs differ, by " in short.value.problem


@pytest.mark.network
@pytest.mark.slow
def test_what_it_refuses_to_load_is_told(real: Path, many_digits: Examples) -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    expected = micro.reference(data, np.asarray(many_digits.images[:2]), GREY)
    other = (GOLDEN / "digits-float32.tflite").read_bytes()
    # Its input is of another type than the inputs that it is given.
    with pytest.raises(
        EdgebigError, match=r"^x: TFLite Micro refuses it: Cannot set tensor: Got value of type INT8"
    ):
        micro.check(other, expected, "x", 2)


@pytest.mark.network
@pytest.mark.slow
def test_the_command(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for suffix in (".tflite", ".json"):
        shutil.copyfile((GOLDEN / "digits-int8").with_suffix(suffix), Path("m").with_suffix(suffix))
    assert exit_code("export", "m.tflite", "--to", "arduino", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["check"]["n"], told["check"]["labels_differ"], told["arena"]["measured"]) == (200, 0, True)
    version = environment.versions(micro.ENVIRONMENT)["tflite_micro"]
    assert told["check"]["runtime"] == f"tflite-micro {version}"
    assert f"tflite-micro {version}" in Path("golden_digits_int8_arduino/README.md").read_text()
