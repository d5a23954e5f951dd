"""Do two models say the same, and if not, where do they part? A verdict on real examples, and the layers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import artifact, files, lookup, runs, stats
from edgebig.artifact import Artifact, Card
from edgebig.check import layers, running
from edgebig.check.layers import Layers
from edgebig.check.running import Model, Outputs, Side, Values
from edgebig.data.examples import Examples, per_class
from edgebig.errors import EdgebigError
from edgebig.evaluation.chosen import Chosen
from edgebig.stats import AccuracyDifference, McNemar, Verdict

COMPARISON_SCHEMA = 1
# Of the float model's accuracy, in percentage points.
MAX_LOSS_POINTS = 0.5
LAYER_EXAMPLES = 200


@dataclass(frozen=True)
class Subject:
    """What is compared: a file, its card (a Keras model's is its run's), and the kernels that run it."""

    path: Path
    kernels: str
    artifact: Artifact | None

    @property
    def card(self) -> Card | None:
        return self.artifact.card if self.artifact is not None else None


@dataclass(frozen=True)
class Settings:
    """How to compare. `layer_examples`: so many for the layers, at most; 0 leaves them out."""

    max_loss_points: float = MAX_LOSS_POINTS
    layer_examples: int = LAYER_EXAMPLES
    deadline_s: float = 900.0


@dataclass(frozen=True)
class Comparison:
    """Model b against model a on the same examples. `largest_difference`: of any output, as a real value."""

    a: str
    b: str
    data: dict[str, Any]
    accuracy_a: stats.Accuracy
    accuracy_b: stats.Accuracy
    same_label: int
    largest_difference: float
    paired: McNemar
    difference: AccuracyDifference
    max_loss_points: float
    verdict: Verdict
    layers: Layers | None
    notes: tuple[str, ...]


def subjects(first: str | None, second: str | None, kernels: Sequence[str]) -> tuple[Subject, Subject]:
    """What the user named: two models, or with two `kernels` one; a run alone is its float model and its newest.

    Raises: EdgebigError where one is not there, or there is nothing to compare.
    """
    for name in kernels:
        if name not in running.RUNTIMES:
            raise EdgebigError(
                f"--runtimes {','.join(kernels)}: no runtime '{name}'",
                f"one of: {', '.join(running.RUNTIMES)}",
            )
    if second is not None and len(kernels) == 2:
        raise EdgebigError(
            "two models and two runtimes: that would be two comparisons in one",
            "name one model with two runtimes, or two models with one",
        )
    if len(kernels) == 2:
        path = _path(first)
        if kernels[0] == kernels[1] or path.suffix == ".keras":
            raise EdgebigError(
                "--runtimes wants one .tflite and two different runtimes", "--runtimes xnnpack,reference"
            )
        return _subject(path, kernels[0]), _subject(path, kernels[1])
    one = kernels[0] if kernels else "reference"
    if second is None:
        path = _path(first)
        a = path.parent / "float32.tflite"
        if (
            (first is not None and Path(first).suffix in (".tflite", ".keras"))
            or a == path
            or not a.is_file()
        ):
            raise EdgebigError(
                f"{path}: against what?",
                "edgebig check A B, or one model under two: --runtimes xnnpack,reference",
            )
        return _subject(a, one), _subject(path, one)
    pair = _subject(_path(first), one), _subject(_path(second), one)
    if pair[0].path.resolve() == pair[1].path.resolve():
        raise EdgebigError(f"{pair[0].path} and {pair[1].path} are the same file", "name two models")
    return pair


def _path(name: str | None) -> Path:
    if name is not None and name.endswith(".keras"):
        if not Path(name).is_file():
            raise EdgebigError(f"{name}: no such file", "give the path of a .keras or a .tflite, or a run")
        return Path(name)
    return runs.resolve_model(name)


def _subject(path: Path, kernels: str) -> Subject:
    if path.suffix != ".keras":
        return Subject(path, kernels, artifact.load(path))
    beside = path.parent / "float32.tflite"
    return Subject(path, kernels, artifact.load(beside) if beside.is_file() else None)


def cards(a: Subject, b: Subject) -> list[Artifact]:
    """The artifacts whose cards say what both are fed with. Raises: EdgebigError where none has one, or they differ."""
    known = {s.artifact.sha256: s.artifact for s in (a, b) if s.artifact is not None and s.card is not None}
    if not known:
        raise EdgebigError(
            f"{a.path} and {b.path}: neither has a card beside it, which says what a picture must be made into",
            "copy the card (.json) along with the .tflite; edgebig inspect looks into a file without one",
        )
    if a.card is not None and b.card is not None:
        for what in ("classes", "preprocessing"):
            one, other = getattr(a.card, what), getattr(b.card, what)
            if one != other:
                raise EdgebigError(
                    f"{a.path} and {b.path} have different {what}", "compare models of the same task"
                )
        if a.card.input.shape != b.card.input.shape:
            raise EdgebigError(
                f"{a.path} takes {a.card.input.shape}, {b.path} {b.card.input.shape}",
                "compare models that take the same pictures; edgebig eval tells each one's accuracy",
            )
    return list(known.values())


def compare(a: Subject, b: Subject, which: Chosen, settings: Settings) -> Comparison:
    """Runs both in processes that may die. Raises: EdgebigError where one does not run, or they do not go together."""
    stats.accuracy_verdict(
        McNemar(0, 0, 1.0, 1), settings.max_loss_points
    )  # a bound that is none: now, not then
    card = cards(a, b)[0].card
    assert card is not None
    sides = [
        Side(_name(subject, a, b), subject.path, card.preprocessing.model_dump(), subject.kernels)
        for subject in (a, b)
    ]
    models = [Model(side) for side in sides]
    for model in models:
        _check_fits(model, card, which.examples)
    labels = which.labels_of(card)
    with files.scratch(lookup.cache_dir() / "scratch") as folder:
        made, found = _measure(models, which.examples, folder, settings)
    right = [np.argmax(outputs.real, axis=1) == labels for outputs in made]
    paired = stats.mcnemar(*right)
    return Comparison(
        a=sides[0].name,
        b=sides[1].name,
        data=which.facts,
        accuracy_a=stats.accuracy_interval(int(right[0].sum()), len(labels)),
        accuracy_b=stats.accuracy_interval(int(right[1].sum()), len(labels)),
        same_label=int(np.sum(np.argmax(made[0].real, axis=1) == np.argmax(made[1].real, axis=1))),
        largest_difference=float(np.abs(made[0].real - made[1].real).max(initial=0.0)),
        paired=paired,
        difference=stats.accuracy_difference(paired),
        max_loss_points=settings.max_loss_points,
        verdict=stats.accuracy_verdict(paired, settings.max_loss_points),
        layers=found,
        notes=tuple(_notes(a, b, models)),
    )


def _name(subject: Subject, a: Subject, b: Subject) -> str:
    return f"{subject.path} ({subject.kernels})" if a.path == b.path else str(subject.path)


def _check_fits(model: Model, card: Card, examples: Examples) -> None:
    if model.graph is None:
        return
    shape = (1, *examples.shape)
    if model.input.shape != shape:
        raise EdgebigError(
            f"{model.side.name}: it takes {model.input.shape}, the pictures are {shape}",
            "compare models that take the same pictures",
        )
    if model.output.elements != len(card.classes):
        raise EdgebigError(
            f"{model.side.name}: {model.output.elements} outputs, and there are {len(card.classes)} classes",
            "compare models of the same classes",
        )


def _measure(
    models: list[Model], examples: Examples, folder: Path, settings: Settings
) -> tuple[list[Outputs], Layers | None]:
    few = layers.affordable([m.graph for m in models if m.graph is not None], settings.layer_examples)
    few = min(few, len(examples)) if settings.layer_examples else 0
    some = examples[per_class(examples.labels, few, seed=0)]
    made, found = list[Outputs](), list[Values]()
    for place, model in enumerate(models):
        here = folder / str(place)
        if model.side.is_keras:
            inside, outputs = running.keras_values(model.side, examples, some, here, settings.deadline_s)
            found.append(inside)
        else:
            outputs = running.outputs(model, examples, here / "all", settings.deadline_s)
            if few:
                found.append(running.values(model, some, here / "some", settings.deadline_s))
        made.append(outputs)
    return made, layers.compare(found[0], found[1], folder, settings.deadline_s) if few else None


def _notes(a: Subject, b: Subject, models: list[Model]) -> list[str]:
    told = []
    for subject, other in ((a, b), (b, a)):
        if subject.card is None:
            told.append(f"{subject.path} has no card: it was given the same pictures as {other.path}")
    if a.path != b.path and any(not model.side.is_keras for model in models):
        told.append(f"kernels: {b.kernels}")
    return told


def record(found: Comparison) -> dict[str, Any]:
    """All of it as JSON values, "schema" first."""
    worst = found.layers.worst if found.layers is not None else None
    return {
        "schema": COMPARISON_SCHEMA,
        **asdict(found),
        "worst": worst.second if worst is not None else None,
        "cause": layers.cause(worst) if worst is not None else None,
    }
