"""What an interval says of a bound: PASS, FAIL or INCONCLUSIVE."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from edgebig.errors import EdgebigError
from edgebig.stats.answers import McNemar, accuracy_difference
from edgebig.stats.latencies import Ratio, TimeDifference

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Speed = Literal["FASTER", "SLOWER", "INCONCLUSIVE"]


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
