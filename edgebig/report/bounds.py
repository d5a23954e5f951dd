"""Bounds and what came of them, a line each, and as cases for a CI."""

from __future__ import annotations

from pathlib import PurePath

from edgebig.bounds import Outcome
from edgebig.campaign import Found, Row
from edgebig.report.junit import Case
from edgebig.report.table import duration
from edgebig.stats import Verdict

# Of a measurement's own verdict, whatever bounds there are; the others are right answers.
_VERDICTS: dict[str, Verdict | None] = {"WRONG": "FAIL", "TOO BIG": "FAIL", "UNCHECKED": None}


def line(outcome: Outcome) -> str:
    """As in: digits: PASS: frame p90 31.2 us (30.9 us .. 31.6 us), at most 5,000 us."""
    model = PurePath(outcome.model).name.removesuffix(".tflite")
    return f"{model}: {outcome.verdict}: {_told(outcome)}"


def _told(outcome: Outcome) -> str:
    wanted = "at least" if outcome.what == "accuracy" else "at most"
    ends = ""
    if outcome.low is not None and outcome.high is not None and outcome.low != outcome.high:
        ends = f" ({_figure(outcome, outcome.low)} .. {_figure(outcome, outcome.high)})"
    value = f" {_figure(outcome, outcome.value)}{ends}" if outcome.value is not None else ""
    why = f"; {outcome.why}" if outcome.why else ""
    return f"{outcome.what}{value}, {wanted} {_figure(outcome, outcome.limit)}{why}"


def _figure(outcome: Outcome, value: float) -> str:
    if outcome.what == "accuracy":
        return f"{value:.2%}"
    return f"{value:,.0f} bytes" if outcome.what == "size" else duration(value)


def cases(found: Found, outcomes: list[tuple[Row, Outcome]], lacking: list[str]) -> list[Case]:
    """Each device that failed, what each model's outputs are worth, each bound; `lacking`: whom a delegate did not take
    whole, where that was required.
    """
    listed = []
    for row in found.rows:
        if row.failure is not None:
            # Of a sweep, of which another setting was measured, it is what the sweep found out.
            is_found_out = row.device in found.best
            listed.append(Case(row.name, "measured", None if is_found_out else "ERROR", row.failure.told))
        for model in row.measurement.models if row.measurement else ():
            told = f"{model.verdict}: {model.cause}" if model.cause else model.verdict
            listed.append(
                Case(_subject(row, model.name), "outputs", _VERDICTS.get(model.verdict, "PASS"), told)
            )
    listed += [
        Case(_subject(row, outcome.model), outcome.what, outcome.verdict, _told(outcome))
        for row, outcome in outcomes
    ]
    return [*listed, *(Case(text.partition(": ")[0], "delegate", "FAIL", text) for text in lacking)]


def _subject(row: Row, model: str) -> str:
    return f"{row.name}: {model}"
