"""How the digits of a picture were found: one sheet with the picture that each step makes, and what the model saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from . import preprocess
from .drawing import font
from .ink import FULL, scene_of, threshold
from .strokes import strokes_of

if TYPE_CHECKING:
    from .sampling import Bytes

TILE_W, TILE_H = 480, 360  # a step's picture is as large as fits in this
CAPTION = 24
GAP = 12
LETTER = 15
INPUT = 3 * 28  # a model's input is shown three times as large
INPUTS = 56  # shown at most
NEAREST, BOX = 0, 4  # Image.Resampling's, which Pillow before 9.1 has elsewhere
PAGE, TEXT, KNOWN, REJECTED = (245, 245, 242), (20, 20, 20), (0, 110, 60), (200, 30, 30)
LINES = ((0, 110, 200), (210, 90, 0), (120, 40, 160), (0, 130, 90))  # the boxes of each line in turn


def steps_of(grey_u8: Bytes) -> list[tuple[str, Bytes]]:
    """uint8 (H, W), upright -> each step's caption and its picture, uint8 (h, w), in order, before digits are grouped.

    A picture that is made as MNIST's is taken as it is, and has no steps.
    """
    if preprocess.as_mnist(grey_u8) is not None:
        return []
    work, shrink = preprocess.to_work(grey_u8)
    scene = scene_of(work)
    seen: dict[str, Bytes] = {}
    preprocess.show(seen.__setitem__, scene, strokes_of(scene))
    least = threshold(scene)
    over = np.where(scene.ink > least, np.uint8(255), np.uint8(0))
    made = "as it is" if shrink == 1 else f"1:{shrink}"
    return [
        (f"Grey, dark on light ({made})", work),
        ("Paper: its light without ink", seen["paper"]),
        ("Ink: the part of the light that it takes", seen["ink"]),
        (f"Over the threshold ({100 * least / FULL:.0f} % ink)", over),
        ("Strokes: no specks, edges, rules", seen["strokes"]),
    ]


def sheet(grey_u8: Bytes, answer: dict[str, Any]) -> Image.Image:
    """uint8 (H, W), and what `predict.answer` tells of it -> the sheet, RGB.

    The digits are found again, which gives the same; their labels are those of `answer`, in `digits` and `rejected`.
    """
    found = preprocess.find_digits(grey_u8)
    tiles = [(caption, Image.fromarray(step).convert("RGB")) for caption, step in steps_of(grey_u8)]
    tiles.append((f"Grouped: {len(found)} found", _boxed(grey_u8, found, answer)))
    columns = min(3, len(tiles))
    rows = -(-len(tiles) // columns)
    per_row = max(1, (3 * (TILE_W + GAP) - GAP) // (INPUT + GAP))
    shown = found[:INPUTS]
    height = rows * (CAPTION + TILE_H + GAP) + CAPTION + -(-len(shown) // per_row) * (INPUT + CAPTION + GAP)
    page = Image.new("RGB", (3 * (TILE_W + GAP) + GAP, height + 2 * GAP), PAGE)
    draw = ImageDraw.Draw(page)
    for n, (caption, tile) in enumerate(tiles):
        x, y = GAP + n % columns * (TILE_W + GAP), GAP + n // columns * (CAPTION + TILE_H + GAP)
        draw.text((x, y + 2), f"{n + 1}. {caption}", TEXT, font(LETTER))
        page.paste(_fitted(tile), (x, y + CAPTION))
    top = GAP + rows * (CAPTION + TILE_H + GAP)
    _inputs(page, draw, top, per_row, shown, len(found), answer)
    return page


def _inputs(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    top: int,
    per_row: int,
    shown: list[preprocess.Digit],
    count: int,
    answer: dict[str, Any],
) -> None:
    more = f", the first {len(shown)} of {count}" if count > len(shown) else ""
    draw.text((GAP, top), f"What the model sees, 28x28, ink is light{more}", TEXT, font(LETTER))
    for n, digit in enumerate(shown):
        x, y = GAP + n % per_row * (INPUT + GAP), top + CAPTION + n // per_row * (INPUT + CAPTION + GAP)
        page.paste(Image.fromarray(digit.image_u8).resize((INPUT, INPUT), NEAREST), (x, y))
        text, colour = _verdict(digit, answer)
        draw.text((x, y + INPUT + 3), text, colour, font(LETTER))


def _verdict(digit: preprocess.Digit, answer: dict[str, Any]) -> tuple[str, tuple[int, int, int]]:
    box = list(digit.box)
    for thing in answer["digits"]:
        if thing["box"] == box:
            return f"{thing['label']}  {thing['confidence']:.1%}", KNOWN
    for thing in answer.get("rejected", ()):
        if thing["box"] == box:
            return f"no ({thing['label']} {thing['confidence']:.0%})", REJECTED
    return "not read", REJECTED


def _boxed(grey_u8: Bytes, found: list[preprocess.Digit], answer: dict[str, Any]) -> Image.Image:
    """The picture with the boxes: each line in a colour of its own, a thin red cross through what was rejected."""
    picture = Image.fromarray(grey_u8).convert("RGB")
    scale = _scale(picture)
    picture = _fitted(picture)
    draw = ImageDraw.Draw(picture)
    for digit in found:
        x, y, w, h = (round(scale * side) for side in digit.box)
        corners = (x, y, min(x + w, picture.width - 1), min(y + h, picture.height - 1))
        text, colour = _verdict(digit, answer)
        draw.rectangle(
            corners, outline=LINES[digit.line % len(LINES)] if colour == KNOWN else REJECTED, width=2
        )
        if colour == REJECTED:
            draw.line(corners, fill=REJECTED, width=1)
        else:
            place = (x, max(y - 18, 0))
            draw.rectangle(draw.textbbox(place, text.split()[0], font(LETTER)), fill=PAGE)
            draw.text(place, text.split()[0], LINES[digit.line % len(LINES)], font(LETTER))
    return picture


def _fitted(picture: Image.Image) -> Image.Image:
    """As large as fits in a tile."""
    scale = _scale(picture)
    size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
    return picture if size == picture.size else picture.resize(size, BOX if scale < 1 else NEAREST)


def _scale(picture: Image.Image) -> float:
    return min(TILE_W / picture.width, TILE_H / picture.height)
