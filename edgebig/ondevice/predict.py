"""Pictures -> digits, or one class for the whole of each, as JSON events; the camera and `edgebig predict` run this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import infer, loading, picture, preprocess, whole
from .faults import Fault

DIGIT_SHAPE = (28, 28, 1)
TOP = 5


def predict(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A `prediction` or an `error` (with its image) for each of task["images"], in order.

    task: {model: path, runtime, delegate, threads, gpu_precision, delegate_options, preprocessing, classes, threshold,
    images: [path, ...]}. What is looked at, digits or the whole picture, stands in its preprocessing as `framing`.
    """
    model = load(task)
    for image in task["images"]:
        try:
            if finds_digits(task):
                answer = read(model, task, picture.read_picture(image))
            else:
                answer = read_whole(model, task, image)
            yield {"event": "prediction", "image": image, **answer}
        except Fault as fault:
            yield {**fault.event(), "image": image}


def load(task: dict[str, Any]) -> infer.Loaded:
    """The model of a task of `predict`. Raises Fault where it takes no such pictures, or has not its card's classes."""
    model = loading.load(task["model"], task)
    classes, outputs = len(task["classes"]), model.output.shape[-1]
    if classes != outputs:
        raise Fault(
            "bad-model",
            f"{task['model']}: {outputs} outputs, and its card names {classes} classes",
            "the card is of another model; make them again",
        )
    _check_input(model, task["model"], finds_digits(task))
    return model


def finds_digits(task: dict[str, Any]) -> bool:
    """Whether its model reads the digits in a picture; else it tells the class of the whole."""
    return bool(task["preprocessing"]["framing"] == "ink")


def _check_input(model: infer.Loaded, name: str, digits: bool) -> None:
    batch, shape = model.input.shape[0], model.input.shape[1:]
    if batch == 1 and digits and shape != DIGIT_SHAPE:
        raise Fault(
            "shape",
            f"{name}: it takes {'x'.join(map(str, shape))}; digits found in a picture (framing 'ink', says its "
            "card) are made 28x28x1",
            "train it with [data] framing = 'whole', or on grey pictures of 28x28 pixels",
        )
    if batch != 1 or len(shape) != 3 or shape[2] not in (1, 3):
        raise Fault(
            "shape",
            f"{name}: no picture can be made into its input, which is {model.input.shape}",
            "use a model that takes one picture, grey or red, green and blue",
        )


def read(model: infer.Loaded, task: dict[str, Any], grey_u8: Any) -> dict[str, Any]:
    """The digits of one grey picture: each with its box and its line, from 0; one label, as sure as the least sure.

    task: {preprocessing, classes, threshold}. With a threshold there is `rejected` besides: the same of each thing that
    is less sure, and so is no digit; in `digits` and `label` it is left out. Of None, or without one, all are digits.
    """
    found = preprocess.find_digits(grey_u8)
    return answer(task, found, score(model, task, found))


def score(model: infer.Loaded, task: dict[str, Any], found: Sequence[preprocess.Digit]) -> Any:
    """Real scores (N, classes) of the digits that were found."""
    if not found:
        return np.empty((0, len(task["classes"])), np.float32)
    images_u8 = np.stack([digit.image_u8 for digit in found])[..., np.newaxis]
    return model.scores(infer.classify(model, images_u8, task["preprocessing"]))


def answer(task: dict[str, Any], found: Sequence[preprocess.Digit], scores: Any) -> dict[str, Any]:
    """What `read` tells of the digits that were found and their real scores (N, classes)."""
    threshold = task.get("threshold")
    digits: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for digit, row in zip(found, scores):
        thing = {**_best(task, row, 1)[0], "box": list(digit.box), "line": digit.line}
        (digits if is_known(row, threshold) else rejected).append(thing)
    return {
        **together(digits),
        "digits": digits,
        **({} if threshold is None else {"rejected": rejected}),
    }


def together(digits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one label of all of them, as sure as the least sure."""
    return {
        "label": "".join(digit["label"] for digit in digits),
        "confidence": min((digit["confidence"] for digit in digits), default=0.0),
    }


def is_known(scores: Any, threshold: float | None) -> bool:
    """Whether a row of real scores (classes,) is sure enough of one of them; of None every row is."""
    return threshold is None or float(scores.max()) >= threshold


def read_whole(model: infer.Loaded, task: dict[str, Any], image: str) -> dict[str, Any]:
    """The class of one picture file, and the likeliest ones, `top`. No digits were sought: `digits` is empty."""
    _, height, width, channels = model.input.shape
    image_u8 = whole.to_input(image, (height, width, channels), task["preprocessing"]["fit"])
    outputs = infer.classify(model, image_u8[np.newaxis], task["preprocessing"])
    return answer_whole(task, model.scores(outputs))


def answer_whole(task: dict[str, Any], scores: Any) -> dict[str, Any]:
    """What `read_whole` tells of its real scores (1, classes)."""
    (row,) = scores
    top = _best(task, row, TOP)
    return {**top[0], "digits": [], "top": top}


def _best(task: dict[str, Any], row: Any, count: int) -> list[dict[str, Any]]:
    """The `count` classes of the largest scores, or all; of equal ones the first comes first, as argmax has it."""
    order = np.argsort(-row, kind="stable")[:count]
    return [{"label": task["classes"][best], "confidence": round(float(row[best]), 4)} for best in order]
