"""Arrays of bytes in files: idx as MNIST is published, and npy members of npz, both read within bounds. numpy only."""

from __future__ import annotations

import gzip
import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError

# MNIST's largest part has 47 MB, its npz 11 MB: what says that it has more is broken, or meant to fill the memory.
LIMIT_BYTES = 1 << 27
_NPY_HEAD = re.compile(
    rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \(((?:\d+, ?){1,4}\d*)\), \} *\n"
)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An idx file of uint8, gzipped or not, as an array of the shape in its header, of one to four axes.

    Raises EdgebigError where it is cut short, too long, or no idx file. Source: the MNIST page's "file format".
    """
    mend = "get the file again"
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            return _read_idx(stream, path, mend)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EdgebigError(f"{path}: a broken gzip file ({error})", mend) from error


def _read_idx(file: io.BufferedIOBase, path: Path, mend: str) -> npt.NDArray[np.uint8]:
    magic = file.read(4)
    axes = magic[3] if len(magic) == 4 else 0
    sizes = file.read(4 * axes)
    if magic[:3] != b"\x00\x00\x08" or not 1 <= axes <= 4 or len(sizes) < 4 * axes:
        raise EdgebigError(f"{path}: not an idx file of bytes", mend)
    shape = struct.unpack(f">{axes}I", sizes)
    expected = math.prod(shape)
    if not 0 < expected <= LIMIT_BYTES:
        raise EdgebigError(f"{path}: its header says {expected:,} bytes, which is no part of MNIST", mend)
    data = file.read(expected + 1)
    if len(data) != expected:
        found = "more" if len(data) > expected else f"{len(data):,}"
        raise EdgebigError(f"{path}: its header says {expected:,} bytes, it has {found}", mend)
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_npy(archive: zipfile.ZipFile, name: str) -> npt.NDArray[np.uint8]:
    """A member of an npz file. Raises ValueError where it is not an array of bytes in C order, whole, within bounds."""
    with archive.open(name) as file:
        # np.load would evaluate the header as Python, and allocate whatever it says.
        magic = file.read(10)
        head = file.read(int.from_bytes(magic[8:], "little"))
        found = _NPY_HEAD.fullmatch(head)
        if magic[:8] != b"\x93NUMPY\x01\x00" or found is None:
            raise ValueError(f"{name} is not an array of bytes in C order")
        shape = tuple(int(size) for size in found[1].split(b",") if size.strip())
        expected = math.prod(shape)
        if expected > LIMIT_BYTES:
            raise ValueError(f"{name} has {expected:,} bytes")
        data = file.read(expected + 1)
        if len(data) != expected:
            raise ValueError(f"{name} is not whole")
        return np.frombuffer(data, np.uint8).reshape(shape)
