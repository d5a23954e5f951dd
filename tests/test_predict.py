"""Pictures -> digits, by a real runner: one answer a picture, whatever the other pictures are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig import artifact, device, files, flatbuffer, predict
from edgebig.data import source
from edgebig.drivers.protocol import Event
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice import predict as ondevice_predict
from edgebig.ondevice.faults import Fault
from edgebig.recipe import Data
from tests.commandline import exit_code

GOLDEN = Path(__file__).resolve().parent / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copyfile((GOLDEN / "digits-int8").with_suffix(suffix), (tmp_path / "m").with_suffix(suffix))
    return tmp_path / "m.tflite"


def colours(folder: Path, **preprocessing: Any) -> Path:
    """The golden that tells red, green and blue by the means of 4x4 pixels, which looks at whole pictures."""
    path = folder / "colours.tflite"
    shutil.copyfile(GOLDEN / "pixels-int8.tflite", path)
    card = json.loads((GOLDEN / "digits-int8.json").read_text())
    contract = flatbuffer.io_contract(path.read_bytes(), path.name)
    card |= {
        "sha256": files.sha256_file(path),
        "input": vars(contract.inputs[0]),
        "output": vars(contract.outputs[0]),
        "classes": ["red", "green", "blue"],
        "preprocessing": {**card["preprocessing"], "colour": "rgb", "framing": "whole", **preprocessing},
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def picture(path: Path, *lines: str) -> Path:
    """Embedded test digits in lines, eight times as large, dark on a page."""
    test = source.load(Data(source="digits-5k")).test
    page = np.full((80 + 240 * len(lines), 80 + 240 * max(map(len, lines))), 255, np.uint8)
    for row, labels in enumerate(lines):
        for place, label in enumerate(labels):
            if label == " ":
                continue
            image = np.asarray(test.images)[test.labels == int(label)][4, ..., 0]
            at = np.s_[48 + 240 * row : 272 + 240 * row, 48 + 240 * place : 272 + 240 * place]
            page[at] -= np.kron(image, np.ones((8, 8), np.uint8))
    Image.fromarray(page).save(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What `edgebig predict ARGUMENTS`, in this process, prints to stdout."""
    code = exit_code("predict", *arguments)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out.splitlines()


def answers(model: Path, *images: Path) -> list[Event]:
    return list(predict.predict(artifact.load(model), images, device.load("local")))


def test_one_answer_a_picture_in_order_and_bad_ones_harm_no_other(model: Path, tmp_path: Path) -> None:
    broken, folder, absent = tmp_path / "broken.png", tmp_path / "folder.png", tmp_path / "absent.png"
    broken.write_bytes(picture(tmp_path / "whole.png", "3").read_bytes()[:200])
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
        assert set(digit) == {"label", "confidence", "box", "line"}
        assert isinstance(digit["label"], str)
        assert 0 < digit["confidence"] <= 1
        assert digit["line"] == 0
        x, y, width, height = digit["box"]
        # In pixels of the picture, and around the digit that was put there.
        assert 48 + 240 * place <= x < x + width <= 272 + 240 * place
        assert 48 <= y < y + height <= 272
    assert answer["confidence"] == min(digit["confidence"] for digit in answer["digits"])


def test_json_is_one_object_a_line_and_exit_1_where_a_picture_failed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = picture(tmp_path / "good.png", "1")
    assert exit_code("predict", model, tmp_path / "absent.png", good, "--json") == 1
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    answer = json.loads(line)
    assert list(answer) == ["image", "label", "confidence", "digits"]
    assert answer["image"] == str(good)
    problem, hint = err.splitlines()
    assert "absent.png" in problem
    assert hint.startswith("  ")
    assert "Traceback" not in err


def test_several_lines_are_read_line_by_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The second line begins right of where the first one ends: its boxes alone would make it the same line.
    page = str(picture(tmp_path / "page.png", "10", "  7", "04"))
    (answer,) = answers(model, Path(page))
    assert answer["label"] == "10704"
    assert [digit["line"] for digit in answer["digits"]] == [0, 0, 1, 2, 2]
    lines = run(capsys, str(model), page)
    assert [line.rpartition(" (")[0] for line in lines] == [
        f"{page}, line 1: 10", f"{page}, line 2: 7", f"{page}, line 3: 04",
    ]  # fmt: skip
    least = min(digit["confidence"] for digit in answer["digits"][3:])
    assert lines[2].endswith(f" ({least:.1%})")
    (one,) = run(capsys, str(model), str(picture(tmp_path / "line.png", "10")))
    assert one.startswith(f"{tmp_path / 'line.png'}: 10 (")


def test_what_is_below_the_card_s_threshold_is_no_digit(model: Path, tmp_path: Path) -> None:
    page = picture(tmp_path / "page.png", "10", "  7", "04")
    (before,) = answers(model, page)
    assert "rejected" not in before
    least = sorted(digit["confidence"] for digit in before["digits"])
    assert least[1] < least[2]
    card = json.loads(model.with_suffix(".json").read_text())
    bound = {"confidence": least[2] - 1 / 512, "known": 5, "kept": 3, "unknown": 0, "rejected": 0}
    model.with_suffix(".json").write_text(json.dumps({**card, "threshold": bound}))
    (answer,) = answers(model, page)
    assert answer["digits"] == [digit for digit in before["digits"] if digit["confidence"] >= least[2]]
    assert answer["rejected"] == [digit for digit in before["digits"] if digit["confidence"] < least[2]]
    assert answer["label"] == "".join(digit["label"] for digit in answer["digits"])
    assert answer["confidence"] == least[2]


def test_a_threshold_keeps_what_is_just_as_sure() -> None:
    scores = np.array([0.25, 0.75], np.float32)
    assert ondevice_predict.is_known(scores, None)
    assert ondevice_predict.is_known(scores, 0.75)
    assert not ondevice_predict.is_known(scores, 0.7500001)


def test_a_whole_picture_is_one_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, green = colours(tmp_path), tmp_path / "green.png"
    Image.new("RGB", (64, 64), (0, 255, 0)).save(green)
    blue = tmp_path / "blue.jpg"
    Image.new("RGB", (90, 30), (0, 0, 230)).save(blue)
    first, second = answers(model, green, blue)
    assert list(first) == ["event", "image", "label", "confidence", "digits", "top"]
    assert (first["label"], second["label"], first["digits"]) == ("green", "blue", [])
    assert [row["label"] for row in first["top"]] == ["green", "red", "blue"]
    assert first["top"][0]["confidence"] == first["confidence"]
    loaded = infer.Model(str(model), "ai-edge-litert", "xnnpack", 1)
    pure = np.full((1, 4, 4, 3), (0, 255, 0), np.uint8)
    card = artifact.read_card(model.with_suffix(".json"))
    (row,) = loaded.scores(infer.classify(loaded, pure, card.preprocessing.model_dump()))
    assert first["confidence"] == round(float(row[1]), 4)
    assert run(capsys, str(model), str(green)) == [f"{green}: green ({first['confidence']:.1%})"]


@pytest.mark.parametrize(("fit", "label"), [("crop", "green"), ("stretch", "red")])
def test_a_whole_picture_is_fitted_as_in_training(fit: str, label: str, tmp_path: Path) -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[..., 0] = 255
    pixels[:, 40:80] = (0, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "flag.png")
    (answer,) = answers(colours(tmp_path, fit=fit), tmp_path / "flag.png")
    assert answer["label"] == label


def test_digits_are_not_put_into_a_model_of_other_pictures(tmp_path: Path) -> None:
    with pytest.raises(
        EdgebigError, match=r"colours\.tflite: it takes 4x4x3; digits found in a picture"
    ) as caught:
        answers(colours(tmp_path, framing="ink"), tmp_path / "any.png")
    assert "framing = 'whole'" in caught.value.hint
    assert caught.value.exit_code == 1


def test_what_takes_no_picture_is_refused(tmp_path: Path) -> None:
    model = colours(tmp_path)
    shutil.copyfile(GOLDEN / "dense-int8.tflite", model)
    card = json.loads(model.with_suffix(".json").read_text())
    model.with_suffix(".json").write_text(json.dumps({**card, "sha256": files.sha256_file(model)}))
    with pytest.raises(EdgebigError, match="no picture can be made into its input"):
        answers(model, tmp_path / "any.png")


def test_a_card_from_before_framing_finds_digits(model: Path, tmp_path: Path) -> None:
    assert "framing" not in json.loads(model.with_suffix(".json").read_text())["preprocessing"]
    (answer,) = answers(model, picture(tmp_path / "7.png", "7"))
    assert (answer["label"], len(answer["digits"])) == ("7", 1)


def test_a_model_without_a_card_cannot_read_pictures(model: Path, tmp_path: Path) -> None:
    model.with_suffix(".json").unlink()
    with pytest.raises(EdgebigError, match=r"no card beside it \(m\.json\)") as caught:
        answers(model, tmp_path / "any.png")
    assert "copy the card" in caught.value.hint


def test_a_card_of_another_number_of_classes_is_refused(model: Path) -> None:
    task = {"model": str(model), "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
            "gpu_precision": "float32", "delegate_options": {}}  # fmt: skip
    with pytest.raises(Fault, match="10 outputs, and its card names 2 classes") as caught:
        next(ondevice_predict.predict({**task, "classes": ["0", "1"], "images": []}))
    assert caught.value.code == "bad-model"


def test_only_a_local_device_reads_pictures(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="a fake device cannot read pictures"):
        list(predict.predict(artifact.load(model), [tmp_path / "any.png"], device.load("fake")))
