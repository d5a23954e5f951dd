"""The cache's files of pictures: each is written once, whole or not at all, and then mapped into memory. numpy only.

A file is the pixels, uint8 (N, H, W, C); their hashes, uint64 (N,) little-endian; the facts as JSON; and the length of
that JSON in 8 bytes, little-endian. One file and not several: two processes may make the same one at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig import files, lookup
from edgebig.data.examples import hash_images
from edgebig.errors import EdgebigError

_KEPT_UNUSED_S = 30 * 24 * 3600
# A file is locked right after it is made, well within this.
_SURELY_LOCKED_S = 10
_CHUNK_BYTES = 1 << 24
_MORE_SPACE = "free some there, or set XDG_CACHE_HOME to a folder on a larger disk"

Shape = tuple[int, int, int, int]


class Broken(NamedTuple):
    """Why a file gave no picture; `code` is that of ondevice's Fault, `problem` goes on from the file's name."""

    code: str
    problem: str


@dataclass(frozen=True)
class Mapped:
    """`pixels`: uint8 (N, H, W, C), mapped; those of a file in `broken` {index: why} mean nothing. `hashes`: (N,)."""

    pixels: npt.NDArray[np.uint8]
    hashes: npt.NDArray[np.uint64]
    broken: dict[int, Broken]


def path_of(digest: str) -> Path:
    return lookup.cache_dir() / "pictures" / f"{digest}.u8"


def read(path: Path) -> Mapped | None:
    """The file, mapped; None where it is not there, or was damaged by others. It counts as used."""
    try:
        with path.open("rb") as file:
            with contextlib.suppress(OSError):  # another user's
                os.utime(path)
            return _read(file)
    # KeyError, TypeError: other JSON than ours. UnicodeDecodeError is a ValueError.
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(file: BinaryIO) -> Mapped:
    size = os.fstat(file.fileno()).st_size
    file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(8), "little")
    file.seek(size - 8 - length)
    facts = json.loads(file.read(length))
    shape: Shape = tuple(facts["shape"])
    pixel_bytes = int(np.prod(shape, dtype=np.int64))
    if size != pixel_bytes + 8 * shape[0] + length + 8:
        raise ValueError("not whole")
    file.seek(pixel_bytes)
    hashes = np.frombuffer(file.read(8 * shape[0]), "<u8")
    broken = {int(index): Broken(*why) for index, why in facts["broken"].items()}
    return Mapped(np.memmap(file, np.uint8, "r", shape=shape), hashes, broken)


@dataclass
class Writer:
    """A file in the making; threads may put and leave out pictures of different indices at once."""

    file: BinaryIO
    shape: Shape
    hashes: npt.NDArray[np.uint64]
    broken: dict[int, Broken] = field(default_factory=dict)

    def put(self, index: int, picture: npt.NDArray[np.uint8]) -> None:
        """uint8 (H, W, C)."""
        _write(self.file, picture.tobytes(), index * picture.nbytes)
        self.hashes[index] = hash_images(picture[np.newaxis])[0]

    def leave_out(self, index: int, why: Broken) -> None:
        self.broken[index] = why

    def to_grey(self) -> None:
        """(N, H, W, 3) -> (N, H, W, 1), the first channel, in the same file: reading is ahead of writing."""
        count, height, width, channels = self.shape
        picture_bytes = height * width * channels
        step = max(1, _CHUNK_BYTES // picture_bytes)
        for start in range(0, count, step):
            end = min(start + step, count)
            pixels = np.zeros((end - start) * picture_bytes, np.uint8)
            # The file ends early where the last pictures are broken.
            data = os.pread(self.file.fileno(), len(pixels), start * picture_bytes)
            pixels[: len(data)] = np.frombuffer(data, np.uint8)
            grey = np.ascontiguousarray(pixels.reshape(-1, height, width, channels)[..., :1])
            _write(self.file, grey.tobytes(), start * height * width)
            self.hashes[start:end] = hash_images(grey)
        self.shape = count, height, width, 1

    def finish(self) -> Mapped:
        pixel_bytes = int(np.prod(self.shape, dtype=np.int64))
        facts = json.dumps({"shape": self.shape, "broken": self.broken}).encode()
        self.file.truncate(pixel_bytes)
        end = self.hashes.astype("<u8").tobytes() + facts + len(facts).to_bytes(8, "little")
        _write(self.file, end, pixel_bytes)
        return _read(self.file)


def _write(file: BinaryIO, data: bytes, offset: int) -> None:
    # Not by way of a map: on a full disk, that kills the process.
    view = memoryview(data)
    while view:
        written = os.pwrite(file.fileno(), view, offset)
        view, offset = view[written:], offset + written


@contextlib.contextmanager
def writing(path: Path, shape: Shape) -> Iterator[Writer]:
    """A writer of a file that takes its place when the block ends well, and goes when it does not.

    What killed processes left, and files that were unused for 30 days, go first.
    Raises EdgebigError where it has no space, or the machine refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        _check_space(path.parent, shape)
        with files.replacing(path) as temporary, temporary.open("r+b", buffering=0) as file:
            _lock(file)
            yield Writer(file, shape, np.zeros(shape[0], np.uint64))
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise EdgebigError(
            f"{path.parent}: the decoded pictures could not be written: {error.strerror or error}",
            _MORE_SPACE if is_full else "check that folder, or set XDG_CACHE_HOME to one that can be written",
        ) from error


def _check_space(folder: Path, shape: Shape) -> None:
    need_bytes, free_bytes = (
        int(np.prod(shape, dtype=np.int64)) + 8 * shape[0],
        shutil.disk_usage(folder).free,
    )
    if need_bytes > free_bytes:
        count, height, width, _ = shape
        raise EdgebigError(
            f"{folder}: {count:,} pictures of {height} x {width} take {megabytes(need_bytes)}, and"
            f" {megabytes(free_bytes)} are free there",
            f"{_MORE_SPACE}, or take a smaller [data] size",
        )


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _lock(file: BinaryIO) -> bool:
    """Whether no other process has it; the lock ends with the process, however that ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks has none for `_sweep` either, which then leaves the file
        return False
    return True


def _sweep(folder: Path) -> None:
    now_s = time.time()
    for path in folder.glob("*.u8"):
        with contextlib.suppress(OSError):
            age_s = now_s - path.stat().st_mtime
            if not path.name.startswith("."):
                if age_s > _KEPT_UNUSED_S:
                    path.unlink()
            elif age_s > _SURELY_LOCKED_S:
                with path.open("rb") as file:
                    if _lock(file):
                        path.unlink()
