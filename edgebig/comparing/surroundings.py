"""What was otherwise when two records were made: device, machine, software, settings, conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgebig.measurement import Measurement

# Another one of these, and a ratio of times is one of machines.
_HARDWARE = ("machine", "cpu", "board", "cores", "abis")
# Of a device's file, what is no fact of how it measures.
_WORDS = ("about", "name")
_DATA = ("source", "split", "n", "of")


@dataclass(frozen=True)
class Otherwise:
    """What was another thing in a than in b; both as text, "-" where it is not told."""

    what: str
    a: str
    b: str


def otherwise(a: Measurement, b: Measurement) -> tuple[Otherwise, ...]:
    """All that differs between the two sessions, in a fixed order."""
    one, other = dict(_told(a)), dict(_told(b))
    names = dict.fromkeys([*one, *other])
    return tuple(
        Otherwise(name, one.get(name, "-"), other.get(name, "-"))
        for name in names
        if one.get(name, "-") != other.get(name, "-")
    )


def other_hardware(a: Measurement, b: Measurement) -> str:
    """How the machines differ, "" where nothing tells them apart. Two boards of one model are not told apart."""
    one, other = a.machine.model_dump(), b.machine.model_dump()
    found = [
        f"{name} {_text(one.get(name))} and {_text(other.get(name))}"
        for name in _HARDWARE
        if one.get(name) != other.get(name)
    ]
    kinds = a.device.model_dump().get("kind"), b.device.model_dump().get("kind")
    return ", ".join([*found, *([f"kind {kinds[0]} and {kinds[1]}"] if not found and _apart(*kinds) else [])])


def _apart(*kinds: Any) -> bool:
    """A board may be measured by itself (local) and over ssh."""
    return len(set(kinds) - {"local", "ssh"}) > 0 and len(set(kinds)) > 1


def _told(record: Measurement) -> Iterator[tuple[str, str]]:
    device, machine = record.device.model_dump(), record.machine.model_dump()
    yield "provenance", record.provenance
    yield "device", _text(device.get("name"))
    for name, value in device.items():
        if name not in _WORDS:
            yield f"device {name}" if name in ("kind", "address", "folder") else name, _text(value)
    for name, value in machine.items():
        # All packages, of which runtimes are some, each by its own name.
        if isinstance(value, dict):
            yield from ((f"{key} version", _text(version)) for key, version in value.items())
        else:
            yield {"release": "kernel"}.get(name, name), _text(value)
    yield from ((f"data {name}", _text(record.data.model_dump().get(name))) for name in _DATA)
    yield from _settings(record)
    yield from _conditions(record)


def _settings(record: Measurement) -> Iterator[tuple[str, str]]:
    for name, value in record.settings.model_dump().items():
        if not name.startswith("deadline") and name != "examples":
            yield f"--{name.replace('_', '-')}", _text(value)


def _conditions(record: Measurement) -> Iterator[tuple[str, str]]:
    readings = [reading.model_dump() for reading in record.conditions]
    ends = [reading for reading in readings if reading.get("when") in ("before", "after")]
    if not ends:
        return
    first, last = ends[0], ends[-1]
    yield "governor", _text(first.get("governor"))
    for cluster in first.get("clusters") or []:
        limit = cluster.get("limit_khz")
        yield f"clock limit of cores {cluster.get('cores')}", f"{limit / 1e6:.2f} GHz" if limit else "-"
    for name, value in (first.get("power") or {}).items():
        if name != "battery_percent":
            yield name.replace("_", " "), _text(value)
    yield "load before, after", f"{_text(first.get('load_1min'))}, {_text(last.get('load_1min'))}"
    heat = [_hottest(reading) for reading in (first, last)]
    yield "hottest before, after", ", ".join(heat)


def _hottest(reading: dict[str, Any]) -> str:
    zones = reading.get("temperatures_c") or {}
    return f"{max(zones.values()):.0f} C" if zones else "-"


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
