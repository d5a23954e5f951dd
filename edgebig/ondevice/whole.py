"""A picture file -> a model's input: all of the picture, upright, on white, at one size. numpy and Pillow only.

Training and every device run this same code. The steps, in order: open -> 8 bits, grey or red, green and blue
-> upright -> channels -> fitted. Digits are found by preprocess.py instead.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .faults import Fault
from .picture import from_wide, opened, orientation_of

if TYPE_CHECKING:
    from .sampling import Bytes

    Shape = tuple[int, int, int]

FITS = ("pad", "crop", "stretch")
# What is shrunk more than twice this is first averaged in blocks, and a JPEG is decoded at a half, a quarter or an
# eighth; from 3 on Pillow's users see no difference: https://pillow.readthedocs.io (Image.resize, reducing_gap).
_GAP = 3
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_input(path: str | os.PathLike[str], shape: Shape, fit: str = "pad") -> Bytes:
    """A picture file -> uint8 (H, W, C), which is `shape`; C is 1 (grey) or 3 (red, green, blue).

    `fit`: what is done to a picture of another shape than H x W. "pad": all of it, in the middle, and its edges' usual
    colour around it; "crop": as much of its middle as fills H x W; "stretch": its sides are scaled apart.

    Raises: Fault; code no-file, not-a-file, no-access, no-picture, broken-picture, too-large, pixel-format or
    many-pictures. ValueError where `shape` or `fit` is none of these.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with opened(path) as picture:
            plain = plain_of(os.fspath(path), picture, shape[:2])
    return fitted(plain, shape, fit)


def plain_of(name: str, picture: Image.Image, size: tuple[int, int] | None = None) -> Image.Image:
    """What `opened` gave -> all of its pixels, upright, in mode L or RGB; alpha lies on white.

    `size`: height and width that are to be made of it; a large JPEG then comes out smaller, at a tenth of the cost.
    Raises: Fault; also what Pillow's decoders raise, which `opened` makes a Fault.
    """
    # A phone's JPEG may carry a smaller copy or a depth map as a second picture (MPO): the first is the picture.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        what = "has several pages" if picture.format == "TIFF" else "moves: it has several frames"
        raise Fault("many-pictures", f"{name} {what}", "save the one that is meant as a picture of its own")
    if size and picture.format in ("JPEG", "MPO"):
        height, width = size if orientation_of(picture) < 5 else size[::-1]
        picture.draft(None, (width * _GAP, height * _GAP))
    picture.load()
    turn = _TURNS.get(orientation_of(picture))
    plain = _eight_bits(name, picture)
    return plain if turn is None else plain.transpose(turn)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Height and width of what `opened` gave, by its header; a PNG's EXIF may stand behind its pixels, unseen here."""
    width, height = picture.size
    tags = getattr(picture, "tag_v2", {})
    # Newer Pillows exchange the sides of a TIFF themselves.
    is_done = tags.get(256, width) != width or (picture.format == "PNG" and "exif" not in picture.info)
    return (height, width) if is_done or orientation_of(picture) < 5 else (width, height)


def _eight_bits(name: str, picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode[0] in "IF":
        return Image.fromarray(from_wide(name, picture))
    if mode == "LAB":
        raise Fault("pixel-format", f"{name} has Lab colours", "save it as RGB or grey")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        if mode == "La":
            picture = picture.convert("LA")
        layer = picture.convert("RGBA")
        paper = Image.new("RGB", picture.size, (255, 255, 255))
        paper.paste(layer, mask=layer)
        return paper
    if mode in ("1", "L"):
        return picture.convert("L")
    return picture.convert("RGB")


def is_grey(plain: Image.Image) -> bool:
    """Whether a picture of mode L or RGB has no colour: red, green and blue are equal in every pixel."""
    if plain.mode == "L":
        return True
    pixels = np.asarray(plain)
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())


def fitted(plain: Image.Image, shape: Shape, fit: str = "pad") -> Bytes:
    """A picture of mode L or RGB -> uint8 (H, W, C), which is `shape`, as `to_input` does.

    A grey one comes out the same whether its mode is L or RGB; one that is H x W already comes out as it is.
    Raises: ValueError where `shape` or `fit` is none that `to_input` knows.
    """
    height, width, channels = shape
    if channels not in (1, 3) or fit not in FITS:
        raise ValueError(f"shape {shape}, fit {fit!r}: C is 1 or 3, fit one of {', '.join(FITS)}")
    # Grey first, which is cheaper; grey becomes three channels last.
    if channels == 1:
        plain = plain.convert("L")
    across, down = plain.width / width, plain.height / height
    if fit == "pad":
        scale = max(across, down)
        inner = max(1, round(plain.width / scale)), max(1, round(plain.height / scale))
        pixels = _padded(np.asarray(_resized(plain, inner)), height, width)
    else:
        scale = min(across, down)
        # The middle, to a part of a pixel.
        left = max(0.0, (plain.width - width * scale) / 2)
        top = max(0.0, (plain.height - height * scale) / 2)
        box = (left, top, plain.width - left, plain.height - top) if fit == "crop" else None
        pixels = np.asarray(_resized(plain, (width, height), box))
    pixels = pixels.reshape(height, width, -1)
    return np.array(np.broadcast_to(pixels, shape))


def _resized(
    plain: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    # Where it shrinks, Pillow widens the filter with the step: no aliasing.
    return plain.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP)


def _padded(pixels: Bytes, height: int, width: int) -> Bytes:
    """uint8 (h, w) or (h, w, C) -> (H, W) or (H, W, C), in the middle of the median of its outermost pixels."""
    if pixels.shape[:2] == (height, width):
        return pixels
    frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    padded: Bytes = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    padded[:] = np.sort(frame, axis=0)[len(frame) // 2]
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return padded
