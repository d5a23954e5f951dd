"""When a device was slowed down, from the conditions that it told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_COUNTED = {"core": "a core", "package": "the processor"}


def cause(conditions: Sequence[dict[str, Any]]) -> str:
    """What slowed it down while it measured, "" where nothing says so."""
    found = [why for _, why in _signs(conditions)]
    return "; ".join(dict.fromkeys(found))


def moments(conditions: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    """The seconds of the soak in which it was slowed down, and what told it."""
    return [
        (float(reading["at_s"]), why)
        for reading, why in _signs(conditions)
        if reading.get("when") == "soak" and "at_s" in reading
    ]


def before(conditions: Sequence[dict[str, Any]]) -> str:
    """What had slowed it down, or held it back, already before it measured; "" where nothing says so."""
    if not conditions:
        return ""
    first = conditions[0]
    had = (first.get("throttled") or {}).get("since_boot") or []
    found = [f"since it booted: {', '.join(had)}"] if had else []
    for cluster in first.get("clusters") or []:
        limit, most = cluster.get("limit_khz"), cluster.get("max_khz")
        if limit and most and limit < most:
            found.append(f"cores {cluster['cores']} held to {limit / 1e6:.2f} of {most / 1e6:.2f} GHz")
    return "; ".join(found)


def _signs(conditions: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """Each reading that tells of throttling, against the one before it."""
    signs = []
    earlier: dict[str, Any] = {}
    limits: dict[str, int] = {}
    for reading in conditions:
        if reading.get("when") == "before":
            # A session of its own, that goes on where another was cut off: what happened between them is not measured.
            earlier, limits = {}, {}
        for why in (*_firmware(earlier, reading), *_counted(earlier, reading), *_limited(limits, reading)):
            signs.append((reading, why))
        earlier |= {name: value for name, value in reading.items() if value is not None}
    return signs


def _firmware(earlier: dict[str, Any], reading: dict[str, Any]) -> list[str]:
    now = (reading.get("throttled") or {}).get("now") or []
    if not earlier.get("throttled"):
        return list(now)
    # What came and went between two readings has left its mark, unless it had done so before.
    had, has = ((of.get("throttled") or {}).get("since_boot") or [] for of in (earlier, reading))
    return list(dict.fromkeys([*now, *(name for name in has if name not in had)]))


def _counted(earlier: dict[str, Any], reading: dict[str, Any]) -> list[str]:
    before, after = (of.get("throttle_counts") or {} for of in (earlier, reading))
    return [
        f"{what} throttled"
        for name, what in _COUNTED.items()
        if name in before and after.get(name, 0) > before[name]
    ]


def _limited(limits: dict[str, int], reading: dict[str, Any]) -> list[str]:
    """Against the highest limit that a cluster has had: it was lowered, by heat or by a person."""
    found = []
    for cluster in reading.get("clusters") or []:
        cores, limit = cluster["cores"], cluster.get("limit_khz")
        if limit is None:
            continue
        if limit < limits.get(cores, 0):
            found.append(f"the clock of cores {cores} was limited to below what it began with")
        limits[cores] = max(limit, limits.get(cores, 0))
    return found
