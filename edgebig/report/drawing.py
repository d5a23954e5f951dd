"""Text in pictures. Pillow's own font has the signs of ASCII; names of other signs need a font of the system."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

INK = (24, 24, 27)
FAINT = (113, 113, 122)
PAPER = (255, 255, 255)
# Tried in this order; "" is Pillow's own, which looks alike on every machine.
_FACES = (
    "",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial.ttf",
    "Arial Unicode.ttf",
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def width_of(text: str, size_px: int) -> int:
    return round(_font(text, size_px).getlength(text))


def shown(names: Sequence[str]) -> list[str]:
    """Names as they can be drawn: one with signs that no font here has is its number among `names`, as in #3."""
    return [name if _face_of(name) is not None else f"#{index}" for index, name in enumerate(names)]


def _font(text: str, size_px: int) -> Font:
    found = _load(_face_of(text) or "", size_px)
    assert found is not None
    return found


def _face_of(text: str) -> str | None:
    if not text.isprintable():
        return None
    return next((face for face in _FACES if all(_has(face, char) for char in set(text))), None)


@cache
def _load(face: str, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(face, size_px) if face else ImageFont.load_default(size_px)
    except OSError:  # It is not installed.
        return None


@cache
def _has(face: str, char: str) -> bool:
    font = _load(face, 16)
    if font is None or char == " ":
        return font is not None
    # A font draws one box for every sign that it lacks, and this one is a sign in none.
    box, mask = (font.getmask(sign) for sign in ("\uffff", char))
    return mask.size != box.size or bytes(mask) != bytes(box)


def fitted(text: str, width_px: int, size_px: int) -> str:
    """`text`, with dots for its middle where it is wider: names often differ at the end alone."""
    if width_of(text, size_px) <= width_px:
        return text
    kept = len(text) - 1
    while kept and width_of(_without_middle(text, kept), size_px) > width_px:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"


def write(
    canvas: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    text: str,
    size_px: int,
    fill: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    """`anchor` as Pillow names them: l, m or r of the text at x, and a, m or s (the base line) at y."""
    canvas.text(xy, text, fill=fill, font=_font(text, size_px), anchor=anchor)


def upward(text: str, size_px: int) -> Image.Image:
    """A text that reads from below to above, dark on white."""
    height = size_px + size_px // 3
    lying = Image.new("RGB", (width_of(text, size_px) + 2, height), PAPER)
    write(ImageDraw.Draw(lying), (1, height / 2), text, size_px, anchor="lm")
    return lying.transpose(Image.Transpose.ROTATE_90)
