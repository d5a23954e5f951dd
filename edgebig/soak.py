"""What a long run shows that a short one hides: drift, and how its end differs from its beginning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import stats
from edgebig.stats import Ratio

FIRST_S = 60.0
_BLOCKS, _BLOCK_POINTS = 20, 10
_LEAST_BLOCKS = 4
_END_BLOCKS = 4
_NO_VARIANCE = 1e-100
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """How much slower it becomes, in per cent a minute, with its 95 % interval."""

    percent_a_minute: float
    low: float
    high: float


@dataclass(frozen=True)
class Soak:
    """`points`: about one a second, [seconds since it began, invokes, p50 in ns, p90 in ns or None if untold].

    `ends`: p50 of the last `ends_s` seconds over that of the first; `processes` of it are blocks. `throttled`: the
    seconds in which the device said that it was slowed down, and by what.
    """

    points: tuple[tuple[float, int, int, int | None], ...]
    drift: Drift | None
    ends: Ratio | None
    ends_s: float
    throttled: tuple[tuple[float, str], ...]


def measured(events: Sequence[dict[str, Any]], throttled: Sequence[tuple[float, str]]) -> Soak | None:
    """From a model's `soak` events; None without any."""
    if not events:
        return None
    points = tuple(
        (float(event["at_s"]), int(event["invokes"]), int(event["p50_ns"]), event["p90_ns"])
        for event in events
    )
    at_s, p50_ns = np.array([point[0] for point in points]), np.array([max(1, point[2]) for point in points])
    ends_s = min(FIRST_S, float(at_s[-1]) / 2)
    return Soak(points, drift(at_s, p50_ns), ends(at_s, p50_ns, ends_s), ends_s, tuple(throttled))


def drift(at_s: npt.ArrayLike, p50_ns: npt.ArrayLike, level: float = 0.95) -> Drift | None:
    """The slope of log latency over time, per cent a minute; None where there are fewer than 40 points.

    `at_s`, `p50_ns`: (n,), about one a second. Neighbouring seconds are alike, and some are a stall of the machine: the
    line is laid through the medians of up to 20 blocks, and the interval is Student's t on its slope.

    Measured coverage of the 95 % interval, 1,000 simulations of autocorrelated seconds (lag-one 0.8): 94 % over ten
    minutes, 88 to 90 % over one to five; `ends` 95 and 90 to 95 %.
    """
    times, logs = np.asarray(at_s, dtype=np.float64), np.log(np.asarray(p50_ns, dtype=np.float64))
    count = min(_BLOCKS, len(times) // _BLOCK_POINTS)
    if count < _LEAST_BLOCKS:
        return None
    x, y = _block_medians(times, count), _block_medians(logs, count)
    spread = x - x.mean()
    slope = float(spread @ y / (spread @ spread))
    residuals = y - y.mean() - slope * spread
    error = math.sqrt(float(residuals @ residuals) / (count - 2) / float(spread @ spread))
    reach = stats.t_quantile(level, count - 2) * error
    return Drift(*(_per_minute(value) for value in (slope, slope - reach, slope + reach)))


def ends(at_s: npt.ArrayLike, p50_ns: npt.ArrayLike, ends_s: float, level: float = 0.95) -> Ratio | None:
    """p50 of the last `ends_s` seconds over that of the first; None where either has fewer than 4 points.

    Both are taken as the medians of up to 4 blocks; the interval is Welch's t on the logs.
    """
    times, logs = np.asarray(at_s, dtype=np.float64), np.log(np.asarray(p50_ns, dtype=np.float64))
    first, last = logs[times <= ends_s], logs[times > times[-1] - ends_s]
    if min(len(first), len(last)) < _LEAST_BLOCKS:
        return None
    a, b = (_block_medians(part, min(_END_BLOCKS, len(part) // 2)) for part in (last, first))
    value = float(a.mean() - b.mean())
    variances = [float(part.var(ddof=1)) / part.size for part in (a, b)]
    reach = 0.0
    if (total := sum(variances)) > _NO_VARIANCE:
        parts = sum(variance**2 / (part.size - 1) for variance, part in zip(variances, (a, b), strict=True))
        reach = stats.t_quantile(level, max(1, int(total**2 / parts))) * math.sqrt(total)
    reach = min(reach, 600.0)
    return Ratio(math.exp(value), math.exp(value - reach), math.exp(value + reach), a.size)


def _block_medians(values: Floats, count: int) -> Floats:
    return np.array([np.median(part) for part in np.array_split(values, count)])


def _per_minute(slope_a_second: float) -> float:
    return 100 * math.expm1(max(-50.0, min(50.0, 60 * slope_a_second)))
