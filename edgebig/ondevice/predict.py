"""Pictures -> digits, as JSON events; the camera and `edgebig predict` run this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import infer, picture, preprocess
from .faults import Fault


def predict(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A `prediction` or an `error` (with its image) for each of task["images"], in order.

    task: {model: path, runtime, delegate, threads, preprocessing, classes, images: [path, ...]}.
    """
    model = infer.Model(task["model"], task["runtime"], task["delegate"], task["threads"])
    classes, outputs = len(task["classes"]), model.output.shape[-1]
    if classes != outputs:
        raise Fault(
            "bad-model",
            f"{task['model']}: {outputs} outputs, and its card names {classes} classes",
            "the card is of another model; make them again",
        )
    for image in task["images"]:
        try:
            yield {"event": "prediction", "image": image, **read(model, task, picture.read_picture(image))}
        except Fault as fault:
            yield {**fault.event(), "image": image}


def read(model: infer.Model, task: dict[str, Any], grey_u8: Any) -> dict[str, Any]:
    """The digits of one grey picture: each with its box, and as one label, as sure as the least sure of them."""
    found = preprocess.find_digits(grey_u8)
    digits = []
    if found:
        images_u8 = np.stack([digit.image_u8 for digit in found])[..., np.newaxis]
        scores = model.scores(infer.classify(model, images_u8, task["preprocessing"]))
        for digit, row in zip(found, scores):
            best = int(np.argmax(row))
            digits.append(
                {
                    "label": task["classes"][best],
                    "confidence": round(float(row[best]), 4),
                    "box": list(digit.box),
                }
            )
    return {
        "label": "".join(digit["label"] for digit in digits),
        "confidence": min((digit["confidence"] for digit in digits), default=0.0),
        "digits": digits,
    }
