"""edgebig check: the verdict and its exit code, JSON, the plot, and what a clumsy user types."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from edgebig import artifact, cli, files
from edgebig.artifact import Card
from edgebig.errors import EdgebigError
from edgebig.tflitefile import pack_model, unpack_model

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("digits-float32", "digits-int8"):
        for end in (".tflite", ".json"):
            shutil.copy(GOLDEN / f"{name}{end}", tmp_path)
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["check", *arguments])


def refused(*arguments: str) -> EdgebigError:
    done = check(*arguments)
    assert isinstance(done.exception, EdgebigError), (done.output, done.exception)
    assert done.stdout == ""
    return done.exception


def with_card(path: Path, model: bytes, **changed: Any) -> None:
    card = artifact.read_card(GOLDEN / "digits-int8.json")
    artifact.save(
        path.parent,
        path.stem,
        model,
        Card.model_validate({**card.model_dump(), **changed, "sha256": files.sha256_bytes(model)}),
    )


def test_two_models(here: Path) -> None:
    done = check("digits-float32.tflite", "digits-int8.tflite", "--examples", "60", "--plot", "layers.svg")
    assert (done.exit_code, done.exception) == (0, None)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("A  digits-float32.tflite: ")
    assert "of 60 test examples right" in lines[0]
    table = [line.split()[0] for line in lines if "#" in line]
    assert table == ["conv2d_1", "dense_1", "softmax_3"]
    assert any(line.startswith("most is lost at ") for line in lines)
    assert lines[-1].startswith("INCONCLUSIVE: B's accuracy is ")  # 60 examples cannot tell half a point
    assert lines[-1].endswith("without --examples it may be told")
    drawn = ET.parse(here / "layers.svg").getroot()
    assert drawn.tag.endswith("svg")
    assert "conv2d_1" in "".join(drawn.itertext())


@pytest.mark.slow
def test_json_is_complete(here: Path) -> None:
    done = check(
        "digits-float32.tflite", "digits-int8.tflite", "--examples", "60", "--json", "--plot", "layers.png"
    )
    record = json.loads(done.stdout)
    assert (record["schema"], record["verdict"], record["paired"]["n"]) == (1, "INCONCLUSIVE", 60)
    assert record["accuracy_a"]["n"] == 60
    layers = record["layers"]["layers"]
    assert [layer["operator"] for layer in layers] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert all(layer["own"]["sqnr_db"] > 20 for layer in layers)
    assert record["worst"] in [layer["second"] for layer in layers]
    with Image.open(here / "layers.png") as picture:
        assert picture.size[0] == 880


@pytest.mark.slow
def test_a_model_that_lost_too_much_is_3(here: Path) -> None:
    tree = unpack_model((here / "digits-int8.tflite").read_bytes(), "m")
    weights = tree.subgraphs[0].tensors[tree.subgraphs[0].operators[2].inputs[1]]
    draw = np.random.default_rng(0)
    tree.buffers[weights.buffer].data = draw.integers(-127, 128, 1960).astype(np.int8).tobytes()
    with_card(here / "noise.tflite", pack_model(tree, {}))
    done = check("digits-int8.tflite", "noise.tflite", "--examples", "100")
    assert done.exit_code == 3
    assert done.stdout.splitlines()[-1].startswith("FAIL: B's accuracy is -")
    assert "most is lost at dense_1" in done.stdout
    # The same files the other way round: B is the better one.
    assert check("noise.tflite", "digits-int8.tflite", "--examples", "100", "--no-layers").exit_code == 0


@pytest.mark.slow
def test_one_model_under_two_runtimes() -> None:
    done = check("digits-int8.tflite", "--runtimes", "xnnpack,reference", "--examples", "60")
    assert done.exit_code == 0
    assert done.stdout.startswith("A  digits-int8.tflite (xnnpack): ")
    assert "B  digits-int8.tflite (reference): " in done.stdout


@pytest.mark.slow
def test_a_file_without_a_card_is_given_the_same_pictures(here: Path) -> None:
    (here / "digits-int8.json").unlink()
    done = check("digits-float32.tflite", "digits-int8.tflite", "--examples", "40", "--no-layers")
    assert done.exit_code == 0
    assert "digits-int8.tflite has no card: it was given the same pictures" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nope.tflite", "digits-int8.tflite"], "nope.tflite: no such file"),
        (["nope.keras", "digits-int8.tflite"], "nope.keras: no such file"),
        (["nope"], "no run 'nope'"),
        (["digits-int8.tflite"], "digits-int8.tflite: against what?"),
        (["digits-int8.tflite", "digits-int8.tflite"], "digits-int8.tflite and digits-int8.tflite are the same file"),
        (["digits-int8.tflite", "--runtimes", "xnnpack,tpu"], "--runtimes xnnpack,tpu: no runtime 'tpu'"),
        (["digits-int8.tflite", "--runtimes", "none,none"], "--runtimes wants one .tflite and two different runtimes"),
        (
            ["digits-int8.tflite", "digits-float32.tflite", "--runtimes", "none,xnnpack"],
            "two models and two runtimes: that would be two comparisons in one",
        ),
        (
            ["digits-float32.tflite", "digits-int8.tflite", "--max-loss", "101"],
            "a loss of at most 101.0 points is no bound",
        ),
        (
            ["digits-float32.tflite", "digits-int8.tflite", "--plot", "x.jpg"],
            "x.jpg: no picture of that kind can be drawn",
        ),
        (
            ["digits-int8.tflite", "--runtimes", "reference,tflite-micro", "--examples", "10"],
            "needs the environment 'tflite-micro'",
        ),
    ],
)  # fmt: skip
def test_the_user_s_faults(arguments: list[str], problem: str) -> None:
    error = refused(*arguments)
    assert error.problem == problem
    assert error.hint


def test_models_that_do_not_go_together(here: Path) -> None:
    model = (here / "digits-int8.tflite").read_bytes()
    names = tuple(f"class {number}" for number in range(10))
    with_card(here / "other.tflite", model + b"\0" * 4, classes=names)
    error = refused("digits-float32.tflite", "other.tflite")
    assert error.problem == "digits-float32.tflite and other.tflite have different classes"
    card = artifact.read_card(here / "digits-int8.json")
    shape = card.input.model_copy(update={"shape": (1, 32, 32, 1)})
    with_card(here / "large.tflite", model + b"\0" * 8, input=shape.model_dump())
    assert (
        "takes (1, 28, 28, 1), large.tflite (1, 32, 32, 1)"
        in refused("digits-float32.tflite", "large.tflite").problem
    )
    for path in here.glob("*.json"):
        path.unlink()
    assert "neither has a card" in refused("digits-float32.tflite", "digits-int8.tflite").problem


def test_a_damaged_file_is_one_message(here: Path) -> None:
    (here / "cut.tflite").write_bytes((here / "digits-int8.tflite").read_bytes()[:2000])
    assert "cut short or damaged" in refused("digits-float32.tflite", "cut.tflite").problem
