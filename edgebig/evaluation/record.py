"""The record of an evaluation as JSON values, and what is said of several models together."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from edgebig import stats
from edgebig.data.examples import Examples
from edgebig.evaluation import Result
from edgebig.evaluation.scores import Calibration, Evaluation, calibration, class_scores, confusions, macro_f1

EVALUATION_SCHEMA = 1


@dataclass(frozen=True)
class Spread:
    """One figure over several models, as over the seeds of a recipe; `sd` is the sample's, with n - 1."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Model a against the first one, b, on the same examples; points are percentage points of accuracy, a less b."""

    a: str
    b: str
    only_a: int
    only_b: int
    mcnemar_p: float
    accuracy_points: float
    accuracy_low: float
    accuracy_high: float


def figures(evaluation: Evaluation) -> dict[str, float | None]:
    """The figures that a table shows of a model; None where its outputs are no probabilities."""
    calibrated = calibration(evaluation)
    return {
        "accuracy": evaluation.accuracy.value,
        "macro_f1": macro_f1(evaluation),
        "confidence": calibrated.confidence if calibrated else None,
        "calibration_error": calibrated.error if calibrated else None,
        "brier": calibrated.brier if calibrated else None,
    }


def spreads(result: Result) -> dict[str, Spread | None]:
    """Each of `figures` over the models; None for one model alone, or where one has no such figure."""
    rows = [figures(evaluation) for evaluation in result.evaluations]
    return {name: _spread([row[name] for row in rows]) for name in rows[0]}


def recall_spreads(result: Result) -> dict[str, Spread | None]:
    """The same for the recall of each class of the first model."""
    rows = [
        {score.name: score.recall.value if score.recall else None for score in class_scores(evaluation)}
        for evaluation in result.evaluations
    ]
    return {name: _spread([row.get(name) for row in rows]) for name in rows[0]}


def _spread(values: list[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(known) < 2:
        return None
    return Spread(len(known), statistics.fmean(known), statistics.stdev(known), min(known), max(known))


def comparisons(result: Result) -> list[Paired]:
    """Each further model against the first."""
    first = result.evaluations[0]
    found = []
    for item, evaluation in zip(result.artifacts[1:], result.evaluations[1:], strict=True):
        paired = stats.mcnemar(first.right, evaluation.right)
        points = stats.accuracy_difference(paired)
        found.append(
            Paired(
                str(item.path), str(result.artifacts[0].path), paired.only_b, paired.only_a, paired.p_value,
                points.points, points.low, points.high,
            )
        )  # fmt: skip
    return found


def record(result: Result, examples: Examples) -> dict[str, Any]:
    """All of it as JSON values, "schema" first. What was misread is named by its place in `examples`, and its hash."""
    return {
        "schema": EVALUATION_SCHEMA,
        "device": result.device,
        "data": result.data,
        "models": [
            {
                "model": str(item.path),
                "sha256": item.sha256,
                "recipe": item.card.recipe if item.card else None,
                "seed": item.card.seed if item.card else None,
                **_model(evaluation, examples),
            }
            for item, evaluation in zip(result.artifacts, result.evaluations, strict=True)
        ],
        "spreads": _values(spreads(result)),
        "recall_spreads": _values(recall_spreads(result)),
        "comparisons": [asdict(paired) for paired in comparisons(result)],
    }


def _values(found: dict[str, Spread | None]) -> dict[str, Any]:
    return {name: asdict(spread) if spread else None for name, spread in found.items()}


def _model(evaluation: Evaluation, examples: Examples) -> dict[str, Any]:
    calibrated = calibration(evaluation)
    return {
        "accuracy": asdict(evaluation.accuracy),
        "macro_f1": macro_f1(evaluation),
        "calibration": _calibration(calibrated) if calibrated else None,
        "classes": [asdict(score) for score in class_scores(evaluation)],
        "confusion": evaluation.confusion.tolist(),
        "confusions": [asdict(confusion) for confusion in confusions(evaluation)],
        "misread": [_misread(evaluation, examples, int(index)) for index in evaluation.misread],
    }


def _calibration(calibrated: Calibration) -> dict[str, Any]:
    return {**asdict(calibrated), "bins": [asdict(part) for part in calibrated.bins]}


def _misread(evaluation: Evaluation, examples: Examples, index: int) -> dict[str, Any]:
    confidence = float(evaluation.confidence[index])
    return {
        "index": index,
        "hash": f"{examples.hashes[index]:016x}",
        "true": evaluation.classes[evaluation.labels[index]],
        "read": evaluation.classes[evaluation.predicted[index]],
        # JSON has no other numbers; a broken model may.
        "confidence": confidence if math.isfinite(confidence) else None,
    }
