"""An upright grey picture -> the digits in it, each as MNIST was made. numpy and Pillow only.

The laptop, the Pi and the camera run this same code. The steps of `find_digits`, in order:
shrink -> polarity -> paper (what is left when strokes are closed) -> ink (the part of its light that is taken)
-> threshold -> connected strokes -> digits -> lines -> strokes evened, 20x20 box, centred by mass in 28x28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .ink import DARK, is_light_on_dark, scene_of
from .sampling import reduce, resample, slide
from .strokes import in_lines, join, strokes_of

if TYPE_CHECKING:
    from .ink import Scene
    from .parts import Parts
    from .sampling import Bytes, Floats
    from .strokes import Group

WORK_SIDE = 1280  # digits are sought in a picture that is at most this long, in pixels
STROKE = 2.3  # the stroke width to reach, in pixels of the 20x20 box; MNIST's median is 2.4
MAX_STROKE = 4.0
FINE = 4  # a digit is drawn this much larger than the 20x20 box while its strokes are evened


@dataclass(frozen=True, eq=False)
class Digit:
    """`box`: x, y, width, height in pixels of the upright picture; `image_u8`: uint8 (28, 28), ink is 255.

    `line`: the number of its line, from 0 at the top.
    """

    box: tuple[int, int, int, int]
    image_u8: Bytes
    line: int


def find_digits(grey_u8: Bytes) -> list[Digit]:
    """uint8 (H, W), an upright picture -> its digits, line by line from the top, each line from the left.

    Dark ink on light paper or light on dark. A picture that is already as MNIST's comes out as it is. No ink: [].
    Raises: TypeError if grey_u8 is not uint8 (H, W) with at least one pixel.
    """
    if grey_u8.dtype != np.uint8 or grey_u8.ndim != 2 or not grey_u8.size:
        raise TypeError(f"uint8 (H, W) is needed, this is {grey_u8.dtype} {grey_u8.shape}")
    as_mnist = _as_mnist(grey_u8)
    if as_mnist is not None:
        return [as_mnist]
    shrink = -(-max(grey_u8.shape) // WORK_SIDE)
    work = reduce(grey_u8, shrink)
    inverted = is_light_on_dark(work)
    for inverse in (inverted, not inverted):
        scene = scene_of(~work if inverse else work)
        parts = strokes_of(scene)
        if len(parts.box):
            lines = enumerate(in_lines(join(parts)))
            full = ~grey_u8 if inverse else grey_u8
            return [_digit(full, shrink, scene, parts, group, n) for n, line in lines for group in line]
    return []


def _as_mnist(grey_u8: Bytes) -> Digit | None:
    """A picture that was made as MNIST's: 28x28, ink 20 pixels long, its centre of mass in the middle."""
    if grey_u8.shape != (28, 28):
        return None
    image = ~grey_u8 if np.median(grey_u8) > 127 else grey_u8
    ys, xs = np.nonzero(image > 48)
    if np.median(image) > 8 or image.max() < 192 or not len(ys):
        return None
    x, y, w, h = int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
    weight = image.astype(np.float64)
    centre = (weight.sum(0) @ np.arange(28), weight.sum(1) @ np.arange(28)) / weight.sum()
    if not 18 <= max(w, h) <= 21 or np.abs(centre - 14).max() > 1.5:
        return None
    return Digit((x, y, w, h), image.copy(), line=0)


def _digit(full: Bytes, shrink: int, scene: Scene, parts: Parts, group: Group, line: int) -> Digit:
    """`full`: the whole picture with dark ink; the rest is of the working picture, `shrink` times smaller."""
    margin = 2
    height, width = scene.ink.shape
    x0, y0 = max(group.box[0] - margin, 0), max(group.box[1] - margin, 0)
    x1, y1 = min(group.box[2] + margin, width), min(group.box[3] + margin, height)
    own = np.isin(parts.label[y0:y1, x0:x1], group.members)
    near = slide(slide(own.astype(np.uint8), 3, 0, True), 3, 1, True)
    scale = 20 * FINE / max(group.box[2] - group.box[0], group.box[3] - group.box[1])
    size = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
    crop = full[y0 * shrink : y1 * shrink, x0 * shrink : x1 * shrink]
    grey = resample(crop, size)
    paper = resample(scene.paper[y0:y1, x0:x1], size)
    ink = np.clip((paper - grey) / np.maximum(paper, DARK), 0, 1) * (
        resample(near.astype(np.float32), size) > 0.5
    )
    core = ink[resample(own.astype(np.float32), size) > 0.5]
    level = float(np.quantile(core, 0.8)) if core.size else 1.0
    bold = np.clip((ink / max(level, 1e-3) - 0.5) * 2 + 0.5, 0, 1)
    x, y = group.box[0] * shrink, group.box[1] * shrink
    right, bottom = min(group.box[2] * shrink, full.shape[1]), min(group.box[3] * shrink, full.shape[0])
    return Digit((x, y, right - x, bottom - y), _centred(_even(bold)), line)


def _even(bold: Floats) -> Floats:
    """Strokes of the fine drawing brought near MNIST's width, by a round brush that adds or takes an edge."""
    width = stroke_width(bold)
    wish = float(np.clip(width, STROKE * FINE, MAX_STROKE * FINE))
    side = 20 * FINE
    # The box grows with the brush, and is scaled to 20 again.
    radius = (wish - width) * side / (2 * (side - wish))
    reach = int(abs(radius) + 0.5)
    padded = np.pad(bold, reach)
    result = padded.copy()
    pick = np.maximum if radius > 0 else np.minimum
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if 0 < dx * dx + dy * dy <= (abs(radius) + 0.25) ** 2:
                pick(result, np.roll(padded, (dy, dx), (0, 1)), out=result)
    return result


def stroke_width(bold: Floats) -> float:
    """(H, W) of 0 to 1 -> the mean stroke width in pixels: a stroke's total variation is twice its length."""
    p = np.pad(bold, 1).astype(np.float64)
    edge = float(np.hypot(np.diff(p, axis=0)[:, :-1], np.diff(p, axis=1)[:-1]).sum())
    return 2 * float(bold.sum()) / edge if edge else 0.0


def _centred(bold: Floats) -> Bytes:
    """As MNIST was made: the longer side is 20, anti-aliased, and the centre of mass is at pixel 14, 14."""
    ys, xs = np.nonzero(bold > 0.5)
    image = np.zeros((28, 28), np.uint8)
    if not len(ys):
        return image
    tight = bold[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    h, w = tight.shape
    size = max(1, round(20 * h / max(h, w))), max(1, round(20 * w / max(h, w)))
    small = resample(tight, size)
    mass = max(float(small.sum()), 1e-9)
    top = round(14 - float(small.sum(1) @ np.arange(size[0])) / mass)
    left = round(14 - float(small.sum(0) @ np.arange(size[1])) / mass)
    top, left = min(max(top, 0), 28 - size[0]), min(max(left, 0), 28 - size[1])
    image[top : top + size[0], left : left + size[1]] = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    return image
