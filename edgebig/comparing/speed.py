"""Is a model slower than it was? Told only of times that may be held against each other."""

from __future__ import annotations

from dataclasses import dataclass

from edgebig import stats
from edgebig.comparing import surroundings
from edgebig.errors import EdgebigError
from edgebig.measurement import Measurement, ModelResult
from edgebig.stats import Ratio, TimeDifference, Verdict

PAIRED = "measured in turns: Student's t over the processes, in pairs"
SEPARATE = "two sessions: Welch's t over the processes of each"


@dataclass(frozen=True)
class Limits:
    """How much slower b may be: by more than `max_regression` of a's time, and `at_least_ns` more where it is given,
    is too much; and how many points of accuracy it may lose.
    """

    max_regression: float = 0.05
    at_least_ns: float | None = None
    max_loss_points: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.max_regression < 1000:
            raise EdgebigError(f"--max-regression {self.max_regression:.0%}: no bound", "as in 5%")
        stats.accuracy_verdict(stats.McNemar(0, 0, 1.0, 1), self.max_loss_points)


@dataclass(frozen=True)
class Side:
    """A model in its session."""

    record: Measurement
    model: ModelResult

    @property
    def is_wrong(self) -> bool:
        return self.model.verdict == "WRONG"


@dataclass(frozen=True)
class Speed:
    """b's p50 of an inference against a's. verdict None: not compared, and nobody can; `why` says it.

    `method`: where the interval is from. A ratio without a verdict that is told is one of other machines too.
    """

    verdict: Verdict | None
    why: str
    ratio: Ratio | None = None
    difference: TimeDifference | None = None
    method: str = ""


def compare(a: Side, b: Side, limits: Limits) -> Speed:
    """Raises EdgebigError where a record's times are none."""
    if refused := _refused(a, b):
        return refused
    paired = a.record is b.record
    try:
        ratio = b.model.latency.ratio_to(a.model.latency, paired=paired)
        difference = b.model.latency.longer_than(a.model.latency, paired=paired)
    except ValueError as error:
        raise EdgebigError(
            f"{a.model.name}, {b.model.name}: their times are none: {error}",
            "a record is damaged; measure again",
        ) from error
    method = PAIRED if paired else SEPARATE
    if others := surroundings.other_hardware(a.record, b.record):
        why = f"other machines ({others}): the ratio is as much theirs as the model's"
        return Speed("INCONCLUSIVE", why, ratio, difference, method)
    verdict = stats.regression_verdict(ratio, difference, 1 + limits.max_regression, limits.at_least_ns)
    why = ""
    if verdict == "INCONCLUSIVE":
        why = (
            "one process tells no interval"
            if ratio.low is None
            else "the interval holds the bound; more --processes make it narrower"
        )
    return Speed(verdict, why, ratio, difference, method)


def _refused(a: Side, b: Side) -> Speed | None:
    """Why there is nothing to hold against each other, or None."""
    if b.is_wrong:
        return Speed("FAIL", f"B is WRONG, and wrong answers have no time: {b.model.cause}")
    if unreal := _unreal(a.record.provenance, b.record.provenance):
        return unreal
    if apart := _in_a_browser_alone(a.record, b.record):
        return Speed("INCONCLUSIVE", apart)
    if a.is_wrong:
        return Speed("INCONCLUSIVE", f"A is WRONG, and wrong answers have no time: {a.model.cause}")
    untimed = [name for name, side in (("A", a), ("B", b)) if not side.model.latency.processes]
    if untimed:
        verdict: Verdict | None = None if len(untimed) == 2 else "INCONCLUSIVE"
        return Speed(verdict, f"no time was measured in {' and '.join(untimed)}")
    slowed = [
        f"{name} is THROTTLED: {side.model.cause}"
        for name, side in (("A", a), ("B", b))
        if side.model.verdict == "THROTTLED"
    ]
    if slowed:
        return Speed("INCONCLUSIVE", "; ".join(slowed))
    statistics = [side.model.latency.statistic or "median" for side in (a, b)]
    if statistics[0] != statistics[1]:
        return Speed("INCONCLUSIVE", f"A tells the {statistics[0]} of each process, B the {statistics[1]}")
    return None


def _in_a_browser_alone(a: Measurement, b: Measurement) -> str:
    """Why a browser's times, its clock and its WebAssembly, are none beside a program's of that very device."""
    if a.in_browser == b.in_browser:
        return ""
    name, other = ("A", "B") if a.in_browser else ("B", "A")
    return f"{name} was measured in a browser, {other} was not: a browser's times are held against no others"


def _unreal(a: str, b: str) -> Speed | None:
    if a == b == "real":
        return None
    if a == b:
        return Speed(None, f"{a}: its times say nothing of a real device")
    return Speed("INCONCLUSIVE", f"A is {a}, B {b}: only times of real devices are compared")
