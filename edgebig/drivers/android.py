"""What an Android phone says of itself: getprop, /sys, dumpsys. Text in, records out; nothing is run."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from edgebig.ondevice import conditions, cores

_CPU = "/sys/devices/system/cpu"
# One grep prints them all as path:value; what conditions.now reads of a board is read of a phone by the same code.
_FILES = (
    "/proc/loadavg", f"{_CPU}/online", f"{_CPU}/cpu[0-9]*/cpu_capacity",
    *(f"{_CPU}/cpu[0-9]*/cpufreq/{name}"
      for name in ("scaling_governor", "scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")),
    *(f"{_CPU}/cpufreq/policy*/{name}" for name in ("related_cpus", "cpuinfo_max_freq")),
    *(f"/sys/class/thermal/thermal_zone*/{name}" for name in ("type", "temp")),
    *(f"/sys/class/power_supply/*/{name}" for name in ("type", "scope", "status", "capacity", "online")),
)  # fmt: skip
# A phone is no more trusted than a stranger's archive: its files may land in the mirror's folder and nowhere else.
_LINE = re.compile(r"/((?:sys|proc)(?:/[A-Za-z0-9_@+-][A-Za-z0-9_.@:+-]*)+):(.*)")
_SECTION = "edgebig-section"
READ_SYSTEM = f"grep -sH . {' '.join(_FILES)}"
READ_CONDITIONS = (
    f"{READ_SYSTEM}; echo {_SECTION}; dumpsys thermalservice 2>/dev/null; "
    f"echo {_SECTION}; dumpsys battery 2>/dev/null; true"
)
READ_FACTS = (
    f"getprop; echo {_SECTION}; uname -m; uname -r; nproc; grep MemTotal /proc/meminfo; "
    f"echo {_SECTION}; grep -E '^(model name|Hardware)' /proc/cpuinfo; true"
)
# android.os.Temperature and PowerManager: types that are temperatures, and what a thermal status is called.
_TEMPERATURE_TYPES = (0, 1, 2, 3, 4, 5, 9, 10, 11, 12)
_THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_PLAUSIBLE_C = (-40.0, 150.0)
# What the processor of an ELF file is called in ro.product.cpu.abilist, by e_machine.
_ABIS = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}
_NNAPI_DEPRECATED_SINCE = 35


def properties(text: str) -> dict[str, str]:
    """`[name]: [value]`, a line each, as getprop prints them."""
    return dict(re.findall(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", text, re.MULTILINE))


def facts(text: str) -> dict[str, Any]:
    """The phone's account of itself, from what READ_FACTS printed. What it does not tell is left out, or None."""
    properties_text, kernel, processor = (*text.split(_SECTION), "", "")[:3]
    told = properties(properties_text)
    lines = kernel.split("\n")
    words = [line.strip() for line in lines if line.strip()]
    maker, model = told.get("ro.product.manufacturer", ""), told.get("ro.product.model", "")
    soc = f"{told.get('ro.soc.manufacturer', '')} {told.get('ro.soc.model', '')}".strip()
    named = re.search(r":\s*(.+)", processor)
    sdk = told.get("ro.build.version.sdk", "")
    return {
        "machine": words[0] if words else None,
        "system": f"Android {told.get('ro.build.version.release', '?')}",
        "sdk": int(sdk) if sdk.isdigit() else None,
        "release": words[1] if len(words) > 1 else None,
        "board": f"{maker} {model}".strip() or None,
        "cpu": soc or told.get("ro.board.platform") or (named[1].strip() if named else None),
        "cores": next((int(word) for word in words[2:3] if word.isdigit()), None),
        "memory_kb": next((int(word.split()[1]) for word in words if word.startswith("MemTotal:")), None),
        "abis": abis(told),
        "emulator": "1" in (told.get("ro.kernel.qemu"), told.get("ro.boot.qemu")),
        "python": "",
        "runtimes": {},
    }


def abis(told: dict[str, str]) -> list[str]:
    """The processors whose programs it runs, the best first; [] where it does not say."""
    listed = told.get("ro.product.cpu.abilist") or told.get("ro.product.cpu.abi", "")
    return [abi for abi in listed.split(",") if abi]


def abi_of(head: bytes) -> str | None:
    """The processor that a program is for, from its first 20 bytes; None where it is no ELF file, or a rare one."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    order = "big" if head[5] == 2 else "little"
    return _ABIS.get(int.from_bytes(head[18:20], order))  # type: ignore[arg-type]


def nnapi_is_deprecated(machine: dict[str, Any]) -> bool:
    sdk = machine.get("sdk")
    return isinstance(sdk, int) and sdk >= _NNAPI_DEPRECATED_SINCE


def reading(text: str) -> dict[str, Any]:
    """The phone's conditions, from what READ_CONDITIONS printed, with the keys of a board's `conditions.now`."""
    system, thermal, battery = (*text.split(_SECTION), "", "")[:3]
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        _mirror(system, Path(folder))
        found = conditions.now(folder)
    found.pop("load_1min", None)  # of the host
    load = re.search(r"^/proc/loadavg:([0-9.]+) ", system, re.MULTILINE)
    found |= {"load_1min": float(load[1])} if load else {}
    status, temperatures_c = thermal_service(thermal)
    if temperatures_c:
        found["temperatures_c"] = temperatures_c
    if status is not None:
        found["throttled"] = {"now": [_THERMAL_STATUS[status]] if status else [], "since_boot": []}
    power = {**found.get("power", {}), **battery_service(battery)}
    return {**found, "power": power} if power else found


def chosen_cores(system_text: str, asked: str) -> list[int]:
    """The core numbers of "big", "little" or a list, on the phone that printed this. Raises as cores.chosen does."""
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        _mirror(system_text, Path(folder))
        return cores.chosen(asked, folder)


def _mirror(text: str, folder: Path) -> None:
    """Writes `path:value` lines as files under `folder`, for code that reads /sys; other lines are passed over."""
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            path = folder / found[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.write_text(found[2] + "\n", encoding="utf-8")


def thermal_service(text: str) -> tuple[int | None, dict[str, float]]:
    """The thermal status (0 none to 6 shutdown) and the temperatures by name, from `dumpsys thermalservice`.

    Of the temperatures the hardware's own, where the service has them; the cached ones may be old.
    """
    found = re.search(r"^Thermal Status: ([0-6])\s*$", text, re.MULTILINE)
    current = text.partition("Current temperatures from HAL:")[2]
    section = (current or text.partition("Cached temperatures:")[2]).partition("Current cooling devices")[0]
    temperatures_c: dict[str, float] = {}
    for value, kind, name in re.findall(
        r"Temperature\{mValue=(-?[0-9]+(?:\.[0-9]+)?), mType=(-?[0-9]+), mName=([^,}]+)", section
    ):
        # A sensor that reads exactly 0 is not fitted.
        if (
            int(kind) in _TEMPERATURE_TYPES
            and float(value)
            and _PLAUSIBLE_C[0] <= float(value) <= _PLAUSIBLE_C[1]
        ):
            temperatures_c[name] = round(float(value), 3)
    return (int(found[1]) if found else None), temperatures_c


def battery_service(text: str) -> dict[str, Any]:
    """Charge, temperature and plug, from `dumpsys battery`; its first section alone: vendors add logs behind it."""
    told: dict[str, str] = {}
    for name, value in re.findall(r"^\s+([A-Za-z ]+): (\S+)\s*$", text, re.MULTILINE):
        told.setdefault(name.lower(), value)
    numbers = {name: int(value) for name, value in told.items() if re.fullmatch(r"-?[0-9]{1,9}", value)}
    found: dict[str, Any] = {}
    if numbers.get("scale", 100) > 0 and "level" in numbers:
        found["battery_percent"] = round(100 * numbers["level"] / numbers.get("scale", 100))
    if "temperature" in numbers:
        found["battery_c"] = numbers["temperature"] / 10
    status = {2: "charging", 3: "discharging", 4: "not charging", 5: "full"}.get(numbers.get("status", 0))
    plugs = [
        told[name]
        for name in ("ac powered", "usb powered", "wireless powered", "dock powered")
        if name in told
    ]
    if status:
        found["battery"] = status
    if plugs:
        found["plugged_in"] = "true" in plugs
    return found
