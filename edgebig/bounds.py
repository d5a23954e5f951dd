"""Does what was measured keep within bounds? Told by the ends of its interval, and of nothing that has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgebig import stats
from edgebig.errors import EdgebigError
from edgebig.measurement import Measurement, ModelResult
from edgebig.stats import Verdict


@dataclass(frozen=True)
class Bounds:
    """None where there is none. The times are of the whole frame where pictures were sent, else of the inference.

    Raises EdgebigError where one is no bound.
    """

    min_accuracy: float | None = None
    max_p50_ns: float | None = None
    max_p90_ns: float | None = None
    max_size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.min_accuracy is not None and not 0 < self.min_accuracy <= 1:
            raise EdgebigError(f"--min-accuracy {self.min_accuracy:g}: no bound", "as in 0.99 or 99%")
        for name in ("max_p50_ns", "max_p90_ns", "max_size_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                option = name.replace("_", "-").removesuffix("-ns").removesuffix("-bytes")
                raise EdgebigError(f"--{option} {value:g}: no bound", "give more than nothing")


@dataclass(frozen=True)
class Outcome:
    """One bound of one model. `what`: accuracy, "frame p90", "inference p50", size; value, low, high and limit are in
    its unit (a share, ns, bytes); None where nothing was measured, and then `why` says it.
    """

    model: str
    what: str
    limit: float
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str = ""


def check(record: Measurement, bounds: Bounds) -> tuple[Outcome, ...]:
    """The bounds that there are, of each model."""
    return tuple(outcome for model in record.models for outcome in _of_model(record, model, bounds))


def _of_model(record: Measurement, model: ModelResult, bounds: Bounds) -> Iterator[Outcome]:
    if bounds.min_accuracy is not None:
        yield _accuracy(record, model, bounds.min_accuracy)
    for name, limit_ns in (("p50", bounds.max_p50_ns), ("p90", bounds.max_p90_ns)):
        if limit_ns is not None:
            yield _time(record, model, name, limit_ns)
    if (limit := bounds.max_size_bytes) is not None:
        size = float(model.size_bytes)
        yield Outcome(model.name, "size", limit, size, size, size, "PASS" if size <= limit else "FAIL")


def _accuracy(record: Measurement, model: ModelResult, limit: float) -> Outcome:
    found = model.accuracy
    if found is None:
        return _untold(
            model, "accuracy", limit, "it was not measured: the model has no card, or its tool no answers"
        )
    if record.provenance == "fake":
        return _untold(model, "accuracy", limit, "fake: its answers are made up")
    # At least the limit: wrong at most the rest.
    verdict = stats.at_most(-found.high, -found.low, -limit)
    return Outcome(
        model.name, "accuracy", limit, found.value, found.low, found.high, verdict, _straddled(verdict)
    )


def _time(record: Measurement, model: ModelResult, name: str, limit_ns: float) -> Outcome:
    latency = model.latency
    part = "frame" if "frame" in latency.summary else "inference"
    what = f"{part} {name}"
    if model.verdict == "WRONG":
        return Outcome(model.name, what, limit_ns, None, None, None, "FAIL", "wrong answers have no time")
    if why := _no_time(record, model, part, name):
        return _untold(model, what, limit_ns, why)
    summary = latency.summary["frame" if part == "frame" else "invoke"]
    value_ns, interval = (
        (summary.p50_ns, summary.p50_interval_ns)
        if name == "p50"
        else (summary.p90_ns, summary.p90_interval_ns)
    )
    low, high = interval or (None, None)
    if model.verdict == "THROTTLED":
        return Outcome(model.name, what, limit_ns, value_ns, low, high, "INCONCLUSIVE", model.cause)
    verdict = stats.at_most(low, high, limit_ns)
    why = "one process tells no interval" if low is None else _straddled(verdict)
    return Outcome(model.name, what, limit_ns, value_ns, low, high, verdict, why)


def _no_time(record: Measurement, model: ModelResult, part: str, name: str) -> str:
    """Why its times do not tell the p50 or p90; "" where they do."""
    latency = model.latency
    if record.provenance != "real":
        return f"{record.provenance}: its times say nothing of a real device"
    if not latency.processes:
        return "no time was measured"
    if latency.statistic == "mean" and name == "p50":
        return "its tool tells the mean, and no p50"
    if name == "p90" and latency.summary["frame" if part == "frame" else "invoke"].p90_ns is None:
        return "its tool tells no p90"
    if name == "p90" and part == "inference" and max(latency.batch, default=1) > 1:
        return (
            "its samples are means over a batch, which hide the slow ones; with a card whole frames are timed"
        )
    return ""


def _untold(model: ModelResult, what: str, limit: float, why: str) -> Outcome:
    return Outcome(model.name, what, limit, None, None, None, "INCONCLUSIVE", why)


def _straddled(verdict: Verdict) -> str:
    return "its interval holds the bound: measure more" if verdict == "INCONCLUSIVE" else ""
