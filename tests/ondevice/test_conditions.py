"""What a machine tells of its state, as real boards write it; cooling that ends, and ends in time."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.ondevice import conditions, cooling, throttling
from edgebig.ondevice.faults import Fault
from tests.ondevice import machines


def test_a_raspberry_pi_4(tmp_path: Path) -> None:
    reading = conditions.now(machines.make(tmp_path, machines.PI_4))
    assert reading["governor"] == "ondemand"
    assert reading["clock_khz"] == 1_800_000
    assert reading["clusters"] == [
        {
            "cores": "0-3",
            "governor": "ondemand",
            "clock_khz": 1800000,
            "limit_khz": 1800000,
            "max_khz": 1800000,
        }
    ]
    assert reading["temperatures_c"] == {"cpu-thermal": 48.686}
    assert reading["throttled"] == {"now": [], "since_boot": []}
    assert "power" not in reading
    assert "throttle_counts" not in reading


def test_a_raspberry_pi_5_with_too_weak_a_supply(tmp_path: Path) -> None:
    reading = conditions.now(machines.make(tmp_path, machines.PI_5))
    both = ["under-voltage", "throttled"]
    assert reading["throttled"] == {"now": both, "since_boot": both}
    assert conditions.hottest(str(tmp_path)) == ("cpu-thermal", 61.15)


def test_a_laptop(tmp_path: Path) -> None:
    reading = conditions.now(machines.make(tmp_path, machines.INTEL_LAPTOP))
    assert reading["temperatures_c"] == {
        "INT3400 Thermal": 20.0, "SEN1": 45.05, "acpitz": 47.0, "acpitz thermal_zone3": 0.0, "pch_cannonlake": 44.5,
        "x86_pkg_temp": 52.0, "coretemp Package id 0": 52.0, "coretemp Core 0": 50.0,
    }  # fmt: skip
    # The package's count stands at each of its cores.
    assert reading["throttle_counts"] == {"core": 3, "package": 11}
    assert reading["power"] == {"plugged_in": True, "battery": "not charging", "battery_percent": 79}
    assert "throttled" not in reading


def test_a_phone_that_is_hot(tmp_path: Path) -> None:
    reading = conditions.now(machines.make(tmp_path, machines.PHONE))
    assert [(c["cores"], c["limit_khz"], c["max_khz"]) for c in reading["clusters"]] == [
        ("0-3", 1803000, 1803000), ("4-5", 2253000, 2253000), ("6-7", 2252000, 2802000),
    ]  # fmt: skip
    assert "ibat" not in reading["temperatures_c"]
    assert reading["power"] == {"battery": "discharging", "battery_percent": 63, "plugged_in": False}
    brief = conditions.briefly(str(tmp_path))
    assert brief["temperatures_c"] == {"BIG": 67.0}
    assert set(brief) <= {"unix_s", "load_1min", "clusters", "temperatures_c"}


def test_a_machine_that_tells_nothing_is_left_out(tmp_path: Path) -> None:
    assert set(conditions.now(str(tmp_path))) <= {"unix_s", "load_1min"}
    assert conditions.hottest(str(tmp_path)) is None


DAMAGED = ["", "garbage", "-", "1e3", "9" * 40, "\x00", "0x10", "1 2"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_file_with_something_else_in_it_counts_as_none(text: str, tmp_path: Path) -> None:
    files = machines.PI_4 | machines.INTEL_LAPTOP
    root = machines.make(tmp_path, {name: body for name, body in files.items() if "usr/bin" not in name})
    for path in Path(root).rglob("*"):
        if path.is_file():
            path.write_text(text)
    reading = conditions.now(root)
    assert not any(
        reading.get(name) for name in ("clock_khz", "temperatures_c", "throttled", "throttle_counts")
    )


def test_this_machine_can_be_read() -> None:
    reading = conditions.now()
    assert reading["unix_s"] > 1.7e9
    assert all(-40 <= value <= 150 for value in reading.get("temperatures_c", {}).values())


# ---------------------------------------------------------------- throttling


@given(st.integers(0, 2**32 - 1))
def test_every_bit_has_its_word(value: int) -> None:
    words = throttling.decode(value)
    back = sum(1 << bit for bit, name in throttling._BITS.items() if name in words["now"])
    back += sum(1 << bit + 16 for bit, name in throttling._BITS.items() if name in words["since_boot"])
    assert back == value & 0xF000F


def test_the_kernels_file_stands_in_for_vcgencmd(tmp_path: Path) -> None:
    root = machines.make(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "50000"})
    assert throttling.firmware(root) == {"now": [], "since_boot": ["under-voltage", "throttled"]}


FAILING = {
    "not in the group video": "#!/bin/sh\necho 'Can not open device file: /dev/vcio' >&2; exit 255",
    "says something else": "#!/bin/sh\necho throttled=maybe",
    "says nothing": "#!/bin/sh",
    "cannot be started": "\x7fELF",
}


@pytest.mark.parametrize("program", FAILING.values(), ids=FAILING)
def test_a_vcgencmd_that_does_not_answer_is_no_throttling(program: str, tmp_path: Path) -> None:
    root = machines.make(tmp_path, {"usr/bin/vcgencmd": program})
    assert throttling.firmware(root) is None


def test_a_vcgencmd_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_TIMEOUT_S", 0.2)
    assert (
        throttling.firmware(machines.make(tmp_path, {"usr/bin/vcgencmd": "#!/bin/sh\nexec sleep 60"})) is None
    )


# ---------------------------------------------------------------- memory


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_a_file_that_is_mapped_is_told_from_one_that_was_read(tmp_path: Path) -> None:
    import mmap

    mapped, read = tmp_path / "mapped", tmp_path / "read"
    for path in (mapped, read):
        path.write_bytes(b"x" * 5000)
    read.read_bytes()
    with mapped.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        assert conditions.is_mapped(str(mapped)) is True
        assert conditions.is_mapped(os.path.relpath(mapped)) is True
        assert conditions.is_mapped(str(read)) is False


def test_the_peak_is_this_programs_own() -> None:
    peak_kb = conditions.peak_memory_kb()
    assert peak_kb is not None
    assert 5_000 < peak_kb < 100_000_000


# ---------------------------------------------------------------- cooling


def cooling_of(wanted_c: float | None, root: str) -> cooling.Cooling:
    return cooling.Cooling(wanted_c, lambda: conditions.hottest(root))


class Board:
    """A clock that sleeping moves, and a zone that follows `course`, degrees by seconds."""

    def __init__(self, folder: Path, course: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.now_s, self.course = machines.make(folder, machines.PI_4), 0.0, course
        self.zone = folder / "sys/class/thermal/thermal_zone0/temp"
        monkeypatch.setattr(cooling, "time", self)
        self.sleep(0)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        degrees = self.course(self.now_s)
        if degrees is None:
            self.zone.unlink(missing_ok=True)
        else:
            self.zone.write_text(f"{round(degrees * 1000)}\n")


def test_it_waits_until_it_is_cool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(tmp_path, lambda s: 80 - s / 2, monkeypatch)
    *waiting, last = cooling_of(60.0, board.root).wait()
    assert {event["event"] for event in waiting} == {"cooling"}
    assert len(waiting) == 20
    assert (last["when"], last["reached"], last["waited_s"], last["hottest_c"]) == (
        "cool-down",
        True,
        40.0,
        60.0,
    )


def test_a_cool_board_is_not_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(tmp_path, lambda _: 35, monkeypatch)
    (only,) = cooling_of(60.0, board.root).wait()
    assert (only["reached"], only["waited_s"]) == (True, 0.0)


ENDLESS = {
    "warm room": (lambda s: max(65.0, 80 - s), "it stays at 65.0 C", 75),
    "too slowly": (lambda s: 90 - s * 0.02, "600 s of waiting are over", 600),
    "sensor is gone": (lambda s: 70 if s < 10 else None, "can no longer be read", 10),
}


@pytest.mark.parametrize(("course", "why", "seconds"), ENDLESS.values(), ids=ENDLESS)
def test_it_gives_up_and_says_why(
    course: Any, why: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(tmp_path, course, monkeypatch)
    cool = cooling_of(60.0, board.root)
    last = list(cool.wait())[-1]
    assert not last["reached"]
    assert why in last["why"]
    assert seconds - 2 <= board.now_s <= seconds + 2
    assert list(cool.wait()) == []  # never again in this job


def test_all_waits_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(tmp_path, lambda s: 80 - (s % 100) / 5, monkeypatch)
    cool = cooling_of(61.0, board.root)
    for _ in range(20):
        list(cool.wait())
        board.sleep(100 - board.now_s % 100)  # heats up again
    assert sum(1 for _ in cool.wait()) == 0
    assert board.now_s >= cooling.BUDGET_S


def test_without_a_thermometer_no_cool_down_is_promised(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no temperature can be read here"):
        cooling_of(50.0, str(tmp_path))
    assert list(cooling_of(None, str(tmp_path)).wait()) == []


def test_an_impatient_clock_is_not_the_walls() -> None:
    """time.time() jumps when a Pi without a battery clock first reaches the network."""
    calls = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(cooling)))
        if isinstance(node, ast.Attribute)
    }
    assert "time" not in calls
