"""Pictures -> digits, by a real runner: one answer a picture, whatever the other pictures are."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig import artifact, cli, device, predict
from edgebig.data import source
from edgebig.drivers.protocol import Event
from edgebig.errors import EdgebigError
from edgebig.ondevice import predict as ondevice_predict
from edgebig.ondevice.faults import Fault
from edgebig.recipe import Data

GOLDEN = Path(__file__).resolve().parent / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copyfile((GOLDEN / "digits-int8").with_suffix(suffix), (tmp_path / "m").with_suffix(suffix))
    return tmp_path / "m.tflite"


def picture(path: Path, labels: str = "3") -> Path:
    """Embedded test digits in a row, eight times as large, dark on a page."""
    test = source.load(Data(source="digits-5k")).test
    page = np.full((320, 80 + 240 * len(labels)), 255, np.uint8)
    for place, label in enumerate(labels):
        image = test.images[test.labels == int(label)][4, ..., 0]
        page[48:272, 48 + 240 * place : 272 + 240 * place] -= np.kron(image, np.ones((8, 8), np.uint8))
    Image.fromarray(page).save(path)
    return path


def answers(model: Path, *images: Path) -> list[Event]:
    return list(predict.predict(artifact.load(model), images, device.load("local")))


def test_one_answer_a_picture_in_order_and_bad_ones_harm_no_other(model: Path, tmp_path: Path) -> None:
    broken, folder, absent = tmp_path / "broken.png", tmp_path / "folder.png", tmp_path / "absent.png"
    broken.write_bytes(picture(tmp_path / "whole.png").read_bytes()[:200])
    folder.mkdir()
    blank = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    images = [
        picture(tmp_path / "1.png", "1"),
        broken,
        absent,
        blank,
        folder,
        picture(tmp_path / "2.png", "07"),
    ]
    found = answers(model, *images)
    assert [event["image"] for event in found] == [str(image) for image in images]
    kinds = ["prediction", "error", "error", "prediction", "error", "prediction"]
    assert [event["event"] for event in found] == kinds
    for event in found:
        if event["event"] == "error":
            assert Path(event["image"]).name in event["problem"]
            assert event["hint"]
    one, nothing, two = (event for event in found if event["event"] == "prediction")
    assert one["label"] == "1"
    assert (nothing["label"], nothing["confidence"], nothing["digits"]) == ("", 0.0, [])
    assert two["label"] == "07"
    check_digits(two)


def check_digits(answer: dict[str, Any]) -> None:
    assert len(answer["digits"]) == 2
    for place, digit in enumerate(answer["digits"]):
        assert set(digit) == {"label", "confidence", "box"}
        assert isinstance(digit["label"], str)
        assert 0 < digit["confidence"] <= 1
        x, y, width, height = digit["box"]
        # In pixels of the picture, and around the digit that was put there.
        assert 48 + 240 * place <= x < x + width <= 272 + 240 * place
        assert 48 <= y < y + height <= 272
    assert answer["confidence"] == min(digit["confidence"] for digit in answer["digits"])


def test_json_is_one_object_a_line_and_exit_1_where_a_picture_failed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = picture(tmp_path / "good.png", "1")
    arguments = ["predict", str(model), str(tmp_path / "absent.png"), str(good), "--json"]
    monkeypatch.setattr(sys, "argv", ["edgebig", *arguments])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 1
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    answer = json.loads(line)
    assert list(answer) == ["image", "label", "confidence", "digits"]
    assert answer["image"] == str(good)
    problem, hint = err.splitlines()
    assert "absent.png" in problem
    assert hint.startswith("  ")
    assert "Traceback" not in err


def test_a_model_without_a_card_cannot_read_pictures(model: Path, tmp_path: Path) -> None:
    model.with_suffix(".json").unlink()
    with pytest.raises(EdgebigError, match=r"no card beside it \(m\.json\)") as caught:
        answers(model, tmp_path / "any.png")
    assert "copy the card" in caught.value.hint


def test_a_card_of_another_number_of_classes_is_refused(model: Path) -> None:
    task = {"model": str(model), "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1}
    with pytest.raises(Fault, match="10 outputs, and its card names 2 classes") as caught:
        next(ondevice_predict.predict({**task, "classes": ["0", "1"], "images": []}))
    assert caught.value.code == "bad-model"


def test_only_a_local_device_reads_pictures(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="a fake device cannot read pictures"):
        list(predict.predict(artifact.load(model), [tmp_path / "any.png"], device.load("fake")))
