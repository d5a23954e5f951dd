#!/usr/bin/env python3
"""Frames and what the camera's preprocessing makes of them: tests/golden/preprocess/*.png and answers.json.

    .venv/bin/python tools/golden_preprocess.py [--answers]

The page's JavaScript is held to these answers (tests/phone/test_preprocess_js.py), and so is Python, so that
neither changes unnoticed. Run it when edgebig/ondevice/preprocess.py was changed on purpose; `--answers` keeps the
frames. Those are small and of few levels of grey, to be small files: drawn from the embedded digits, which are
MNIST's training set's.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import synthetic_pages
from PIL import Image
from sample_picture import DIGITS

from edgebig.ondevice.preprocess import find_digits

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/preprocess"
LEVELS = 8  # of each such step in a frame's greys one is kept
# Kind and seed of a page, and the size that it is brought to: odd ones too, and rows that are no multiple of 16.
PAGES: dict[str, tuple[str, int, tuple[int, int]]] = {
    "five": ("five", 1, (320, 240)),
    "page": ("page", 3, (320, 240)),
    "shadow": ("shadow", 4, (317, 239)),
    "light-on-dark": ("light-on-dark", 2, (240, 180)),
    "ruled": ("ruled", 5, (320, 240)),
    "squared": ("squared", 6, (301, 227)),
    "desk": ("desk", 7, (240, 180)),
    "broken": ("broken", 8, (240, 180)),
    "touching": ("touching", 9, (320, 240)),
    "blank-squared": ("blank-squared", 10, (160, 120)),
    "letters": ("letters", 11, (160, 120)),
    "small": ("single", 12, (61, 47)),
}

Bytes = npt.NDArray[np.uint8]


def frames() -> dict[str, Bytes]:
    """By name: uint8 (H, W)."""
    made = {}
    for name, (kind, seed, size) in PAGES.items():
        page = Image.fromarray(synthetic_pages.page(kind, seed).grey_u8)
        made[name] = _coarse(np.array(page.resize(size, Image.Resampling.BOX)))
    five = Image.fromarray(synthetic_pages.page("five", 1).grey_u8).crop((0, 200, 640, 280))
    made["large"] = _coarse(np.array(five.resize((1400, 175), Image.Resampling.BILINEAR)), 32)  # shrunk first
    made["mnist"] = _mnist()
    made["mnist-inverted"] = 255 - made["mnist"]
    return made


def _coarse(grey_u8: Bytes, step: int = LEVELS) -> Bytes:
    coarse: Bytes = np.minimum(grey_u8 // step * step + step // 2, 255).astype(np.uint8)
    return coarse


def _mnist() -> Bytes:
    with np.load(DIGITS) as embedded:
        image: Bytes = embedded["images"][0].reshape(28, 28)
    return image


def answer(grey_u8: Bytes) -> dict[str, Any]:
    """As tests/phone/preprocess_runner.mjs tells it of the page: {digits: [{box, line, image}], steps: [...]}."""
    steps: list[dict[str, Any]] = []

    def look(name: str, step_u8: Any) -> None:
        height, width = step_u8.shape
        sha256 = hashlib.sha256(np.ascontiguousarray(step_u8).tobytes()).hexdigest()
        steps.append({"name": name, "width": width, "height": height, "sha256": sha256})

    look("grey", grey_u8)
    digits = [
        {"box": list(digit.box), "line": digit.line, "image": packed(digit.image_u8.tobytes())}
        for digit in find_digits(grey_u8, look)
    ]
    return {"digits": digits, "steps": steps}


def packed(image: bytes) -> str:
    return base64.b64encode(zlib.compress(image, 9)).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--answers", action="store_true", help="keep the frames, and write their answers only"
    )
    GOLDEN.mkdir(exist_ok=True)
    if not parser.parse_args().answers:
        for name, frame in frames().items():
            Image.fromarray(frame).save(GOLDEN / f"{name}.png", optimize=True)
    kept = {path.stem: np.array(Image.open(path)) for path in sorted(GOLDEN.glob("*.png"))}
    answers = {name: answer(frame) for name, frame in kept.items()}
    (GOLDEN / "answers.json").write_text(json.dumps({"schema": 1, "frames": answers}, indent=1) + "\n")
    for name, told in answers.items():
        print(f"{name:15} {len(told['digits'])} digits")


if __name__ == "__main__":
    main()
