"""Under what circumstances a device measured, and what it took: a line each, for people."""

from __future__ import annotations

import statistics

from edgebig import throttling
from edgebig.energy import Energy
from edgebig.measurement import Measurement, ModelResult
from edgebig.soak import Soak

_SPANS = 10
_UNITS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"))


def of_session(measurement: Measurement) -> list[str]:
    """Where it was pinned, what it waited for, what held the device back, and why no energy was measured."""
    readings = [reading.model_dump() for reading in measurement.conditions]
    lines = _browser(measurement)
    if placed := next((reading for reading in readings if reading.get("when") == "placed"), None):
        lines.append(f"ran on cores {placed.get('cores', 'of all')} at nice {placed['nice']}")
    for reading in readings:
        if reading.get("when") == "cool-down" and not reading["reached"]:
            lines.append(
                f"cool-down to {reading['wanted_c']:g} C given up after {reading['waited_s']:.0f} s, "
                f"{reading['zone']} at {reading['hottest_c']:.1f} C: {reading['why']}"
            )
    if held := throttling.before(readings):
        lines.append(f"before it began: {held}")
    power = readings[0].get("power") if readings else None
    if power and power.get("battery") == "discharging":
        level = f" at {power['battery_percent']} %" if "battery_percent" in power else ""
        lines.append(f"on its battery{level}, which may hold its clock back")
    reasons = {
        model.energy.why for model in measurement.models if model.energy.why.startswith("not measurable")
    }
    return [*lines, *(f"energy {why}" for why in sorted(reasons))]


def _browser(measurement: Measurement) -> list[str]:
    if not measurement.in_browser:
        return []
    machine = measurement.machine.model_dump()
    step_ns = machine.get("timer_ns")
    step = f", whose clock steps by {step_ns / 1000:g} us" if isinstance(step_ns, int | float) else ""
    told = next((model.delegate.told for model in measurement.models if model.delegate.told), None)
    variant = f", WebAssembly {told.model_dump().get('variant')}" if told else ""
    lines = [
        f"in a browser: {machine.get('browser')} on {machine.get('system')}{variant}{step}; not to be held against "
        "native times"
    ]
    pauses = [r for r in (one.model_dump() for one in measurement.conditions) if r.get("when") == "paused"]
    if pauses:
        away_s = sum(float(reading.get("hidden_s", 0)) for reading in pauses)
        lines.append(
            f"its page was hidden {len(pauses)} times, {away_s:.0f} s in all; what ran then was run again"
        )
    return lines


def of_model(model: ModelResult) -> list[str]:
    """Energy, and what the soak shows; without the model's name."""
    lines = [_energy(model.energy)] if model.energy.joules is not None else []
    return [*lines, *_soak(model.soak)] if model.soak else lines


def memory(model: ModelResult) -> str:
    """As in: peak memory 48 MB, 38 MB of it before the model, its file mapped; "" where it is not known."""
    if not model.peak_memory_kb:
        return ""
    parts = [f"peak memory {model.peak_memory_kb / 1000:.0f} MB"]
    if model.memory_baseline_kb:
        parts.append(f"{model.memory_baseline_kb / 1000:.0f} MB of it before the model")
    if model.model_mapped is not None:
        parts.append("its file mapped" if model.model_mapped else "its file read into memory")
    return ", ".join(parts)


def _energy(energy: Energy) -> str:
    assert energy.joules is not None
    active, idle = (statistics.fmean(watts) for watts in list(zip(*energy.processes, strict=True))[1:])
    power = f"{active:.2f} W while it runs, {idle:.2f} W idle, by {energy.source}"
    if energy.low is None or energy.high is None:
        return f"{_joules(energy.joules)} an inference, of one process; {power}"
    between = f"{_joules(energy.low)} .. {_joules(energy.high)}"
    if not energy.shown:
        return f"energy not told apart from idling ({between} an inference); {power}"
    return f"{_joules(energy.joules)} an inference ({between}); {power}"


def _joules(value: float) -> str:
    scale, unit = next((pair for pair in _UNITS if abs(value) >= pair[0]), _UNITS[-1])
    return f"{value / scale:.3g} {unit}"


def _soak(soak: Soak) -> list[str]:
    length_s = soak.points[-1][0]
    spans = _spans(soak)
    lines = [f"soak of {length_s:.0f} s, p50 in us, each of {length_s / len(spans):.0f} s: {' '.join(spans)}"]
    found = []
    if drift := soak.drift:
        found.append(
            f"drift {drift.percent_a_minute:+.2f} % a minute ({drift.low:+.2f} .. {drift.high:+.2f})"
        )
    if ends := soak.ends:
        found.append(
            f"last {soak.ends_s:.0f} s {ends.value:.3f} of the first's time ({ends.low:.3f} .. {ends.high:.3f})"
        )
    if soak.throttled:
        when = soak.throttled[0]
        found.append(
            f"throttled in {len({at for at, _ in soak.throttled})} s of it, first at {when[0]:.0f} s: {when[1]}"
        )
    return [*lines, f"soak: {'; '.join(found)}"] if found else lines


def _spans(soak: Soak) -> list[str]:
    """The median p50 of up to 10 parts of the soak, in microseconds."""
    size = -(-len(soak.points) // _SPANS)
    parts = [
        [point[2] for point in soak.points[start : start + size]]
        for start in range(0, len(soak.points), size)
    ]
    return [f"{statistics.median(part) / 1000:.4g}" for part in parts]
