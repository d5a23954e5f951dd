"""Joules an inference, from watts and counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edgebig import energy, stats
from edgebig.energy import Energy

SOURCE = {"source": "RAPL package-0", "why": ""}


def phase(watts: float, idle: float, invokes: int = 1000, seconds: float = 1.0) -> dict[str, float]:
    return {"watts": watts, "idle_watts": idle, "invokes": invokes, "seconds": seconds}


def test_the_idle_floor_is_taken_off() -> None:
    found = energy.measured(SOURCE, [phase(12.0, 2.0), phase(13.0, 2.0), phase(11.0, 2.0)])
    assert found.joules == pytest.approx(0.010)
    mean, interval = stats.mean_interval([0.010, 0.011, 0.009])
    assert (found.joules, (found.low, found.high)) == (pytest.approx(mean), interval)
    assert found.shown
    assert found.processes[0] == (pytest.approx(0.010), 12.0, 2.0)


def test_what_is_lost_in_the_idle_power_is_not_shown() -> None:
    found = energy.measured(SOURCE, [phase(2.1, 2.0), phase(1.9, 2.0), phase(2.0, 2.0)])
    assert found.low is not None
    assert found.low < 0
    assert not found.shown


def test_of_one_process_there_is_no_interval() -> None:
    found = energy.measured(SOURCE, [phase(3.0, 2.0)])
    assert (found.joules, found.low, found.shown) == (pytest.approx(0.001), None, False)


def test_why_nothing_was_measured() -> None:
    assert energy.measured(None, []) == Energy()
    assert energy.measured({"source": None, "why": "no battery"}, []).why == "not measurable here: no battery"
    assert energy.measured(SOURCE, []).why == "no process came to it"


def test_a_record_of_before_is_read() -> None:
    adapter = TypeAdapter(Energy)
    assert energy.of_text("not measured") == Energy(why="not measured")
    found = energy.measured(SOURCE, [phase(12.0, 2.0), phase(13.0, 2.5)])
    assert adapter.validate_python(json.loads(adapter.dump_json(found))) == found


@given(st.floats(0.001, 1e4), st.floats(0, 1e3), st.integers(1, 10**9), st.floats(0.01, 100))
def test_as_much_is_taken_off_as_was_idle(active: float, idle: float, invokes: int, seconds: float) -> None:
    found = energy.measured(SOURCE, [phase(active + idle, idle, invokes, seconds)] * 2)
    assert found.joules is not None
    assert found.joules * invokes == pytest.approx(active * seconds, rel=1e-6, abs=1e-9)
