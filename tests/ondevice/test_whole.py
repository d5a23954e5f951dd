"""Whole pictures of every kind as a model's input: exact where they can be, and fitted as the words say."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgebig.ondevice.faults import Fault
from edgebig.ondevice.picture import opened
from edgebig.ondevice.whole import FITS, fitted, is_grey, to_input, upright_size

Bytes = npt.NDArray[np.uint8]
RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (12, 20, 3), np.uint8)
LEVELS = np.tile(np.array([0, 64, 128, 255], np.uint8), (4, 1))


def stored_as(upright: Bytes, orientation: int) -> Bytes:
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),  # shown turned clockwise
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_exif_orientation_is_applied_once_and_known_from_the_header(
    tmp_path: Path, orientation: int, ending: str
) -> None:
    upright = np.zeros((80, 120, 3), np.uint8)
    upright[:40, :40], upright[:40, 40:], upright[40:, :40] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.fromarray(np.ascontiguousarray(stored_as(upright, orientation))).save(path, exif=exif, quality=95)
    with opened(path) as picture:
        assert upright_size(picture) == (80, 120)
    exact = 0 if ending != "jpg" else 12
    far_from_edges = np.s_[10:30, 10:30]  # of colours, where a JPEG smears
    assert (
        np.abs(to_input(path, (80, 120, 3))[far_from_edges].astype(int) - upright[far_from_edges]).max()
        <= exact
    )
    for fit in FITS:
        # A JPEG is decoded at a part of its size here, and its sides must be exchanged for that too.
        small = to_input(path, (8, 16, 3), fit).astype(int)
        wish = fitted(Image.fromarray(upright), (8, 16, 3), fit).astype(int)
        assert np.abs(small - wish).mean() <= (0 if ending != "jpg" else 6)


def _save(path: Path, mode: str) -> None:
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[2:] = 0
    picture = Image.fromarray(LEVELS)
    if mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(alpha))
    elif mode == "I;16":
        picture = Image.fromarray(LEVELS.astype(np.uint16) * 257)
    elif mode.endswith("+transparency"):
        picture = picture.convert(mode.partition("+")[0])
        transparent = (0, 0, 0) if picture.mode == "RGB" else 0
        picture.save(path, transparency=transparent)
        return
    else:
        picture = picture.convert(mode)
    picture.save(path)


@pytest.mark.parametrize(
    ("mode", "ending", "row", "last_row"),
    [
        ("L", "png", [0, 64, 128, 255], None),
        ("RGB", "png", [0, 64, 128, 255], None),
        ("RGB", "bmp", [0, 64, 128, 255], None),
        ("RGB", "jp2", [0, 64, 128, 255], None),
        ("P", "png", [0, 64, 128, 255], None),
        ("P", "gif", [0, 64, 128, 255], None),
        ("L", "pgm", [0, 64, 128, 255], None),
        ("L+transparency", "png", [255, 64, 128, 255], None),
        ("P+transparency", "png", [255, 64, 128, 255], None),
        ("P+transparency", "gif", [255, 64, 128, 255], None),
        ("RGB+transparency", "png", [255, 64, 128, 255], None),
        ("LA", "png", [0, 64, 128, 255], [255] * 4),
        ("RGBA", "png", [0, 64, 128, 255], [255] * 4),
        ("RGBA", "tif", [0, 64, 128, 255], [255] * 4),
        ("I;16", "png", [0, 64, 128, 255], None),
        ("I;16", "tif", [0, 64, 128, 255], None),
        ("CMYK", "tif", [0, 64, 128, 255], None),
    ],
)
def test_pixel_formats(
    tmp_path: Path, mode: str, ending: str, row: list[int], last_row: list[int] | None
) -> None:
    path = tmp_path / f"picture.{ending}"
    _save(path, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rgb, grey = to_input(path, (4, 4, 3)), to_input(path, (4, 4, 1))
    assert rgb.dtype == grey.dtype == np.uint8
    assert rgb.flags.c_contiguous
    for pixels in (rgb, grey):
        assert (pixels[0] == np.array(row)[:, np.newaxis]).all()
        assert (pixels[3] == np.array(last_row or row)[:, np.newaxis]).all()


@pytest.mark.parametrize("quality", [30, 95])
def test_a_jpeg_in_grey_ycbcr_or_cmyk_is_near_its_colours(tmp_path: Path, quality: int) -> None:
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:16], colours[16:] = (200, 60, 30), (20, 90, 220)
    for mode in ("L", "RGB", "CMYK"):
        picture = Image.fromarray(colours).convert(mode)
        picture.save(tmp_path / "picture.jpg", quality=quality)
        difference = to_input(tmp_path / "picture.jpg", (32, 32, 3)).astype(int) - np.asarray(
            picture.convert("RGB")
        )
        assert np.abs(difference).mean() < 12


def test_colours_and_one_bit(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "noise.png")
    assert (to_input(tmp_path / "noise.png", (12, 20, 3)) == NOISE).all()
    luma = NOISE @ np.array([0.299, 0.587, 0.114])
    assert np.abs(to_input(tmp_path / "noise.png", (12, 20, 1))[..., 0] - luma).max() <= 0.51
    bits = NOISE[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert (to_input(tmp_path / "bits.png", (12, 20, 1))[..., 0] == bits * 255).all()


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_each_of_the_16_bit_levels_is_rounded_and_none_clipped(tmp_path: Path, ending: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    if ending == "pgm":  # which Pillow 10 reads but does not write
        (tmp_path / "levels.pgm").write_bytes(b"P5 256 256 65535\n" + levels.astype(">u2").tobytes())
    else:
        Image.fromarray(levels).save(tmp_path / f"levels.{ending}")
    eight = to_input(tmp_path / f"levels.{ending}", (256, 256, 1))[..., 0]
    assert (eight == np.round(levels / 65535 * 255)).all()


def test_half_transparent_ink_is_half_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 200, 128)).save(tmp_path / "half.png")
    assert (to_input(tmp_path / "half.png", (2, 2, 3)) == (127, 127, 227)).all()


@pytest.mark.parametrize(
    ("ending", "why"), [("gif", "frames"), ("png", "frames"), ("webp", "frames"), ("tif", "pages")]
)
def test_what_moves_is_no_picture(tmp_path: Path, ending: str, why: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    path = tmp_path / f"moves.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(Fault, match=f"several {why}") as caught:
        to_input(path, (8, 8, 3))
    assert caught.value.code == "many-pictures"
    frames[0].save(path)
    assert (to_input(path, (8, 8, 3))[..., 0] > 200).all()


def test_a_phones_jpeg_with_a_second_picture_is_its_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert (to_input(tmp_path / "phone.jpg", (16, 16, 3))[..., 0] > 200).all()


def tiff_of(bits: int, photometric: int) -> bytes:
    """2 x 2 grey pixels as TIFF, little-endian, each of these bits."""
    pixels = bytes(-(-2 * bits // 8) * 2)
    tags = [
        (256, 2),
        (257, 2),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 0),
        (277, 1),
        (278, 2),
        (279, len(pixels)),
    ]
    offset = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag == 273 else 3, 1, offset if tag == 273 else value)
        for tag, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 0)])
def test_a_tiff_whose_white_is_elsewhere_is_refused(tmp_path: Path, bits: int, photometric: int) -> None:
    (tmp_path / "odd.tif").write_bytes(tiff_of(bits, photometric))
    with pytest.raises(Fault, match="unusual") as caught:
        to_input(tmp_path / "odd.tif", (2, 2, 1))
    assert caught.value.code == "pixel-format"
    (tmp_path / "usual.tif").write_bytes(tiff_of(16, 1))
    assert (to_input(tmp_path / "usual.tif", (2, 2, 1)) == 0).all()


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 9), ("LAB", (9, 9, 9))])
def test_pixels_of_an_unknown_white_are_refused(
    tmp_path: Path, mode: str, value: float | tuple[int, int, int]
) -> None:
    Image.new(mode, (4, 4), value).save(tmp_path / "picture.tif")
    with pytest.raises(Fault) as caught:
        to_input(tmp_path / "picture.tif", (4, 4, 3))
    assert caught.value.code == "pixel-format"


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1200).astype(np.uint8)
    large = np.stack(np.broadcast_arrays(ramp, ramp[:900, np.newaxis], np.uint8(90)), axis=-1)
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=95)
    Image.fromarray(large).save(tmp_path / "large.png", compress_level=0)
    for fit in FITS:
        small, exact = (to_input(tmp_path / f"large.{ending}", (30, 40, 3), fit) for ending in ("jpg", "png"))
        assert np.abs(small.astype(int) - exact).max() <= 4


def test_a_pattern_finer_than_the_pixels_comes_out_even() -> None:
    checks = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for size in ((16, 16), (60, 60), (100, 100)):
        middle = fitted(Image.fromarray(checks), (*size, 1), "stretch")[4:-4, 4:-4].astype(int)
        assert np.abs(middle - 127).max() <= 8


def test_pad_keeps_all_of_the_picture_and_its_shape() -> None:
    wide = np.zeros((20, 40), np.uint8)
    wide[:, 20:] = 255
    wide[[0, -1]] = 40
    wide[:, [0, -1]] = 40
    padded = fitted(Image.fromarray(wide), (40, 40, 1), "pad")[..., 0]
    assert (padded[10:30] == wide).all()
    assert (padded[:10] == 40).all()
    assert (padded[30:] == 40).all()
    assert (fitted(Image.fromarray(wide.T.copy()), (40, 40, 1), "pad")[..., 0] == padded.T).all()


def test_crop_takes_the_middle_at_the_full_scale() -> None:
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = NOISE[..., 0].repeat(2, axis=0)[:20]
    assert (fitted(Image.fromarray(wide), (20, 20, 1), "crop")[..., 0] == wide[:, 20:40]).all()
    tall = fitted(Image.fromarray(wide.T.copy()), (20, 20, 1), "crop")[..., 0]
    assert (tall == wide[:, 20:40].T).all()


def test_stretch_scales_the_sides_apart() -> None:
    halves = np.repeat(np.array([[0, 200]], np.uint8), 20, axis=1)  # 1 x 40
    stretched = fitted(Image.fromarray(halves), (30, 40, 1), "stretch")[..., 0]
    assert (stretched == halves).all()


SIDES = st.integers(1, 70)
SHAPES = st.tuples(SIDES, SIDES, st.sampled_from([1, 3]))


@given(size=st.tuples(SIDES, SIDES), shape=SHAPES, fit=st.sampled_from(FITS), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_grey_is_the_same_in_every_mode_and_fills_the_shape(
    size: tuple[int, int], shape: tuple[int, int, int], fit: str, seed: int
) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    one, three = Image.fromarray(grey), Image.fromarray(np.repeat(grey[..., np.newaxis], 3, axis=2))
    result = fitted(one, shape, fit)
    assert result.shape == shape
    assert result.dtype == np.uint8
    assert (fitted(three, shape, fit) == result).all()
    assert (result == result[..., :1]).all()
    assert is_grey(one)
    assert is_grey(three)
    if size == shape[:2]:
        assert (result == grey[..., np.newaxis]).all()


@given(size=st.tuples(SIDES, SIDES), shape=SHAPES, fit=st.sampled_from(FITS), level=st.integers(0, 255))
@settings(max_examples=50)
def test_an_even_picture_stays_even(
    size: tuple[int, int], shape: tuple[int, int, int], fit: str, level: int
) -> None:
    assert (fitted(Image.new("L", size, level), shape, fit) == level).all()


@given(size=st.tuples(SIDES, SIDES), side=SIDES, fit=st.sampled_from(FITS), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_a_picture_and_its_transpose_are_fitted_alike(
    size: tuple[int, int], side: int, fit: str, seed: int
) -> None:
    colours = np.random.default_rng(seed).integers(90, 160, (*size, 3), np.uint8)
    result = fitted(Image.fromarray(colours), (side, side, 3), fit).astype(int)
    turned = fitted(Image.fromarray(colours.swapaxes(0, 1).copy()), (side, side, 3), fit).astype(int)
    # Rows and columns are scaled one after the other, and rounded between; these levels are never clipped.
    assert np.abs(result - turned.swapaxes(0, 1)).max() <= 2


def test_one_coloured_pixel_is_colour() -> None:
    pixels = np.full((9, 9, 3), 77, np.uint8)
    assert is_grey(Image.fromarray(pixels))
    pixels[4, 4, 2] = 78
    assert not is_grey(Image.fromarray(pixels))


def test_a_shape_or_fit_that_is_none_is_a_bug() -> None:
    picture = Image.new("L", (4, 4))
    with pytest.raises(ValueError, match="C is 1 or 3"):
        fitted(picture, (4, 4, 2))
    with pytest.raises(ValueError, match="fit one of pad, crop, stretch"):
        fitted(picture, (4, 4, 1), "squeeze")


def _whole(ending: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending))
    return buffer.getvalue()


WHOLE = {ending: _whole(ending) for ending in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm")}


@pytest.mark.parametrize("ending", WHOLE)
def test_half_of_a_file_is_a_fault(tmp_path: Path, ending: str) -> None:
    (tmp_path / "half").write_bytes(WHOLE[ending][: len(WHOLE[ending]) // 2])
    with pytest.raises(Fault) as caught:
        to_input(tmp_path / "half", (4, 4, 3))
    assert caught.value.code in ("broken-picture", "no-picture")


@given(data=st.data())
@settings(max_examples=40)
def test_damaged_bytes_give_a_picture_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged-whole"
    path.write_bytes(content)
    try:
        assert to_input(path, (6, 5, 3)).shape == (6, 5, 3)
    except Fault:
        return
