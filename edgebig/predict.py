"""Pictures -> digits or classes, by the code that runs on a device, in a process that may die without harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgebig import artifact, files, lookup
from edgebig.artifact import Artifact
from edgebig.device import Device, LocalDevice
from edgebig.drivers import local
from edgebig.drivers.protocol import PROTOCOL, Event
from edgebig.errors import EdgebigError

_DEADLINE_S = 120.0
_SECONDS_A_PICTURE = 10.0


def predict(model: Artifact, images: Sequence[Path], target: Device) -> Iterator[Event]:
    """A `prediction` {image, label, confidence, digits} or an `error` {image, problem, hint} a picture, in order.

    digits: [{label, confidence, box: [x, y, width, height] in pixels, line: from 0}], in reading order. Where the card
    has a threshold, what is below it stands in `rejected` alone, likewise. A model of whole pictures finds none and
    gives `top` besides, the likeliest [{label, confidence}].
    Raises EdgebigError where the model has no card, is not whole, or takes no pictures such as its card says.
    """
    if not isinstance(target, LocalDevice):
        raise EdgebigError(
            f"{target.name}: a {target.kind} device cannot read pictures", "use --device local"
        )
    task = {"model": str(model.path), **task_of(model, target), "images": [str(image) for image in images]}
    store = lookup.cache_dir() / "local"
    deadline_s = _DEADLINE_S + _SECONDS_A_PICTURE * len(images)
    yield from local.run_ondevice(local.python_of(target), "predict", task, store, deadline_s)


def lines_of(digits: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The digits of an answer, those of each line together."""
    numbers = sorted({digit["line"] for digit in digits})
    return [[digit for digit in digits if digit["line"] == number] for number in numbers]


def task_of(model: Artifact, target: Device) -> dict[str, Any]:
    """What the runner must know to read pictures with it there, but for where the model lies.

    Raises EdgebigError where the model has no card or is not whole, or the runtime runs no .tflite.
    """
    if target.runtime == "tensorflow":
        raise EdgebigError(
            f"{target.name}: TensorFlow runs Keras models, not a .tflite", "use --device local"
        )
    card = artifact.require_card(model, "which says what a picture must be made into, and its classes")
    return {
        "schema": PROTOCOL,
        "runtime": target.runtime,
        "delegate": target.delegate,
        "threads": target.threads,
        "gpu_precision": target.gpu_precision,
        "delegate_options": target.delegate_options,
        "preprocessing": card.preprocessing.model_dump(),
        "classes": card.classes,
        "threshold": card.least_confidence(),
    }


SHEETS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def sheets_of(model: Artifact, images: Sequence[Path], sheet: Path) -> list[Path]:
    """Where each picture's sheet goes that `explain` draws: `sheet` itself, or of several each numbered from 1.

    Raises EdgebigError where the model finds no digits, or `sheet` has no format or would replace a picture; OSError
    where it could not be written.
    """
    card = artifact.require_card(model, "which says what a picture must be made into, and its classes")
    if card.preprocessing.framing != "ink":
        raise EdgebigError(
            f"{model.path.name} looks at the whole picture: there are no steps by which digits are found",
            "leave out --explain, or take a model of digits",
        )
    if sheet.suffix.lower() not in SHEETS:
        raise EdgebigError(f"--explain {sheet}: no picture's format", f"end it in {' or '.join(SHEETS)}")
    numbered = [sheet.with_name(f"{sheet.stem}-{n}{sheet.suffix}") for n in range(1, len(images) + 1)]
    sheets = [sheet] if len(images) == 1 else numbered
    there = {image.resolve() for image in images}
    for path in sheets:
        if path.resolve() in there:
            raise EdgebigError(f"--explain {path} is one of the pictures to read", "name another file")
        files.check_writable(path)
    return sheets


def explain(answer: Event, sheet: Path) -> None:
    """Draws the steps by which the digits of a `prediction` were found. Raises OSError, and Fault as `read_picture`."""
    from edgebig.ondevice import explain, picture

    drawn = explain.sheet(picture.read_picture(answer["image"]), answer)
    with files.replacing(sheet) as temporary:
        drawn.save(temporary)
