"""edgebig inspect: text, JSON, and what a clumsy user types."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edgebig import cli
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).parent.parent / "golden"


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["inspect", *arguments])


def test_text_and_json_tell_the_same() -> None:
    path = str(GOLDEN / "digits-int8.tflite")
    text = inspect(path)
    assert text.exit_code == 0
    assert text.stdout.startswith(f"{path}: 4,800 bytes, ")
    assert any(line.split()[:3] == ["conv2d_1", "CONV_2D", "7x7x4"] for line in text.stdout.splitlines())
    record = json.loads(inspect(path, "--json").stdout)
    assert (record["size_bytes"], record["macs"]) == (4800, 6860)
    assert [arena["planner"] for arena in record["arenas"]] == ["tflite-micro", "litert"]


def test_names_from_a_file_steer_no_terminal(tmp_path: Path) -> None:
    model = (GOLDEN / "digits-int8.tflite").read_bytes()
    assert model.count(b"conv2d_1") > 0
    (tmp_path / "m.tflite").write_bytes(model.replace(b"conv2d_1", b"\x1b[2J\x1b[1m"))
    done = inspect(str(tmp_path / "m.tflite"))
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("nope.tflite", None, "no such file"),
        ("empty.tflite", b"", "is empty"),
        ("text.tflite", b"hello world", "is not a .tflite"),
        ("cut.tflite", (GOLDEN / "digits-int8.tflite").read_bytes()[:900], "cut short or damaged"),
    ],
)
def test_the_user_s_faults(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = inspect(str(path))
    assert isinstance(done.exception, EdgebigError)
    assert problem in done.exception.problem
    assert done.exception.hint
    assert done.stdout == ""


def test_explorer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "model_explorer" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    done = inspect(str(GOLDEN / "digits-int8.tflite"), "--explorer")
    assert isinstance(done.exception, EdgebigError)
    assert "ai-edge-model-explorer" in done.exception.problem
    assert "edgebig[explorer]" in done.exception.hint
