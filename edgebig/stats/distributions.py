"""Quantiles of the normal and of Student's distribution, without scipy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import cache


def normal_quantile(level: float) -> float:
    """The z with a share `level` of a normal distribution within -z and z."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    return statistics.NormalDist().inv_cdf((1 + level) / 2)


@cache
def t_quantile(level: float, degrees: int) -> float:
    """The t with a share `level` of Student's distribution within -t and t.

    Source: Abramowitz and Stegun 26.7.3 and 26.7.4, in theta = atan(t / sqrt(degrees)), solved by bisection.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    theta = root(lambda angle: level - _t_within(angle, degrees), 0.0, math.pi / 2)
    return math.tan(theta) * math.sqrt(degrees)


def _t_within(theta: float, degrees: int) -> float:
    sine, cosine = math.sin(theta), math.cos(theta)
    term = cosine if degrees % 2 else 1.0
    total = term if degrees > 1 else 0.0
    for step in range(2 + degrees % 2, degrees - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (theta + sine * total) if degrees % 2 else sine * total


def root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0 between low and high, to the last bit or so."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
