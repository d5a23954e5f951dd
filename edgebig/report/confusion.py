"""What is taken for what, as a picture: a matrix, or for very many classes the pairs that are confused most."""

from __future__ import annotations

from PIL import Image, ImageDraw

from edgebig.evaluation.scores import Evaluation, confusions
from edgebig.report import drawing
from edgebig.report.drawing import FAINT, INK, PAPER
from edgebig.report.words import headline

# Above it the cells would be too small to be told apart.
MATRIX_CLASSES = 60
_PAIRS_SHOWN = 40
_MARGIN_PX = 24
_LABEL_PX = 160
_RIGHT = (37, 99, 235)
_WRONG = (234, 88, 12)
_GRID = (228, 228, 231)


def confusion_png(evaluation: Evaluation) -> Image.Image:
    """Rows are the true classes, columns what was read: right in blue, wrong in orange, by the share of the row."""
    if len(evaluation.classes) > MATRIX_CLASSES:
        return _pairs(evaluation)
    return _matrix(evaluation)


def _matrix(evaluation: Evaluation) -> Image.Image:
    classes = len(evaluation.classes)
    cell_px, text_px = (46, 14) if classes <= 12 else (36, 12) if classes <= 24 else (22, 9)
    label_px = max(11, text_px)
    names = [drawing.fitted(name, _LABEL_PX, label_px) for name in drawing.shown(evaluation.classes)]
    wide = max(drawing.width_of(name, label_px) for name in names)
    turned = wide > cell_px - 4
    left = _MARGIN_PX + 20 + wide + 8
    top = _MARGIN_PX + 30 + 20 + (wide + 10 if turned else label_px + 8)
    side = classes * cell_px
    recall_px = 64
    headline_px = drawing.width_of(headline(evaluation), 16)
    size = max(left + side + recall_px, headline_px + _MARGIN_PX) + _MARGIN_PX, top + side + _MARGIN_PX
    image = Image.new("RGB", size, PAPER)
    canvas = ImageDraw.Draw(image)
    drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX), headline(evaluation), 16)
    drawing.write(canvas, (left + side / 2, _MARGIN_PX + 34), "read as", 12, FAINT, "ma")
    true = drawing.upward("true class", 12)
    image.paste(true, (_MARGIN_PX - 4, top + (side - true.height) // 2))
    drawing.write(canvas, (left + side + recall_px, top - 8), "recall", 12, FAINT, "rs")
    for index, name in enumerate(names):
        middle = index * cell_px + cell_px / 2
        drawing.write(canvas, (left - 8, top + middle), name, label_px, anchor="rm")
        if turned:
            standing = drawing.upward(name, label_px)
            image.paste(standing, (round(left + middle - standing.width / 2), top - 6 - standing.height))
        else:
            drawing.write(canvas, (left + middle, top - 6), name, label_px, anchor="ms")
    _cells(canvas, evaluation, (left, top), cell_px, text_px, label_px)
    return image


def _cells(
    canvas: ImageDraw.ImageDraw,
    evaluation: Evaluation,
    corner: tuple[int, int],
    cell_px: int,
    text_px: int,
    label_px: int,
) -> None:
    left, top = corner
    confusion = evaluation.confusion
    of_class = confusion.sum(1)
    for row, counts in enumerate(confusion.tolist()):
        for column, count in enumerate(counts):
            share = count / max(1, int(of_class[row]))
            colour = _colour(share, right=row == column)
            x, y = left + column * cell_px, top + row * cell_px
            canvas.rectangle((x, y, x + cell_px, y + cell_px), colour, _GRID)
            if count:
                dark = sum(colour) < 3 * 150
                text = str(count) if count < 10_000 else f"{count / 1000:.0f}k"
                # In small cells the long numbers go: the colour still tells.
                if drawing.width_of(text, text_px) < cell_px:
                    middle = (x + cell_px / 2, y + cell_px / 2)
                    drawing.write(canvas, middle, text, text_px, PAPER if dark else INK, "mm")
        n = int(of_class[row])
        recall = f"{counts[row] / n:.1%}" if n else "none"
        at = (left + len(counts) * cell_px + 64, top + row * cell_px + cell_px / 2)
        drawing.write(canvas, at, recall, label_px, INK if n else FAINT, "rm")


def _colour(share: float, *, right: bool) -> tuple[int, int, int]:
    """White to full; by a root, so that a single confusion in a hundred can be seen."""
    strength = share**0.4
    red, green, blue = (
        round(paper + strength * (full - paper))
        for paper, full in zip(PAPER, _RIGHT if right else _WRONG, strict=True)
    )
    return red, green, blue


def _pairs(evaluation: Evaluation) -> Image.Image:
    """A bar for each of the most frequent confusions, as long as its count."""
    found = confusions(evaluation)
    pairs = found[:_PAIRS_SHOWN]
    named = dict(zip(evaluation.classes, drawing.shown(evaluation.classes), strict=True))
    text_px, row_px, bar_px = 13, 22, 300
    texts = [
        f"{drawing.fitted(named[pair.true], _LABEL_PX, text_px)} read as "
        f"{drawing.fitted(named[pair.read], _LABEL_PX, text_px)}"
        for pair in pairs
    ]
    wide = max((drawing.width_of(text, text_px) for text in texts), default=0)
    left, top = _MARGIN_PX + wide + 12, _MARGIN_PX + 62
    shown = f"the {len(pairs)} most frequent" if len(pairs) < len(found) else "all"
    under = (
        f"{shown} of {len(found):,} confusions among {len(evaluation.classes):,} classes; % of the true class"
    )
    least = max(drawing.width_of(headline(evaluation), 16), drawing.width_of(under, 12)) + 2 * _MARGIN_PX
    width = max(left + bar_px + 120, least)
    image = Image.new("RGB", (width, top + len(pairs) * row_px + _MARGIN_PX), PAPER)
    canvas = ImageDraw.Draw(image)
    drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX), headline(evaluation), 16)
    drawing.write(canvas, (_MARGIN_PX, _MARGIN_PX + 28), under, 12, FAINT)
    for row, (pair, text) in enumerate(zip(pairs, texts, strict=True)):
        y = top + row * row_px
        drawing.write(canvas, (left - 12, y + row_px / 2), text, text_px, anchor="rm")
        length = bar_px * pair.count / pairs[0].count
        canvas.rectangle(
            (left, y + 4, left + length, y + row_px - 4), _colour(pair.share, right=False), _WRONG
        )
        figures = f"{pair.count:,} ({pair.share:.0%})"
        drawing.write(canvas, (left + length + 8, y + row_px / 2), figures, text_px, anchor="lm")
    return image
