"""The parsers of idx files and of an npz file's members."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgebig.data import idx as idx_files
from edgebig.errors import EdgebigError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("array", [IMAGES, IMAGES[0, 0], IMAGES[:1, :1, :1]], ids=["3d", "1d", "one"])
def test_idx(tmp_path: Path, array: np.ndarray, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "größe idx"
    path.write_bytes(pack(idx(array)))
    assert np.array_equal(idx_files.read_idx(path), array)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not an idx file"),
        (b"\x00\x00\x08", "not an idx file"),
        (b"\x00\x00\x08\x00", "not an idx file"),
        (b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"x", "not an idx file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an idx file"),  # floats
        (b"\x00\x00\x08\x03\x00\x00", "not an idx file"),
        (idx(IMAGES)[:-1], "says 60 bytes, it has 59"),
        (idx(IMAGES) + b"x", "says 60 bytes, it has more"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "says 79,228,162,458,924,"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "says 0 bytes"),
        (b"<html>not found</html>", "not an idx file"),
        (b"\x1f\x8b", "a broken gzip file"),
        (b"\x1f\x8b\x08" + b"x" * 40, "a broken gzip file"),
        (gzip.compress(idx(IMAGES))[:-9], "a broken gzip file"),
        (gzip.compress(idx(IMAGES)) + b"garbage", "a broken gzip file|not an idx file|has more"),
        (gzip.compress(gzip.compress(idx(IMAGES))), "not an idx file"),
    ],
    ids=range(16),
)
def test_what_is_no_idx_file(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(EdgebigError, match=problem) as caught:
        idx_files.read_idx(path)
    assert str(path) in caught.value.problem
    assert caught.value.hint


def test_a_bomb_unpacks_within_bounds(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx(IMAGES))
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(EdgebigError, match="has more"):
        idx_files.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@given(
    data=st.one_of(
        st.binary(max_size=80).map(lambda tail: b"\x00\x00\x08" + tail),
        st.tuples(st.integers(0, 75), st.integers(0, 255)).map(
            lambda change: idx(IMAGES)[: change[0]] + bytes([change[1]]) + idx(IMAGES)[change[0] + 1 :]
        ),
        st.integers(0, 75).map(lambda length: idx(IMAGES)[:length]),
        st.tuples(st.integers(0, 60), st.integers(0, 255)).map(
            lambda change: (
                (packed := gzip.compress(idx(IMAGES), mtime=0))[: change[0]]
                + bytes([change[1]])
                + packed[change[0] + 1 :]
            )
        ),
        st.integers(0, 80).map(lambda length: gzip.compress(idx(IMAGES), mtime=0)[:length]),
    )
)
def test_any_bytes_are_an_array_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz-idx"
    path.write_bytes(data)
    try:
        array = idx_files.read_idx(path)
    except EdgebigError:
        return
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert array.dtype == np.uint8
    assert 4 + 4 * array.ndim + array.size == len(plain)
    assert array.tobytes() == plain[4 + 4 * array.ndim :]
    assert array.shape == struct.unpack_from(f">{array.ndim}I", plain, 4)


def test_the_limit_holds_mnist() -> None:
    assert math.prod((60_000, 28, 28)) < idx_files.LIMIT_BYTES


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_the_types_of_idx(tmp_path: Path, code: int, dtype: str) -> None:
    array = np.array([[1, 2, 3], [100, 0, 7]], dtype)
    path = tmp_path / "x"
    path.write_bytes(struct.pack(">HBB2I", 0, code, 2, 2, 3) + array.tobytes())
    read = idx_files.read_idx(path, of_bytes=False)
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)
    with pytest.raises(EdgebigError, match="says"):
        idx_files.read_idx(path, of_bytes=False, limit_bytes=array.nbytes - 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_says_too_much_costs_no_memory(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    import tracemalloc

    path = tmp_path / "x"
    path.write_bytes(pack(struct.pack(">HBB1I", 0, 8, 1, 1 << 27) + b"x"))
    tracemalloc.start()
    with pytest.raises(EdgebigError, match=r"says 134,217,728 bytes, it has 1$"):
        idx_files.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


# The members of an npz file


def packed(**members: Any) -> zipfile.ZipFile:
    data = io.BytesIO()
    np.savez_compressed(data, **members)
    return zipfile.ZipFile(data)


DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(sizes=(16, 32, 64)),
    arrays.byte_string_dtypes(),
    arrays.unicode_string_dtypes(),
)


def is_text(array: np.ndarray) -> bool:
    """Half of a surrogate pair is no text, and refused (test_what_is_no_plain_npy)."""
    return array.dtype.kind != "U" or not any("\ud800" <= char <= "\udfff" for char in "".join(array.flat))


@settings(max_examples=50)
@given(
    array=arrays.arrays(
        DTYPES,
        arrays.array_shapes(max_dims=4, max_side=4),
    ).filter(is_text),
    fortran=st.booleans(),
)
def test_npy_as_numpy_reads_it(array: np.ndarray, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    read = idx_files.read_npy(packed(x=array), "x.npy")
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert np.ascontiguousarray(read).tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}], object),
        np.zeros(3, np.complex64),
        np.zeros(2, [("a", "u1")]),
        np.array(["2026-11-25"], "datetime64[D]"),
        np.uint8(3),
        np.zeros((1,) * 6, np.uint8),
        np.zeros(2, np.longdouble),
        np.array([0xD800], np.uint32).view("U1"),
        np.array([0x7FFFFFFF], np.uint32).view("U1"),
    ],
    ids=[
        "object",
        "complex",
        "record",
        "date",
        "scalar",
        "six axes",
        "long double",
        "surrogate",
        "no character",
    ],
)
def test_what_is_no_plain_npy(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"x\.npy (is not an array|has numbers of|holds what is no text)"):
        idx_files.read_npy(packed(x=array), "x.npy")


def test_an_npy_over_the_limit() -> None:
    array = np.zeros((10, 10), np.float32)
    assert idx_files.read_npy(packed(x=array), "x.npy", limit_bytes=400).shape == (10, 10)
    with pytest.raises(ValueError, match="has 400 bytes; at most 399 are read"):
        idx_files.read_npy(packed(x=array), "x.npy", limit_bytes=399)


def test_an_empty_npy() -> None:
    assert idx_files.read_npy(packed(x=np.zeros((0, 28, 28), np.uint8)), "x.npy").shape == (0, 28, 28)
