"""A model as Android takes it: assets with float32 inputs and outputs and metadata inside, and a class that runs it."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import edgebig
from edgebig import artifact, flatbuffer, metadata
from edgebig import files as filing
from edgebig.artifact import Artifact, Card, PassRecord
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import micro, template
from edgebig.export.board import CARD_NEED

# As Pillow and so edgebig's own pictures: ITU-R 601 in 16 bits.
_TAKE = {
    1: ("values[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) shr 16",),
    3: ("values[3 * i] = red", "values[3 * i + 1] = green", "values[3 * i + 2] = blue"),
}


@dataclasses.dataclass(frozen=True)
class Assets:
    """The model as it goes into an app, with its card, and how it was held against its source."""

    name: str
    model: bytes
    source: Artifact
    card: Card
    n: int
    verdict: str


def prepare(item: Artifact, name: str, examples: Examples) -> Assets:
    """The app's form of a model, which must read `examples` as its source does.

    Raises: EdgebigError if the model has no card, is no classifier of one picture, or reads an example otherwise.
    """
    card = artifact.require_card(item, CARD_NEED)
    source = item.path.read_bytes()
    mean, std = _normalisation(card, item.path.name)
    contract = flatbuffer.io_contract(source, item.path.name)
    floats = all(tensor.dtype == "float32" for tensor in (*contract.inputs, *contract.outputs))
    data = source if floats else flatbuffer.rewrite_io(source, "float32", item.path.name)
    data = metadata.attach_metadata(
        data,
        name=f"{card.recipe} {card.variant}",
        description="Made by edgebig. The card beside this file tells how, from what, and how well it does.",
        labels=card.classes,
        mean=mean,
        std=std,
    )
    if metadata.read_labels(data, item.path.name) != card.classes:
        raise EdgebigError(
            f"{item.path}: its labels do not come back out of the metadata", "please report this"
        )
    micro.check_answers(item, data, card, examples, "Android")
    verdict = (
        f"It reads {len(examples):,} examples as {item.path.name} does, by the reference kernels on the host."
    )
    return Assets(name, data, item, _card_of(data, card), len(examples), verdict)


def _normalisation(card: Card, name: str) -> tuple[float, float]:
    """Mean and standard deviation, in pixels, by which input = (pixel - mean) / std."""
    preprocessing = card.preprocessing
    if not preprocessing.ink_is_high or not preprocessing.high > preprocessing.low:
        raise EdgebigError(
            f"{name}: takes dark ink as the high end, which TFLite Metadata cannot say",
            "train it on pictures whose ink is 255",
        )
    return preprocessing.mean_and_std()


def _card_of(data: bytes, card: Card) -> Card:
    """The card of the file that was made of the one with `card`; the same where it is the same file."""
    if filing.sha256_bytes(data) == card.sha256:
        return card
    record = PassRecord.model_validate({"name": "export", "target": "android"})
    return artifact.derived(card, data, f"{card.variant}-android", record)


def files(assets: Assets) -> dict[str, bytes]:
    """The assets, the Kotlin class and what to do with them, by their paths in the folder."""
    card = assets.card
    folder = f"assets/{assets.name}"
    words = _words(assets)
    card_json = json.dumps(artifact.dump_record(card), indent=2, ensure_ascii=False) + "\n"
    return {
        f"{folder}/model.tflite": assets.model,
        f"{folder}/model.json": card_json.encode(),
        f"{folder}/labels.txt": "".join(f"{label}\n" for label in card.classes).encode(),
        f"{words['class_name']}.kt": template.filled("Classifier.kt", words),
        "README.md": template.filled("android.md", words),
    }


def _words(assets: Assets) -> dict[str, str]:
    card = assets.card
    _, height, width, channels = card.input.shape
    mean, std = _normalisation(card, assets.name)
    return {
        "name": assets.name,
        "class_name": "".join(word.capitalize() for word in assets.name.split("_")) + "Classifier",
        "version": edgebig.__version__,
        "title": template.plain(f"{card.recipe} {card.variant}"),
        "height": str(height),
        "width": str(width),
        "channels": str(channels),
        "count": str(math.prod(card.input.shape)),
        "shape": " x ".join(map(str, card.input.shape)),
        "inside": "float32" if flatbuffer.float_operators(assets.model) else "int8",
        "mean": f"{mean:g}",
        "std": f"{std:g}",
        "formula": _formula(card.preprocessing.low, card.preprocessing.high),
        "order": "" if channels == 1 else ", red, green and blue of each",
        "take": "\n            ".join(_TAKE[channels]),
        "framing": _framing(card, height),
        "verdict": assets.verdict,
    }


def _formula(low: float, high: float) -> str:
    share = "pixels[it] / 255f"
    if high - low != 1:
        share = f"{float(high - low)}f * {share}"
    return f"{float(low)}f + {share}" if low else share


def _framing(card: Card, height: int) -> str:
    if card.preprocessing.framing == "ink":
        return (
            "A picture from a camera or a finger must first become such as the model learned from: one digit's ink,\n"
            f"light on black, its longer side made 20 of {height} pixels, its centre of mass in the middle\n"
            "(edgebig/ondevice/preprocess.py does it). A photograph that is only shrunk is mostly read wrong."
        )
    how = {"pad": "padded to shape", "crop": "its middle cut out to shape", "stretch": "stretched to shape"}
    return (
        f"The model learned from whole pictures, upright, {how[card.preprocessing.fit]} and shrunk by a filter that "
        "averages\n(Lanczos). Bitmap.createScaledBitmap is near it while it shrinks by less than two."
    )


def record(assets: Assets) -> dict[str, Any]:
    return {
        "model": {
            "source": assets.source.path.name,
            "source_sha256": assets.source.sha256,
            "sha256": assets.card.sha256,
            "size_bytes": len(assets.model),
        },
        "check": {"against": "reference kernels", "n": assets.n, "labels_differ": 0},
    }
