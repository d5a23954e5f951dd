"""A contact sheet: a row a class with examples from train, each followed by what augmentation makes of it."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edgebig.data.examples import Examples, Images
from edgebig.report import drawing
from edgebig.report.drawing import FAINT, PAPER

MOST_WIDTH_PX, MOST_HEIGHT_PX = 2000, 4000
VERSIONS = 5
# The first that fits: many pictures before large ones.
_EACH, _EACH_WITH_VERSIONS = (10, 6, 3), (2, 1)
_SIDES_PX = (112, 84, 64, 48, 32)
_GAP_PX, _GROUP_GAP_PX, _MARGIN_PX = 4, 14, 12
_NAME_PX, _CAPTION_PX, _LINE_PX = 14, 14, 20
_MOST_NAME_PX = 180
_MOST_CAPTION_LINES = 12
_FRAME = (214, 90, 20)


@dataclass(frozen=True)
class Layout:
    """The first `classes` classes stand in `blocks` columns of `rows` rows, each with its name and `each` pictures.

    A picture takes `cell` (height, width) px and is followed by `versions` others.
    """

    classes: int
    each: int
    versions: int
    cell: tuple[int, int]
    name_px: int
    blocks: int = 1
    rows: int = 1

    @property
    def group_px(self) -> int:
        """The width of a picture with its versions and the gap behind them."""
        return (1 + self.versions) * (self.cell[1] + _GAP_PX) + (_GROUP_GAP_PX if self.versions else 0)

    @property
    def block_px(self) -> int:
        return self.name_px + self.each * self.group_px + _MARGIN_PX

    @property
    def row_px(self) -> int:
        return max(self.cell[0], _NAME_PX + 2) + _GAP_PX


def layout(shape: tuple[int, int, int], classes: Sequence[str], most: int, *, versions: int = 0) -> Layout:
    """How many pictures of (H, W, C), and how large, so that as many of the classes as can be are on the sheet.

    `most`: examples that the largest class has.
    """
    names = drawing.shown(classes)
    name_px = min(_MOST_NAME_PX, max(drawing.width_of(name, _NAME_PX) for name in set(names))) + _MARGIN_PX
    room_px = MOST_HEIGHT_PX - _MOST_CAPTION_LINES * _LINE_PX - 3 * _MARGIN_PX
    for each, side_px in itertools.product(_EACH_WITH_VERSIONS if versions else _EACH, _SIDES_PX):
        tried = Layout(len(classes), max(1, min(each, most)), versions, _cell(shape, side_px), name_px)
        most_rows = room_px // tried.row_px
        blocks = -(-len(classes) // most_rows)
        if blocks * tried.block_px + _MARGIN_PX <= MOST_WIDTH_PX:
            break
    else:
        blocks = (MOST_WIDTH_PX - _MARGIN_PX) // tried.block_px
    shown = min(len(classes), blocks * most_rows)
    return replace(tried, classes=shown, blocks=blocks, rows=-(-shown // blocks))


def _cell(shape: tuple[int, int, int], side_px: int) -> tuple[int, int]:
    """Height and width on the sheet, neither over `side_px`: a whole number of times the picture's own, or reduced."""
    height, width, _ = shape
    longest = max(height, width)
    if longest <= side_px:
        return height * (side_px // longest), width * (side_px // longest)
    return max(1, round(height * side_px / longest)), max(1, round(width * side_px / longest))


def draw(
    train: Examples,
    classes: Sequence[str],
    plan: Layout,
    chosen: Sequence[npt.NDArray[np.int64]],
    caption: str,
    versions: Images | None = None,
) -> Image.Image:
    """The sheet, RGB. `chosen`: for each class of `plan`, indices of `train`.

    `versions`: uint8 (N, versions, H, W, C), of all that are chosen, in order.
    """
    width_px = plan.blocks * plan.block_px + _MARGIN_PX
    lines = _wrapped(caption, width_px - 2 * _MARGIN_PX)[:_MOST_CAPTION_LINES]
    top = 2 * _MARGIN_PX + len(lines) * _LINE_PX
    sheet = Image.new("RGB", (width_px, top + plan.rows * plan.row_px + _MARGIN_PX), PAPER)
    canvas = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX + number * _LINE_PX), line, _CAPTION_PX)
    names, count = drawing.shown(classes), 0
    for label, members in enumerate(chosen):
        block, row = divmod(label, plan.rows)
        left, y = _MARGIN_PX + block * plan.block_px, top + row * plan.row_px
        middle = left, y + plan.cell[0] / 2
        name = drawing.fitted(names[label], plan.name_px - _MARGIN_PX, _NAME_PX)
        drawing.write(canvas, middle, name, _NAME_PX, anchor="lm")
        left += plan.name_px
        if not len(members):
            drawing.write(canvas, (left, middle[1]), "none in train", _NAME_PX, FAINT, "lm")
        for place, index in enumerate(members):
            x = left + place * plan.group_px
            sheet.paste(_scaled(train.images[index], plan.cell), (x, y))
            if versions is not None:
                _frame(canvas, x, y, plan.cell)
                for number, version in enumerate(versions[count + place], 1):
                    sheet.paste(_scaled(version, plan.cell), (x + number * (plan.cell[1] + _GAP_PX), y))
        count += len(members)
    return sheet


def _scaled(picture_u8: Images, cell: tuple[int, int]) -> Image.Image:
    """uint8 (H, W, C) in the size of a cell, its pixels as they are where it is enlarged."""
    # Of other numbers of channels than a screen has, the first.
    picture = Image.fromarray(picture_u8 if picture_u8.shape[2] == 3 else picture_u8[..., 0])
    enlarged = cell[0] >= picture.height and cell[1] >= picture.width
    return picture.resize(cell[::-1], Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)


def _frame(canvas: ImageDraw.ImageDraw, x: int, y: int, cell: tuple[int, int]) -> None:
    canvas.rectangle((x - 2, y - 2, x + cell[1] + 1, y + cell[0] + 1), outline=_FRAME, width=2)


def _wrapped(text: str, width_px: int) -> list[str]:
    """By the mean width of its signs, less some: a path is one long word, which has to be broken too."""
    signs = 0.9 * width_px * len(text) / max(1, drawing.width_of(text, _CAPTION_PX))
    return textwrap.wrap(text, max(1, int(signs)))
