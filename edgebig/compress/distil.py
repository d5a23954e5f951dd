"""Distillation: a small model learns what a big one, the teacher, says of many augmented pictures.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015). The teacher reads a fixed set of
augmented views once, and what it says is kept in the cache: every student, every seed and every later pass learns from
that file, so that a teacher ten times as large as its student costs next to nothing.
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from edgebig import files, lookup, usercode
from edgebig.artifact import PassRecord
from edgebig.compress import teacher as teachers
from edgebig.compress.context import Context
from edgebig.data import paper, pipeline, source
from edgebig.data.examples import Examples, Splits
from edgebig.data.taught import UNKNOWN, VIEWS_SEED, Taught
from edgebig.errors import EdgebigError
from edgebig.progress import say, track
from edgebig.recipe import Data, Distil, Recipe
from edgebig.runs import Run

_LARGEST_BYTES = 1 << 31
_FORM = 1  # of the kept file and of how `corrected` corrects; it is part of the file's name


def distil(context: Context, model: Any, spec: Distil) -> tuple[Any, PassRecord]:
    """Trains `model` on what the teacher says, and a little on the labels."""
    assert context.teacher is not None
    fitted = context.fit(model, spec, "distil")
    record = {
        "name": "distil",
        "teacher": context.teacher.name,
        "taught_sha256": context.teacher.sha256,
        "unlabelled": int(np.sum(context.teacher.examples.labels == UNKNOWN)),
        **fitted.facts(),
    }
    return model, PassRecord.model_validate(record)


def taught(run: Run, spec: Recipe, splits: Splits) -> Taught | None:
    """What the recipe's teacher says of the training pictures, read or kept from before; None without `distil`.

    Raises EdgebigError where a teacher cannot be found, does not fit the data, or is no better than chance.
    """
    settings = spec.compress.distil
    if settings is None:
        return None
    found = [teachers.load(name, run) for name in settings.teacher]
    for teacher in found:
        accuracy = teachers.check(teacher, splits)
        say(f"teacher: {teacher.name}, {accuracy:.2%} of {len(splits.validation):,} validation examples")
    examples = paper.learnt(splits, spec.data.augment)
    if settings.unlabelled:
        examples = examples.joined(_unlabelled(splits, settings.unlabelled))
    sha256 = _identity(found, examples, settings, spec)
    path = lookup.cache_dir() / "taught" / f"{sha256}.npy"
    probabilities = _kept(path)
    if probabilities is None:
        probabilities = _read(found, examples, len(splits.classes), settings, spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, probabilities, allow_pickle=False)
    else:
        say(f"teacher: what it said before is kept in {path}")
    return Taught(
        examples, probabilities, settings.temperature, settings.hard,
        " and ".join(teacher.name for teacher in found), sha256,
    )  # fmt: skip


def _read(
    found: list[teachers.Teacher], examples: Examples, classes: int, settings: Distil, spec: Recipe
) -> Any:
    """float16 (views, steps, B, classes): the mean of the teachers' softened probabilities."""
    steps = pipeline.steps_per_epoch(examples, settings.batch_size)
    batch_size = min(settings.batch_size, len(examples))
    shape = (settings.views, steps, batch_size, classes)
    if 2 * np.prod(shape, dtype=np.int64) > _LARGEST_BYTES:
        raise EdgebigError(
            f"{settings.views} views of {len(examples):,} pictures by {classes} classes are over 2 GB",
            "fewer will do: --set compress.distil.views=2",
        )
    said = np.empty(shape, np.float16)
    batches = pipeline.view_batches(
        examples, classes, batch_size=settings.batch_size, views=settings.views, augment=spec.data.augment
    )
    say(f"teacher: reads {settings.views} views of {len(examples):,} pictures, once for all")
    with track("teacher", settings.views * steps) as advance:
        for number, (images, labels) in enumerate(batches.as_numpy_iterator()):
            softened = [soften(teacher.read(images), settings.temperature) for teacher in found]
            row = np.mean(softened, axis=0)
            said[divmod(number, steps)] = corrected(row, labels) if spec.data.augment.paper else row
            advance(1, f"view {number // steps + 1}/{settings.views}")
    return said


def corrected(said: Any, labels: Any) -> Any:
    """(B, classes) each: what a teacher said, but the label where it thinks of another class than that.

    A teacher has not learnt from paper: of what is no digit it is sure all the same, and it errs on digits that it
    would read as MNIST has them. A label of zeros, one that is not known, corrects nothing.
    """
    is_known = labels.max(axis=1) > 0
    is_right = labels[np.arange(len(labels)), said.argmax(axis=1)] == 1
    return np.where((is_known & ~is_right)[:, np.newaxis], labels, said)


def soften(probabilities: Any, temperature: float) -> Any:
    """float (B, classes) -> the softmax of their logits, divided by `temperature`."""
    # An int8 model says 0 where it means less than 1/512; a float model's least is far below what matters.
    powers = np.power(np.maximum(np.asarray(probabilities, np.float64), 1e-9), 1.0 / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def _unlabelled(splits: Splits, name: str) -> Examples:
    """The examples of source `name` that are in no split, without their labels."""
    height, width, channels = splits.train.shape
    data = Data(source=name, size=(height, width), colour="grey" if channels == 1 else "rgb")
    parts = source.load(data, check=False).parts().values()
    images = np.concatenate([part.images[np.arange(len(part))] for part in parts])
    if images.shape[1:] != splits.train.shape:
        raise EdgebigError(
            f"[compress.distil] unlabelled: {name} has pictures {images.shape[1:]}, the data {splits.train.shape}",
            "use pictures of one kind",
        )
    more = Examples(images, np.full(len(images), UNKNOWN, np.int64))
    here = np.concatenate([part.hashes for part in splits.parts().values()])
    more = more[~np.isin(more.hashes, here)]
    if not len(more):
        raise EdgebigError(
            f"[compress.distil] unlabelled: {name} has no picture that is not in the data", "leave it out"
        )
    return more


def _identity(found: list[teachers.Teacher], examples: Examples, settings: Distil, spec: Recipe) -> str:
    """Of all that the teachers' answers depend on: with paper the labels too, by which they are corrected."""
    augment = spec.data.augment
    parts = [
        str(_FORM), *(teacher.sha256 for teacher in found), files.sha256_bytes(examples.hashes.tobytes()),
        augment.model_dump_json(exclude={"paper"}), str(VIEWS_SEED), repr(settings.temperature),
        str(settings.views), str(settings.batch_size),
    ]  # fmt: skip
    if augment.function:
        parts.append(usercode.sha256(augment.function))
    if augment.paper:
        parts += ["corrected", files.sha256_bytes(examples.labels.tobytes())]
    return files.sha256_bytes("\n".join(parts).encode())


def _kept(path: Any) -> Any:
    """The array in `path`, or None where there is none, or it is damaged: it can be made again."""
    try:
        return np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
        return None
