"""Two models on the same examples: McNemar's test and Tango's interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgebig.stats.distributions import normal_quantile, root


@dataclass(frozen=True)
class McNemar:
    """`only_a` and `only_b` of `n` examples were right in one model alone; `p_value` of equal accuracy."""

    only_a: int
    only_b: int
    p_value: float
    n: int


@dataclass(frozen=True)
class AccuracyDifference:
    """Accuracy of b less that of a, in percentage points (-100 to 100): negative where b lost accuracy."""

    points: float
    low: float
    high: float


def mcnemar(a_correct: npt.NDArray[np.bool_], b_correct: npt.NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test of two models on the same examples.

    `a_correct`, `b_correct`: bool (n,), true where the model was right on that example. The p-value is
    two-sided: twice the smaller tail of a binomial with p = 1/2 on the examples where the models differ, at
    most 1. Raises: TypeError unless both are bool; ValueError unless both are (n,) with the same n >= 1.
    Source: McNemar, Psychometrika 12 (1947) 153-157; the exact form in Fagerland, Lydersen and Laake, BMC
    Medical Research Methodology 13 (2013) 91.
    """
    a, b = np.asarray(a_correct), np.asarray(b_correct)
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise TypeError(f"wanted two bool arrays, got {a.dtype} and {b.dtype}")
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"wanted two arrays of one shape (n,) with n >= 1, got {a.shape} and {b.shape}")
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    return McNemar(only_a, only_b, _sign_test(only_a, only_b), a.size)


def accuracy_difference(paired: McNemar, level: float = 0.95) -> AccuracyDifference:
    """Accuracy of b less accuracy of a on the same examples, in points, with Tango's score interval.

    It holds for small counts too: no difference in n examples is not "no difference, surely". Both limits
    solve |S - n d| = z sqrt(n (2 q(d) + d (1 - d))), where q(d) is the likeliest share of the smaller
    discordant cell if the true difference were d. Raises: ValueError unless 0 < level < 1.
    Source: Tango, Statistics in Medicine 17 (1998) 891-908, equations for T(delta) and q21.
    """
    z, estimate = normal_quantile(level), (paired.only_b - paired.only_a) / paired.n
    low = estimate if estimate == -1 else root(lambda d: _tango(paired, d) - z, -1.0, estimate)
    high = estimate if estimate == 1 else root(lambda d: _tango(paired, d) + z, estimate, 1.0)
    return AccuracyDifference(100 * estimate, 100 * low, 100 * high)


def _sign_test(only_a: int, only_b: int) -> float:
    """2 P(X <= min(only_a, only_b)) for X binomial (only_a + only_b, 1/2), at most 1.

    The largest term comes from log gamma, the rest from the ratio of neighbours: nothing overflows for any
    count.
    """
    few, total = min(only_a, only_b), only_a + only_b
    log_term = (
        math.lgamma(total + 1) - math.lgamma(few + 1) - math.lgamma(total - few + 1) - total * math.log(2)
    )
    step = np.arange(few, 0, -1, dtype=np.float64)
    tail = 1.0 + float(np.cumprod(step / (total - step + 1)).sum())
    return min(1.0, 2 * math.exp(log_term) * tail)


def _tango(paired: McNemar, delta: float) -> float:
    """Tango's score statistic for "accuracy of b less that of a is delta"; it falls as delta grows."""
    n, only_a, only_b = paired.n, paired.only_a, paired.only_b
    half = -only_a - only_b + (2 * n - only_b + only_a) * delta
    product = -only_a * delta * (1 - delta)
    root = math.sqrt(max(0.0, half * half - 8 * n * product))
    # Of the two forms of the root, the one that does not subtract like from like.
    share = (root - half) / (4 * n) if half <= 0 else -2 * product / (root + half)
    variance = n * (2 * share + delta * (1 - delta))
    excess = only_b - only_a - n * delta
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)
