"""Two records, or the models of one: has it become slower, or worse, and what else was otherwise?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgebig import stats
from edgebig.comparing import answers, pairs, speed, surroundings
from edgebig.comparing.answers import Answers
from edgebig.comparing.speed import Limits, Side, Speed
from edgebig.comparing.surroundings import Otherwise
from edgebig.errors import EdgebigError
from edgebig.measurement import Measurement, ModelResult
from edgebig.stats import Verdict

COMPARED_SCHEMA = 1


@dataclass(frozen=True)
class Pair:
    """Model b against model a. `matched_by`: how they were found to be one; `otherwise`: what their delegates did."""

    a: ModelResult
    b: ModelResult
    matched_by: str
    speed: Speed
    answers: Answers
    otherwise: tuple[Otherwise, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        return [part.verdict for part in (self.speed, self.answers) if part.verdict is not None]


@dataclass(frozen=True)
class Compared:
    """`a`, `b`: where the records are from; of one record they are the same. `missing`, `added`: names in a or b alone.

    The verdict is the worst of all that was compared; a model that b lacks makes it no PASS.
    """

    a: str
    b: str
    limits: Limits
    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    otherwise: tuple[Otherwise, ...]
    verdict: Verdict


def records(a: Measurement, b: Measurement, limits: Limits, names: tuple[str, str]) -> Compared:
    """Two sessions; models are matched. Raises EdgebigError where the records have no model in common."""
    found = pairs.match(a.models, b.models)
    if not found.pairs:
        raise EdgebigError(
            f"{names[0]} and {names[1]} have no model in common: {_listed(a.models)}; {_listed(b.models)}",
            "compare records of the same models, or of one each",
        )
    compared = [_pair(Side(a, one), Side(b, other), by, limits) for one, other, by in found.pairs]
    missing = tuple(model.name for model in found.missing)
    added = tuple(model.name for model in found.added)
    return _whole(names, limits, compared, missing, added, surroundings.otherwise(a, b))


def within(record: Measurement, limits: Limits, name: str) -> Compared:
    """Every model of one session against its first, measured in turns. Raises EdgebigError where there is but one."""
    if len(record.models) < 2:
        raise EdgebigError(
            f"{name}: one model, and nothing to compare it with", "edgebig compare A.json B.json"
        )
    first = Side(record, record.models[0])
    compared = [
        _pair(first, Side(record, model), "being measured in turns", limits) for model in record.models[1:]
    ]
    return _whole((name, name), limits, compared, (), (), ())


def _pair(a: Side, b: Side, by: str, limits: Limits) -> Pair:
    return Pair(
        a.model,
        b.model,
        by,
        speed.compare(a, b, limits),
        answers.compare(a, b, limits),
        _delegates(a.model, b.model),
    )


def _delegates(a: ModelResult, b: ModelResult) -> tuple[Otherwise, ...]:
    told = [f"{m.delegate.actual} took {m.delegate.nodes} of {m.delegate.of} operators" for m in (a, b)]
    return (Otherwise("delegate", told[0], told[1]),) if told[0] != told[1] else ()


def _whole(
    names: tuple[str, str],
    limits: Limits,
    compared: Sequence[Pair],
    missing: tuple[str, ...],
    added: tuple[str, ...],
    otherwise: tuple[Otherwise, ...],
) -> Compared:
    verdicts: list[Verdict] = [verdict for pair in compared for verdict in pair.verdicts]
    verdicts += ["INCONCLUSIVE"] * (len(missing) + sum(not pair.verdicts for pair in compared))
    return Compared(*names, limits, tuple(compared), missing, added, otherwise, stats.overall(verdicts))


def _listed(models: Sequence[ModelResult]) -> str:
    return ", ".join(model.name for model in models)


def record(found: Compared) -> dict[str, Any]:
    """All of it as JSON values."""
    values = asdict(found)
    values["pairs"] = [
        {
            "matched_by": pair.matched_by,
            "a": _summary(pair.a),
            "b": _summary(pair.b),
            "speed": asdict(pair.speed),
            "accuracy": asdict(pair.answers),
            "otherwise": [asdict(one) for one in pair.otherwise],
        }
        for pair in found.pairs
    ]
    return {"schema": COMPARED_SCHEMA, **values}


def _summary(model: ModelResult) -> dict[str, Any]:
    summary = model.latency.summary.get("invoke") if model.verdict != "WRONG" else None
    return {
        "name": model.name,
        "sha256": model.sha256,
        "verdict": model.verdict,
        "size_bytes": model.size_bytes,
        "p50_ns": summary.p50_ns if summary else None,
        "accuracy": model.accuracy.value if model.accuracy else None,
    }
