"""What people read of the circumstances: nothing that was not measured, and each reason in words."""

from __future__ import annotations

from typing import Any

import pytest

from edgebig import energy, soak
from edgebig.energy import Energy
from edgebig.measurement import Measurement, ModelResult, Open
from edgebig.report import circumstances, table
from tests.report import test_table

PHASES = [{"watts": 4.0 + k / 50, "idle_watts": 2.5, "seconds": 1.0, "invokes": 2000} for k in range(5)]


def model(**changes: Any) -> ModelResult:
    return test_table.model("runs/a/int8.tflite", **changes)


def record(*models: ModelResult, **changes: Any) -> Measurement:
    return test_table.measurement(*models, **changes)


def conditions(*readings: dict[str, Any]) -> tuple[Open, ...]:
    return tuple(Open.model_validate(reading) for reading in readings)


def test_joules_stand_with_their_interval_and_source() -> None:
    found = energy.measured({"source": "RAPL package-0", "why": ""}, PHASES)
    (line,) = circumstances.of_model(model(energy=found))
    assert line == (
        "770 uJ an inference (750 uJ .. 790 uJ); 4.04 W while it runs, 2.50 W idle, by RAPL package-0"
    )


def test_joules_that_are_lost_in_the_idle_power_are_no_figure() -> None:
    phases = [{**phase, "watts": 2.4 + k / 10} for k, phase in enumerate(PHASES)]
    (line,) = circumstances.of_model(model(energy=energy.measured({"source": "PMIC", "why": ""}, phases)))
    assert line.startswith("energy not told apart from idling (")


def test_why_there_is_no_energy_is_said_once() -> None:
    none = Energy(why="not measurable here: no battery")
    assert circumstances.of_session(
        record(model(energy=none), test_table.model("b.tflite", energy=none))
    ) == ["energy not measurable here: no battery"]
    assert circumstances.of_session(record(model())) == []  # nobody asked


def test_memory_with_what_was_there_before() -> None:
    full = model(peak_memory_kb=48_200, memory_baseline_kb=38_100, model_mapped=True)
    assert circumstances.memory(full) == "peak memory 48 MB, 38 MB of it before the model, its file mapped"
    assert circumstances.memory(model(peak_memory_kb=48_200)) == "peak memory 48 MB"
    assert circumstances.memory(model(peak_memory_kb=None)) == ""
    assert "its file read into memory" in circumstances.memory(
        full.model_copy(update={"model_mapped": False})
    )


def test_a_soak_in_two_lines() -> None:
    events = [
        {"at_s": float(second), "invokes": 10, "p50_ns": 100_000 + 100 * second, "p90_ns": 130_000}
        for second in range(1, 121)
    ]
    course, figures = circumstances.of_model(model(soak=soak.measured(events, [(90.0, "throttled")])))
    assert course == (
        "soak of 120 s, p50 in us, each of 12 s: 100.7 101.8 103 104.2 105.5 106.7 107.8 109 110.2 111.5"
    )
    assert figures.startswith("soak: drift +5.8")
    assert "last 60 s 1.058 of the first's time (" in figures
    assert figures.endswith("throttled in 1 s of it, first at 90 s: throttled")


@pytest.mark.parametrize("seconds", [1, 3, 11])
def test_a_short_soak_shows_its_course_alone(seconds: int) -> None:
    events = [{"at_s": k + 1.0, "invokes": 1, "p50_ns": 1000, "p90_ns": 1000} for k in range(seconds)]
    lines = circumstances.of_model(model(soak=soak.measured(events, [])))
    assert lines[0].startswith(f"soak of {seconds} s, p50 in us, ")
    assert len(lines) == (1 if seconds < 8 else 2)


def test_what_it_ran_on_and_waited_for_and_what_held_it_back() -> None:
    readings = conditions(
        {"when": "before", "throttled": {"now": [], "since_boot": ["under-voltage"]},
         "power": {"battery": "discharging", "battery_percent": 63}},
        {"when": "placed", "process": 0, "cores": "6-7", "nice": -5},
        {"when": "cool-down", "reached": True, "hottest_c": 49.0, "wanted_c": 50.0, "waited_s": 3.0, "zone": "cpu",
         "why": ""},
        {"when": "cool-down", "reached": False, "hottest_c": 57.25, "wanted_c": 50.0, "waited_s": 75.1, "zone": "cpu",
         "why": "it stays at 57.2 C: the room, or another program, keeps it warm"},
    )  # fmt: skip
    assert circumstances.of_session(record(model(), conditions=readings)) == [
        "ran on cores 6-7 at nice -5",
        "cool-down to 50 C given up after 75 s, cpu at 57.2 C: it stays at 57.2 C: the room, or another program, "
        "keeps it warm",
        "before it began: since it booted: under-voltage",
        "on its battery at 63 %, which may hold its clock back",
    ]


def test_the_table_has_them_and_shows_none_of_wrong_answers() -> None:
    found = energy.measured({"source": "RAPL package-0", "why": ""}, PHASES)
    assert any("an inference" in line for line in table.notes(record(model(energy=found))))
    wrong = model(energy=found, verdict="WRONG", cause="outputs differ")
    assert not any("an inference" in line for line in table.notes(record(wrong)))


def test_throttled_is_a_verdict_with_its_cause() -> None:
    slowed = model(verdict="THROTTLED", cause="under-voltage")
    assert "int8: THROTTLED: under-voltage" in table.notes(record(slowed))


def test_a_record_of_before_is_still_read() -> None:
    old = record(model(energy="not measured")).models[0]
    assert old.energy == Energy()
    assert (old.soak, old.memory_baseline_kb) == (None, None)
