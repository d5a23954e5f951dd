"""An upright grey picture -> the digits in it, each as MNIST was made. numpy and Pillow only.

The laptop, the Pi and the camera run this same code, and docs/preprocessing.md says exactly what it does. The steps
of `find_digits`, in order: shrink -> polarity -> paper (what is left when strokes are closed) -> ink (the part of its
light that is taken) -> threshold -> rules taken out -> connected strokes -> digits, touching ones cut -> lines
-> strokes evened, 20x20 box, centred by mass in 28x28.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import shaping, touching
from .ink import is_light_on_dark, scene_of
from .sampling import reduce
from .strokes import in_lines, join, on_paper, strokes_of, with_edges

if TYPE_CHECKING:
    from .ink import Scene
    from .parts import Parts
    from .sampling import Bytes

WORK_SIDE = 1280  # digits are sought in a picture that is at most this long, in pixels


@dataclass(frozen=True, eq=False)
class Digit:
    """`box`: x, y, width, height in pixels of the upright picture; `image_u8`: uint8 (28, 28), ink is 255.

    `line`: the number of its line, from 0 at the top.
    """

    box: tuple[int, int, int, int]
    image_u8: Bytes
    line: int


def find_digits(grey_u8: Bytes, look: Callable[[str, Any], None] | None = None) -> list[Digit]:
    """uint8 (H, W), an upright picture -> its digits, line by line from the top, each line from the left.

    Dark ink on light paper or light on dark. A picture that is already as MNIST's comes out as it is. No ink: [].
    `look` is shown what each step made: its name and uint8 (h, w).
    Raises: TypeError if grey_u8 is not uint8 (H, W) with at least one pixel.
    """
    if grey_u8.dtype != np.uint8 or grey_u8.ndim != 2 or not grey_u8.size:
        raise TypeError(f"uint8 (H, W) is needed, this is {grey_u8.dtype} {grey_u8.shape}")
    already = as_mnist(grey_u8)
    if already is not None:
        return [already]
    work, shrink = to_work(grey_u8)
    scene = scene_of(work)
    parts = strokes_of(scene)
    if look is not None:
        show(look, scene, parts)
    if not len(parts.box):
        return []
    groups = with_edges(on_paper(join(parts, work.shape[1]), scene), parts, scene.ink)
    groups = touching.cut(groups, scene)
    return [
        Digit(_box(group.box, shrink, grey_u8.shape), shaping.to_input(scene, group), line)
        for line, in_line in enumerate(in_lines(groups))
        for group in in_line
    ]


def to_work(grey_u8: Bytes) -> tuple[Bytes, int]:
    """uint8 (H, W) -> the same with dark ink, uint8 (h, w), at most WORK_SIDE long; and how many times smaller."""
    shrink = -(-max(grey_u8.shape) // WORK_SIDE)
    work = reduce(grey_u8, shrink)
    return (~work if is_light_on_dark(work) else work), shrink


def show(look: Callable[[str, Any], None], scene: Scene, parts: Parts) -> None:
    """What `find_digits` shows of them."""
    strokes = np.zeros(scene.ink.shape, np.uint8)
    strokes.ravel()[parts.pixel] = 255
    look("paper", scene.paper)
    look("ink", (scene.ink >> np.uint16(2)).astype(np.uint8))
    look("strokes", strokes)


def as_mnist(grey_u8: Bytes) -> Digit | None:
    """A picture that was made as MNIST's: 28x28, ink 20 pixels long, its centre of mass in the middle."""
    if grey_u8.shape != (28, 28):
        return None
    image = ~grey_u8 if np.median(grey_u8) > 127 else grey_u8
    ys, xs = np.nonzero(image > 48)
    if np.median(image) > 8 or image.max() < 192 or not len(ys):
        return None
    x, y, w, h = int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
    weight = image.astype(np.float64)
    centre = np.array([weight.sum(0) @ np.arange(28), weight.sum(1) @ np.arange(28)]) / weight.sum()
    if not 18 <= max(w, h) <= 21 or np.abs(centre - 14).max() > 1.5:
        return None
    return Digit((x, y, w, h), image.copy(), line=0)


def _box(box: tuple[int, int, int, int], shrink: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    x, y = box[0] * shrink, box[1] * shrink
    right, bottom = min(box[2] * shrink, shape[1]), min(box[3] * shrink, shape[0])
    return x, y, right - x, bottom - y
