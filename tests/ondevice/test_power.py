"""Joules from every source that a real machine has, and the reason where it has none that can be read."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.ondevice import energy, power
from tests.ondevice import machines


@contextlib.contextmanager
def as_a_user_without_rights() -> Iterator[None]:
    """Root may read everything, and the files are root's."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def meter_of(root: str) -> power.Meter:
    meter, why = power.find(root)
    assert meter is not None, why
    return meter


def test_rapl_is_the_package_and_not_its_parts_nor_its_twin(tmp_path: Path) -> None:
    meter = meter_of(machines.make(tmp_path, machines.INTEL_LAPTOP))
    assert (meter.source, meter.counter) == ("RAPL package-0", True)
    assert meter.read() == [262_143.0]
    assert meter.ranges == [262_143.32885]


def test_dram_is_counted_beside_the_package(tmp_path: Path) -> None:
    dram = {
        "sys/class/powercap/intel-rapl:0:1/name": "dram",
        "sys/class/powercap/intel-rapl:0:1/energy_uj": "5000000",
        "sys/class/powercap/intel-rapl:0:1/max_energy_range_uj": "65712999613",
    }
    meter = meter_of(machines.make(tmp_path, machines.INTEL_LAPTOP | dram))
    assert meter.source == "RAPL package-0 + dram"
    assert meter.read() == [262_143.0, 5.0]


def test_rapl_that_only_root_may_read_says_so(tmp_path: Path) -> None:
    root = machines.make(tmp_path, machines.INTEL_LAPTOP)
    for folder in (tmp_path, *tmp_path.parents):
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o011)
    secret = Path(root) / "sys/class/powercap/intel-rapl:0/energy_uj"
    secret.chmod(0o400 if os.geteuid() == 0 else 0)
    with as_a_user_without_rights():
        meter, why = power.find(root)
    assert meter is None
    assert "only root may read it (sudo chmod a+r /sys/class/powercap/intel-rapl:0/energy_uj" in why
    assert "the battery is not charging: unplug the device" in why


def test_the_pmic_of_a_raspberry_pi_5(tmp_path: Path) -> None:
    meter = meter_of(machines.make(tmp_path, machines.PI_5))
    assert "Raspberry Pi 5" in meter.source
    assert not meter.counter
    rails = {
        "3V7_WL_SW": 0.05855580 * 3.61069200, "3V3_SYS": 0.06148359 * 3.29982600, "1V8_SYS": 0.13272650 * 1.81684800,
        "DDR_VDD2": 0.13955800 * 1.10109800, "DDR_VDDQ": 0.00980400 * 0.60366240, "1V1_SYS": 0.19811380 * 1.10292900,
        "0V8_SW": 0.34157550 * 0.80292960, "VDD_CORE": 5.03652000 * 0.89369880, "3V3_DAC": 0.00006105 * 3.29944700,
        "3V3_ADC": 0.00054945 * 3.30402600, "0V8_AON": 0.00531135 * 0.79618980, "HDMI": 0.02161170 * 4.92450000,
    }  # fmt: skip
    assert meter.read() == [pytest.approx(sum(rails.values()))]
    assert 5 < meter.read()[0] < 8


def test_a_raspberry_pi_4_has_none(tmp_path: Path) -> None:
    meter, why = power.find(machines.make(tmp_path, machines.PI_4))
    assert meter is None
    assert why == "Linux shows no RAPL, no power sensor and no battery here"


@given(st.text())
def test_a_pmic_that_says_anything_gives_watts_or_a_reason(said: str) -> None:
    with contextlib.suppress(power.Unreadable):
        assert power.pmic_watts(said) >= 0


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z0-9_]{1,8}", fullmatch=True),
        st.tuples(st.floats(0, 9), st.floats(0, 9)),
        min_size=1,
    )
)
def test_the_rails_add_up(rails: dict[str, tuple[float, float]]) -> None:
    lines = [f"  {name}_A current({i})={a:.8f}A" for i, (name, (a, _)) in enumerate(rails.items())]
    lines += [f"  {name}_V volt({i})={v:.8f}V" for i, (name, (_, v)) in enumerate(rails.items())]
    expected = sum(a * v for a, v in rails.values())
    assert power.pmic_watts("\n".join([*lines, "EXT5V_V volt(24)=4.92450000V"])) == pytest.approx(
        expected, abs=1e-5
    )


def test_a_jetson_is_measured_where_its_power_comes_in(tmp_path: Path) -> None:
    meter = meter_of(machines.make(tmp_path, machines.JETSON))
    assert meter.source == "ina3221 hwmon1 VDD_IN"
    assert meter.read() == [pytest.approx(5.056 * 0.944)]


def test_an_ina219_is_taken_and_a_graphics_card_is_not(tmp_path: Path) -> None:
    meter = meter_of(machines.make(tmp_path, machines.INA219))
    assert (meter.source, meter.read()) == ("ina219 hwmon3 power1_input", [3.2])


def test_of_two_sensors_none_is_guessed(tmp_path: Path) -> None:
    second = {
        name.replace("hwmon3", "hwmon4"): text for name, text in machines.INA219.items() if "hwmon3" in name
    }
    meter, why = power.find(machines.make(tmp_path, machines.INA219 | second))
    assert meter is None
    assert "several power sensors (ina219 hwmon3 power1_input, ina219 hwmon4 power1_input)" in why


def test_a_battery_tells_what_is_drawn(tmp_path: Path) -> None:
    meter = meter_of(machines.make(tmp_path, machines.PHONE))
    assert meter.read() == [pytest.approx(0.4125 * 3.954375)]


BATTERIES: dict[str, tuple[dict[str, str | None], str]] = {
    "charging": ({"status": "Charging"}, "the battery is charging: unplug"),
    "full": ({"status": "Full"}, "the battery is full: unplug"),
    "in mA": ({"current_now": "-412"}, "current_now of -412 cannot be uA"),
    "no voltage": ({"voltage_now": None}, "does not tell its voltage"),
    "nothing": ({"current_now": None, "charge_counter": None}, "neither its power, nor its current"),
}


@pytest.mark.parametrize(("changes", "why"), BATTERIES.values(), ids=BATTERIES)
def test_a_battery_that_does_not_tell_says_why(
    changes: dict[str, str | None], why: str, tmp_path: Path
) -> None:
    changed = {f"sys/class/power_supply/battery/{name}": text for name, text in changes.items()}
    files = {name: text for name, text in (machines.PHONE | changed).items() if text is not None}
    meter, reason = power.find(machines.make(tmp_path, files))
    assert meter is None
    assert why in reason


def test_a_charge_that_sinks_is_energy(tmp_path: Path) -> None:
    files = {name: text for name, text in machines.PHONE.items() if "current_now" not in name}
    meter = meter_of(machines.make(tmp_path, files))
    before = meter.read()[0]
    (tmp_path / "sys/class/power_supply/battery/charge_counter").write_text("2801000\n")
    assert meter.counter
    assert meter.read()[0] - before == pytest.approx(1e-3 * 3600 * 3.954375)  # 1 mAh


@given(st.floats(0, 1e6), st.floats(0, 1e5), st.floats(1, 1e6))
def test_a_counter_that_began_again_is_seen_through(before: float, used: float, wraps_at: float) -> None:
    before, used = before % wraps_at, used % wraps_at
    after = (before + used) % wraps_at
    assert power.joules_between(before, after, wraps_at) == pytest.approx(used, abs=1e-6 * wraps_at)


class Counter:
    """A meter whose counter moves by `watts` of real time, and begins again at 100 J."""

    def __init__(self, watts: float) -> None:
        self.watts, self.began_s = watts, time.monotonic()

    def read(self) -> list[float]:
        return [(99.9 + self.watts * (time.monotonic() - self.began_s)) % 100]

    def meter(self) -> power.Meter:
        return power.Meter("counter", True, 0.1, self.read, [100.0])


def test_a_counter_gives_the_mean_power_over_its_wrap() -> None:
    recorder = power.Recorder(Counter(40.0).meter())
    recorder.start()
    time.sleep(0.1)
    assert recorder.stop() == pytest.approx(40.0, rel=0.02)


def test_watts_are_averaged_and_the_sampler_ends() -> None:
    readings = iter([2.0, *[4.0] * 1000])
    recorder = power.Recorder(power.Meter("sensor", False, 0.1, lambda: [next(readings)], []))
    recorder.start()
    time.sleep(0.35)
    assert 2.0 < recorder.stop() < 4.0
    assert recorder._sampler is None


def around(meter: power.Meter | None, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken = energy.Energy.__new__(energy.Energy)
    taken._meter, taken._why = meter, ""
    return list(taken.around(event for event in events))


PHASE = [
    {"event": "sample"},
    {"event": "energy_begin", "model": "a"},
    {"event": "energy", "model": "a", "invokes": 10, "seconds": 0.1},
]


def test_a_run_of_inferences_gets_its_watts_and_those_of_idling() -> None:
    sample, told = around(Counter(20.0).meter(), PHASE)
    assert sample == {"event": "sample"}
    assert told["idle_watts"] == pytest.approx(20.0, rel=0.05)
    assert (told["model"], told["invokes"]) == ("a", 10)


def test_without_a_meter_the_marks_are_dropped() -> None:
    assert around(None, PHASE) == [{"event": "sample"}]


def test_a_job_that_is_given_up_leaves_no_sampler() -> None:
    before = threading.active_count()
    taken = energy.Energy.__new__(energy.Energy)
    taken._meter, taken._why = power.Meter("sensor", False, 0.01, lambda: [1.0], []), ""
    steps = taken.around(event for event in [*PHASE[1:2], {"event": "sample"}])
    assert next(steps) == {"event": "sample"}
    assert threading.active_count() == before + 1
    steps.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("answers", [0, 1, 2, 3])
def test_a_meter_that_stops_to_answer_is_told_once_and_measures_on(answers: int) -> None:
    left = iter([5.0] * answers)

    def read() -> list[float]:
        try:
            return [next(left)]
        except StopIteration:
            raise power.Unreadable("it is gone") from None

    seen = around(power.Meter("flaky", True, 0.01, read, [100.0]), [*PHASE, *PHASE])
    assert [event for event in seen if event["event"] == "sample"] == [{"event": "sample"}] * 2
    assert [event["why"] for event in seen if event["event"] == "energy_source"] == ["it is gone"]
    assert not [event for event in seen if event["event"] == "energy"]
