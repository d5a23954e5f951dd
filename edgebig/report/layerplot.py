"""Where two models part, as a plot: a bar a layer, as an SVG or a PNG, of the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw

from edgebig import files
from edgebig.check.layers import LayerLoss
from edgebig.check.signal import Loss
from edgebig.comparison import Comparison
from edgebig.errors import EdgebigError
from edgebig.report import drawing
from edgebig.report.columns import shortened
from edgebig.report.layers import decibels, title

Colour = tuple[int, int, int]
OWN, SO_FAR, WORST = (37, 99, 235), (148, 163, 184), (214, 90, 20)
_WIDTH_PX, _ROW_PX, _NAME_PX, _TEXT_PX = 880, 24, 250, 13
_MARGIN_PX, _TOP_PX, _FOOT_PX = 16, 62, 44
_TICK_DB = 20
_LAYERS_SHOWN = 150


class Rectangle(NamedTuple):
    """From x and y, in pixels."""

    x: float
    y: float
    width: float
    height: float
    fill: Colour


class Text(NamedTuple):
    """`anchor`: the x of its beginning (l), its middle (m) or its end (r); y is its middle."""

    x: float
    y: float
    text: str
    anchor: str = "l"
    fill: Colour = drawing.INK


Shape = Rectangle | Text


def check_name(path: Path) -> None:
    """Raises EdgebigError where no such picture can be drawn, OSError where nothing can be written."""
    if path.suffix.lower() not in _FORMATS:
        raise EdgebigError(
            f"{path}: no picture of that kind can be drawn", f"name it {path.stem}.svg or .png"
        )
    files.check_writable(path)


def save(path: Path, found: Comparison) -> None:
    """Draws the layers into the file, by the end of its name. Raises: EdgebigError where they were left out."""
    if found.layers is None or not found.layers.layers:
        raise EdgebigError("no layers to plot", "leave out --no-layers")
    size, shapes = _shapes(found)
    files.write_bytes(path, _FORMATS[path.suffix.lower()](size, shapes))


def _shapes(found: Comparison) -> tuple[tuple[int, int], list[Shape]]:
    """The size in pixels, and what is drawn, from back to front."""
    assert found.layers is not None
    rows = found.layers.layers[:_LAYERS_SHOWN]
    height = _TOP_PX + len(rows) * _ROW_PX + _FOOT_PX
    most = max([*(_db(row.own) for row in rows), *(_db(row.accumulated) for row in rows), 40.0])
    left, scale = _MARGIN_PX + _NAME_PX, (_WIDTH_PX - 2 * _MARGIN_PX - _NAME_PX - 50) / most
    shapes: list[Shape] = [
        Rectangle(0, 0, _WIDTH_PX, height, drawing.PAPER),
        Text(_MARGIN_PX, 18, f"{title(found)}: signal to noise of each layer, in dB (more is better)"),
        Rectangle(_MARGIN_PX, 36, 12, 10, OWN),
        Text(_MARGIN_PX + 18, 41, "the layer by itself"),
        Rectangle(_MARGIN_PX + 160, 36, 12, 10, SO_FAR),
        Text(_MARGIN_PX + 178, 41, "with all before it"),
        Rectangle(_MARGIN_PX + 320, 36, 12, 10, WORST),
        Text(_MARGIN_PX + 338, 41, "where most is lost"),
    ]
    bottom = height - _FOOT_PX
    for tick in range(0, int(most) + 1, _TICK_DB):
        shapes.append(Rectangle(left + tick * scale, _TOP_PX, 1, bottom - _TOP_PX, (226, 232, 240)))
        shapes.append(Text(left + tick * scale, bottom + 14, f"{tick}", "m", drawing.FAINT))
    for number, row in enumerate(rows):
        shapes += _row(row, row is found.layers.worst, left, _TOP_PX + number * _ROW_PX, scale)
    return (_WIDTH_PX, height), shapes


def _row(row: LayerLoss, worst: bool, left: float, top: float, scale: float) -> list[Shape]:
    middle = top + _ROW_PX / 2
    shapes: list[Shape] = [
        Text(left - 10, middle, shortened(row.second, 36), "r"),
        Rectangle(left, middle + 2, _db(row.accumulated) * scale, 5, SO_FAR),
    ]
    end = _db(row.accumulated)
    if row.own is not None:
        shapes.append(Rectangle(left, middle - 7, _db(row.own) * scale, 8, WORST if worst else OWN))
        end = max(end, _db(row.own))
    label = decibels(row.own) if row.own is not None else decibels(row.accumulated)
    return [*shapes, Text(left + end * scale + 6, middle, label, "l", drawing.FAINT)]


def _db(loss: Loss | None) -> float:
    return max(0.0, loss.sqnr_db) if loss is not None and loss.sqnr_db is not None else 0.0


def _svg(size: tuple[int, int], shapes: Sequence[Shape]) -> bytes:
    width, height = size
    anchors = {"l": "start", "m": "middle", "r": "end"}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="{_TEXT_PX}">'
    ]
    for shape in shapes:
        if isinstance(shape, Rectangle):
            parts.append(
                f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
                f'fill="rgb{shape.fill}"/>'
            )
        else:
            # Names come from a file: XML has no place for signs that steer a terminal, and < opens a tag.
            text = escape("".join(sign if sign.isprintable() else "?" for sign in shape.text))
            parts.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" dominant-baseline="middle" '
                f'text-anchor="{anchors[shape.anchor]}" fill="rgb{shape.fill}">{text}</text>'
            )
    return "\n".join([*parts, "</svg>", ""]).encode()


def _png(size: tuple[int, int], shapes: Sequence[Shape]) -> bytes:
    import io

    picture = Image.new("RGB", size, drawing.PAPER)
    canvas = ImageDraw.Draw(picture)
    for shape in shapes:
        if isinstance(shape, Rectangle):
            if shape.width >= 1:
                corners = (shape.x, shape.y, shape.x + shape.width - 1, shape.y + shape.height - 1)
                canvas.rectangle(corners, fill=shape.fill)
        else:
            text = drawing.shown([shape.text])[0]
            drawing.write(canvas, (shape.x, shape.y), text, _TEXT_PX, shape.fill, f"{shape.anchor}m")
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


_FORMATS: dict[str, Callable[[tuple[int, int], Sequence[Shape]], bytes]] = {".svg": _svg, ".png": _png}
