"""The statistics of a benchmark: intervals, paired comparisons and verdicts. numpy only.

Two rules carry it.

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

from edgebig.stats.answers import AccuracyDifference, McNemar, accuracy_difference, mcnemar
from edgebig.stats.distributions import t_quantile
from edgebig.stats.intervals import (
    P99_NEEDS_SAMPLES,
    Accuracy,
    Interval,
    LatencySummary,
    above_chance,
    accuracy_interval,
    latency_summary,
    mean_interval,
    told_summary,
)
from edgebig.stats.latencies import Ratio, TimeDifference, latency_difference, latency_ratio
from edgebig.stats.verdicts import (
    Speed,
    Verdict,
    accuracy_verdict,
    at_most,
    overall,
    ratio_verdict,
    regression_verdict,
    speed_verdict,
)

__all__ = [
    "P99_NEEDS_SAMPLES",
    "Accuracy",
    "AccuracyDifference",
    "Interval",
    "LatencySummary",
    "McNemar",
    "Ratio",
    "Speed",
    "TimeDifference",
    "Verdict",
    "above_chance",
    "accuracy_difference",
    "accuracy_interval",
    "accuracy_verdict",
    "at_most",
    "latency_difference",
    "latency_ratio",
    "latency_summary",
    "mcnemar",
    "mean_interval",
    "overall",
    "ratio_verdict",
    "regression_verdict",
    "speed_verdict",
    "t_quantile",
    "told_summary",
]
