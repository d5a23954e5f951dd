#!/usr/bin/env python3
"""Judges a model of the camera on what it has not learnt from: digits on paper, letters, scribbles, photographs.

    .venv/bin/python tools/judge_camera.py MODEL.tflite --data FOLDER [--photos FOLDER] [--hands FONT ...]
        [--out FILE.json]

MODEL has its card beside it, with a threshold. MNIST's test digits are written on paper as training's are; letters are
those of a typeface, and of the hands whose fonts are given; whole pages are those of synthetic_pages.py, which training
never saw; photographs are read as their labels.csv says. Everything is counted, with its n.
"""

from __future__ import annotations

import argparse
import json
import os
import string
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import synthetic_pages
from photographs import upright
from PIL import Image, ImageDraw, ImageFont

from edgebig import artifact, stats
from edgebig.artifact import Artifact, Card
from edgebig.check import tflite
from edgebig.data import paper, source
from edgebig.data.examples import Examples
from edgebig.evaluation.scores import Evaluation, calibration
from edgebig.ondevice import predict

# Letters that are no digit in anybody's hand or typeface, and signs.
GLYPHS = sorted(set(string.ascii_letters) - set("BbDGgIiJjlOoQqSsTyYZz")) + list("#%&@*+?<=>~")
GLYPH_COPIES = 20
PAGES = 20  # of each kind
WRITTEN_COPIES = 0.3  # of MNIST's 10,000 test digits


class Judge:
    """A model with its card, and how it reads."""

    def __init__(self, item: Artifact) -> None:
        self.item = item
        self.card: Card = artifact.require_card(item, "which has its threshold")
        self.model = tflite.load(item.path.read_bytes(), str(item.path))
        self.least = self.card.least_confidence()
        self.task = {
            "preprocessing": self.card.preprocessing.model_dump(),
            "classes": list(self.card.classes),
            "threshold": self.least,
        }

    def scores(self, examples: Examples) -> Any:
        return tflite.scores(self.item.path.read_bytes(), examples, self.card.preprocessing.model_dump())

    def is_known(self, scores: Any) -> Any:
        return scores.max(axis=1) >= (self.least or 0.0)

    def read(self, grey_u8: Any) -> dict[str, Any]:
        return predict.read(self.model, self.task, grey_u8)


def share(part: int, total: int) -> dict[str, Any]:
    interval = stats.accuracy_interval(part, total)
    return {"count": part, "n": total, "share": part / total, "low": interval.low, "high": interval.high}


def calibrated(judge: Judge, examples: Examples) -> dict[str, Any]:
    """Whether it is right as often as it is sure, in 15 bins or fewer."""
    found = calibration(Evaluation(judge.card.classes, examples.labels, judge.scores(examples), 1 / 256))
    assert found is not None
    return {"n": len(examples), "bins": len(found.bins), "error": found.error, "confidence": found.confidence}


def written(judge: Judge, data: Path | None) -> dict[str, Any]:
    """MNIST's test digits as they are and on paper, and training's kind of other things, by other draws."""
    test = source.load(judge.card.data_spec(), data).test
    seen = paper.see(test, WRITTEN_COPIES, 1.0, seed=paper.TEST_SEED)
    digits, others = seen.digits(), seen.nothings()
    scores, plain = judge.scores(digits), judge.scores(test)
    none = judge.scores(Examples(others, np.zeros(len(others), np.int64)))
    right = scores.argmax(axis=1) == digits.labels
    return {
        "found_again": share(seen.found, seen.written),
        "digits_right": share(int(right.sum()), len(digits)),
        "digits_kept": share(int(judge.is_known(scores).sum()), len(digits)),
        "digits_kept_and_right": share(int((judge.is_known(scores) & right).sum()), len(digits)),
        "others_taken_for_digits": share(int(judge.is_known(none).sum()), len(others)),
        "mnist_test_kept": share(int(judge.is_known(plain).sum()), len(test)),
        "calibration_on_paper": calibrated(judge, digits),
        "calibration_on_mnist_test": calibrated(judge, test),
    }


def drawn_glyphs(font: Any, glyphs: list[str]) -> Examples:
    """uint8 (N, 28, 28, 1): each glyph of a font of 80 pixels, 20 pixels long; labels are their places."""
    images = []
    for glyph in glyphs:
        drawn = Image.new("L", (300, 300))
        ImageDraw.Draw(drawn).text((100, 100), glyph, fill=255, font=font)
        cut = drawn.crop(drawn.getbbox())
        long = max(cut.size)
        size = max(1, round(20 * cut.width / long)), max(1, round(20 * cut.height / long))
        canvas = Image.new("L", (28, 28))
        canvas.paste(cut.resize(size, Image.Resampling.LANCZOS), ((28 - size[0]) // 2, (28 - size[1]) // 2))
        images.append(np.asarray(canvas)[..., np.newaxis])
    return Examples(np.stack(images), np.arange(len(images)))


def lettered(judge: Judge, font: Any, glyphs: list[str]) -> dict[str, Any]:
    """Letters and signs of a typeface or a hand, on paper: none is a digit, though ? and > are a 7 to many."""
    letters = drawn_glyphs(font, glyphs)
    things = np.random.default_rng(7).permutation(np.repeat(np.arange(len(letters)), GLYPH_COPIES))
    seen = paper.write(letters, things, np.random.default_rng(8)).digits()
    known = judge.is_known(judge.scores(seen))
    names = [glyphs[label] for label in seen.labels[known]]
    worst = {name: names.count(name) for name in sorted(set(names), key=names.count, reverse=True)[:6]}
    is_letter = np.array([glyph.isalpha() for glyph in glyphs])[seen.labels]
    return {
        "taken_for_digits": share(int(known.sum()), len(seen)),
        "letters_alone": share(int((known & is_letter).sum()), int(is_letter.sum())),
        "most_often": worst,
    }


def hands(judge: Judge, fonts: list[Path]) -> dict[str, Any]:
    """The letters of fonts that are somebody's handwriting, all together and each: not all fonts have the signs."""
    letters = [glyph for glyph in GLYPHS if glyph.isalpha()]
    each = {path.stem: lettered(judge, ImageFont.truetype(path, 80), letters) for path in fonts}
    counts = [found["taken_for_digits"] for found in each.values()]
    together = share(sum(found["count"] for found in counts), sum(found["n"] for found in counts))
    return {"taken_for_digits": together, "each": each}


def pages(judge: Judge) -> dict[str, Any]:
    """Whole pages by another renderer: how many digits are read, right and in order, and how many that are none."""
    found: dict[str, Any] = {}
    for kind in (*synthetic_pages.WRITTEN, *synthetic_pages.EMPTY, *synthetic_pages.NO_DIGITS):
        right = total = false = things = 0
        for number in range(PAGES):
            page = synthetic_pages.page(kind, 90_000 + number)
            answer = judge.read(page.grey_u8)
            truth = "".join(map(str, page.labels))
            total += len(truth)
            in_order = common(answer["label"], truth)
            right += in_order
            false += len(answer["label"]) - in_order
            things += len(answer["digits"]) + len(answer.get("rejected", ()))
        found[kind] = {"digits": total, "right": right, "false": false, "things_found": things}
    return found


def common(said: str, truth: str) -> int:
    """The length of the longest sequence that is in both, in order."""
    row = [0] * (len(truth) + 1)
    for sign in said:
        before = 0
        for place, wanted in enumerate(truth, start=1):
            before, row[place] = (
                row[place],
                (before + 1 if sign == wanted else max(row[place], row[place - 1])),
            )
    return row[-1]


def photographs(judge: Judge, folder: Path) -> dict[str, Any]:
    """Each photograph of labels.csv, turned as it says: what is read, line by line."""
    found: dict[str, Any] = {}
    for photo in upright(folder):
        answer = judge.read(photo.grey_u8)
        lines = sorted({digit["line"] for digit in answer["digits"]})
        said = "/".join(
            "".join(digit["label"] for digit in answer["digits"] if digit["line"] == line) for line in lines
        )
        truth = photo.digits.replace(" ", "")
        right = common(said.replace("/", ""), truth.replace("/", ""))
        found[photo.name] = {
            "truth": truth, "said": said, "digits": len(truth.replace("/", "")), "right": right,
            "false": len(answer["digits"]) - right, "rejected": len(answer.get("rejected", ())),
        }  # fmt: skip
    return found


def subject(judge: Judge) -> dict[str, Any]:
    """What a record of judging begins with."""
    return {
        "schema": 1,
        "model": judge.card.recipe,
        "variant": judge.card.variant,
        "sha256": judge.item.sha256,
        "judged": date.today().isoformat(),
        "provenance": "real",
    }


def tell(told: dict[str, Any], out: Path | None) -> None:
    """Prints a record, and keeps it where `out` is given."""
    text = json.dumps(told, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--hands", type=Path, nargs="*", default=[], help="fonts that look like handwriting")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    data = given.data or (Path(os.environ["EDGEBIG_DATA"]) if "EDGEBIG_DATA" in os.environ else None)
    judge = Judge(artifact.load(given.model))
    threshold = judge.card.threshold
    told = {
        **subject(judge),
        "seed": judge.card.seed,
        "mnist_test": asdict(
            stats.accuracy_interval(judge.card.host_accuracy.correct, judge.card.host_accuracy.n)
        ),
        "threshold": threshold.model_dump() if threshold else None,
        "paper": written(judge, data),
        "typeface": lettered(judge, ImageFont.load_default(80), GLYPHS),
        **({"hands": hands(judge, given.hands)} if given.hands else {}),
        "pages": pages(judge),
        **({"photographs": photographs(judge, given.photos)} if given.photos else {}),
    }
    tell(told, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
