"""A delegate in a measurement: what was asked and what it did, how far it may be off, and the verdict of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgebig.check.tflite import PARITY_TOLERANCES, Parity
from edgebig.device import Device
from edgebig.drivers.protocol import Event, Provenance
from edgebig.measurement import Adapter, Delegate, Measurement, Open, Verdict

# Root mean square over all outputs, as PARITY_TOLERANCES. float16 has 11 bits: a logit of 10 is off by up to 0.004, a
# probability between two classes near each other by a quarter of that, for each operator that rounded.
TOLERANCES_FLOAT16 = {"steps": 1.5, "real": 5e-3}

# What asks for no delegate.
PLAIN = ("none", "reference")


def tolerances(target: Device) -> Mapping[str, float]:
    """By the unit of the outputs, how far they may be from the reference kernels'."""
    if target.tolerance is not None:
        return dict.fromkeys(PARITY_TOLERANCES, target.tolerance)
    in_float16 = target.delegate == "gpu" and target.gpu_precision == "float16"
    return TOLERANCES_FLOAT16 if in_float16 else PARITY_TOLERANCES


def record(loaded: Event, target: Device) -> Delegate:
    """What a `loaded` event says of the delegate."""
    taken, adapter = loaded["delegated"], loaded.get("adapter")
    return Delegate(
        asked=target.delegate,
        actual=taken["delegate"],
        nodes=taken["nodes"],
        of=taken["of"],
        partitions=taken["partitions"],
        left=tuple(taken["left"]),
        reasons=dict(taken.get("reasons", ())),
        precision=target.gpu_precision if adapter else None,
        adapter=Adapter.model_validate(adapter) if adapter else None,
        told=Open.model_validate(told) if (told := loaded.get("accelerator")) else None,
    )


def provenance(session: Provenance, loaded: Iterable[Event]) -> Provenance:
    """What stands behind a session in which these models ran: a GPU that a processor plays is software."""
    played = any((event.get("adapter") or {}).get("kind") == "software" for event in loaded)
    return "software" if played and session == "real" else session


def verdict(parity: Parity | None, delegate: Delegate) -> tuple[Verdict, str]:
    """A fast wrong answer is WRONG; where the delegate left something it is PARTIAL; with the cause."""
    if parity is None:
        return "UNCHECKED", "its outputs were not held against the reference kernels"
    if parity.largest_tolerance is not None and parity.largest_difference > parity.largest_tolerance:
        return "WRONG", (
            f"outputs differ from the reference kernels by up to {parity.largest_difference:.2g} {parity.unit}, "
            f"{parity.largest_tolerance:g} are allowed, {parity.labels_differ} of {parity.n} labels differ"
        )
    if not parity.holds:
        found = (
            f"outputs differ from the reference kernels by {parity.rms_difference:.2g} {parity.unit} "
            f"(root mean square, tolerance {parity.tolerance:g}), {parity.labels_differ} of {parity.n} labels differ"
        )
        if not parity.told:
            return "UNCHECKED", f"{found}: so few examples do not tell whether it is wrong, use more"
        return "WRONG", found
    if delegate.asked not in PLAIN and not delegate.whole:
        return "PARTIAL", shortfall(delegate)
    return "OK", ""


def shortfall(delegate: Delegate) -> str:
    """What the delegate did not take, and why, as far as it says."""
    if delegate.told is not None:
        if delegate.actual != delegate.asked:
            return f"{delegate.asked} was asked for, and {delegate.actual} ran it"
        return f"{delegate.asked} took a part of it, wasm the rest: LiteRT.js calls it not fully accelerated"
    left = ", ".join(name + _because(delegate.reasons.get(name)) for name in delegate.left)
    usual = ", as in every int8 classifier" if delegate.left == ("SOFTMAX",) else ""
    rest = "".join(f"; {why}" for name, why in delegate.reasons.items() if name not in delegate.left)
    but = f", not {left}{usual}" if left else ""
    return f"{delegate.asked} took {delegate.nodes} of {delegate.of} operators{but}{rest}"


def shortfalls(measurement: Measurement) -> list[str]:
    """A line for each model that the delegate did not take whole."""
    device = measurement.device.model_dump()["name"]
    return [
        f"{model.name} on {device}: {shortfall(model.delegate)}"
        for model in measurement.models
        if not model.delegate.whole or model.delegate.asked in PLAIN
    ]


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
