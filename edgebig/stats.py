"""The statistics of a benchmark: intervals, paired comparisons and verdicts. numpy only.

Two rules carry this file.

Accuracy: examples are independent, so a count has a score interval, and two models on the same examples are
compared on the examples where they differ.

Latency: samples within one process are not independent (they share its memory layout, its core, its minute),
so the process is the unit. Each process gives one quantile; the reported figure is their geometric mean ("a
typical process") and its interval is Student's t over the processes on the log scale: Georges, Buytaert and
Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007, section 3.2; Kalibera and Jones,
"Rigorous benchmarking in reasonable time", ISMM 2013. Nothing is resampled within a process: Davison and
Hinkley, "Bootstrap methods and their application", 1997, section 3.8. Why it is not a bootstrap over the
processes stands at `latency_ratio`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgebig.errors import DeviceError, EdgebigError

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Speed = Literal["FASTER", "SLOWER", "INCONCLUSIVE"]
Interval = tuple[float, float]

P99_NEEDS_SAMPLES = 1000


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `n`; value, low and high are fractions in [0, 1], low <= value <= high."""

    correct: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LatencySummary:
    """Nanoseconds over `n` samples in `processes` processes. p99 is None below 1,000 samples, an interval
    below 2 processes, p90 where a tool told of each process one figure alone. min <= p50 <= p90 <= p99, and each
    figure lies in its interval.
    """

    n: int
    processes: int
    min_ns: float
    p50_ns: float
    p90_ns: float | None
    p99_ns: float | None
    p50_interval_ns: Interval | None
    p90_interval_ns: Interval | None


@dataclass(frozen=True)
class Ratio:
    """p50 of a over p50 of b: under 1, a is faster. Without 2 processes low and high are None."""

    value: float
    low: float | None
    high: float | None
    processes: int


@dataclass(frozen=True)
class TimeDifference:
    """p50 of a less p50 of b, in ns: negative where a is faster. Without 2 processes low and high are None."""

    value_ns: float
    low_ns: float | None
    high_ns: float | None


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


def accuracy_interval(correct: int, n: int, level: float = 0.95) -> Accuracy:
    """Wilson's score interval for a proportion, without continuity correction.

    Raises: ValueError unless 0 <= correct <= n, n >= 1 and 0 < level < 1.
    Source: Wilson, JASA 22 (1927) 209-212; recommended by Brown, Cai and DasGupta, Statistical Science 16
    (2001) 101.
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(f"{correct} correct of {n} is no proportion")
    z2 = _normal_quantile(level) ** 2
    share = correct / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    low = 0.0 if correct == 0 else min(centre - reach, share)
    high = 1.0 if correct == n else max(centre + reach, share)
    return Accuracy(correct, n, share, low, high)


def latency_summary(processes: Sequence[npt.ArrayLike], level: float = 0.95) -> LatencySummary:
    """Quantiles of the latency, with intervals over the processes.

    `processes` holds one sequence of samples in ns for each fresh process; their lengths may differ. A
    quantile is taken in each process (linear interpolation: Hyndman and Fan's type 7) and averaged
    geometrically over them, so p50 is what a typical process sees, and a process with many samples counts no
    more than another. The interval is Student's t on the logs, with k - 1 degrees of freedom.

    Measured coverage of the 95 % interval, 2,000 simulations of 5 processes of 100 autocorrelated and
    heavy-tailed samples whose levels spread by 5 %: p50 and p90 95 to 97 % where the levels are normal or
    t(3), 92 to 93 % where they are exponential, 90 % where one process in five has a slow mode (10 processes:
    93 %): five processes may not have met it. Neither it nor the step of a coarse clock is in the interval.

    Raises: ValueError where there is no process or one without samples, or a sample that is negative or not
    finite; DeviceError where a quantile is 0 ns (the clock is coarser than an inference).
    Source: the head of this file.
    """
    arrays = _samples(processes)
    n = sum(array.size for array in arrays)
    p50, p50_interval = _typical(_quantiles(arrays, 0.5), level)
    p90, p90_interval = _typical(_quantiles(arrays, 0.9), level)
    p99 = _typical(_quantiles(arrays, 0.99), level)[0] if n >= P99_NEEDS_SAMPLES else None
    least = float(min(array.min() for array in arrays))
    return LatencySummary(n, len(arrays), least, p50, p90, p99, p50_interval, p90_interval)


def told_summary(
    figures_ns: Sequence[float], n: int, least_ns: float, step_ns: float = 0.0, level: float = 0.95
) -> LatencySummary:
    """As `latency_summary`, of processes of which a tool told one figure each: the median or mean of its samples.

    `n`: the samples of all of them. The interval covers as that one's of p50 does, which takes one figure of each
    process too; it is wider by `step_ns` on both sides, the step of the tool's clock. Raises what that raises.
    """
    value, interval = _typical(_quantiles(_samples([[figure] for figure in figures_ns]), 0.5), level)
    if interval:
        interval = max(interval[0] - step_ns, 0.0), interval[1] + step_ns
    return LatencySummary(n, len(figures_ns), min(least_ns, value), value, None, None, interval, None)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, Interval | None]:
    """The mean of one value a process and its Student's t interval, None for one process. Values may be negative.

    Raises: ValueError without values.
    """
    if not values:
        raise ValueError("wanted at least one value")
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    reach = t_quantile(level, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, (mean - reach, mean + reach)


def latency_ratio(
    a_processes: Sequence[npt.ArrayLike],
    b_processes: Sequence[npt.ArrayLike],
    level: float = 0.95,
    step_ns: float = 0.0,
    paired: bool = True,
) -> Ratio:
    """p50 of a over p50 of b. `paired`: both were measured interleaved, and process i of a is process i of b.

    The value is the geometric mean of the ratios per process, which is the ratio of the two `latency_summary`
    p50s; what slows both models in a process cancels. The interval is Student's t on the log ratios, k - 1
    degrees of freedom, and wider by what a clock with a step of `step_ns` may hide: it gives the same figure in every
    process where there is a difference. Of two sessions, which are not paired, it is Welch's t on the logs: nothing
    cancels, and what was otherwise in all of one session (heat, load) is in the value and not in the interval.

    Measured coverage of the 95 % interval, 2,000 simulations as at `latency_summary`, with 3 % between the
    models in a process: 95 to 98 % for 3, 5, 7 and 10 processes, normal, t(3), exponential or two-moded
    alike. The percentile bootstrap over the same processes covers 72 to 74 % with 3, 81 to 83 % with 5 and 87
    to 90 % with 10; BCa is no better, and bootstrap-t is wider with 5 and covers less with 10.
    tests/test_stats.py holds both sides, and those of Welch's.

    Raises: ValueError where the numbers of paired processes differ, and what `latency_summary` raises.
    Source: Georges et al. 2007 (the head of this file), on paired differences of logs; that the bootstrap
    percentile interval is too narrow for few observations: Hesterberg, The American Statistician 69 (2015)
    371-386; Welch, Biometrika 34 (1947) 28-35.
    """
    a_p50, b_p50 = _p50s(a_processes, b_processes, paired=paired)
    if paired:
        value, interval = _typical(a_p50 / b_p50, level)
    else:
        # Against one figure, so that equal values give just 1.
        logs, reach = _welch(np.log(a_p50 / b_p50[0]), np.log(b_p50 / b_p50[0]), level)
        value, factor = math.exp(logs), math.exp(min(reach, 600.0)) if reach is not None else 1.0
        interval = None if reach is None else (value / factor, value * factor)
    low, high = interval if interval else (None, None)
    if low is not None and high is not None:
        # A step as long as an inference leaves next to nothing known, and the interval finite.
        a_share, b_share = (min(step_ns / float(p50.min()), 0.99) for p50 in (a_p50, b_p50))
        low, high = low * (1 - a_share) / (1 + b_share), high * (1 + a_share) / (1 - b_share)
    return Ratio(value, low, high, min(a_p50.size, b_p50.size))


def latency_difference(
    a_processes: Sequence[npt.ArrayLike],
    b_processes: Sequence[npt.ArrayLike],
    level: float = 0.95,
    step_ns: float = 0.0,
    paired: bool = True,
) -> TimeDifference:
    """The mean p50 of a's processes less that of b's, with the intervals of `latency_ratio` in ns, not in logs.

    Raises as that does.
    """
    a_p50, b_p50 = _p50s(a_processes, b_processes, paired=paired)
    if paired:
        value, interval = mean_interval((a_p50 - b_p50).tolist(), level)
    else:
        value, reach = _welch(a_p50, b_p50, level)
        interval = None if reach is None else (value - reach, value + reach)
    low, high = (interval[0] - 2 * step_ns, interval[1] + 2 * step_ns) if interval else (None, None)
    return TimeDifference(value, low, high)


def _p50s(
    a_processes: Sequence[npt.ArrayLike], b_processes: Sequence[npt.ArrayLike], *, paired: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if paired and len(a_processes) != len(b_processes):
        raise ValueError(f"{len(a_processes)} processes of a cannot be paired with {len(b_processes)} of b")
    return _quantiles(_samples(a_processes), 0.5), _quantiles(_samples(b_processes), 0.5)


def _welch(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], level: float
) -> tuple[float, float | None]:
    """The mean of a less that of b, and how far its interval reaches; None where one of them has a single value.

    The degrees of freedom are rounded down, which is wider.
    """
    difference = float(a.mean() - b.mean())
    if min(a.size, b.size) < 2:
        return difference, None
    shares = [float(values.var(ddof=1)) / values.size for values in (a, b)]
    largest = max(shares)
    if largest == 0:
        return difference, 0.0
    # Of shares of the larger one: squares of tiny numbers are 0.
    squares = sum(
        (share / largest) ** 2 / (values.size - 1) for share, values in zip(shares, (a, b), strict=True)
    )
    # What is whole but for rounding is whole: a against b has the degrees of b against a.
    degrees = int((sum(shares) / largest) ** 2 / squares + 1e-6)
    return difference, t_quantile(level, max(1, degrees)) * math.sqrt(sum(shares))


def regression_verdict(
    ratio: Ratio, difference: TimeDifference, max_ratio: float, at_least_ns: float | None = None
) -> Verdict:
    """Whether a is slower than b by more than both bounds allow: over `max_ratio` of its time, and `at_least_ns` more.

    FAIL where both intervals lie above their bounds, PASS where one of them lies at or under its own, else
    INCONCLUSIVE. Without `at_least_ns` the ratio alone decides. Raises as `ratio_verdict` does.
    """
    by_share = ratio_verdict(ratio, max_ratio)
    if at_least_ns is None:
        return by_share
    by_time = at_most(difference.low_ns, difference.high_ns, at_least_ns)
    if "PASS" in (by_share, by_time):
        return "PASS"
    return "FAIL" if by_share == by_time == "FAIL" else "INCONCLUSIVE"


def at_most(low: float | None, high: float | None, bound: float) -> Verdict:
    """PASS where the whole interval low..high is at most `bound`, FAIL where all of it is above, else INCONCLUSIVE."""
    if low is None or high is None:
        return "INCONCLUSIVE"
    return "PASS" if high <= bound else "FAIL" if low > bound else "INCONCLUSIVE"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL where one is, else INCONCLUSIVE where one is or there are none, else PASS."""
    found = set(verdicts)
    return "FAIL" if "FAIL" in found else "PASS" if found == {"PASS"} else "INCONCLUSIVE"


def ratio_verdict(ratio: Ratio, max_ratio: float) -> Verdict:
    """PASS where the whole interval is at most `max_ratio`, FAIL where all of it is above, else INCONCLUSIVE.

    Raises: EdgebigError unless max_ratio is positive and finite.
    """
    if not 0 < max_ratio < math.inf:
        raise EdgebigError(
            f"a latency ratio of at most {max_ratio} is no bound", "use a positive number such as 1.05"
        )
    return at_most(ratio.low, ratio.high, max_ratio)


def speed_verdict(ratio: Ratio) -> Speed:
    """Whether a is faster than b: FASTER where the whole interval is under 1, SLOWER where it is over 1."""
    if ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return "INCONCLUSIVE"
    return "FASTER" if ratio.high < 1 else "SLOWER"


def above_chance(correct: int, labels: npt.NDArray[np.int64]) -> bool:
    """Whether so many right of (N,) labels are more than luck: four standard deviations above the largest class."""
    chance = float(np.bincount(labels).max()) / len(labels)
    return correct / len(labels) > chance + 4.0 * float(np.sqrt(chance * (1.0 - chance) / len(labels)))


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
    z, estimate = _normal_quantile(level), (paired.only_b - paired.only_a) / paired.n
    low = estimate if estimate == -1 else _root(lambda d: _tango(paired, d) - z, -1.0, estimate)
    high = estimate if estimate == 1 else _root(lambda d: _tango(paired, d) + z, estimate, 1.0)
    return AccuracyDifference(100 * estimate, 100 * low, 100 * high)


def accuracy_verdict(paired: McNemar, max_loss_points: float, level: float = 0.95) -> Verdict:
    """Whether b is no more than `max_loss_points` percentage points less accurate than a.

    PASS where the whole interval of `accuracy_difference` is at or above -max_loss_points, FAIL where all of
    it is below, else INCONCLUSIVE: a test of non-inferiority, one-sided at (1 - level) / 2. Raises:
    EdgebigError unless 0 <= max_loss_points <= 100.
    """
    if not 0 <= max_loss_points <= 100:
        raise EdgebigError(
            f"a loss of at most {max_loss_points} points is no bound", "use a number from 0 to 100"
        )
    difference = accuracy_difference(paired, level)
    if difference.low >= -max_loss_points:
        return "PASS"
    return "FAIL" if difference.high < -max_loss_points else "INCONCLUSIVE"


def _samples(processes: Sequence[npt.ArrayLike]) -> list[npt.NDArray[np.float64]]:
    arrays = [np.asarray(process, dtype=np.float64) for process in processes]
    if not arrays or any(array.ndim != 1 or array.size == 0 for array in arrays):
        raise ValueError("wanted at least one process, and a flat sequence of samples in each")
    if not all(np.isfinite(array).all() and (array >= 0).all() for array in arrays):
        raise ValueError("a latency is negative or not finite")
    return arrays


def _quantiles(arrays: list[npt.NDArray[np.float64]], q: float) -> npt.NDArray[np.float64]:
    quantiles = np.array([np.quantile(array, q) for array in arrays])
    if not quantiles.all():
        raise DeviceError(
            "a latency of 0 ns: the device's clock is coarser than one inference",
            "time larger batches of inferences",
        )
    return quantiles


def _typical(values: npt.NDArray[np.float64], level: float) -> tuple[float, Interval | None]:
    """The geometric mean of positive values (k,) and its Student's t interval on the log scale, None for k = 1.

    Logs are of the ratio to the first value, so that equal values give just that value.
    """
    first = float(values[0])
    logs = np.log(values / first)
    typical = first * math.exp(float(logs.mean()))
    if values.size < 2:
        return typical, None
    reach = t_quantile(level, values.size - 1) * float(logs.std(ddof=1)) / math.sqrt(values.size)
    factor = math.exp(min(reach, 600.0))  # 1e260 says "unknown" well enough, and stays finite
    return typical, (typical / factor, typical * factor)


def _normal_quantile(level: float) -> float:
    """The z with a share `level` of a normal distribution within -z and z."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    return statistics.NormalDist().inv_cdf((1 + level) / 2)


def t_quantile(level: float, degrees: int) -> float:
    """The t with a share `level` of Student's distribution within -t and t.

    Source: Abramowitz and Stegun 26.7.3 and 26.7.4, in theta = atan(t / sqrt(degrees)), solved by bisection.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    theta = _root(lambda angle: level - _t_within(angle, degrees), 0.0, math.pi / 2)
    return math.tan(theta) * math.sqrt(degrees)


def _t_within(theta: float, degrees: int) -> float:
    sine, cosine = math.sin(theta), math.cos(theta)
    term = cosine if degrees % 2 else 1.0
    total = term if degrees > 1 else 0.0
    for step in range(2 + degrees % 2, degrees - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (theta + sine * total) if degrees % 2 else sine * total


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0 between low and high, to the last bit or so."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


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
