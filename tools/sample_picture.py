"""Draw digits of the embedded test split with a pen on paper, as a photograph would show them.

    python tools/sample_picture.py OUT.png [--index N] [--digits 3] [--seed 0]

Prints what the picture reads. Needs numpy and Pillow, nothing of edgebig.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

DIGITS = Path(__file__).resolve().parent.parent / "edgebig" / "zoo" / "digits-5k.npz"
WIDTH, HEIGHT = 640, 480
FINE = 6  # the grid of the skeleton: a 28x28 digit is thinned at 168x168
SUPERSAMPLE = 3  # strokes are drawn this much larger, then averaged down

Bits = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]


def sample_picture(
    images_u8: Bytes, seed: int, *, pen_px: float | None = None, light_on_dark: bool = False
) -> Image.Image:
    """uint8 (N, 28, 28) digits, ink is 255 -> one RGB picture of 640x480, the digits in reading order.

    Everything that is not given is drawn by `seed`: pen width (2 to 9 pixels), colours, sizes, tilt, shadow,
    blur and grain. Up to five digits stand in one line, more in lines of equal length.
    """
    rng = np.random.default_rng(seed)
    width_px = float(rng.uniform(2, 9)) if pen_px is None else pen_px
    ink = _draw(images_u8, width_px, rng)
    light = light_of(rng)
    paper_rgb = np.array([1.0, rng.uniform(0.95, 1), rng.uniform(0.86, 1)], np.float32) * rng.uniform(
        190, 245
    )
    pen_rgb = np.array(_PENS[rng.integers(len(_PENS))], np.float32)
    if light_on_dark:
        paper_rgb, pen_rgb = np.array([48, 62, 56], np.float32), np.array([235, 235, 225], np.float32)
    picture = paper_rgb + (pen_rgb - paper_rgb) * ink[..., None] * rng.uniform(0.75, 0.98)
    picture *= light[..., None]
    blurred = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3))
    )
    noisy = np.asarray(blurred, np.float32) + rng.normal(0, rng.uniform(1, 5), (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(noisy + rng.normal(0, 1.5, noisy.shape), 0, 255).astype(np.uint8))


_PENS = ((28, 28, 32), (30, 40, 120), (20, 24, 70), (60, 60, 64))


def _draw(images_u8: Bytes, pen_px: float, rng: np.random.Generator) -> Floats:
    """The coverage by ink, 0 to 1, float32 (480, 640)."""
    n = len(images_u8)
    rows = max(1, -(-n // 5))
    columns = max(1, -(-n // rows))
    cell_w, cell_h = WIDTH / columns, HEIGHT / rows
    size = min(cell_w * 0.72, cell_h * 0.64, 230.0)
    canvas = Image.new("L", (WIDTH * SUPERSAMPLE, HEIGHT * SUPERSAMPLE))
    pen = ImageDraw.Draw(canvas)
    tilt = rng.uniform(-0.03, 0.03)
    for i, image in enumerate(images_u8):
        row, column = divmod(i, columns)
        x = cell_w * (column + 0.5) + rng.uniform(-0.04, 0.04) * cell_w
        y = cell_h * (row + 0.5) + rng.uniform(-0.06, 0.06) * cell_h + tilt * (x - WIDTH / 2)
        scale = size * rng.uniform(0.85, 1.0) / 20 / FINE
        angle = rng.uniform(-0.08, 0.08)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        _strokes(pen, thin(blob(image)), turn, (x, y), pen_px)
    small = canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def _strokes(
    pen: ImageDraw.ImageDraw,
    skeleton: Bits,
    turn: npt.NDArray[np.float64],
    at: tuple[float, float],
    pen_px: float,
) -> None:
    """Every two skeleton points that touch are joined by a round stroke."""
    ys, xs = np.nonzero(skeleton)
    points = np.stack([xs, ys], 1) - np.array(skeleton.shape[::-1]) / 2
    smooth = np.array([points[(np.abs(points - p) <= FINE / 2 + 1).all(1)].mean(0) for p in points])
    drawn = (smooth @ turn.T + np.array(at)) * SUPERSAMPLE
    radius = pen_px * SUPERSAMPLE / 2
    for i, (x, y) in enumerate(drawn):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        for j in np.nonzero((np.abs(points[i + 1 :] - points[i]) <= 1).all(1))[0] + i + 1:
            pen.line((x, y, drawn[j][0], drawn[j][1]), fill=255, width=max(1, round(2 * radius)))


def blob(image_u8: Bytes) -> Bits:
    """Ink against the ink around it, on the fine grid: faint strokes stay whole and small loops stay open."""
    side = 28 * FINE
    fine = Image.fromarray(image_u8).resize((side, side), Image.Resampling.BICUBIC)
    around = Image.fromarray(image_u8).filter(ImageFilter.MaxFilter(5)).resize((side, side))
    thick: Bits = np.asarray(fine, np.float32) > np.clip(0.5 * np.asarray(around, np.float32), 40, 110)
    return thick


def thin(thick: Bits) -> Bits:
    """The skeleton of bool (H, W), one pixel wide, after T. Y. Zhang and C. Y. Suen, CACM 27(3), 1984."""
    a = np.pad(thick, 1)
    while True:
        before = int(a.sum())
        for first in (True, False):
            p = [np.roll(a, shift, (0, 1)) for shift in _AROUND]
            count = np.sum(p, axis=0)
            turns = np.sum([~p[i] & p[(i + 1) % 8] for i in range(8)], axis=0)
            north, east, south, west = p[0], p[2], p[4], p[6]
            if first:
                free = ~(north & east & south) & ~(east & south & west)
            else:
                free = ~(north & east & west) & ~(north & south & west)
            a = a & ~((count >= 2) & (count <= 6) & (turns == 1) & free)
        if int(a.sum()) == before:
            return a[1:-1, 1:-1]


# Rolls that bring the neighbour north, north-east, east, ... onto the pixel.
_AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))


def light_of(rng: np.random.Generator) -> Floats:
    """Illumination, about 0.4 to 1, float32 (480, 640): a slope, and the soft shadow of a hand or a phone."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    u, v = x / WIDTH - 0.5, y / WIDTH - HEIGHT / WIDTH / 2
    angle, edge = rng.uniform(0, 2 * np.pi, 2)
    slope = 1 - rng.uniform(0, 0.35) * (0.5 + u * np.cos(angle) + v * np.sin(angle))
    distance = u * np.cos(edge) + v * np.sin(edge) - rng.uniform(-0.3, 0.3)
    shadow = 1 - rng.uniform(0.15, 0.5) / (1 + np.exp(-distance / rng.uniform(0.01, 0.08)))
    coarse = Image.fromarray(rng.normal(1, 0.012, (24, 32)).astype(np.float32))
    grain = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    light: Floats = (slope * shadow * grain).astype(np.float32)
    return light


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", help="the picture to write; its ending chooses the format")
    parser.add_argument(
        "--index", type=int, default=0, help="the first digit, counted in a fixed shuffle of the test split"
    )
    parser.add_argument("--digits", type=int, default=1, help="how many digits")
    parser.add_argument("--seed", type=int, default=0, help="pen, paper, shadow, grain")
    args = parser.parse_args()
    with np.load(DIGITS) as embedded:
        test = embedded["split"] == 2
        mixed = np.random.default_rng(0).permutation(int(test.sum()))  # the file is in order of the labels
        images, labels = embedded["images"][test][mixed], embedded["labels"][test][mixed]
    if not (args.index >= 0 and 1 <= args.digits <= 20 and args.index + args.digits <= len(images)):
        parser.error(f"--index and --digits: the test split has {len(images)} digits, a picture 1 to 20")
    chosen = slice(args.index, args.index + args.digits)
    sample_picture(images[chosen], args.seed).save(args.out)
    print("".join(str(label) for label in labels[chosen]))


if __name__ == "__main__":
    main()
