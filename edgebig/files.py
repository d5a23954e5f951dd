"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebig.errors import EdgebigError


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_folder(folder: Path) -> str:
    """Of the files in it, by their paths and what is in them."""
    parts = sorted(part for part in folder.rglob("*") if part.is_file())
    digests = [f"{part.relative_to(folder)} {sha256_file(part)}" for part in parts]
    return sha256_bytes("\n".join(digests).encode())


@contextlib.contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and goes when it does not.

    The temporary name keeps the suffix, since Keras picks its format by it. A kill leaves the old file or the new one.
    `mode`: who may read it, None for what the user's umask leaves; until the end it is its owner's alone.
    Raises OSError, which names `path`, where the machine refuses.
    """
    prefix = f".{path.stem}-"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask() if mode is None else mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        # A full disk is told without a name, and the temporary name tells a user nothing.
        if error.filename is None or Path(error.filename).name.startswith(prefix):
            error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder of one's own in `root` that is gone at the end; what killed processes left there goes too."""
    root.mkdir(parents=True, exist_ok=True)
    # A lock is gone with its process, however that ended.
    with contextlib.ExitStack() as held:
        with _locked(root):
            for left in root.iterdir():
                in_use_or_none = (BlockingIOError, FileNotFoundError, NotADirectoryError)
                with contextlib.suppress(*in_use_or_none), _locked(left, wait=False):
                    shutil.rmtree(left)
            folder = Path(tempfile.mkdtemp(dir=root))
            held.enter_context(_locked(folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Raises BlockingIOError where another process holds it and this one is not to wait."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def dated_folder(root: Path, prefix: str = "") -> Path:
    """A new folder in `root`, named by `prefix` and the time; two that are made in one second get two.

    Raises EdgebigError where a hundred are, OSError where none can be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    stem = f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 100):
        folder = root / (stem if attempt == 1 else f"{stem}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise EdgebigError(f"{root}/{stem}: taken a hundred times over", "wait a second and try again")


def check_writable(path: Path) -> None:
    """Raises OSError, which names `path`, where a file could not be written there."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    there = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, data: bytes, mode: int | None = None) -> None:
    with replacing(path, mode) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
