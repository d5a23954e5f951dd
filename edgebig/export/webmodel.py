"""A model as a page takes it: the file that LiteRT.js runs, and its row of models.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebig import artifact, flatbuffer, targets
from edgebig.artifact import Artifact, Card
from edgebig.export.board import CARD_NEED


@dataclass(frozen=True)
class WebModel:
    """`data` has float32 or uint8 inputs and outputs and a batch of 1; `card` is of that very file."""

    name: str
    data: bytes
    source: Artifact
    card: Card

    @property
    def file(self) -> str:
        """Where it lies beside the page."""
        return f"models/{self.card.sha256}.tflite"


def prepare(item: Artifact, folder: Path) -> WebModel:
    """The browser's form of a model, made in `folder` where it has another.

    Raises EdgebigError where the model has no card, or no such form that reads as it does.
    """
    card = artifact.require_card(item, CARD_NEED)
    made = targets.for_browser(item, folder)
    return WebModel(
        f"{card.recipe} {card.variant}", made.path.read_bytes(), item, artifact.require_card(made, CARD_NEED)
    )


def row(model: WebModel) -> dict[str, Any]:
    """What the page has to know of it."""
    contract = flatbuffer.io_contract(model.data, model.name)
    return {
        "name": model.name,
        "sha256": model.card.sha256,
        "file": model.file,
        "bytes": len(model.data),
        "classes": list(model.card.classes),
        "preprocessing": model.card.preprocessing.model_dump(mode="json"),
        "threshold": model.card.least_confidence(),
        "input": _tensor(contract.inputs[0]),
        "output": _tensor(contract.outputs[0]),
    }


def _tensor(tensor: flatbuffer.TensorContract) -> dict[str, Any]:
    return {
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }
