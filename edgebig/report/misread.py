"""The pictures that a model misread, the worst first, each with what it is and what was read."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from edgebig.data.examples import Examples
from edgebig.evaluation.scores import Evaluation
from edgebig.report import drawing
from edgebig.report.drawing import FAINT, PAPER
from edgebig.report.words import misread_headline

SHOWN = 60
_COLUMNS = 10
_SIDE_PX = 96
_GAP_PX = 12
_TEXT_PX = 12
_MARGIN_PX = 24
_TOP_PX = 72


def misread_png(evaluation: Evaluation, examples: Examples) -> Image.Image:
    """Up to `SHOWN` of them. `examples` are those of the evaluation, in its order."""
    worst = evaluation.misread[:SHOWN]
    columns = max(5, min(_COLUMNS, len(worst)))
    rows = -(-len(worst) // columns)
    tile_px = _SIDE_PX + _GAP_PX
    row_px = _SIDE_PX + 3 * (_TEXT_PX + 3) + 2 * _GAP_PX
    size = 2 * _MARGIN_PX + columns * tile_px - _GAP_PX, _TOP_PX + max(1, rows) * row_px + _MARGIN_PX
    if not len(worst):
        size = size[0], _TOP_PX + _MARGIN_PX
    image = Image.new("RGB", size, PAPER)
    canvas = ImageDraw.Draw(image)
    total = len(evaluation.misread)
    drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX), misread_headline(evaluation), 16)
    if total:
        which = f"the {len(worst)} worst: " if len(worst) < total else ""
        under = f"{which}what it is, what was read, how sure; the surest first"
        drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX + 24), under, _TEXT_PX, FAINT)
    names = drawing.shown(evaluation.classes)
    for place, index in enumerate(worst):
        x = _MARGIN_PX + place % columns * tile_px
        y = _TOP_PX + place // columns * row_px
        # One by one: the pictures may lie in a mapped file.
        picture = _picture(examples.images[int(index)])
        image.paste(picture, (x + (_SIDE_PX - picture.width) // 2, y + (_SIDE_PX - picture.height) // 2))
        true, read = (names[of[index]] for of in (evaluation.labels, evaluation.predicted))
        lines = (f"is {true}", f"read {read}", f"{evaluation.confidence[index]:.1%}")
        for number, line in enumerate(lines):
            at = (x + _SIDE_PX / 2, y + _SIDE_PX + 4 + number * (_TEXT_PX + 3))
            text = drawing.fitted(line, tile_px - 2, _TEXT_PX)
            drawing.write(canvas, at, text, _TEXT_PX, FAINT if number == 2 else drawing.INK, "ma")
    return image


def _picture(image_u8: Any) -> Image.Image:
    """uint8 (H, W, C) at most `_SIDE_PX` long; small ones enlarged by whole pixels, as the model sees them."""
    pixels = np.asarray(image_u8)
    # Of other numbers of channels than a screen has, the first.
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    longest = max(picture.size)
    if longest <= _SIDE_PX:
        times = _SIDE_PX // longest
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    picture.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    return picture
