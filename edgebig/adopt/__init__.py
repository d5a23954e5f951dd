"""A model that was trained elsewhere -> a run like any other: .keras (Keras 2 or 3), .h5, SavedModel or .tflite.

What comes in must fit the data of a recipe, in its pictures and its classes; what would be read in silence as something
else is refused, or said. A Keras model is stored so that it takes pixels from 0 to 1 and gives probabilities, as every
model of a run does; a .tflite stays as it is, and its card says what it takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import convert, files, recipe, runs, stats
from edgebig.adopt import foreign_tflite
from edgebig.artifact import Artifact, PassRecord
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Recipe

PIXELS = {"0..1": (0.0, 1.0), "0..255": (0.0, 255.0), "-1..1": (-1.0, 1.0)}
_FORMS = "adopt takes a .keras, an .h5, a SavedModel's folder or a .tflite"
_LOOKED_AT = 1000  # validation examples, to see whether another range of pixels does better


@dataclass(frozen=True)
class Source:
    """A model file from elsewhere: its path, its form (keras, saved-model, tflite) and sha256."""

    path: Path
    form: str
    sha256: str

    def run_name(self) -> str:
        """A name for its run, by the file's."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.path.stem).strip("-._")[:100] or "model"


@dataclass(frozen=True)
class _Ready:
    """`data`: the .tflite; `model`: what it was made from, or None where it came as it is."""

    variant: str
    data: bytes
    model: Any
    low: float
    high: float


def examine(path: Path) -> Source:
    """Which form the model at `path` has, by its content. Raises EdgebigError where it is none that is known."""
    if (path / "saved_model.pb").is_file():
        return Source(path, "saved-model", files.sha256_folder(path))
    if not path.is_file():
        problem = "no SavedModel in it (saved_model.pb)" if path.is_dir() else "no such file"
        raise EdgebigError(f"{path}: {problem}", _FORMS)
    with path.open("rb") as file:
        opening = file.read(8)
    if opening[4:8] == b"TFL3" or path.suffix == ".tflite":
        form = "tflite"
    elif path.suffix in (".keras", ".h5", ".hdf5") or opening == b"\x89HDF\r\n\x1a\n":
        form = "keras"
    else:
        raise EdgebigError(
            f"{path}: neither Keras, SavedModel nor .tflite",
            f"{_FORMS}; models of PyTorch and ONNX are converted to .tflite first, by litert-torch or onnx2tf",
        )
    return Source(path, form, files.sha256_file(path))


def adopt(
    source: Source, spec: Recipe, splits: Splits, pixels: str | None = None, data: Path | None = None
) -> Artifact:
    """Makes a finished run of `source`, whose recipe is `spec` with its [model] `adopted`, and points `latest` to it.

    `pixels`: what the model takes pixels as, one of PIXELS; None is what a quantized input says by itself, or 0..1.
    `data`: the folder that the run's recipe.toml tells of. Raises EdgebigError where the model does not fit the data or
    has what is not understood, and writes nothing then.
    """
    ready = _ready(source, splits, pixels)
    right = _tell_validation(ready, splits)
    assert isinstance(spec.model, recipe.Adopted)
    low, high = (0.0, 1.0) if ready.model is not None else (ready.low, ready.high)
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"low": low, "high": high})})
    parameters = (
        foreign_tflite.parameters(ready.data) if ready.model is None else int(ready.model.count_params())
    )
    run = runs.create(spec, data=data)
    try:
        if ready.model is not None:
            with files.replacing(run.model_path) as temporary:
                ready.model.save(temporary)
        record = PassRecord.model_validate(
            {"name": "adopt", "file": source.path.name, "sha256": source.sha256, "form": source.form}
        )
        made = convert.publish(
            run.folder, ready.variant, ready.data, spec, splits,
            parameters=parameters, passes=(record,), parent=None,
        )  # fmt: skip
        assert made.card is not None
        runs.finish(
            run,
            {
                "schema": runs.METRICS_SCHEMA,
                "adopted": source.path.name,
                "parameters": parameters,
                "validation_accuracy": right / len(splits.validation),
                "validation_n": len(splits.validation),
                f"{ready.variant}_test_accuracy": made.card.host_accuracy.value,
                "test_n": made.card.host_accuracy.n,
            },
        )
    except BaseException:
        runs.remove(run.folder)
        raise
    return made


def _ready(source: Source, splits: Splits, pixels: str | None) -> _Ready:
    classes, shape = len(splits.classes), splits.train.shape
    path = source.path
    if source.form == "tflite":
        return _as_it_is(path.read_bytes(), path, splits, pixels)
    from edgebig.adopt import foreign_keras

    if source.form == "keras":
        model = foreign_keras.load(path)
    elif (model := foreign_keras.of_saved_model(path)) is None:
        return _as_it_is(foreign_keras.saved_model_to_tflite(path, shape), path, splits, pixels)
    low, high = PIXELS[pixels or "0..1"]
    few = splits.validation.images[:64].astype(np.float32) / np.float32(255)
    model = foreign_keras.fitted(model, str(path), shape, classes, (low, high), few)
    return _Ready("float32", convert.to_tflite(model, int8=False), model, low, high)


def _as_it_is(data: bytes, path: Path, splits: Splits, pixels: str | None) -> _Ready:
    """A .tflite that stays as it is. Raises EdgebigError where it does not fit the data, or is not understood."""
    quantized_for = foreign_tflite.check(data, str(path), splits.train.shape, splits.classes)
    by_itself = next((name for name, ends in PIXELS.items() if _near(quantized_for, ends)), None)
    if pixels and by_itself and pixels != by_itself:
        raise EdgebigError(
            f"{path}: its quantized input is made for pixels as {by_itself}, not {pixels}",
            "leave --pixels out",
        )
    if by_itself and not pixels:
        say(f"pixels: {by_itself}, by the scale of its input")
    low, high = PIXELS[pixels or by_itself or "0..1"]
    return _Ready(foreign_tflite.variant(data), data, None, low, high)


def _near(ends: tuple[float, float] | None, known: tuple[float, float]) -> bool:
    """Whether a quantized input reaches from one end to the other and not much further."""
    width = known[1] - known[0]
    return ends is not None and all(abs(a - b) <= 0.05 * width for a, b in zip(ends, known, strict=True))


def _tell_validation(ready: _Ready, splits: Splits) -> int:
    """How many of validation it reads right; what looks like a mistake about pixels or classes is said."""
    low, high = (0.0, 1.0) if ready.model is not None else (ready.low, ready.high)
    predicted = foreign_tflite.labels(ready.data, splits.validation, low, high)
    labels = splits.validation.labels
    right, n = int(np.sum(predicted == labels)), len(labels)
    say(f"validation: {right} of {n:,} ({right / n:.2%})")
    if not stats.above_chance(right, labels):
        say(
            "warning: that is no better than chance. Are its classes in the data's order, and its pixels as --pixels?"
        )
    _tell_order(predicted, labels, splits.classes)
    some = splits.validation[:_LOOKED_AT]
    so_far = int(np.sum(predicted[: len(some)] == some.labels))
    for name, (other_low, other_high) in PIXELS.items():
        if (other_low, other_high) == (ready.low, ready.high):
            continue
        # A Keras model has its range built in: the other one comes out of it for pixels in these bounds.
        offset, width = (0.0, 1.0) if ready.model is None else (ready.low, ready.high - ready.low)
        ends = (other_low - offset) / width, (other_high - offset) / width
        found = int(np.sum(foreign_tflite.labels(ready.data, some, *ends) == some.labels))
        if found - so_far > max(0.03 * len(some), 3.0 * np.sqrt(len(some) - so_far + 1)):
            say(f"warning: with --pixels {name} it is right on {found} of {len(some):,}, not {so_far}")
    return right


def _tell_order(
    predicted: npt.NDArray[np.intp], labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> None:
    """Says so where the outputs seem to be the data's classes in another order."""
    count = len(classes)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (predicted, labels), 1)
    order = confusion.argmax(axis=1)
    reordered = int(confusion[np.arange(count), order].sum())
    if sorted(order) == list(range(count)) and reordered > confusion.trace() + 0.2 * len(labels):
        names = ", ".join(f'"{classes[index]}"' for index in order)
        say(
            f"warning: its classes seem to be in another order; with these names it is right on {reordered} of "
            f"{len(labels):,}: --set 'data.classes=[{names}]'"
        )
