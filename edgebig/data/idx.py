"""Arrays in files: idx as MNIST is published, and npy members of npz, both read within bounds. numpy only."""

from __future__ import annotations

import gzip
import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError

# MNIST's largest part has 47 MB, its npz 11 MB: what says that it has more is broken, or meant to fill the memory.
LIMIT_BYTES = 1 << 27
# deflate cannot pack better than that, so that a header that says more than the file could hold costs no memory.
_MOST_DEFLATED = 1032
_IDX_BYTES = 8
_IDX_TYPES = {_IDX_BYTES: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_NPY_HEAD = re.compile(
    rb"\{'descr': '([<>|=]?[biufUS]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d+, ?){1,4}\d*)\), \} *\n"
)
_WIDEST_NUMBER_BYTES = 8
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


def read_idx(path: Path, *, limit_bytes: int = LIMIT_BYTES, of_bytes: bool = True) -> npt.NDArray[Any]:
    """An idx file, gzipped or not, as an array of the shape in its header, of one to four axes.

    uint8 where `of_bytes`, else any of the six types of idx. Raises EdgebigError where it is cut short, too long,
    over `limit_bytes`, or no idx file. Source: the MNIST page's "file format".
    """
    mend = "get the file again"
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        most = path.stat().st_size * (_MOST_DEFLATED if packed else 1)
        with gzip.open(path) if packed else path.open("rb") as stream:
            dtype, shape = _idx_header(stream, path, of_bytes)
            expected = math.prod(shape) * dtype.itemsize
            if expected == 0:
                raise EdgebigError(f"{path}: its header says 0 bytes: there is nothing in it", mend)
            if expected > limit_bytes:
                raise EdgebigError(
                    f"{path}: its header says {expected:,} bytes; at most {limit_bytes:,} are read",
                    "get the file again; what is really so large goes as picture files: images:DIR",
                )
            data = stream.read(min(expected, most) + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EdgebigError(f"{path}: a broken gzip file ({error})", mend) from error
    if len(data) != expected:
        found = "more" if len(data) > expected else f"{len(data):,}"
        raise EdgebigError(f"{path}: its header says {expected:,} bytes, it has {found}", mend)
    return np.frombuffer(data, dtype).reshape(shape)


def _idx_header(file: io.BufferedIOBase, path: Path, of_bytes: bool) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    axes = magic[3] if len(magic) == 4 else 0
    sizes = file.read(4 * axes)
    kind = _IDX_TYPES.get(magic[2]) if magic[:2] == b"\x00\x00" and axes else None
    if kind is None or (of_bytes and magic[2] != _IDX_BYTES) or axes > 4 or len(sizes) < 4 * axes:
        raise EdgebigError(
            f"{path}: not an idx file{' of bytes' if of_bytes else ''} of one to four axes",
            "get the file again",
        )
    return np.dtype(kind), struct.unpack(f">{axes}I", sizes)


def read_npy(archive: zipfile.ZipFile, name: str, *, limit_bytes: int = LIMIT_BYTES) -> npt.NDArray[Any]:
    """A member of an npz file: numbers of up to 8 bytes, truths or texts.

    Raises ValueError where it is none of these (a pickle is never read), not whole, or over `limit_bytes`.
    """
    with archive.open(name) as file:
        # np.load would evaluate the header as Python, and allocate whatever it says.
        magic = file.read(10)
        head = file.read(int.from_bytes(magic[8:], "little"))
        found = _NPY_HEAD.fullmatch(head)
        if magic[:8] != b"\x93NUMPY\x01\x00" or found is None:
            raise ValueError(f"{name} is not an array of plain numbers or texts")
        dtype = _npy_dtype(found[1].decode(), name)
        shape = tuple(int(size) for size in found[3].split(b",") if size.strip())
        expected = math.prod(shape) * dtype.itemsize
        if expected > limit_bytes:
            raise ValueError(f"{name} has {expected:,} bytes; at most {limit_bytes:,} are read")
        data = file.read(expected + 1)
    if len(data) != expected:
        raise ValueError(f"{name} is not whole")
    # frombuffer gives nothing where there is nothing.
    array = np.frombuffer(data, dtype) if data else np.empty(shape, dtype)
    if dtype.kind == "U" and not _is_text(array):
        raise ValueError(f"{name} holds what is no text")
    return array.reshape(shape[::-1]).T if found[2] == b"True" else array.reshape(shape)


def _npy_dtype(descr: str, name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(descr)
    except TypeError:
        dtype = np.dtype("V")
    if dtype.itemsize == 0 or (dtype.kind not in "US" and dtype.itemsize > _WIDEST_NUMBER_BYTES):
        raise ValueError(f"{name} has numbers of the unknown type {descr}")
    return dtype


def _is_text(array: npt.NDArray[Any]) -> bool:
    """Whether every code is a character: others fail later, wherever the text is looked at."""
    codes = array.reshape(-1).view(array.dtype.byteorder.replace("|", "=") + "u4")
    first, last = _SURROGATES
    return not ((codes > _LAST_CHARACTER) | ((codes >= first) & (codes <= last))).any()
