"""The lock that all users of a board share: two users are kept apart, and nobody is harmed through its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebig.ondevice import sharedlock, store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")

ROOT = Path(__file__).resolve().parent.parent.parent
HELD = {"event": "shared", "held": True, "why": ""}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the lock; nothing of this machine's own is touched."""
    folder = tmp_path / "lock"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(sharedlock, "FOLDERS", (str(tmp_path / "none"), str(folder)))
    return folder


def refusal(folder: Path) -> str:
    (event,) = list(sharedlock.hold("ana@laptop"))
    assert (event["event"], event["held"]) == ("shared", False)
    prefix = f"{folder}/{sharedlock.NAME}: "
    assert event["why"].startswith(prefix)
    return str(event["why"].removeprefix(prefix))


def test_two_with_folders_of_their_own_are_kept_apart(shared: Path, tmp_path: Path) -> None:
    first = store.hold_for_host(str(tmp_path / "ana"), "ana@laptop")
    assert next(first)["event"] == "held"
    second = store.hold_for_host(str(tmp_path / "ben"), "ben@desk")
    waiting = next(second)
    assert (waiting["event"], waiting["holder"]) == ("waiting", "ana@laptop")
    first.close()
    assert next(second) == {"event": "held", "held": True, "why": ""}
    assert json.loads((shared / sharedlock.NAME).read_text())["holder"] == "ben@desk"
    second.close()


def test_all_may_write_it_whatever_the_umask(shared: Path) -> None:
    before = os.umask(0o077)
    try:
        assert next(sharedlock.hold("ana")) == HELD
    finally:
        os.umask(before)
    assert (shared / sharedlock.NAME).stat().st_mode & 0o777 == 0o666


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from ondevice import sharedlock
os.setgid(65534); os.setuid(65534)
sharedlock.FOLDERS = (sys.argv[2],)
for event in sharedlock.hold("nobody@board"):
    print(event["event"], event.get("holder", event.get("held")), flush=True)
    if event["event"] == "shared":
        sys.stdin.read()
        break
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may be another user")
def test_two_users_are_kept_apart(shared: Path, tmp_path: Path) -> None:
    from edgebig.drivers import payload

    (tmp_path / "runner.zip").write_bytes(payload.zipapp())
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)  # another user may come through
    own = sharedlock.hold("root@board")
    assert next(own) == HELD
    command = [sys.executable, "-S", "-c", AS_NOBODY, str(tmp_path / "runner.zip"), str(shared)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == "waiting root@board\n"
        own.close()
        assert other.stdout.readline() == "shared True\n"
        again = sharedlock.hold("root@board")
        assert next(again)["holder"] == "nobody@board"
        other.kill()
    assert next(again) == HELD


def test_no_link_is_followed(shared: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (shared / sharedlock.NAME).symlink_to(victim)
    assert refusal(shared) == os.strerror(40)  # ELOOP
    (shared / sharedlock.NAME).unlink()
    (shared / sharedlock.NAME).symlink_to(tmp_path / "nothing")
    assert refusal(shared) == os.strerror(40)
    assert not (tmp_path / "nothing").exists()
    (shared / sharedlock.NAME).unlink()
    os.link(victim, shared / sharedlock.NAME)
    assert refusal(shared).startswith("is no plain file of one name")
    assert victim.read_text() == "precious"


def test_what_is_no_file_is_no_lock_and_holds_nobody_up(shared: Path) -> None:
    os.mkfifo(shared / sharedlock.NAME)
    assert refusal(shared).startswith("is no plain file")
    (shared / sharedlock.NAME).unlink()
    (shared / sharedlock.NAME).mkdir()
    assert refusal(shared) == os.strerror(21)  # EISDIR


@pytest.mark.parametrize("written", [b"\xff\x00", b"[" * 100_000, b'{"holder": "' + b"x" * 9000 + b'"}'])
def test_whatever_another_wrote_there_names_at_most_a_holder(shared: Path, written: bytes) -> None:
    first = sharedlock.hold("ana")
    assert next(first) == HELD
    (shared / sharedlock.NAME).write_bytes(written)
    waiting: dict[str, Any] = next(sharedlock.hold("ben"))
    assert (waiting["holder"], waiting["for_s"]) == ("another process", None)
    first.close()
    assert next(sharedlock.hold("ben")) == HELD


def test_a_folder_where_not_all_may_write_or_take_away_each_others_files_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setattr(sharedlock, "FOLDERS", (str(tmp_path / "mine"), str(tmp_path / "open")))
    assert list(sharedlock.hold("ana")) == [{"event": "shared", "held": False, "why": ""}]
    monkeypatch.setenv(sharedlock.FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert next(sharedlock.hold("ana")) == HELD
