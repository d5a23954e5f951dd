#!/usr/bin/env python3
"""Judges a model of the camera on photographs as other hands, cameras and light would have taken them.

    .venv/bin/python tools/judge_photographs.py MODEL.tflite --photos FOLDER [--out FILE.json]

Each photograph of the folder's labels.csv is turned, blurred, made smaller, shaded, darkened, faded, roughened, turned
to light on dark and packed; and each of its digits is cut out with paper around it, with no part of another one, and
changed likewise. MODEL has its card beside it. What is counted are digits read right and in order, and false ones.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from judge_camera import Judge, common, share, subject, tell
from photographs import Photograph, upright
from PIL import Image, ImageFilter

from edgebig import artifact

DRAWS = 6  # of each change, of each photograph
MARGIN = (0.25, 0.6)  # of the paper around a digit that is cut out, in its longer sides
SMALLEST_PX = 28  # of a digit that is cut out: smaller ones have no margin to speak of

Grey = npt.NDArray[np.uint8]
Draw = np.random.Generator


def turned(grey: Image.Image, rng: Draw) -> Image.Image:
    return grey.rotate(
        rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=int(np.median(np.asarray(grey)))
    )


def blurred(grey: Image.Image, rng: Draw) -> Image.Image:
    """As far out of focus as makes 1 to 2.5 pixels of a picture that is 1,000 wide."""
    return grey.filter(ImageFilter.GaussianBlur(rng.uniform(1, 2.5) * grey.width / 1000))


def smaller(grey: Image.Image, rng: Draw) -> Image.Image:
    part = rng.uniform(0.4, 0.7)
    return grey.resize((round(grey.width * part), round(grey.height * part)), Image.Resampling.LANCZOS)


def larger(grey: Image.Image, rng: Draw) -> Image.Image:
    return grey.resize((grey.width * 2, grey.height * 2), Image.Resampling.BICUBIC)


def shaded(grey: Image.Image, rng: Draw) -> Image.Image:
    """A shadow over a part of it that takes 30 to 60 % of the light, with a soft or a sharp edge."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, grey.width), np.linspace(-0.5, 0.5, grey.height))
    angle = rng.uniform(0, 2 * np.pi)
    off = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.2, 0.2)
    taken = rng.uniform(0.3, 0.6) * np.clip(off / rng.uniform(0.02, 0.4) + 0.5, 0, 1)
    return as_picture(np.asarray(grey) * (1 - taken))


def darkened(grey: Image.Image, rng: Draw) -> Image.Image:
    return as_picture(np.asarray(grey) * rng.uniform(0.25, 0.5))


def faded(grey: Image.Image, rng: Draw) -> Image.Image:
    """Between 40 and 70 % of its contrast is left."""
    values = np.asarray(grey, np.float64)
    return as_picture(np.median(values) + (values - np.median(values)) * rng.uniform(0.4, 0.7))


def rough(grey: Image.Image, rng: Draw) -> Image.Image:
    return as_picture(np.asarray(grey) + rng.normal(0, rng.uniform(6, 14), (grey.height, grey.width)))


def light_on_dark(grey: Image.Image, rng: Draw) -> Image.Image:
    return as_picture(255 - np.asarray(grey))


def packed(grey: Image.Image, rng: Draw) -> Image.Image:
    file = io.BytesIO()
    grey.save(file, "JPEG", quality=int(rng.integers(15, 40)))
    return Image.open(file)


CHANGES: tuple[Callable[[Image.Image, Draw], Image.Image], ...] = (
    turned, blurred, smaller, larger, shaded, darkened, faded, rough, light_on_dark, packed
)  # fmt: skip


def as_picture(values: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def pages(judge: Judge, photos: list[Photograph]) -> dict[str, Any]:
    found = {}
    for change in CHANGES:
        right = digits = false = 0
        for photo in photos:
            truth = digits_of(photo)
            for draw in range(DRAWS):
                said = judge.read(
                    np.asarray(change(Image.fromarray(photo.grey_u8), np.random.default_rng(draw)))
                )
                in_order = common(said["label"], truth)
                right, digits, false = (
                    right + in_order,
                    digits + len(truth),
                    false + len(said["label"]) - in_order,
                )
        found[change.__name__] = {**share(right, digits), "false": false}
    return found


def singles(judge: Judge, photos: list[Photograph]) -> dict[str, Any]:
    """A digit is right where it is the only one that is read."""
    cut = [one for photo in photos for one in cut_out(judge, photo)]
    found = {"as it is": share(sum(judge.read(grey)["label"] == digit for grey, digit in cut), len(cut))}
    for change in CHANGES:
        right = sum(
            judge.read(np.asarray(change(Image.fromarray(grey), np.random.default_rng(number))))["label"]
            == digit
            for number, (grey, digit) in enumerate(cut)
        )
        found[change.__name__] = share(right, len(cut))
    return found


def cut_out(judge: Judge, photo: Photograph) -> Iterator[tuple[Grey, str]]:
    """Each digit of the photograph that was found and has paper of its own around it, with its label."""
    read = judge.read(photo.grey_u8)
    boxes = [digit["box"] for digit in (*read["digits"], *read.get("rejected", ()))]
    same = SequenceMatcher(None, read["label"], digits_of(photo), autojunk=False)
    for block in same.get_matching_blocks():
        for number in range(block.a, block.a + block.size):
            x, y, width, height = boxes[number]
            long = max(width, height)
            others = [box for at, box in enumerate(boxes) if at != number]
            # The widest margin that takes in nothing of another one.
            for margin in np.linspace(MARGIN[1], MARGIN[0], 8) * long:
                left, top = int(x - margin), int(y - margin)
                right, bottom = int(x + width + margin), int(y + height + margin)
                inside = (
                    min(left, top) >= 0
                    and bottom <= photo.grey_u8.shape[0]
                    and right <= photo.grey_u8.shape[1]
                )
                alone = not any(
                    ox < right and left < ox + ow and oy < bottom and top < oy + oh
                    for ox, oy, ow, oh in others
                )
                if inside and alone and long >= SMALLEST_PX:
                    yield np.ascontiguousarray(photo.grey_u8[top:bottom, left:right]), read["label"][number]
                    break


def digits_of(photo: Photograph) -> str:
    return photo.digits.replace("/", "").replace(" ", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    judge = Judge(artifact.load(given.model))
    photos = list(upright(given.photos))
    told = {
        **subject(judge), "photographs": len(photos), "pages": pages(judge, photos), "singles": singles(judge, photos)
    }  # fmt: skip
    tell(told, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
