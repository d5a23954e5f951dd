"""Pictures of every kind, and bad files, each of which is one fault."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgebig.ondevice.faults import Fault
from edgebig.ondevice.picture import MAX_PIXELS, read_picture

Bytes = npt.NDArray[np.uint8]

CROSS = np.where(np.eye(30, dtype=bool) | np.eye(30, dtype=bool)[::-1], 40, 225).astype(np.uint8)


@pytest.fixture
def upright() -> Bytes:
    grey = np.full((6, 4), 200, np.uint8)
    grey[0, 0], grey[0, 3], grey[5, 0] = 0, 60, 120
    return grey


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_exif_orientation_is_applied_once(
    tmp_path: Path, upright: Bytes, orientation: int, ending: str
) -> None:
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),  # shown turned clockwise
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert (read_picture(path) == upright).all()


def _save(path: Path, mode: str) -> None:
    grey = np.tile(np.array([0, 64, 128, 255], np.uint8), (4, 1))
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[2:] = 0
    picture = Image.fromarray(grey)
    if mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(alpha))
    elif mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "P+transparency":
        picture = picture.convert("P")
        picture.info["transparency"] = 0
    else:
        picture = picture.convert(mode)
    picture.save(path)


@pytest.mark.parametrize(
    ("mode", "ending", "rows"),
    [
        ("L", "png", [[0, 64, 128, 255]] * 4),
        ("RGB", "png", [[0, 64, 128, 255]] * 4),
        ("P", "png", [[0, 64, 128, 255]] * 4),
        ("P", "gif", [[0, 64, 128, 255]] * 4),
        ("P+transparency", "png", [[255, 64, 128, 255]] * 4),
        ("LA", "png", [[0, 64, 128, 255]] * 2 + [[255] * 4] * 2),
        ("RGBA", "png", [[0, 64, 128, 255]] * 2 + [[255] * 4] * 2),
        ("RGBA", "tif", [[0, 64, 128, 255]] * 2 + [[255] * 4] * 2),
        ("I;16", "png", [[0, 64, 128, 255]] * 4),
        ("I;16", "tif", [[0, 64, 128, 255]] * 4),
        ("CMYK", "tif", [[0, 64, 128, 255]] * 4),
        ("LAB", "tif", None),
        ("YCbCr", "jpg", None),
        ("1", "png", None),
    ],
)
def test_pixel_formats(tmp_path: Path, mode: str, ending: str, rows: list[list[int]] | None) -> None:
    path = tmp_path / f"picture.{ending}"
    if mode == "LAB":
        Image.fromarray(np.zeros((4, 4, 3), np.uint8), "LAB").save(path)
    else:
        _save(path, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = read_picture(path)
    assert grey.dtype == np.uint8
    assert grey.shape == (4, 4)
    if rows is not None:
        assert np.abs(grey.astype(int) - np.array(rows)).max() <= 1
    if mode == "1":
        assert set(np.unique(grey)) <= {0, 255}


def test_half_transparent_ink_is_half_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert (read_picture(tmp_path / "half.png") == 127).all()


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (5, 5), value) for value in (10, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert (read_picture(tmp_path / "two.gif") == 10).all()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def _truncated(path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    whole = path.with_suffix(f".whole.{ending}")
    Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(whole)
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2])


BAD: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "missing": ("no-file", lambda p: None),
    "folder": ("not-a-file", lambda p: p.mkdir()),
    "empty": ("no-picture", lambda p: p.write_bytes(b"")),
    "text": ("no-picture", lambda p: p.write_text("no picture at all")),
    "random": ("no-picture", lambda p: p.write_bytes(np.random.default_rng(1).bytes(4096))),
    "postscript": (
        "no-picture",
        lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ),
    "zero-size": ("no-picture", lambda p: p.write_bytes(png_that_claims(0, 5))),
    "bomb": ("too-large", lambda p: p.write_bytes(png_that_claims(60000, 60000))),
    "just-too-large": ("too-large", lambda p: p.write_bytes(png_that_claims(8001, 8000))),
    "short-of-pixels": ("broken-picture", lambda p: p.write_bytes(png_that_claims(500, 500))),
    "truncated-png": ("broken-picture", lambda p: _truncated(p, "png")),
    "truncated-jpg": ("broken-picture", lambda p: _truncated(p, "jpg")),
    "truncated-bmp": ("broken-picture", lambda p: _truncated(p, "bmp")),
    "truncated-gif": ("broken-picture", lambda p: _truncated(p, "gif")),
    "float": ("pixel-format", lambda p: Image.new("F", (4, 4), 0.5).save(p, "TIFF")),
    "32-bit": ("pixel-format", lambda p: Image.new("I", (4, 4), 1 << 20).save(p, "TIFF")),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_file_is_one_fault(tmp_path: Path, kind: str) -> None:
    code, make = BAD[kind]
    path = tmp_path / f"{kind}.picture"
    make(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Fault) as caught:
            read_picture(path)
    assert caught.value.code == code
    assert path.name in caught.value.problem
    assert caught.value.hint


def test_a_null_character_in_the_name_is_a_fault() -> None:
    with pytest.raises(Fault, match="not there"):
        read_picture("a\0b.png")


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Fault, match="no regular file"):
        read_picture(tmp_path / "pipe.png")


def test_a_device_is_refused() -> None:
    with pytest.raises(Fault, match="no regular file"):
        read_picture("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who is not root")
def test_a_picture_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "private.png"
    Image.new("L", (4, 4)).save(path)
    path.chmod(0)
    with pytest.raises(Fault, match="may not be read") as caught:
        read_picture(path)
    assert caught.value.code == "no-access"


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_damaged_bytes_give_a_picture_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    ending = data.draw(st.sampled_from(["png", "jpg", "gif", "bmp", "tif", "webp", "ppm"]))
    path = tmp_path_factory.getbasetemp() / f"damaged.{ending}"
    Image.fromarray(CROSS).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        grey = read_picture(path)
    except Fault:
        return
    assert grey.ndim == 2
    assert grey.dtype == np.uint8
    assert 0 < grey.size <= MAX_PIXELS
