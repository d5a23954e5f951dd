"""Pictures for the tests of what reads them: strokes drawn by a ruler, embedded digits, paper in uneven light."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent.parent
Bytes = npt.NDArray[np.uint8]

# The strokes of 1, 4 and 7, in a unit square.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "1": [[(0.5, 0.0), (0.5, 1.0)]],
    "4": [[(0.35, 0.0), (0.1, 0.6), (0.85, 0.6)], [(0.65, 0.25), (0.65, 1.0)]],
    "7": [[(0.1, 0.0), (0.85, 0.0), (0.4, 1.0)]],
}


def _draw(
    marks: list[tuple[str, int, int, int]], size: tuple[int, int] = (320, 240), pen: int = 6, paper: int = 225
) -> Bytes:
    picture = Image.new("L", size, paper)
    canvas = ImageDraw.Draw(picture)
    for digit, x, y, height in marks:
        for stroke in STROKES[digit]:
            points = [(x + u * height * 0.7, y + v * height) for u, v in stroke]
            canvas.line(points, fill=40, width=pen, joint="curve")
    return np.array(picture)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Bytes]:
    """draw(marks, size, pen, paper): 1, 4 and 7 at (x, y) of a height, dark on light, as uint8 (H, W)."""
    return _draw


@pytest.fixture(scope="session")
def mnist() -> Bytes:
    """The embedded test digits, uint8 (1000, 28, 28), ink is 255."""
    with np.load(ROOT / "edgebig/zoo/digits-5k.npz") as data:
        images: Bytes = data["images"][data["split"] == 2]
    return images


@pytest.fixture(scope="session")
def sample_picture() -> Callable[..., Image.Image]:
    """What tools/sample_picture.py draws."""
    drawn: dict[str, Any] = runpy.run_path(str(ROOT / "tools/sample_picture.py"))
    picture: Callable[..., Image.Image] = drawn["sample_picture"]
    return picture
