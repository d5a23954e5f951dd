"""A teacher: any model that gives a probability for each class of a batch of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, files, keras3, runs, stats, train
from edgebig.check import tflite
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.keras import tf
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.progress import quiet

_AT_ONCE = 256
_MEND = "a teacher is a run, a recipe's name, or the path of a .keras, a SavedModel or a .tflite"


@dataclass(frozen=True)
class Teacher:
    """`read`: float32 (B, H, W, C) in [0, 1] -> float (B, outputs), each row a distribution.

    `sha256`: of what decides that.
    `classes`: their names in the model's order, where it comes with a card or a run.
    """

    name: str
    sha256: str
    read: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
    classes: tuple[str, ...] | None = None


def load(name: str, student: runs.Run) -> Teacher:
    """The teacher of that name or path. Raises EdgebigError where there is none, or it cannot be read."""
    path = Path(name)
    if path.suffix == ".tflite":
        return _of_tflite(path)
    if (path / "saved_model.pb").is_file():
        return _of_saved_model(path)
    if path.is_file():
        return _of_keras(path, None)
    run = _run(name, student)
    newest = runs.newest_variant(run)
    classes = artifact.require_card(artifact.load(newest), "which names its classes").classes
    if not run.model_path.is_file():
        return _of_tflite(newest)
    model = train.load_model(run)
    return Teacher(run.name, files.sha256_file(run.model_path), _keras_reader(model), classes)


def _run(name: str, student: runs.Run) -> runs.Run:
    """A run by name or path, else the last finished run of the recipe of that name, beside the student's."""
    root = student.folder.parent
    if (found := runs.by_recipe(name, root, student)) is not None:
        return found
    raise EdgebigError(
        f"no teacher '{name}': no file, and no finished run of a recipe of that name in {root}/",
        f"train it first: edgebig train {name}; {_MEND}",
    )


def _of_tflite(path: Path) -> Teacher:
    loaded = artifact.load(path)
    scaling = loaded.card.preprocessing.model_dump() if loaded.card else {"low": 0.0, "high": 1.0}
    model = tflite.load(path.read_bytes(), str(path))

    def read(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        try:
            raw = infer.classify(model, np.round(images * 255.0).astype(np.uint8), scaling)
        except Fault as fault:
            raise EdgebigError(f"teacher {path}: {fault.problem}", fault.hint) from fault
        return np.asarray(infer.dequantize(raw, model.output)).reshape(len(images), -1)

    # The file does not say how its pictures are scaled, the card beside it does.
    sha256 = files.sha256_bytes(f"{loaded.sha256} {sorted(scaling.items())}".encode())
    return Teacher(path.name, sha256, read, loaded.card.classes if loaded.card else None)


def _of_keras(path: Path, classes: tuple[str, ...] | None) -> Teacher:
    return Teacher(path.name, files.sha256_file(path), _keras_reader(keras3.load(path)), classes)


def _keras_reader(model: Any) -> Callable[[Any], Any]:
    function = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    return lambda images: np.asarray(function(tf.constant(images)))


def _of_saved_model(path: Path) -> Teacher:
    try:
        with quiet():
            model = tf.saved_model.load(str(path))
        signature = model.signatures["serving_default"]
    except (OSError, ValueError, KeyError) as error:
        raise EdgebigError(
            f"teacher {path}: cannot be read, or has no signature 'serving_default' ({error})", _MEND
        ) from error
    inputs, outputs = signature.structured_input_signature[1], list(signature.structured_outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise EdgebigError(
            f"teacher {path}: {len(inputs)} inputs and {len(outputs)} outputs", "one of each is understood"
        )
    (key,) = inputs

    def read(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        assert model  # Its variables live as long as it does.
        return np.asarray(signature(**{key: tf.constant(images)})[outputs[0]])

    return Teacher(path.name, files.sha256_folder(path), read)


def check(teacher: Teacher, splits: Splits) -> float:
    """Its accuracy on validation. Raises EdgebigError where its classes are others, or it is no better than chance."""
    classes = len(splits.classes)
    if teacher.classes is not None and teacher.classes != splits.classes:
        raise EdgebigError(
            f"teacher {teacher.name}: knows the classes {_few(teacher.classes)}, the data has {_few(splits.classes)}",
            "a teacher must have the same classes in the same order",
        )
    right = 0
    for first in range(0, len(splits.validation), _AT_ONCE):
        some = splits.validation[first : first + _AT_ONCE]
        images = some.images.astype(np.float32) / np.float32(255)  # type: ignore[union-attr]
        try:
            said = teacher.read(images)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise EdgebigError(
                f"teacher {teacher.name}: does not take pictures {splits.train.shape}: {str(error).splitlines()[0]}",
                "a teacher must take the student's pictures, float32 from 0 to 1",
            ) from error
        if said.ndim != 2 or said.shape[1] != classes:
            raise EdgebigError(
                f"teacher {teacher.name}: gives {said.shape[1:]} numbers, the data has {classes} classes",
                "a teacher must have the same classes in the same order",
            )
        if np.min(said) < -1e-6 or np.max(np.abs(said.sum(axis=1) - 1.0)) > 0.1:
            raise EdgebigError(
                f"teacher {teacher.name}: what it gives are no probabilities (logits?)",
                "let it end with a softmax",
            )
        right += int(np.sum(said.argmax(axis=1) == some.labels))
    total = len(splits.validation)
    if not stats.above_chance(right, splits.validation.labels):
        raise EdgebigError(
            f"teacher {teacher.name}: right on {right} of {total} validation examples, which is chance",
            "is its order of classes the data's, and does it take pixels from 0 to 1?",
        )
    return right / total


def _few(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:6]) + (", ..." if len(classes) > 6 else "")
