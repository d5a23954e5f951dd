"""Pictures of every kind, bad files, and what must not change a digit: shift, polarity, size, shadow."""

from __future__ import annotations

import os
import runpy
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
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from edgebig.ondevice.faults import Fault
from edgebig.ondevice.preprocess import MAX_PIXELS, Digit, find_digits, read_picture, stroke_width

ROOT = Path(__file__).resolve().parent.parent.parent
Bytes = npt.NDArray[np.uint8]

# The strokes of 1, 4 and 7, in a unit square.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "1": [[(0.5, 0.0), (0.5, 1.0)]],
    "4": [[(0.35, 0.0), (0.1, 0.6), (0.85, 0.6)], [(0.65, 0.25), (0.65, 1.0)]],
    "7": [[(0.1, 0.0), (0.85, 0.0), (0.4, 1.0)]],
}


def draw(
    marks: list[tuple[str, int, int, int]], size: tuple[int, int] = (320, 240), pen: int = 6, paper: int = 225
) -> Bytes:
    """Digits at (x, y) of a height, dark on light, as uint8 (H, W)."""
    picture = Image.new("L", size, paper)
    canvas = ImageDraw.Draw(picture)
    for digit, x, y, height in marks:
        for stroke in STROKES[digit]:
            points = [(x + u * height * 0.7, y + v * height) for u, v in stroke]
            canvas.line(points, fill=40, width=pen, joint="curve")
    return np.array(picture)


def mnist_like(seed: int = 0) -> Bytes:
    """An embedded test digit."""
    with np.load(ROOT / "edgebig/zoo/digits-5k.npz") as data:
        image: Bytes = data["images"][data["split"] == 2][seed]
    return image


def difference(a: Digit, b: Digit) -> float:
    return float(np.abs(a.image_u8.astype(int) - b.image_u8).mean())


# ---------------------------------------------------------------- read_picture


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
    Image.fromarray(draw([("4", 3, 3, 20)], (30, 30), pen=2)).save(path)
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


# ----------------------------------------------------------------- find_digits


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
@settings(max_examples=60, deadline=None)
def test_any_picture_gives_boxes_inside_it_and_model_inputs(grey: Bytes) -> None:
    for digit in find_digits(grey):
        x, y, w, h = digit.box
        assert 0 <= x < x + w <= grey.shape[1]
        assert 0 <= y < y + h <= grey.shape[0]
        assert digit.image_u8.shape == (28, 28)
        assert digit.image_u8.dtype == np.uint8


@given(st.integers(0, 2**32 - 1), st.integers(30, 400), st.integers(30, 400), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_noise_of_any_size_does_no_harm(seed: int, width: int, height: int, coarse: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height >> coarse or 1, width >> coarse or 1), np.uint8)
    grey = np.array(Image.fromarray(noise).resize((width, height)))
    for digit in find_digits(grey):
        x, y, w, h = digit.box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


@given(st.integers(0, 999), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_picture_in_mnist_form_is_kept(index: int, inverted: bool) -> None:
    image = mnist_like(index)
    (digit,) = find_digits(255 - image if inverted else image)
    assert (digit.image_u8 == image).all()


def test_an_enlarged_mnist_picture_comes_back_nearly_as_it_was() -> None:
    for index in range(10):
        image = mnist_like(index)
        large = np.array(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
        (digit,) = find_digits(large)
        error = np.abs(digit.image_u8.astype(int) - image).mean()
        assert error < 20, index  # of 255; another digit is at about 45


@pytest.mark.parametrize("value", [0, 1, 90, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 700), (240, 320)])
def test_a_blank_picture_has_no_digits(value: int, shape: tuple[int, int]) -> None:
    assert find_digits(np.full(shape, value, np.uint8)) == []


@pytest.mark.parametrize("seed", range(4))
def test_blank_paper_in_uneven_light_has_no_digits(seed: int) -> None:
    sample = runpy.run_path(str(ROOT / "tools/sample_picture.py"))["sample_picture"]
    assert find_digits(np.array(sample(np.zeros((0, 28, 28), np.uint8), seed).convert("L"))) == []


@given(st.sampled_from("147"), st.integers(2, 14), st.integers(60, 150))
@settings(max_examples=8, deadline=None)
def test_polarity_makes_no_difference(name: str, pen: int, height: int) -> None:
    grey = draw([(name, 90, 40, height)], pen=pen)
    (dark,) = find_digits(grey)
    (light,) = find_digits(255 - grey)
    assert np.abs(np.array(dark.box) - light.box).max() <= 2
    assert difference(dark, light) < 5


@given(st.sampled_from("147"), st.integers(-60, 60), st.integers(-25, 25))
@settings(max_examples=8, deadline=None)
def test_a_shift_moves_the_box_and_keeps_the_digit(name: str, dx: int, dy: int) -> None:
    (here,) = find_digits(draw([(name, 100, 60, 100)]))
    (there,) = find_digits(draw([(name, 100 + dx, 60 + dy, 100)]))
    moved = np.add(here.box, (dx, dy, 0, 0))
    assert np.abs(moved - there.box).max() <= 1
    assert difference(here, there) < 4


@pytest.mark.parametrize("scale", [1, 2, 6, 12])
def test_boxes_are_those_of_the_ink_at_every_size(scale: int) -> None:
    grey = draw([("7", 60 * scale, 50 * scale, 90 * scale)], (320 * scale, 240 * scale), pen=8 * scale)
    ys, xs = np.nonzero(grey < 130)
    ink = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
    (digit,) = find_digits(grey)
    assert np.abs(np.array(digit.box) - ink).max() <= 3 * max(1, scale // 2)


def test_digits_are_as_mnist_was_made() -> None:
    for pen in (2, 6, 14, 24):
        for name in STROKES:
            (digit,) = find_digits(draw([(name, 100, 40, 150)], pen=pen))
            ys, xs = np.nonzero(digit.image_u8)
            assert max(np.ptp(ys), np.ptp(xs)) + 1 in (19, 20)
            weight = digit.image_u8 / digit.image_u8.sum()
            assert abs((weight.sum(1) * np.arange(28)).sum() - 14) <= 0.51
            assert abs((weight.sum(0) * np.arange(28)).sum() - 14) <= 0.51
            assert digit.image_u8.max() > 220
            assert 1.8 <= stroke_width(digit.image_u8 / 255) <= 4.5, (pen, name)


def test_two_lines_are_read_in_order() -> None:
    marks = [("4", 200, 25, 60), ("1", 20, 40, 60), ("7", 110, 30, 60)]
    marks += [("1", 215, 140, 60), ("7", 30, 150, 60), ("4", 120, 145, 60)]
    boxes = [digit.box for digit in find_digits(draw(marks))]
    assert [x // 90 for x, *_ in boxes] == [0, 1, 2, 0, 1, 2]
    assert [y > 110 for _, y, *_ in boxes] == [False] * 3 + [True] * 3


def test_lines_that_slope_are_read_in_order() -> None:
    marks = [("4", 20 + 70 * i, 20 + 14 * i + 90 * line, 50) for line in (0, 1) for i in range(4)]
    boxes = [digit.box for digit in find_digits(draw(marks, (320, 260)))]
    assert [x // 70 for x, *_ in boxes] == [0, 1, 2, 3] * 2


def test_specks_and_a_page_edge_are_no_digits() -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    grey[:, :14] = 30
    grey[230:, :] = 35
    grey[30:33, 150:153] = 60
    grey[200:202, 100:103] = 60
    assert len(find_digits(grey)) == 2


def test_a_stroke_with_a_gap_stays_one_digit() -> None:
    marks = [("4", 20, 60, 110), ("1", 110, 60, 110), ("7", 200, 60, 110)]
    grey = draw(marks)
    grey[100:103, :110] = 225
    assert [digit.box[2:] for digit in find_digits(grey)] == [
        digit.box[2:] for digit in find_digits(draw(marks))
    ]


def test_a_shadow_over_the_digit_makes_little_difference() -> None:
    grey = draw([("4", 90, 40, 140)], pen=5)
    light = 1 - 0.5 / (1 + np.exp(-(np.arange(320) - 140) / 8))
    (plain,) = find_digits(grey)
    (shaded,) = find_digits((grey * light).astype(np.uint8))
    assert np.abs(np.array(plain.box) - shaded.box).max() <= 3
    assert difference(plain, shaded) < 6


def test_the_same_picture_gives_the_same_answer() -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    for a, b in zip(find_digits(grey), find_digits(grey.copy()), strict=True):
        assert a.box == b.box
        assert (a.image_u8 == b.image_u8).all()


def test_what_is_no_grey_picture_is_refused() -> None:
    pictures: list[Any] = [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)]
    for wrong in pictures:
        with pytest.raises(TypeError, match="uint8"):
            find_digits(wrong)


def test_sample_pictures_give_as_many_digits_as_were_drawn() -> None:
    sample = runpy.run_path(str(ROOT / "tools/sample_picture.py"))["sample_picture"]
    images = np.stack([mnist_like(index) for index in range(12)])
    for seed in range(3):
        picture = sample(images[seed * 2 : seed * 2 + 2], seed)
        assert picture.size == (640, 480)
        assert len(find_digits(np.array(picture.convert("L")))) == 2
    assert sample(images[:1], 5).tobytes() == sample(images[:1], 5).tobytes()
