"""The cache's files: whole or not at all, whoever else writes, is killed or fills the disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data import mapped
from edgebig.data.examples import hash_images
from edgebig.data.mapped import Broken, Mapped, path_of, read, writing
from edgebig.errors import EdgebigError

PIXELS = np.random.default_rng(3).integers(0, 256, (7, 4, 5, 3), np.uint8)


def write(
    path: Path, pixels: npt.NDArray[np.uint8], left_out: tuple[int, ...] = (), grey: bool = False
) -> Mapped:
    with writing(path, pixels.shape) as writer:
        for index in reversed(range(len(pixels))):
            if index in left_out:
                writer.leave_out(index, Broken("broken-picture", "is cut short"))
            else:
                writer.put(index, pixels[index])
        if grey:
            writer.to_grey()
        return writer.finish()


def test_what_was_written_is_read_back_mapped() -> None:
    path = path_of("some")
    assert read(path) is None
    for result in (write(path, PIXELS), read(path)):
        assert result is not None
        assert (result.pixels == PIXELS).all()
        assert isinstance(result.pixels, np.memmap)
        assert (result.hashes == hash_images(PIXELS)).all()
        assert result.broken == {}
        with pytest.raises(ValueError, match="read-only"):
            result.pixels[0] = 0
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("left_out", [(), (0, 3), (6,), (5, 6), tuple(range(7))])
@pytest.mark.parametrize("grey", [False, True])
def test_pictures_that_are_left_out_move_no_other(left_out: tuple[int, ...], grey: bool) -> None:
    pixels = np.repeat(PIXELS[..., :1], 3, axis=3) if grey else PIXELS
    write(path_of("some"), pixels, left_out, grey)
    result = read(path_of("some"))
    assert result is not None
    wish = pixels[..., :1] if grey else pixels
    kept = [index for index in range(7) if index not in left_out]
    assert result.pixels.shape == wish.shape
    assert (result.pixels[kept] == wish[kept]).all()
    assert (result.hashes[kept] == hash_images(wish)[kept]).all()
    assert set(result.broken) == set(left_out)
    assert all(why == Broken("broken-picture", "is cut short") for why in result.broken.values())


@given(count=st.integers(1, 20), step_bytes=st.integers(1, 100))
@settings(max_examples=20)
def test_made_grey_in_any_steps(count: int, step_bytes: int) -> None:
    pixels = np.repeat(np.random.default_rng(count).integers(0, 256, (count, 2, 3, 1), np.uint8), 3, axis=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "_CHUNK_BYTES", step_bytes)
        assert (write(path_of("grey"), pixels, grey=True).pixels == pixels[..., :1]).all()


def test_threads_write_at_once() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 9, 9, 1), np.uint8)
    with writing(path_of("threads"), (400, 9, 9, 1)) as writer:

        def put(start: int) -> None:
            for index in range(start, 400, 8):
                writer.put(index, pixels[index])

        threads = [threading.Thread(target=put, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result = writer.finish()
    assert (result.pixels == pixels).all()
    assert (result.hashes == hash_images(pixels)).all()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "short": lambda data: data[:-1],
    "a byte more in front": lambda data: b"\0" + data,
    "no facts": lambda data: data[:400],
    "a huge length": lambda data: data[:-8] + b"\xff" * 8,
    "other JSON": lambda data: data.replace(b'"shape"', b'"ships"'),
    "no JSON": lambda data: data.replace(b'"shape"', b"'shape'"),
    "another shape": lambda data: data.replace(b"[7, 4, 5, 3]", b"[7, 4, 5, 2]"),
    "a shape of words": lambda data: data.replace(b"[7, 4, 5, 3]", b'"7, 4,5,3" '),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_as_none(kind: str) -> None:
    path = path_of("some")
    write(path, PIXELS)
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    assert read(path) is None
    assert (write(path, PIXELS).pixels == PIXELS).all()


def test_an_error_in_the_block_leaves_nothing() -> None:
    def fail() -> None:
        with writing(path_of("some"), PIXELS.shape) as writer:
            writer.put(0, PIXELS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(path_of("some").parent.iterdir()) == []


KILLED = """
import os, signal, sys
import numpy as np
from edgebig.data.mapped import path_of, writing
with writing(path_of("some"), (7, 4, 5, 3)) as writer:
    for index in range(7):
        writer.put(index, np.zeros((4, 5, 3), np.uint8))
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    writer.finish()
"""


def test_a_kill_leaves_nothing_that_is_taken_for_whole_and_goes_later() -> None:
    path = path_of("some")
    assert subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=60).returncode == -9
    (left,) = path.parent.iterdir()
    assert read(path) is None
    write(path, PIXELS)
    assert left.exists()  # it may be of a process that has not locked it yet
    os.utime(left, (0, 0))
    with writing(path_of("other"), PIXELS.shape) as writer:
        (own,) = (each for each in path.parent.glob(".*") if each != left)
        os.utime(own, (0, 0))
        write(path_of("third"), PIXELS)  # which finds a file that is old, but locked
        writer.put(0, PIXELS[0])
        writer.finish()
    assert {each.name for each in path.parent.iterdir()} == {"some.u8", "other.u8", "third.u8"}


def test_a_file_unused_for_a_month_goes_and_a_used_one_stays() -> None:
    a_month_s = 31 * 24 * 3600
    for name in ("unused", "used"):
        write(path_of(name), PIXELS)
        facts = path_of(name).stat()
        os.utime(path_of(name), (facts.st_mtime - a_month_s, facts.st_mtime - a_month_s))
    result = read(path_of("used"))
    write(path_of("new"), PIXELS)
    assert not path_of("unused").exists()
    assert result is not None
    assert (result.pixels == PIXELS).all()


def test_a_file_that_goes_while_it_is_mapped_is_still_read() -> None:
    result = write(path_of("some"), PIXELS)
    path_of("some").unlink()
    assert (result.pixels == PIXELS).all()


class Usage(NamedTuple):
    free: int


def test_too_little_space_is_told_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(100_000_000))
    with (
        pytest.raises(EdgebigError) as caught,
        writing(path_of("some"), (1000, 224, 224, 3)),
    ):
        pytest.fail("it has no space")
    assert "1,000 pictures of 224 x 224 take 150.5 MB, and 100.0 MB are free there" in caught.value.problem
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert list(path_of("some").parent.iterdir()) == []


def test_a_disk_that_fills_up_is_one_clear_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as a full disk does, it cuts a write short
    try:
        with pytest.raises(EdgebigError) as caught:
            write(path_of("some"), np.ones((9, 100, 100, 3), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be written: File too large" in caught.value.problem
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert list(path_of("some").parent.iterdir()) == []


def test_a_cache_that_is_no_folder_is_one_clear_error(users_state: Path) -> None:
    (users_state / ".cache").write_text("a file")
    with pytest.raises(EdgebigError, match="could not be written") as caught:
        write(path_of("some"), PIXELS)
    assert "check that folder" in caught.value.hint
