"""A picture file -> its pixels, grey and upright. Pillow only opens what is a regular file and not too large."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import warnings
import zlib
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from .faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sampling import Bytes

MAX_PIXELS = 64_000_000  # a decoded picture takes up to 4 bytes a pixel, and a Raspberry Pi has 1 GB
# No EPS, PDF or WMF: Pillow hands those to another program.
FORMATS = ("PNG", "JPEG", "MPO", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")


def read_picture(path: str | os.PathLike[str]) -> Bytes:
    """A picture file -> grey uint8 (H, W), upright as EXIF says, on white, of an animation the first frame.

    Raises: Fault; code no-file, not-a-file, no-access, no-picture, broken-picture, too-large or pixel-format.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with opened(path) as picture:
            picture.load()
            return _upright(_grey(os.fspath(path), picture), orientation_of(picture))


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """A picture file of which the header is read; what its decoders raise in the block is a Fault too.

    Pillow may warn of odd headers. Raises: Fault, as `read_picture` does.
    """
    name = os.fspath(path)
    with _stream(name) as stream, _recognised(name, stream) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise _too_large(name, f"{width} x {height} pixels")
        try:
            yield picture
        except _DECODE_ERRORS as e:
            problem = f"{name} is cut short or damaged: {e}"
            raise Fault("broken-picture", problem, "make or copy the picture again") from None
        except Image.DecompressionBombError:
            raise _too_large(name, "too many pixels") from None


def _stream(name: str) -> IO[bytes]:
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise Fault("not-a-file", f"{name} is a folder", "name a picture file in it")
        # Opening a named pipe waits for its writer, and opening a device may act on it.
        if not stat.S_ISREG(mode):
            raise Fault("not-a-file", f"{name} is no regular file", "name a picture file")
        return open(name, "rb")
    except PermissionError:
        raise Fault("no-access", f"{name} may not be read", "check its permissions") from None
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character in the name
        raise Fault("no-file", f"{name!r} is not there", "check the name of the picture") from None
    except OSError as e:
        raise Fault(
            "no-access", f"{name} cannot be opened: {e.strerror}", "check the disk and the path"
        ) from None


# What Pillow's decoders raise on damaged data.
_DECODE_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError),
    *(struct.error, zlib.error),
)


def _too_large(name: str, what: str) -> Fault:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels are the limit"
    return Fault("too-large", f"{name} claims {what}; {limit}", "scale the picture down")


def _recognised(name: str, stream: IO[bytes]) -> Image.Image:
    for load_plugins in (Image.preinit, Image.init):  # the second is slower, and needed for rare formats only
        load_plugins()
        try:
            return Image.open(stream, formats=[f for f in FORMATS if f in Image.OPEN])
        except Image.DecompressionBombError:
            raise _too_large(name, "too many pixels") from None
        except _DECODE_ERRORS:  # UnidentifiedImageError is an OSError
            stream.seek(0)
    hint = "use PNG, JPEG, BMP, GIF, WebP or TIFF"
    raise Fault("no-picture", f"{name} is no picture that can be read", hint)


def _grey(name: str, picture: Image.Image) -> Bytes:
    mode = picture.mode
    if mode[0] in "IF":
        return from_wide(name, picture)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        if mode in ("La", "RGBa"):
            picture = picture.convert("RGBA" if mode == "RGBa" else "LA")
        pixels = np.asarray(picture.convert("RGBA").convert("LA"))
        grey, alpha = pixels[..., 0].astype(np.uint16), pixels[..., 1].astype(np.uint16)
        on_white: Bytes = ((grey * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        return on_white
    if mode == "LAB":
        return np.array(picture.getchannel(0))
    if mode not in ("1", "L", "RGB", "P"):
        picture = picture.convert("RGB")
    return np.array(picture.convert("L"))


def from_wide(name: str, picture: Image.Image) -> Bytes:
    """A grey picture of 16 bits a pixel -> uint8 (H, W), each pixel rounded. Raises: Fault, code pixel-format.

    Pillow's own `convert("L")` clips: nearly all of such a picture comes out white.
    """
    if picture.mode == "F":
        raise Fault("pixel-format", f"{name} has floating point pixels", "save it with 8 or 16 bits")
    # Of a TIFF, 12 bits, signed ones and those of which 0 is white look the same to Pillow.
    tags = getattr(picture, "tag_v2", None)
    if tags and (tags.get(258), tags.get(339, (1,)), tags.get(262)) != ((16,), (1,), 1):
        raise Fault(
            "pixel-format", f"{name} has pixels of an unusual form", "save it with 8 or 16 bits, as PNG"
        )
    wide = np.asarray(picture)
    if wide.min() < 0 or wide.max() > 65535:  # Pillow opens some of 16 bits as 32-bit integers
        raise Fault("pixel-format", f"{name} has 32 bits a pixel", "save it with 8 or 16 bits")
    narrow: Bytes = _OF_16_BITS[wide]
    return narrow


_OF_16_BITS = ((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8)


def orientation_of(picture: Image.Image) -> int:
    """1 to 8, as EXIF says; of a PNG without it, all of the pixels are read to know."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except _DECODE_ERRORS:  # a broken EXIF block says nothing of the pixels
        return 1


def _upright(grey_u8: Bytes, orientation: int) -> Bytes:
    """EXIF 2.32, tag 274: 5 to 8 have rows and columns exchanged; then mirrored in x, in y, or both."""
    if orientation in (5, 6, 7, 8):
        grey_u8 = grey_u8.T
    if orientation in (3, 4, 7, 8):
        grey_u8 = grey_u8[::-1]
    if orientation in (2, 3, 6, 7):
        grey_u8 = grey_u8[:, ::-1]
    return np.ascontiguousarray(grey_u8)
