"""A folder is written whole or not at all, and over nothing of the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import files
from edgebig.errors import EdgebigError
from edgebig.export import folder

CONTENTS = {"a.h": b"a", "assets/b.tflite": b"b"}


def tree(path: Path) -> dict[str, bytes]:
    return {str(found.relative_to(path)): found.read_bytes() for found in path.rglob("*") if found.is_file()}


def test_what_is_written(tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "a name"
    paths = folder.write(out, CONTENTS, {"target": "c"})
    assert [path.relative_to(out).as_posix() for path in paths] == ["a.h", "assets/b.tflite", "export.json"]
    record = json.loads((out / "export.json").read_text())
    assert record["schema"] == 1
    assert record["files"] == {name: files.sha256_bytes(data) for name, data in CONTENTS.items()}
    assert {name: data for name, data in tree(out).items() if name != "export.json"} == CONTENTS
    # Nothing else is left beside it, and it can be read by whom the umask allows.
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o777 & ~files._umask()


def test_an_earlier_export_gives_way(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder.write(out, CONTENTS, {})
    folder.write(out, {"c.h": b"c"}, {})
    assert set(tree(out)) == {"c.h", "export.json"}
    assert list(tmp_path.iterdir()) == [out]
    (tmp_path / "empty").mkdir()
    folder.write(tmp_path / "empty", CONTENTS, {})


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda out: (out / "notes.txt").write_text("mine"), "notes.txt"),
        (lambda out: (out / "a.h").write_text("changed"), "a.h"),
        (lambda out: (out / "assets" / "link").symlink_to("/etc"), "assets/link"),
        (lambda out: (out / "export.json").write_text("{}"), "a.h and 2 more"),
        (lambda out: (out / "export.json").write_text('{"files": {"../../x": 1}}'), "a.h and 2 more"),
        (lambda out: (out / "export.json").unlink(), "a.h and 1 more"),
    ],
    ids=["another file", "a change", "a link", "no record", "a bad record", "the record gone"],
)
def test_the_user_s_own_stays(tmp_path: Path, spoil: Callable[[Path], object], named: str) -> None:
    out = tmp_path / "out"
    folder.write(out, CONTENTS, {})
    spoil(out)
    before = tree(out)
    with pytest.raises(EdgebigError) as refused:
        folder.write(out, {"c.h": b"c"}, {})
    assert refused.value.problem == f"{out}: holds what edgebig export did not write: {named}"
    assert tree(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(EdgebigError, match="is there already, and is no folder"):
            folder.check(tmp_path / name)
    with pytest.raises(OSError, match="Not a directory"):
        folder.check(tmp_path / "file" / "out")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder.write(out, CONTENTS, {})
    before = tree(out)
    with pytest.raises(OSError, match="File name too long"):
        folder.write(out, {"c.h": b"c", "x" * 300: b""}, {})
    assert tree(out) == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who is not root")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as refused:
        folder.check(tmp_path / "out")
    assert str(tmp_path / "out") in str(refused.value.filename)
