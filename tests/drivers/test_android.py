"""What phones tell of themselves, in their own words, and what a phone that means harm tells."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import adbserver
from edgebig.drivers import adbclient, android
from edgebig.errors import DeviceError, EdgebigError
from edgebig.ondevice.faults import Fault
from tests.drivers import adbd

SECTION = android._SECTION
# A Pixel's, as far as the code reads it: three clusters, and zones that are not all temperatures.
SYSTEM = "\n".join(
    [
        "/proc/loadavg:2.11 2.35 2.40 1/2514 19283",
        "/sys/devices/system/cpu/online:0-7",
        *(f"/sys/devices/system/cpu/cpu{core}/cpu_capacity:{160 if core < 4 else 1024}" for core in range(8)),
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor:sched_pixel",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq:1803000",
        "/sys/class/thermal/thermal_zone0/type:BIG",
        "/sys/class/thermal/thermal_zone0/temp:41500",
        "/sys/class/thermal/thermal_zone1/type:battery_current",
        "/sys/class/thermal/thermal_zone1/temp:-350000",
        "grep: /sys/class/thermal/thermal_zone2/temp: Permission denied",
    ]
)


def test_a_phone_s_conditions() -> None:
    found = android.reading(f"{SYSTEM}\n{SECTION}\n{adbd.THERMAL}\n{SECTION}\n{adbd.BATTERY}")
    assert found["load_1min"] == 2.11  # the phone's, not this host's
    assert (found["governor"], found["clock_khz"]) == ("sched_pixel", 1803000)
    assert found["temperatures_c"] == {
        "AP": 44.8,
        "SKIN": 38.0,
    }  # the hardware's own, no voltage, no sensor at 0
    assert found["throttled"] == {"now": ["light"], "since_boot": []}
    battery = {"battery_percent": 81, "battery_c": 27.4, "battery": "charging", "plugged_in": True}
    assert found["power"] == battery


def test_a_phone_without_a_thermal_service_has_its_zones() -> None:
    found = android.reading(SYSTEM)
    assert found["temperatures_c"] == {"BIG": 41.5}
    assert "throttled" not in found
    assert "power" not in found
    assert not {"load_1min", "temperatures_c"} & set(android.reading(""))


def test_cached_temperatures_stand_in_for_the_hardware_s() -> None:
    text = "Thermal Status: 0\nCached temperatures:\n\tTemperature{mValue=-5.5, mType=3, mName=skin, mStatus=0}\n"
    assert android.thermal_service(text) == (0, {"skin": -5.5})
    assert android.reading(f"{SECTION}{text}")["throttled"]["now"] == []


def test_a_vendor_s_log_behind_the_battery_is_not_its_state() -> None:
    text = adbd.BATTERY + "[EventLogBuffer]\n08-11 18:34:14.721  level: 72\n  temperature: 999\n"
    assert android.battery_service(text)["battery_c"] == 27.4


def test_the_big_cores_are_the_phone_s() -> None:
    assert android.chosen_cores(SYSTEM, "big") == [4, 5, 6, 7]
    assert android.chosen_cores(SYSTEM, "0,2-3") == [0, 2, 3]
    with pytest.raises(Fault, match="no core 8"):
        android.chosen_cores(SYSTEM, "8")


def test_facts() -> None:
    told = adbd.properties(adbd.ARM64).items()
    properties = "\n".join(f"[{name}]: [{value}]" for name, value in told)
    kernel = "aarch64\n6.1.75-android14\n8\nMemTotal:        7579252 kB"
    found = android.facts(f"{properties}\n{SECTION}\n{kernel}\n{SECTION}\nHardware\t: X")
    assert (found["system"], found["sdk"], found["board"]) == ("Android 15", 35, "Nobody Test Phone")
    assert (found["cpu"], found["cores"], found["memory_kb"]) == ("Stand-in 1", 8, 7579252)
    assert (found["machine"], found["emulator"]) == ("aarch64", False)
    assert android.nnapi_is_deprecated(found)
    assert android.facts("[ro.kernel.qemu]: [1]")["emulator"]
    assert android.facts("")["abis"] == []


@pytest.mark.parametrize(
    ("head", "abi"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\x00", "arm64-v8a"),
        (b"\x7fELF\x01\x01\x01" + bytes(11) + b"\x28\x00", "armeabi-v7a"),
        (b"#!/usr/bin/python3 -I", None),
        (b"\x7fELF", None),
    ],
)
def test_a_program_tells_its_processor(head: bytes, abi: str | None) -> None:
    assert android.abi_of(head) == abi


EVIL = [
    "/sys/../../etc/passwd:x",
    "/sys//x:1",
    "/etc/passwd:root",
    "/sys/.:1",
    "sys/a:1",
    "/sys/a/./b:1",
    "/proc:1",
]


@pytest.mark.parametrize("line", EVIL)
def test_a_phone_writes_nowhere_but_in_the_mirror(line: str) -> None:
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "a" / "b" / "mirror"
        folder.mkdir(parents=True)
        android._mirror(line, folder)
        assert [path for path in Path(outer).rglob("*") if path.is_file()] == []


@given(st.text(max_size=300))
def test_no_phone_s_words_crash_it(text: str) -> None:
    android.reading(text)
    android.facts(text)


DEVICES = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R58M12ABCDE\tdevice
0A041FDD4003B7         unauthorized usb:1-2 transport_id:3
HT7A1             no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]
192.168.1.7:5555\toffline

"""


def test_the_list_of_phones() -> None:
    assert adbserver.phones(DEVICES) == {
        "R58M12ABCDE": "device", "0A041FDD4003B7": "unauthorized", "HT7A1": "no permissions",
        "192.168.1.7:5555": "offline",
    }  # fmt: skip
    assert adbserver.phones("error: protocol fault") == {}


@pytest.mark.parametrize(
    ("wanted", "phones", "kind", "words", "hint"),
    [
        ("", {}, DeviceError, "no phone is attached", "USB debugging"),
        ("10.0.0.5:5555", {}, DeviceError, "no phone is attached", "adb connect 10.0.0.5:5555"),
        ("A", {"B": "device"}, DeviceError, "no phone 'A' is attached", "attached: B"),
        ("", {"A": "device", "B": "offline"}, EdgebigError, "2 phones are attached: A, B", "serial"),
        ("", {"A": "unauthorized"}, DeviceError, "phone A has not allowed this computer", "tap Allow"),
        ("A", {"A": "offline", "B": "device"}, DeviceError, "phone A is offline", "reconnect"),
        ("", {"A": "no permissions"}, DeviceError, "phone A may not be opened by this user", "udev"),
        ("", {"A": "recovery"}, DeviceError, "phone A is in recovery", "start Android"),
        ("", {"A": "rescue"}, DeviceError, "is in the state 'rescue'", "plug it in"),
    ],
)
def test_each_way_to_have_no_phone_has_its_mend(
    wanted: str, phones: dict[str, str], kind: type[EdgebigError], words: str, hint: str
) -> None:
    with pytest.raises(EdgebigError, match=words) as caught:
        adbclient.choose(wanted, phones)
    assert type(caught.value) is kind
    assert hint in caught.value.hint


def test_one_phone_needs_no_serial() -> None:
    assert adbclient.choose("", {"A": "device"}) == "A"
    assert adbclient.choose("B", {"A": "device", "B": "device"}) == "B"


def test_without_adb_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgebigError, match="adb is not installed") as caught:
        adbclient.attached()
    assert "apt install adb" in caught.value.hint
