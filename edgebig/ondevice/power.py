"""What tells this machine's power or energy: RAPL, a board's sensors, a Raspberry Pi 5's PMIC, or a battery."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Callable, NamedTuple

from . import sysfs, throttling

_PERIOD_S = 0.1
# Documentation/hwmon/ina2xx.rst, ina209.rst, ina238.rst, ina3221.rst; acpi_power_meter.rst; Asahi Linux's macsmc-hwmon.
_SENSORS = re.compile(r"(ina|sq)[0-9]{3,5}[a-z]?|ina2xx|power_meter|macsmc_hwmon")
# Labels of the rail that feeds the whole board: NVIDIA's Jetsons (VDD_IN, POM_5V_IN), Apple's SMC.
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0", "Total System Power")
_LEAST_CURRENT_UA = 5_000


class Meter(NamedTuple):
    """A source of power readings. `read` gives joules so far if `counter`, one value a zone, else watts, one value.

    `ranges`: where each counter begins again from 0, in joules. `phase_s`: how long a reading must last.
    """

    source: str
    counter: bool
    phase_s: float
    read: Callable[[], list[float]]
    ranges: list[float]


class Unreadable(Exception):
    """Why a source that is there gives nothing."""


def find(root: str = "/") -> tuple[Meter | None, str]:
    """The best meter of this machine and "", or None and why there is none."""
    reasons = []
    for source in (_rapl, _sensor, _pmic, _battery):
        try:
            meter = source(root)
            if meter is not None:
                meter.read()
                return meter, ""
        except Unreadable as error:
            reasons.append(str(error))
    return None, "; ".join(reasons) or "Linux shows no RAPL, no power sensor and no battery here"


def _value(root: str, path: str) -> int:
    """Raises Unreadable where the file that must be there gives no number."""
    found = sysfs.number(root, path)
    if found is None:
        raise Unreadable(f"/{path} cannot be read")
    return found


def _rapl(root: str) -> Meter | None:
    """Documentation/power/powercap/powercap.rst: the packages, and the DRAM that is counted beside them."""
    zones = []
    for zone in sysfs.paths(root, "sys/class/powercap/intel-rapl:*"):
        name = sysfs.text(root, f"{zone}/name") or ""
        if name.startswith("package-") or name == "dram":
            zones.append((zone, name))
    if not zones:
        return None
    files = [f"{zone}/energy_uj" for zone, _ in zones]
    if any(not os.access(os.path.join(root, file), os.R_OK, effective_ids=True) for file in files):
        raise Unreadable(
            f"RAPL is there, but only root may read it (sudo chmod a+r /{files[0]}, until it boots)"
        )
    return Meter(
        "RAPL " + " + ".join(name for _, name in zones),
        counter=True,
        phase_s=1.0,
        read=lambda: [_value(root, file) / 1e6 for file in files],
        ranges=[(sysfs.number(root, f"{zone}/max_energy_range_uj") or 0) / 1e6 for zone, _ in zones],
    )


def _sensor(root: str) -> Meter | None:
    """A power channel of a chip that measures a board's supply; where there are several, the one of the whole board."""
    channels: dict[str, Callable[[], list[float]]] = {}
    for chip in sysfs.paths(root, "sys/class/hwmon/hwmon*"):
        driver = sysfs.text(root, f"{chip}/name") or ""
        if _SENSORS.fullmatch(driver):
            for label, read in _channels(root, chip):
                channels[f"{driver} {os.path.basename(chip)} {label}"] = read
    whole = [name for name in channels if name.endswith(_WHOLE_BOARD)]
    chosen = whole or list(channels)
    if len(chosen) > 1:
        raise Unreadable(
            f"several power sensors ({', '.join(chosen)}): which feeds the whole board is not known"
        )
    return Meter(chosen[0], False, 2.0, channels[chosen[0]], []) if chosen else None


def _channels(root: str, chip: str) -> list[tuple[str, Callable[[], list[float]]]]:
    """Each channel's label and what reads its watts: power (uW), else current (mA) by voltage (mV) of one number."""
    found: list[tuple[str, Callable[[], list[float]]]] = []
    for file in [*sysfs.paths(root, f"{chip}/power*_input"), *sysfs.paths(root, f"{chip}/power*_average")]:
        label = sysfs.text(root, re.sub("_(input|average)$", "_label", file)) or os.path.basename(file)
        found.append((label, lambda file=file: [_value(root, file) / 1e6]))  # type: ignore[misc]
    if found:
        return found
    for current in sysfs.paths(root, f"{chip}/curr*_input"):
        voltage = current.replace("curr", "in")
        name = sysfs.text(root, voltage.replace("_input", "_label"))
        # Unlabelled channels of an INA3221 are not connected, and its fourth is the sum of the others.
        if name and sysfs.number(root, voltage) is not None:

            def watts(current: str = current, voltage: str = voltage) -> list[float]:
                return [_value(root, current) * _value(root, voltage) / 1e6]

            found.append((name, watts))
    return found


def pmic_watts(said: str) -> float:
    """Sum over the rails of `vcgencmd pmic_read_adc`, each its current times its voltage.

    EXT5V and BATT have a voltage only. Raises Unreadable where no rail has both.
    """
    found = re.findall(r"^\s*(\S+)_([AV]) (?:current|volt)\([0-9]+\)=([0-9.]+)[AV]\s*$", said, re.MULTILINE)
    try:
        amperes, volts = ({rail: float(value) for rail, unit, value in found if unit == of} for of in "AV")
    except ValueError as error:
        raise Unreadable(f"vcgencmd pmic_read_adc says what is no number: {error}") from error
    rails = set(amperes) & set(volts)
    if not rails:
        raise Unreadable("vcgencmd pmic_read_adc names no rail with a current and a voltage")
    return sum(amperes[rail] * volts[rail] for rail in rails)


def _pmic(root: str) -> Meter | None:
    said = throttling.vcgencmd("pmic_read_adc", root)
    if said is None or "error" in said:
        return None  # no Raspberry Pi, or one before the 5, whose firmware does not know the command
    return Meter(
        "PMIC of the Raspberry Pi 5, all its rails",
        counter=False,
        phase_s=2.0,
        read=lambda: [pmic_watts(throttling.vcgencmd("pmic_read_adc", root) or "")],
        ranges=[],
    )


def _battery(root: str) -> Meter | None:
    """Documentation/ABI/testing/sysfs-class-power. Only while it is discharged: else the charger's power is missing."""
    batteries = [
        supply
        for supply in sysfs.paths(root, "sys/class/power_supply/*")
        if sysfs.text(root, f"{supply}/type") == "Battery" and sysfs.text(root, f"{supply}/scope") != "Device"
    ]
    if not batteries:
        return None
    battery = batteries[0]
    if len(batteries) > 1:
        raise Unreadable(f"{len(batteries)} batteries, which share the load")
    status = (sysfs.text(root, f"{battery}/status") or "unknown").lower()
    if status != "discharging":
        raise Unreadable(f"the battery is {status}: unplug the device, and it tells what is drawn")
    name = f"battery {os.path.basename(battery)}"
    if sysfs.number(root, f"{battery}/power_now"):
        return Meter(name, False, 10.0, lambda: [abs(_value(root, f"{battery}/power_now")) / 1e6], [])
    if sysfs.number(root, f"{battery}/voltage_now") is None:
        raise Unreadable("the battery does not tell its voltage")
    current = sysfs.number(root, f"{battery}/current_now")
    if current is not None:
        return _by_current(root, battery, name, current)
    if sysfs.number(root, f"{battery}/charge_counter") is None:
        raise Unreadable("the battery tells neither its power, nor its current, nor its charge")
    volts = _value(root, f"{battery}/voltage_now") / 1e6
    # The voltage wavers by more than the charge moves: it is read once.
    return Meter(
        f"{name}, its charge",
        counter=True,
        phase_s=30.0,
        read=lambda: [-_value(root, f"{battery}/charge_counter") * 3600e-6 * volts],
        ranges=[0.0],
    )


def _by_current(root: str, battery: str, name: str, current_ua: int) -> Meter:
    # Its sign differs from driver to driver, and some phones give mA where uA are documented.
    if abs(current_ua) < _LEAST_CURRENT_UA:
        raise Unreadable(f"the battery's current_now of {current_ua} cannot be uA, as Linux documents it")

    def watts() -> list[float]:
        return [abs(_value(root, f"{battery}/current_now")) * _value(root, f"{battery}/voltage_now") / 1e12]

    return Meter(f"{name}, its current", False, 10.0, watts, [])


def joules_between(before: float, after: float, wraps_at: float) -> float:
    """What a counter went on by, in joules, where it began again from 0 at most once."""
    return after - before if after >= before or not wraps_at else after - before + wraps_at


class Recorder:
    """The mean power from `start` to `stop`: of a counter from its two readings, else from ten readings a second."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._readings: list[float] = []
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None
        self._failed: Unreadable | None = None

    def start(self) -> None:
        """Raises Unreadable."""
        self._started_s, self._before = time.monotonic(), self._meter.read()
        if not self._meter.counter:
            self._readings, self._failed = list(self._before), None
            self._stop.clear()
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()

    def stop(self) -> float:
        """Watts. Raises Unreadable."""
        if self._sampler is None:
            passed_s, after = time.monotonic() - self._started_s, self._meter.read()
            zones = zip(self._before, after, self._meter.ranges)
            return sum(joules_between(*zone) for zone in zones) / max(passed_s, 1e-9)
        self.close()
        if self._failed is not None:
            raise self._failed
        return sum(self._readings) / len(self._readings)

    def close(self) -> None:
        """Ends the sampling that may still go on."""
        if self._sampler is not None:
            self._stop.set()
            self._sampler.join()
            self._sampler = None

    def _sample(self) -> None:
        try:
            while not self._stop.wait(_PERIOD_S):
                self._readings += self._meter.read()
        except Unreadable as error:
            self._failed = error
