"""What one model said of labelled pictures, and what follows from it. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import stats
from edgebig.stats import Accuracy

MAX_BINS = 15
# Fewer in a bin, and its accuracy is mostly chance: the calibration error would be that chance.
_EXAMPLES_A_BIN = 20
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Evaluation:
    """What one model said of N pictures.

    `labels`: int64 (N,), indices into the C `classes`, as the model orders them. `probabilities`: float32 (N, C), its
    outputs as real values. `step`: the real value of one step of its quantized output, 0 of a float one. `split`: which
    examples they are, in a word.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    step: float = 0.0
    split: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,): the class of the largest output; of equal ones the first, as on the device."""
        best: npt.NDArray[np.int64] = np.argmax(self.probabilities, axis=1).astype(np.int64)
        return best

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """(N,)"""
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right

    @cached_property
    def confidence(self) -> npt.NDArray[np.float64]:
        """(N,): the output of the class that was read."""
        return self.probabilities[np.arange(len(self)), self.predicted].astype(np.float64)

    @cached_property
    def accuracy(self) -> Accuracy:
        return stats.accuracy_interval(int(self.right.sum()), len(self))

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(C, C): how many of the class of the row were read as that of the column."""
        count = len(self.classes)
        flat = np.bincount(self.labels * count + self.predicted, minlength=count * count)
        return flat.reshape(count, count).astype(np.int64)

    @cached_property
    def misread(self) -> npt.NDArray[np.intp]:
        """Indices of the examples that were misread, the worst first: the surest of a wrong class."""
        wrong = np.flatnonzero(~self.right)
        of_truth = self.probabilities[wrong, self.labels[wrong]]
        return wrong[np.lexsort((of_truth, -self.confidence[wrong]))]


@dataclass(frozen=True)
class ClassScore:
    """One class: `correct` of its `n` examples; it was `read` so often, rightly or not. None: of no example."""

    name: str
    n: int
    correct: int
    read: int
    recall: Accuracy | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Confusion:
    """`count` examples of the class `true` were read as `read`, which is this `share` of them."""

    true: str
    read: str
    count: int
    share: float


@dataclass(frozen=True)
class Bin:
    """`n` examples of like confidence, from `low` to `high`: how sure the model was of them, and how often right."""

    n: int
    low: float
    high: float
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether a model is right as often as it is sure.

    `error`: the expected calibration error, the mean over `bins` of |accuracy - confidence|, each by its n; 0 to 1.
    `brier`: the mean over examples of the squared distance between the outputs and the one-hot label; 0 to 2.
    """

    error: float
    brier: float
    confidence: float
    bins: tuple[Bin, ...]


def class_scores(evaluation: Evaluation) -> tuple[ClassScore, ...]:
    """Each class, in the model's order."""
    confusion = evaluation.confusion
    return tuple(
        _class_score(name, int(n), int(correct), int(read))
        for name, n, correct, read in zip(
            evaluation.classes, confusion.sum(1), confusion.diagonal(), confusion.sum(0), strict=True
        )
    )


def _class_score(name: str, n: int, correct: int, read: int) -> ClassScore:
    return ClassScore(
        name,
        n,
        correct,
        read,
        recall=stats.accuracy_interval(correct, n) if n else None,
        precision=correct / read if read else None,
        f1=2 * correct / (n + read) if n + read else None,
    )


def macro_f1(evaluation: Evaluation) -> float:
    """The mean of F1 over the classes that have examples: a rare class counts as much as a common one."""
    return float(np.mean([score.f1 for score in class_scores(evaluation) if score.n]))


def confusions(evaluation: Evaluation) -> list[Confusion]:
    """Every pair of classes of which one was read as the other, the most frequent first."""
    wrong = evaluation.confusion * (1 - np.eye(len(evaluation.classes), dtype=np.int64))
    of_class = evaluation.confusion.sum(1)
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: (-wrong[pair[0], pair[1]], pair))
    return [
        Confusion(
            evaluation.classes[true],
            evaluation.classes[read],
            int(wrong[true, read]),
            float(wrong[true, read] / of_class[true]),
        )
        for true, read in pairs
    ]


def are_probabilities(evaluation: Evaluation) -> bool:
    """Whether the outputs may be called so: within 0 and 1, and of sum 1, as nearly as their steps allow."""
    values, slack = evaluation.probabilities, _SUM_TOLERANCE + evaluation.step
    within = (values >= -slack) & (values <= 1 + slack)
    # Each of C outputs was rounded to a step, and of many small ones nothing may be left.
    sums = np.abs(values.sum(axis=1, dtype=np.float64) - 1)
    return bool(within.all() and (sums <= _SUM_TOLERANCE + evaluation.step * values.shape[1]).all())


def calibration(evaluation: Evaluation) -> Calibration | None:
    """Whether its confidence can be believed; None where its outputs are no probabilities.

    The bins hold like numbers of examples, `MAX_BINS` of them or fewer. A classifier is nearly sure of nearly
    everything, so that of bins of equal width all but the last are empty or chance, and the error is more biased.
    Examples of one confidence stand in one bin: int8 outputs have 256 values, and which of the equal ones go where
    would be chance too.
    Source: Guo et al., ICML 2017 (the error); Nixon et al., CVPR workshops 2019, and Roelofs et al., AISTATS 2022
    (bins of equal mass); Brier, Monthly Weather Review 78 (1950) 1-3.
    """
    if not are_probabilities(evaluation):
        return None
    order = np.argsort(evaluation.confidence, kind="stable")
    confidence, right = evaluation.confidence[order], evaluation.right[order]
    ends = _bin_ends(confidence)
    starts = np.insert(ends[:-1], 0, 0)
    bins = tuple(
        Bin(
            int(end - start),
            float(confidence[start]),
            float(confidence[end - 1]),
            float(confidence[start:end].mean()),
            float(right[start:end].mean()),
        )
        for start, end in zip(starts, ends, strict=True)
    )
    error = sum(found.n * abs(found.accuracy - found.confidence) for found in bins) / len(evaluation)
    distance = evaluation.probabilities.astype(np.float64)
    distance[np.arange(len(evaluation)), evaluation.labels] -= 1
    brier = float(np.square(distance).sum(axis=1).mean())
    return Calibration(error, brier, float(confidence.mean()), bins)


def _bin_ends(ranked: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where the bins of sorted values end: at like numbers, then moved right until no equal values are parted."""
    count = max(1, min(MAX_BINS, len(ranked) // _EXAMPLES_A_BIN))
    ends = np.linspace(0, len(ranked), count + 1).round().astype(np.intp)[1:]
    return np.unique(np.searchsorted(ranked, ranked[ends - 1], side="right"))
