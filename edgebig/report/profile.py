"""A profile as lines: the operators that take the most time, each with its share."""

from __future__ import annotations

from edgebig.measurement import ModelResult
from edgebig.profile import Operator, Profile

_SHOWN = 12


def lines(model: ModelResult, asked: bool) -> list[str]:
    """Of what a model's operators took; where it was `asked` for and there is none, a line that says so."""
    profile = model.profile
    if profile is None:
        return ["no profile: this way of measuring it tells no times of operators"] if asked else []
    inside = f"; {model.delegate.actual} names its own and drops what is below a whole us of each"
    head = (
        f"{profile.total_us:,.1f} us in operators, the mean of {profile.invokes:,} inferences with the profiler on"
        f"{inside if _inside(profile) else ''}:"
    )
    return [head, *(_row(operator, profile) for operator in _most(profile)), *_rest(profile)]


def _inside(profile: Profile) -> bool:
    return any(operator.inside for operator in profile.operators)


def _most(profile: Profile) -> list[Operator]:
    return sorted(profile.operators, key=lambda operator: -operator.us)[:_SHOWN]


def _row(operator: Operator, profile: Profile) -> str:
    share = operator.us / profile.total_us if profile.total_us else 0.0
    return f"  {share:6.1%} {operator.us:12,.1f} us  {operator.node:3} {operator.operator}"


def _rest(profile: Profile) -> list[str]:
    rest = len(profile.operators) - _SHOWN
    if rest <= 0:
        return []
    rest_us = profile.total_us - sum(operator.us for operator in _most(profile))
    return [f"  {rest_us / profile.total_us:6.1%} {rest_us:12,.1f} us      {rest} more"]
