"""`edgebig export`, as its entry point runs it, by users who are in a hurry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgebig import tflitefile
from tests.commandline import Edgebig

from .conftest import GOLDEN

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def export(edgebig: Edgebig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgebig:
    """`edgebig export ARGUMENTS` in a folder with one model and its card, m.tflite."""
    monkeypatch.chdir(tmp_path)
    for suffix in (".tflite", ".json"):
        shutil.copyfile((GOLDEN / "digits-int8").with_suffix(suffix), Path("m").with_suffix(suffix))
    return partial(edgebig, "export")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


FILES = {
    "c": ["export.json", "golden_digits_int8.c", "golden_digits_int8.h"],
    "arduino": ["README.md", "export.json", "golden_digits_int8_arduino.ino", "model.cpp", "model.h"],
    "android": [
        "GoldenDigitsInt8Classifier.kt", "README.md", "assets/golden_digits_int8/labels.txt",
        "assets/golden_digits_int8/model.json", "assets/golden_digits_int8/model.tflite", "export.json",
    ],
}  # fmt: skip


@pytest.mark.parametrize("target", FILES)
def test_each_target(export: Edgebig, target: str) -> None:
    done = export("m.tflite", "--to", target, "--examples", "20")
    assert (done.code, done.stderr) == (0, "")
    out = Path(f"golden_digits_int8_{target}")
    assert names(out) == FILES[target]
    lines = done.stdout.splitlines()
    assert lines[: len(FILES[target])][-1] == f"{out}/export.json"
    # Nothing of the machine is in it.
    for path in out.rglob("*"):
        assert path.is_dir() or str(Path.cwd()).encode() not in path.read_bytes()
    record = json.loads((out / "export.json").read_text())
    assert (record["target"], record["name"]) == (target, "golden_digits_int8")
    # Again over its own, to the same bytes.
    before = {name: (out / name).read_bytes() for name in names(out)}
    again = export("m.tflite", "--to", target, "--examples", "20", "--json")
    assert again.code == 0
    assert {name: (out / name).read_bytes() for name in names(out)} == before
    told = json.loads(again.stdout)
    assert told["files"][-1] == f"{out}/export.json"
    assert told["model"] == record["model"]
    # Where tflite-micro's environment is not made, that is said, and nothing is made up.
    if target != "android":
        assert (told["check"], told["arena"]["measured"]) == (None, False)
        assert lines[-1].startswith("UNCHECKED in tflite-micro: edgebig environment add tflite-micro")


def test_names_and_folders_of_the_user_s_own(export: Edgebig) -> None:
    done = export("m.tflite", "--to", "c", "--name", "My Net! (2)", "--out", "a folder/b", "--examples", "5")
    assert done.code == 0
    assert names(Path("a folder/b")) == ["export.json", "my_net_2.c", "my_net_2.h"]
    done = export("m.tflite", "--to", "arduino", "--name", "", "--out", "sketches/net", "--examples", "5")
    assert done.code == 0
    assert "model_model" in Path("sketches/net/model.h").read_text()
    assert Path("sketches/net/net.ino").exists()


def test_other_examples(export: Edgebig) -> None:
    done = export("m.tflite", "--to", "c", "--source", "digits-5k", "--examples", "10")
    assert done.code == 0
    done = export("m.tflite", "--to", "c", "--source", "images:nowhere")
    assert (done.code, done.stdout) == (1, "")


def spoil_card(change: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads(Path("m.json").read_text())
    change(card)
    Path("m.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("prepare", "arguments", "problem"),
    [
        (None, ["m.tflite", "m.tflite", "--to", "c"], "--to c: takes one model, and no --runtime-dir"),
        (None, ["m.tflite", "--to", "android", "--runtime-dir", "."], "--to android: takes one model, and no "),
        (None, ["m.tflite", "--to", "web", "--runtime-dir", "."], "--runtime-dir .: neither litertjs-core-2.5.3"),
        (None, ["m.tflite", "m.tflite", "--to", "web"], "m.tflite and m.tflite are the same file"),
        (None, ["--to", "c"], "no finished run in runs/"),
        (None, ["n.tflite", "--to", "c"], "n.tflite: no such file"),
        (lambda: Path("m.json").unlink(), ["m.tflite", "--to", "c"], "m.tflite: no card beside it (m.json), "),
        (lambda: Path("x").write_text(""), ["m.tflite", "--to", "c", "--out", "x"], "x: is there already"),
        (lambda: Path("x").write_text(""), ["m.tflite", "--to", "c", "--out", "x/y"], "x/y: Not a directory"),
        (None, ["m.tflite", "--to", "c", "--out", "."], ".: holds what edgebig export did not write: m.json and"),
        (None, ["m.tflite", "--to", "arduino", "--out", "my sketch"], "'my sketch' is no name for an Arduino"),
        (lambda: spoil_card(lambda card: card.update(classes=["a"])), ["m.tflite", "--to", "c"], "m.tflite: "),
    ],
)  # fmt: skip
def test_the_user_s_faults(
    export: Edgebig, prepare: Callable[[], object] | None, arguments: list[str], problem: str
) -> None:
    if prepare:
        prepare()
    before = names(Path())
    done = export(*arguments)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].startswith(f"edgebig: {problem}")
    assert done.stderr.splitlines()[1].startswith("  ")
    assert names(Path()) == before


def test_a_model_that_no_board_runs(export: Edgebig) -> None:
    tree = tflitefile.unpack_model(Path("m.tflite").read_bytes(), "m")
    tree.operatorCodes[0].builtinCode, tree.operatorCodes[0].deprecatedBuiltinCode = 150, 127
    Path("m.tflite").write_bytes(tflitefile.pack_model(tree, {}))
    from edgebig import files

    spoil_card(lambda card: card.update(sha256=files.sha256_file(Path("m.tflite"))))
    done = export("m.tflite", "--to", "arduino")
    assert done.code == 1
    assert (
        "edgebig: m.tflite: tflite-micro cannot run it: GELU: TFLite Micro has no kernel for it"
        in done.stderr
    )


def test_usage(export: Edgebig) -> None:
    for arguments in (
        ["m.tflite"],
        ["m.tflite", "--to", "fpga"],
        ["m.tflite", "--to", "c", "--examples", "0"],
    ):
        assert export(*arguments).code == 2
