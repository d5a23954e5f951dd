"""What is kept of a session: each frame as it was read, its answer, and no more than was allowed."""

from __future__ import annotations

import base64
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig.camera.record import ANSWERS, Recorder, _append


def frame(number: int, size: int = 100) -> dict[str, Any]:
    png = base64.b64encode(bytes([number]) * size).decode()
    return {"event": "frame", "frame": number, "label": "42", "digits": [], "jpeg": "abc", "png": png}


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ANSWERS).read_text().splitlines()]


def test_each_frame_has_its_file_and_its_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "kept", 10**6)
    event = frame(7)
    recorder.show({"event": "waiting"})
    recorder.show(event)
    assert "png" not in event  # It goes no further.
    (folder,) = (tmp_path / "kept").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [ANSWERS, "frame-000007.png"]
    assert (folder / "frame-000007.png").read_bytes() == bytes([7]) * 100
    assert answers(folder) == [
        {"file": "frame-000007.png", "event": "frame", "frame": 7, "label": "42", "digits": []}
    ]


def test_the_limit_holds_for_all_sessions_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Recorder(tmp_path, 2000)
    for number in range(3):
        first.show(frame(number))
    second = Recorder(tmp_path, 2000)
    assert second.folder != first.folder
    for number in range(40):
        second.show(frame(number))
    kept = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 1500 < kept <= 2000
    assert first.frames + second.frames == sum(len(answers(f)) for f in (first.folder, second.folder))
    assert capsys.readouterr().err.count("--record-limit") == 1


def test_a_line_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ANSWERS
    _append(path, b"first\n")
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[:-3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        _append(path, b"second\n")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"first\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: a disk of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs root: a disk of its own")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(small_disk: Path) -> None:
    recorder = Recorder(small_disk / "kept", 10**9)
    with pytest.raises(OSError, match="No space left") as caught:  # noqa: PT012
        for number in range(20):
            recorder.show(frame(number, size=9000))
    assert str(recorder.folder) in str(caught.value.filename)
    kept = sorted(path.name for path in recorder.folder.iterdir())
    assert kept[0] == ANSWERS
    assert set(kept[1:]) >= {answer["file"] for answer in answers(recorder.folder)}
    assert all((recorder.folder / name).stat().st_size == 9000 for name in kept[1:])
