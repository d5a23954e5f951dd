"""What this machine is, and the conditions under which it measures. What cannot be read is left out, never guessed."""

from __future__ import annotations

import os
import platform
import struct
import sys
import time
from typing import Any

from . import cores, sysfs, throttling

RUNTIME_PACKAGES = {
    "ai-edge-litert": "ai_edge_litert",
    "tflite-runtime": "tflite-runtime",
    "tensorflow": "tensorflow",
}
PACKAGES = ("numpy", "pillow")
_CPU = "sys/devices/system/cpu"
# Processors whose temperature is in no thermal zone; other chips' hwmon temperatures are of disks and boards.
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower")
# Phones give other things than temperatures in "thermal zones" too, such as a battery's current.
_PLAUSIBLE_MILLI_C = range(-40_000, 150_001)


def facts() -> dict[str, Any]:
    """The machine, its processor, its Python, and the runtimes that are installed (not yet proven to work)."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "release": platform.release(),
        "board": sysfs.text("/", "proc/device-tree/model")
        or sysfs.text("/", "sys/devices/virtual/dmi/id/product_name"),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "machine_cores": os.cpu_count(),
        "lse_atomics": _lse_atomics(),
        "memory_kb": _memory_kb(),
        "python": platform.python_version(),
        "bits": struct.calcsize("P") * 8,  # a kernel of 64 may run a system of 32
        "libc": " ".join(platform.libc_ver()).strip(),
        "runtimes": {name: version for name in RUNTIME_PACKAGES for version in [_version(name)] if version},
        "packages": {name: version for name in PACKAGES for version in [_version(name)] if version},
    }


def usable_cores() -> int:
    """The cores that this process may run on, which a container or taskset makes fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str | None:
    for line in (sysfs.text("/", "proc/cpuinfo") or "").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or None


def _lse_atomics() -> bool | None:
    """Whether a 64-bit ARM has them; a Cortex-A53 or A72 has not, and LiteRT's CompiledModel dies there of SIGILL."""
    for line in (sysfs.text("/", "proc/cpuinfo") or "").splitlines():
        if line.startswith("Features") and platform.machine() == "aarch64":
            return "atomics" in line.split(":", 1)[1].split()
    return None


def _memory_kb() -> int | None:
    for line in (sysfs.text("/", "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return None


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def now(root: str = "/") -> dict[str, Any]:
    """Load, clocks, temperatures, throttling and power supply at this moment.

    `governor` and `clock_khz` are of the first core; `clusters` has those of each, with the clock that it may reach now
    (limit_khz) and the one that it was made for (max_khz).
    """
    clocks = _clusters(root)
    reading: dict[str, Any] = {
        "unix_s": round(time.time(), 3),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "governor": clocks[0].get("governor"),
        "clock_khz": clocks[0].get("clock_khz"),
        "clusters": [cluster for cluster in clocks if len(cluster) > 1],
        "temperatures_c": temperatures_c(root),
        "throttled": throttling.firmware(root),
        "throttle_counts": throttling.counts(root),
        "power": _power_supply(root),
    }
    return {name: value for name, value in reading.items() if value not in (None, {}, [])}


def briefly(root: str = "/") -> dict[str, Any]:
    """What of `now` may change within a second; of the temperatures the highest alone."""
    reading, zone = now(root), hottest(root)
    kept = ("unix_s", "load_1min", "clusters", "throttled", "throttle_counts")
    brief = {name: reading[name] for name in kept if name in reading}
    return {**brief, "temperatures_c": dict([zone])} if zone else brief


def _clusters(root: str) -> list[dict[str, Any]]:
    found = []
    for cluster in cores.clusters(root):
        folder = f"{_CPU}/cpu{cluster.cores[0]}/cpufreq"
        reading = {
            "governor": sysfs.text(root, f"{folder}/scaling_governor"),
            "clock_khz": sysfs.number(root, f"{folder}/scaling_cur_freq"),
            "limit_khz": sysfs.number(root, f"{folder}/scaling_max_freq"),
            "max_khz": sysfs.number(root, f"{folder}/cpuinfo_max_freq"),
        }
        known = {name: value for name, value in reading.items() if value}
        found.append({"cores": sysfs.listed(cluster.cores), **known})
    return found


def temperatures_c(root: str = "/") -> dict[str, float]:
    """Every thermal zone's by its type, the second of a type with the zone's name; processors outside them too."""
    found: dict[str, float] = {}
    for zone in sysfs.paths(root, "sys/class/thermal/thermal_zone*"):
        milli_c = sysfs.number(root, f"{zone}/temp")
        if milli_c is not None and milli_c in _PLAUSIBLE_MILLI_C:
            name = sysfs.text(root, f"{zone}/type") or os.path.basename(zone)
            found[f"{name} {os.path.basename(zone)}" if name in found else name] = milli_c / 1000
    for chip in sysfs.paths(root, "sys/class/hwmon/hwmon*"):
        driver = sysfs.text(root, f"{chip}/name")
        for sensor in sysfs.paths(root, f"{chip}/temp*_input") if driver in _CPU_SENSORS else []:
            milli_c = sysfs.number(root, sensor)
            if milli_c is not None and milli_c in _PLAUSIBLE_MILLI_C:
                label = sysfs.text(root, sensor.replace("_input", "_label")) or os.path.basename(sensor)
                found[f"{driver} {label}"] = milli_c / 1000
    return found


def hottest(root: str = "/") -> tuple[str, float] | None:
    """The zone that is hottest and its temperature in degrees Celsius; None where none can be read."""
    zones = temperatures_c(root)
    return max(zones.items(), key=lambda zone: zone[1]) if zones else None


def _power_supply(root: str) -> dict[str, Any]:
    """Whether it runs from the mains or from a battery, and how full that is; {} where Linux shows no supply."""
    reading: dict[str, Any] = {}
    for supply in sysfs.paths(root, "sys/class/power_supply/*"):
        kind = sysfs.text(root, f"{supply}/type") or ""
        if kind == "Battery" and sysfs.text(root, f"{supply}/scope") != "Device":
            reading["battery"] = (sysfs.text(root, f"{supply}/status") or "unknown").lower()
            reading["battery_percent"] = sysfs.number(root, f"{supply}/capacity")
        elif kind == "Mains" or kind.startswith("USB"):
            reading["plugged_in"] = bool(reading.get("plugged_in") or sysfs.number(root, f"{supply}/online"))
    return {name: value for name, value in reading.items() if value is not None}


def peak_memory_kb(root: str = "/") -> int | None:
    """The largest resident size that this process has had, since its program began."""
    for line in (sysfs.text(root, "proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    # Elsewhere than on Linux; there it would count what the process was before it became this program.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def is_mapped(path: str, root: str = "/") -> bool | None:
    """Whether this process has the file mapped, and not read into memory of its own; None where that is not told."""
    maps = sysfs.text(root, "proc/self/maps")
    return None if maps is None else any(line.endswith(os.path.realpath(path)) for line in maps.splitlines())
