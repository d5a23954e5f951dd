"""What was read, drawn into the picture: a box around each digit and its label above it, as a JPEG for who watches."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

GREEN, BLACK = (0, 230, 90), (0, 0, 0)
_LETTER = 0.04  # of the longer side: the height of a label


def jpeg(image: Image.Image, digits: list[dict[str, Any]], side: int, quality: int) -> bytes:
    """`image`: mode L or RGB; digits: [{label, box}] in its pixels. It is scaled down to `side` pixels where longer."""
    scale = min(1.0, side / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # A copy either way: its pixels are still to be kept as they came.
    shown = (image if size == image.size else image.resize(size)).convert("RGB")
    canvas = ImageDraw.Draw(shown)
    letter = max(12, round(max(size) * _LETTER))
    for digit in digits:
        x, y, width, height = (value * scale for value in digit["box"])
        for grow, colour in ((2, BLACK), (1, GREEN), (0, GREEN)):
            canvas.rectangle((x - grow, y - grow, x + width + grow, y + height + grow), outline=colour)
        mask = _label(str(digit["label"])[:12], letter)
        at = round(x), round(y - letter - 4 if y > letter + 4 else y + height + 4)
        for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            canvas.bitmap((at[0] + dx, at[1] + dy), mask, fill=BLACK)
        canvas.bitmap(at, mask, fill=GREEN)
    packed = io.BytesIO()
    shown.save(packed, "JPEG", quality=quality)
    return packed.getvalue()


@lru_cache(maxsize=256)
def _label(text: str, height: int) -> Image.Image:
    """Mode L: the text, `height` pixels high, whatever size the font has."""
    face = font(height)
    box = face.getbbox(text)
    mask = Image.new("L", (max(1, int(box[2])), max(1, int(box[3]))))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=face)
    tight = mask.crop(mask.getbbox() or (0, 0, 1, 1))
    return tight.resize((max(1, round(tight.width * height / tight.height)), height))


def font(size: int) -> Any:
    """Pillow's own; before Pillow 10.1, or without FreeType, it has one small size alone."""
    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):
        return ImageFont.load_default()


def png(image: Image.Image) -> bytes:
    """Without loss, and packed only lightly: it is made beside a live picture."""
    packed = io.BytesIO()
    image.save(packed, "PNG", compress_level=1)
    return packed.getvalue()
