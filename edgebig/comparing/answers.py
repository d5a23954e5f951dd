"""Does a model read worse than it did? Told of the same examples alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgebig import stats
from edgebig.comparing.speed import Limits, Side
from edgebig.errors import EdgebigError
from edgebig.stats import AccuracyDifference, McNemar, Verdict


@dataclass(frozen=True)
class Answers:
    """b's predictions against a's on the same examples. verdict None: not compared; `why` says it.

    `same`: so many predictions are the same class.
    """

    verdict: Verdict | None
    why: str
    same: int | None = None
    paired: McNemar | None = None
    difference: AccuracyDifference | None = None


def compare(a: Side, b: Side, limits: Limits) -> Answers:
    """By McNemar's test, and Tango's interval against what may be lost. Raises EdgebigError of a damaged record."""
    if refused := _refused(a, b):
        return refused
    paired = stats.mcnemar(_right(a), _right(b))
    verdict = stats.accuracy_verdict(paired, limits.max_loss_points)
    return Answers(
        verdict,
        "the interval holds the bound; more examples make it narrower" if verdict == "INCONCLUSIVE" else "",
        int(np.sum(np.array(a.model.predictions) == np.array(b.model.predictions))),
        paired,
        stats.accuracy_difference(paired),
    )


def _refused(a: Side, b: Side) -> Answers | None:
    without = [name for name, side in (("A", a), ("B", b)) if side.model.predictions is None]
    if without:
        verdict: Verdict | None = None if len(without) == 2 else "INCONCLUSIVE"
        return Answers(verdict, f"no predictions in {' and '.join(without)}")
    fakes = [name for name, side in (("A", a), ("B", b)) if side.record.provenance == "fake"]
    if fakes:
        return Answers(
            None if len(fakes) == 2 else "INCONCLUSIVE", f"made up in {' and '.join(fakes)}: no answers"
        )
    for name, side in (("A", a), ("B", b)):
        if side.record.truth is None:
            return Answers(
                "INCONCLUSIVE", f"{name}'s record is older than the labels in it: measure it again"
            )
    if a.record.truth != b.record.truth:
        return Answers("INCONCLUSIVE", f"other examples: A {_data(a)}, B {_data(b)}")
    return None


def _data(side: Side) -> str:
    data = side.record.data.model_dump()
    return f"{data.get('n')} {data.get('split')} examples of {data.get('source')}"


def _right(side: Side) -> npt.NDArray[np.bool_]:
    assert side.record.truth is not None
    predictions, labels = np.array(side.model.predictions), np.array(side.record.truth.labels)
    if predictions.shape != labels.shape or not len(labels):
        raise EdgebigError(
            f"{side.model.name}: {len(predictions)} predictions and {len(labels)} labels in its record",
            "the record is damaged; measure again",
        )
    right: npt.NDArray[np.bool_] = predictions == labels
    return right
