"""What this machine is, and the conditions under which it measures. What cannot be read is left out, never guessed."""

from __future__ import annotations

import glob
import os
import platform
import sys
import time
from typing import Any

RUNTIME_PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite-runtime"}


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\x00\n ")
    except OSError:
        return None


def facts() -> dict[str, Any]:
    """The machine, its processor, its Python, and the runtimes that are installed (not yet proven to work)."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "release": platform.release(),
        "board": _read("/proc/device-tree/model") or _read("/sys/devices/virtual/dmi/id/product_name"),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_kb": _memory_kb(),
        "python": platform.python_version(),
        "runtimes": {name: version for name in RUNTIME_PACKAGES for version in [_version(name)] if version},
    }


def usable_cores() -> int:
    """The cores that this process may run on, which a container or taskset makes fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or None


def _memory_kb() -> int | None:
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return None


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def now() -> dict[str, Any]:
    """Load, clock, governor and temperatures at this moment."""
    cpu = "/sys/devices/system/cpu/cpu0/cpufreq/"
    clock_khz = _read(cpu + "scaling_cur_freq")
    reading: dict[str, Any] = {
        "unix_s": round(time.time(), 3),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "governor": _read(cpu + "scaling_governor"),
        "clock_khz": int(clock_khz) if clock_khz and clock_khz.isdigit() else None,
        "temperatures_c": _temperatures_c(),
    }
    return {name: value for name, value in reading.items() if value not in (None, {})}


def _temperatures_c() -> dict[str, float]:
    found = {}
    for zone in sorted(glob.glob("/sys/class/thermal/thermal_zone*")):
        milli_c = _read(zone + "/temp")
        if milli_c and milli_c.lstrip("-").isdigit():
            found[_read(zone + "/type") or os.path.basename(zone)] = int(milli_c) / 1000
    return found


def peak_memory_kb() -> int | None:
    """The largest resident size that this process has had."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
