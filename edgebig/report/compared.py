"""Two records compared, as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from edgebig.comparing import Compared, Pair
from edgebig.comparing.speed import SEPARATE, Limits, Speed
from edgebig.measurement import ModelResult
from edgebig.report.junit import Case
from edgebig.report.table import duration

_WIDTH = 10


def lines(found: Compared) -> list[str]:
    """All that a terminal shows. Names in it come from files: escape what could steer a terminal."""
    told = [f"A  {found.a}", f"B  {found.b}"] if found.a != found.b else [f"the models of {found.a}"]
    for pair in found.pairs:
        told += ["", _title(pair), *_of_pair(pair, found.limits)]
    told += [f"{name}: in A alone, so that this is no PASS" for name in found.missing]
    told += [f"{name}: in B alone" for name in found.added]
    if found.otherwise:
        width = max(len(one.what) for one in found.otherwise)
        told += ["", "otherwise in B than in A:"]
        told += [f"  {one.what.ljust(width)}  {one.a} -> {one.b}" for one in found.otherwise]
    if any(pair.speed.method == SEPARATE for pair in found.pairs):
        told += [
            "",
            "Two sessions: what was otherwise in all of one (heat, load, clock) is in the ratio and not in its "
            "interval.",
            "Measured in turns it cancels: edgebig compare MODEL MODEL --device NAME",
        ]
    return [*told, "", f"{found.verdict}: {_reason(found)}"]


def _title(pair: Pair) -> str:
    a, b = pair.a.name, pair.b.name
    named = a if a == b else f"{b} against {a}"
    return named if pair.matched_by in ("path", "sha256") and a == b else f"{named}, by {pair.matched_by}"


def _of_pair(pair: Pair, limits: Limits) -> list[str]:
    told = [
        _line("speed", pair.speed.verdict, speed(pair, limits)),
        _line("accuracy", pair.answers.verdict, accuracy(pair, limits)),
        f"  {'size'.ljust(_WIDTH)}{pair.a.size_bytes:,} -> {pair.b.size_bytes:,} bytes",
    ]
    return [*told, *(f"  {one.what.ljust(_WIDTH)}{one.a} -> {one.b}" for one in pair.otherwise)]


def _line(what: str, verdict: str | None, text: str) -> str:
    return f"  {what.ljust(_WIDTH)}{verdict or 'not compared'}: {text}"


def speed(pair: Pair, limits: Limits) -> str:
    """As in: 1.012 of A's time (0.981 .. 1.044), +0.2 us (-0.1 .. +0.6); allowed: 5 % more."""
    found = pair.speed
    parts = [found.why] if found.why else []
    if found.ratio is not None and found.difference is not None:
        parts = [
            f"{_ratio(found)} of A's time, {_difference(found)} at {_p50(pair.a)}",
            _allowed(limits),
            *parts,
        ]
    return "; ".join(parts)


def _ratio(found: Speed) -> str:
    assert found.ratio is not None
    ends = f" ({found.ratio.low:.3f} .. {found.ratio.high:.3f})" if found.ratio.low is not None else ""
    return f"{found.ratio.value:.3f}{ends}"


def _difference(found: Speed) -> str:
    assert found.difference is not None
    low, high = found.difference.low_ns, found.difference.high_ns
    ends = f" ({_signed(low)} .. {_signed(high)})" if low is not None and high is not None else ""
    return f"{_signed(found.difference.value_ns)}{ends}"


def _signed(time_ns: float) -> str:
    return f"{'-' if time_ns < 0 else '+'}{duration(abs(time_ns))}"


def _p50(model: ModelResult) -> str:
    return duration(model.latency.summary["invoke"].p50_ns)


def _allowed(limits: Limits) -> str:
    more = f" and {duration(limits.at_least_ns)}" if limits.at_least_ns is not None else ""
    return f"too much is over {100 * limits.max_regression:g} %{more} more"


def accuracy(pair: Pair, limits: Limits) -> str:
    """As in: 99.60 % -> 99.50 %, -0.10 points (-0.56 .. +0.31; McNemar p = 1); it may lose 0.5."""
    found = pair.answers
    parts = [found.why] if found.why else []
    if found.paired is not None and found.difference is not None and pair.a.accuracy and pair.b.accuracy:
        d = found.difference
        parts = [
            f"{pair.a.accuracy.value:.2%} -> {pair.b.accuracy.value:.2%}, {d.points:+.2f} points ({d.low:+.2f} .. "
            f"{d.high:+.2f}; McNemar p = {found.paired.p_value:.2g}), the same answer for {found.same:,} of "
            f"{found.paired.n:,}",
            f"it may lose {limits.max_loss_points:g}",
            *parts,
        ]
    return "; ".join(parts)


def _reason(found: Compared) -> str:
    parts = [
        (f"{part} of {_short(pair)}", verdict)
        for pair in found.pairs
        for part, verdict in (("speed", pair.speed.verdict), ("accuracy", pair.answers.verdict))
    ]
    if found.verdict == "PASS":
        return f"B is no worse than allowed in all that was compared: {_listed(parts, 'PASS')}"
    if found.verdict == "FAIL":
        return f"B is worse than allowed in {_listed(parts, 'FAIL')}"
    missing = [f"{PurePath(name).name} (not in B)" for name in found.missing]
    open_ = [part for part, verdict in parts if verdict == "INCONCLUSIVE"]
    return f"not told: {', '.join([*open_, *missing]) or 'nothing could be compared'}"


def _short(pair: Pair) -> str:
    return PurePath(pair.b.name).name.removesuffix(".tflite")


def _listed(parts: Sequence[tuple[str, str | None]], verdict: str) -> str:
    return ", ".join(part for part, found in parts if found == verdict)


def cases(found: Compared) -> list[Case]:
    """One for each model and what was compared of it, and one for each model that B lacks."""
    listed = [
        Case(pair.b.name, part, verdict, text)
        for pair in found.pairs
        for part, verdict, text in (
            ("speed", pair.speed.verdict, speed(pair, found.limits)),
            ("accuracy", pair.answers.verdict, accuracy(pair, found.limits)),
        )
    ]
    return [*listed, *(Case(name, "measured", "INCONCLUSIVE", "in A alone") for name in found.missing)]


def properties(found: Compared) -> dict[str, str]:
    """What stands beside the cases: the records, and what was otherwise in them."""
    told = {f"otherwise: {one.what}": f"{one.a} -> {one.b}" for one in found.otherwise}
    return {"A": found.a, "B": found.b, "verdict": found.verdict, **told}
