"""What a soak's statistics say of series whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import soak
from edgebig.soak import Soak


def events(p50_ns: Any, every_s: float = 1.0) -> list[dict[str, Any]]:
    return [
        {
            "at_s": round((index + 1) * every_s, 3),
            "invokes": 100,
            "p50_ns": int(value),
            "p90_ns": int(value * 1.1),
        }
        for index, value in enumerate(p50_ns)
    ]


def measured(p50_ns: Any) -> Soak:
    found = soak.measured(events(p50_ns), [])
    assert found is not None
    return found


def autocorrelated(n: int, lag_one: float, draw: np.random.Generator) -> Any:
    noise = np.empty(n)
    noise[0] = draw.normal() / math.sqrt(1 - lag_one**2)
    for index in range(1, n):
        noise[index] = lag_one * noise[index - 1] + draw.normal()
    return noise


def test_what_slows_down_evenly_is_found() -> None:
    seconds = np.arange(1, 601)
    draw = np.random.default_rng(1)
    found = measured(1e6 * np.exp(0.02 * seconds / 60 + 0.002 * draw.normal(size=600)))
    assert found.drift is not None
    assert found.drift.low < 100 * math.expm1(0.02) < found.drift.high
    assert found.drift.high - found.drift.low < 0.2
    assert found.ends is not None
    assert found.ends_s == 60.0
    assert found.ends.low is not None
    assert found.ends.value == pytest.approx(math.exp(0.02 * 9), rel=0.01)
    assert found.ends.low > 1.15


def test_what_stays_as_it_is_has_no_drift() -> None:
    draw = np.random.default_rng(2)
    found = measured(1e6 * np.exp(0.01 * autocorrelated(600, 0.5, draw)))
    assert found.drift is not None
    assert found.ends is not None
    assert found.ends.low is not None
    assert found.ends.high is not None
    assert found.drift.low < 0 < found.drift.high
    assert found.ends.low < 1 < found.ends.high


def test_stalls_of_some_seconds_are_no_drift() -> None:
    p50_ns = np.full(600, 1e6) * (1 + 0.001 * np.random.default_rng(3).normal(size=600))
    p50_ns[500:504] *= 50
    found = measured(p50_ns)
    assert found.drift is not None
    assert abs(found.drift.percent_a_minute) < 0.02


def test_a_step_down_in_clock_shows_at_the_ends() -> None:
    found = measured([1_000_000 + i % 7 for i in range(150)] + [1_500_000 + i % 7 for i in range(150)])
    assert found.ends is not None
    assert found.ends.value == pytest.approx(1.5, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "lag_one", "least"), [(600, 0.0, 0.92), (600, 0.8, 0.90), (120, 0.5, 0.88)])
def test_the_intervals_hold_what_they_promise(n: int, lag_one: float, least: float) -> None:
    draw, seconds = np.random.default_rng(0), np.arange(1, n + 1.0)
    held = [0, 0]
    for _ in range(400):
        p50_ns = 1e6 * np.exp(0.01 * autocorrelated(n, lag_one, draw) + 0.01 * seconds / 60)
        drift, ends = soak.drift(seconds, p50_ns), soak.ends(seconds, p50_ns, min(60, n / 2))
        assert drift is not None
        assert ends is not None
        assert ends.low is not None
        assert ends.high is not None
        held[0] += drift.low <= 100 * math.expm1(0.01) <= drift.high
        apart_s = n - min(60, n / 2)
        held[1] += ends.low <= math.exp(0.01 * apart_s / 60) <= ends.high
    assert min(held) / 400 >= least


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_any_series_gives_finite_figures_in_order(p50_ns: list[int]) -> None:
    found = measured(p50_ns)
    assert len(found.points) == len(p50_ns)
    if found.drift is not None:
        assert -100 <= found.drift.low <= found.drift.percent_a_minute <= found.drift.high < math.inf
    if found.ends is not None:
        assert found.ends.low is not None
        assert found.ends.high is not None
        assert 0 <= found.ends.low <= found.ends.value <= found.ends.high < math.inf


def test_too_short_a_soak_claims_nothing() -> None:
    found = measured([1000] * 5)
    assert (found.drift, found.ends) == (None, None)
    assert soak.measured([], []) is None
