"""The card: written whole, read back the same, and refused by name where it is not this file's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact
from edgebig.artifact import Card
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).parent / "golden" / "digits-int8.tflite"
CARD = artifact.read_card(GOLDEN.with_suffix(".json"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return artifact.save(tmp_path, "int8", GOLDEN.read_bytes(), CARD).path


def damage(model: Path, **changes: Any) -> None:
    path = model.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_what_is_saved_is_loaded(model: Path) -> None:
    loaded = artifact.load(model)
    assert (loaded.path, loaded.name, loaded.sha256, loaded.card) == (model, "int8", CARD.sha256, CARD)
    assert artifact.require_card(loaded, "") is loaded.card
    assert sorted(path.name for path in model.parent.iterdir()) == ["int8.json", "int8.tflite"]
    record = json.loads(model.with_suffix(".json").read_text("utf-8"))
    assert next(iter(record)) == "schema"
    assert record == artifact.dump_record(CARD)


def test_a_model_from_elsewhere_has_no_card(model: Path) -> None:
    model.with_suffix(".json").unlink()
    loaded = artifact.load(model)
    assert loaded.card is None
    with pytest.raises(EdgebigError, match=r"no card beside it \(int8\.json\), which says its classes"):
        artifact.require_card(loaded, "which says its classes")


def test_a_missing_model(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(EdgebigError, match="no such file"):
            artifact.load(path)


def test_a_changed_model_is_refused(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(EdgebigError, match=r"not the file that int8\.json describes"):
        artifact.load(model)


def test_a_changed_card_is_refused(model: Path) -> None:
    damage(model, sha256="0" * 64)
    with pytest.raises(EdgebigError, match=r"not the file that int8\.json describes"):
        artifact.load(model)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": 2}, "a card of schema 2, this edgebig reads schema 1"),
        ({"schema": 0}, "a card of schema 0"),
        ({"schema": True}, "no card of edgebig"),
        ({"schema": "1"}, "no card of edgebig"),
        ({"schema": None}, "no card of edgebig"),
        ({"schema_": 7, "extra": 1}, "extra: Extra inputs are not permitted"),
        ({"classes": 3}, "classes: "),
        ({"sha256": "../../../etc/passwd"}, "sha256: "),
        ({"train": {"source": "m", "split": "train", "n": 1, "sha256": "../../../x"}}, r"train\.sha256: "),
        ({"host_accuracy": None}, "host_accuracy: "),
    ],
)
def test_a_card_of_another_form_is_refused(model: Path, changes: dict[str, Any], problem: str) -> None:
    damage(model, **changes)
    with pytest.raises(EdgebigError, match=problem) as caught:
        artifact.load(model)
    assert caught.value.problem.startswith(f"{model.with_suffix('.json')}: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", b"[1]", b"3", b'{"schema": 1', b"[" * 100_000, b'{"schema": ' + b"1" * 5000 + b"}"],
    ids=range(8),
)
def test_a_damaged_card_is_one_error(model: Path, data: bytes) -> None:
    model.with_suffix(".json").write_bytes(data)
    with pytest.raises(EdgebigError, match=r"not JSON|no card of edgebig") as caught:
        artifact.load(model)
    assert caught.value.hint


def test_a_card_cut_short_anywhere_is_one_error(model: Path) -> None:
    path = model.with_suffix(".json")
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(EdgebigError, match="not JSON"):
            artifact.load(model)


def test_no_card_may_hold_what_is_no_number(model: Path) -> None:
    accuracy = {**artifact.dump_record(CARD)["host_accuracy"], "value": float("nan")}
    damage(model, host_accuracy=accuracy)
    with pytest.raises(EdgebigError, match=r"host_accuracy\.value: .*finite"):
        artifact.load(model)


def test_a_new_model_takes_the_old_card_away_first(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes in between, no card stands beside another model."""

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact.files, "write_json", fail)
    with pytest.raises(OSError, match="No space"):
        artifact.save(model.parent, "int8", b"another", CARD)
    assert artifact.load(model).card is None


def test_hash_lists(tmp_path: Path) -> None:
    hashes = np.array([2**64 - 1, 3, 0, 7], np.uint64)
    sha256 = artifact.write_hashes(tmp_path, hashes)
    assert artifact.write_hashes(tmp_path, hashes[::-1]) == sha256  # a set has no order
    read = artifact.read_hashes(tmp_path, sha256)
    assert read is not None
    assert read.tolist() == [0, 3, 7, 2**64 - 1]
    path = artifact.hashes_path(tmp_path, sha256)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    data = path.read_bytes()
    for altered in (data[:-8], data[:-1], data[:-1] + b"x", b""):
        path.write_bytes(altered)
        assert artifact.read_hashes(tmp_path, sha256) is None
    path.unlink()
    assert artifact.read_hashes(tmp_path, sha256) is None


def test_a_hash_list_of_half_a_hash_is_none(tmp_path: Path) -> None:
    sha256 = artifact.files.sha256_bytes(b"12345")
    artifact.hashes_path(tmp_path, sha256).write_bytes(b"12345")
    assert artifact.read_hashes(tmp_path, sha256) is None


def test_a_record_is_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "measurement.json"
    path.write_text('{"schema": 1, "provenance": "fake"}')
    with pytest.raises(EdgebigError, match=r"measurement\.json: recipe: Field required"):
        artifact.read_record(path, Card, 1, "card")


def test_nothing_is_written_over(model: Path) -> None:
    folder = model.parent
    assert artifact.free_variant(folder, "int8-new") == "int8-new"
    assert artifact.free_variant(folder, model.stem) == f"{model.stem}-2"
    (folder / f"{model.stem}-2.json").touch()
    assert artifact.free_variant(folder, model.stem) == f"{model.stem}-3"
