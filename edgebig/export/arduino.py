"""A model as an Arduino sketch, by the library Chirale_TensorFLowLite, which is TensorFlow Lite Micro."""

from __future__ import annotations

import re
from pathlib import Path

import edgebig
from edgebig.errors import EdgebigError
from edgebig.export import c, template
from edgebig.export.board import Board

# https://docs.arduino.cc/arduino-cli/sketch-specification/: the folder and its .ino have one name.
_SKETCH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_DIFFERENCE_TYPES = {"int8": "int", "int16": "long", "float32": "float"}


def check_name(out: Path) -> None:
    """Raises EdgebigError where the Arduino IDE would not open a sketch in a folder of that name."""
    if not _SKETCH_NAME.fullmatch(out.absolute().name) or out.absolute().name.endswith("."):
        raise EdgebigError(
            f"'{out.absolute().name}' is no name for an Arduino sketch",
            "name its folder by letters, digits, '_', '-' and '.', as in --out digits_sketch",
        )


def files(board: Board, sketch: str) -> dict[str, bytes]:
    """The sketch, which has its folder's name, the model as C++, and what to do with them, by their file names."""
    floats = board.output.dtype == "float32"
    words = {
        "name": board.name,
        "upper": board.name.upper(),
        "sketch": sketch,
        "version": edgebig.__version__,
        "title": board.title,
        "difference": _DIFFERENCE_TYPES[board.output.dtype],
        "label": template.plain(board.card.classes[board.vector.label]),
        "tolerance": f"{board.tolerance:g}" if floats else f"{board.tolerance} steps",
        "flash": f"{len(board.model):,}",
        "arena": f"{board.arena.size_bytes:,}",
        "method": board.arena.method,
        "verdict": board.verdict,
    }
    return {
        f"{sketch}.ino": template.filled("sketch.ino", words),
        **c.files(board, "model", source_suffix=".cpp"),
        "README.md": template.filled("arduino.md", words),
    }
