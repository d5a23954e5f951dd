"""edgebig predict --explain: a sheet a picture, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edgebig import artifact, predict
from edgebig.cli import app
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copyfile((GOLDEN / "digits-int8").with_suffix(suffix), (tmp_path / "m").with_suffix(suffix))
    return tmp_path / "m.tflite"


def stroke(path: Path) -> Path:
    grey = np.full((240, 320), 225, np.uint8)
    grey[60:170, 150:158] = 40
    Image.fromarray(grey).save(path)
    return path


def test_a_picture_has_its_sheet(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    picture, sheet = stroke(tmp_path / "one.png"), tmp_path / "made" / "sheet.png"
    done = CliRunner().invoke(app, ["predict", str(model), str(picture), "--explain", str(sheet)])
    assert done.exit_code == 0, done.output
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 1000
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


def test_of_several_pictures_each_has_a_number(model: Path, tmp_path: Path) -> None:
    loaded, sheet = artifact.load(model), tmp_path / "s.png"
    sheets = predict.sheets_of(loaded, [tmp_path / "a.png", tmp_path / "b.png"], sheet)
    assert [path.name for path in sheets] == ["s-1.png", "s-2.png"]
    assert predict.sheets_of(loaded, [tmp_path / "a.png"], sheet) == [sheet]


def test_what_no_sheet_can_be_drawn_to_is_refused_before_anything_runs(model: Path, tmp_path: Path) -> None:
    picture = stroke(tmp_path / "one.png")
    before = picture.read_bytes()
    loaded = artifact.load(model)
    with pytest.raises(EdgebigError, match="one of the pictures to read"):
        predict.sheets_of(loaded, [picture], tmp_path / "made" / ".." / "one.png")
    with pytest.raises(EdgebigError, match="no picture's format"):
        predict.sheets_of(loaded, [picture], tmp_path / "sheet.txt")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError):
        predict.sheets_of(loaded, [picture], tmp_path / "folder.png")
    assert picture.read_bytes() == before


def test_a_model_of_whole_pictures_has_no_steps(model: Path, tmp_path: Path) -> None:
    path = model.with_suffix(".json")
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "preprocessing": {**card["preprocessing"], "framing": "whole"}}))
    with pytest.raises(EdgebigError, match="looks at the whole picture"):
        predict.sheets_of(artifact.load(model), [tmp_path / "a.png"], tmp_path / "s.png")
