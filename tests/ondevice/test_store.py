"""The lock of a device's folder: one at a time, gone with its process, and no lock once its file was cleaned away."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edgebig.ondevice import store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")


def held(folder: Path, holder: str = "ana@laptop") -> Any:
    holding = store.hold(str(folder), holder)
    assert next(holding) == {"event": "held"}
    return holding


def test_a_second_is_told_of_the_first_and_gets_it_afterwards(tmp_path: Path) -> None:
    first = held(tmp_path)
    second = store.hold(str(tmp_path), "ben@desk")
    waiting = next(second)
    assert (waiting["event"], waiting["holder"]) == ("waiting", "ana@laptop")
    assert 0 <= waiting["for_s"] < 60
    first.close()
    assert next(second) == {"event": "held"}
    assert json.loads((tmp_path / store.LOCK).read_text())["holder"] == "ben@desk"


@pytest.mark.parametrize(
    "written", ["", "{", "[]", '{"holder": 1}', '{"holder": "a", "since_unix_s": "b"}', "\udcff"]
)
def test_whatever_stands_in_the_file_it_is_a_lock(written: str, tmp_path: Path) -> None:
    first = held(tmp_path)
    (tmp_path / store.LOCK).write_text(written, errors="surrogateescape")
    second = store.hold(str(tmp_path), "ben@desk")
    assert next(second) == {"event": "waiting", "holder": "another process", "for_s": None}
    first.close()
    assert next(second) == {"event": "held"}


def test_a_clock_that_was_set_back_makes_no_negative_time(tmp_path: Path) -> None:
    first = held(tmp_path)
    (tmp_path / store.LOCK).write_text(json.dumps({"holder": "ana", "since_unix_s": 1e12}))
    assert next(store.hold(str(tmp_path), "ben"))["for_s"] == 0
    first.close()


def test_who_waited_for_a_file_that_was_cleaned_away_locks_the_new_one(tmp_path: Path) -> None:
    """Else a third, who finds a new file, would hold a lock of its own beside the second's."""
    folder = tmp_path / "store"
    folder.mkdir()
    first = held(folder)
    second = store.hold(str(folder), "ben@desk")
    assert next(second)["event"] == "waiting"
    (folder / store.LOCK).unlink()
    folder.rmdir()
    first.close()
    assert next(second) == {"event": "held"}
    third = store.hold(str(folder), "eve")
    assert next(third)["holder"] == "ben@desk"
    second.close()


def test_it_waits_in_the_kernel_and_not_in_turns(tmp_path: Path) -> None:
    first = held(tmp_path)
    second = store.hold(str(tmp_path), "ben@desk")
    next(second)
    got = threading.Event()
    waiter = threading.Thread(target=lambda: (next(second), got.set()))
    waiter.start()
    assert not got.wait(0.1)
    first.close()
    waiter.join(10)
    assert got.is_set()
