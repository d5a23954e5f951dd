"""What was collected of a model -> its result in the record; and two results, compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, delegation, energy, files, profile, soak, stats, throttling
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.collecting import Collected
from edgebig.device import Device
from edgebig.drivers.protocol import Event
from edgebig.errors import DeviceError
from edgebig.measurement import Comparison, Latency, ModelResult, Told, Verdict
from edgebig.micro.fit import Fit


def of_model(
    item: Artifact,
    collected: Collected,
    truth: npt.NDArray[np.int64] | None,
    reference: npt.NDArray[Any] | None,
    target: Device,
) -> ModelResult:
    """`truth`: int64 (N,), the labels of the pictures; `reference`: raw outputs of the first of them by
    the reference kernels.

    Raises DeviceError where predictions are missing.
    """
    labels = collected.labels.get(item.sha256)
    outputs = collected.outputs(item.sha256)
    step = item.card.output_step if item.card else None
    loaded, memory = collected.loaded[item.sha256], collected.memory.get(item.sha256, {})
    parity = None
    if outputs is not None and reference is not None:
        allowed = loaded.get("largest_allowed")
        parity = tflite.parity(outputs, reference, step, allowed, delegation.tolerances(target))
    delegate = delegation.record(loaded, target)
    verdict, cause = delegation.verdict(parity, delegate)
    verdict, cause = slowed(verdict, cause, collected.conditions)
    fit = collected.fits.get(item.sha256)
    if fit and verdict != "WRONG" and (shortage := fit.shortage()):
        verdict, cause = "TOO BIG", shortage
    return ModelResult(
        name=str(item.path),
        sha256=item.sha256,
        keras_sha256=files.sha256_file(artifact.keras_model_of(item))
        if target.runtime == "tensorflow"
        else None,
        size_bytes=item.path.stat().st_size,
        deflated_bytes=item.card.deflated_bytes if item.card else None,
        io=item.card.input.dtype if item.card else None,
        latency=_latency(collected, item.sha256),
        peak_memory_kb=memory.get("peak_kb"),
        memory_baseline_kb=memory.get("baseline_kb"),
        model_mapped=memory.get("mapped"),
        energy=energy.measured(collected.energy_source, collected.energy[item.sha256]),
        profile=profile.measured(collected.profiles.get(item.sha256)),
        soak=soak.measured(collected.soak[item.sha256], throttling.moments(collected.conditions)),
        delegate=delegate,
        predictions=tuple(labels) if labels else None,
        accuracy=_accuracy(labels, truth) if labels and truth is not None else None,
        parity=parity,
        fit=fit,
        verdict=verdict,
        cause=cause,
    )


def _latency(collected: Collected, sha256: str) -> Latency:
    if summaries := collected.summaries[sha256]:
        return _told(sorted(summaries, key=lambda event: int(event["process"])))
    warmups = sorted(collected.warmups[sha256], key=lambda event: int(event["process"]))
    processes = [collected.samples[sha256][index] for index in sorted(collected.samples[sha256])]
    if not processes:
        return _estimated(collected.fits.get(sha256))
    frames = tuple(
        tuple(tuple(frame) for event in events for frame in event["frame_ns"]) for events in processes
    )
    return Latency(
        kind="raw",
        batch=tuple(event["batch"] for event in warmups),
        settled=tuple(event["settled"] for event in warmups),
        init=tuple(event["init_ns"] for event in warmups),
        first=tuple(event["first_ns"] for event in warmups),
        processes=tuple(
            tuple(time_ns for event in events for time_ns in event["ns"]) for events in processes
        ),
        frames=frames if all(frames) else (),
    )


def _estimated(fit: Fit | None) -> Latency:
    time_ns = fit.npu.time_ns if fit and fit.npu else None
    if time_ns is None:
        return Latency(kind="none")
    summary = stats.LatencySummary(0, 0, time_ns, time_ns, None, None, None, None)
    return Latency(kind="estimate", summary={"invoke": summary})


def _told(summaries: Sequence[Event]) -> Latency:
    """The median of each process, or its mean where the tool told no median of one of them."""
    told = tuple(Told(**event["told"]) for event in summaries)
    medians = [process.p50_ns for process in told if process.p50_ns is not None]
    figures_ns = medians if len(medians) == len(told) else [process.mean_ns for process in told]
    return Latency(
        kind="summary",
        init=tuple(event["init_ns"] for event in summaries),
        first=tuple(event["first_ns"] for event in summaries),
        processes=tuple((round(figure_ns),) for figure_ns in figures_ns),
        told=told,
        statistic="median" if figures_ns is medians else "mean",
    )


def _accuracy(labels: Sequence[int], truth: npt.NDArray[np.int64]) -> stats.Accuracy:
    if len(labels) != len(truth):
        raise DeviceError(f"{len(labels)} predictions came back for {len(truth)} pictures", "run it again")
    return stats.accuracy_interval(int(np.sum(np.array(labels) == truth)), len(truth))


def slowed(verdict: Verdict, cause: str, conditions: Sequence[Event]) -> tuple[Verdict, str]:
    """Of a device that was slowed down no time can be believed, however right the answers are."""
    why = throttling.cause(conditions)
    if not why or verdict == "WRONG":
        return verdict, cause
    return "THROTTLED", "; ".join(part for part in (why, cause) if part)


def compared(a: ModelResult, b: ModelResult, truth: npt.NDArray[np.int64] | None) -> Comparison:
    # The time of wrong answers is compared with nothing.
    timed = all(model.latency.processes and model.verdict != "WRONG" for model in (a, b))
    ratio = a.latency.ratio_to(b.latency) if timed else None
    paired = None
    if truth is not None and a.predictions and b.predictions:
        a_right, b_right = (np.array(model.predictions) == truth for model in (a, b))
        paired = stats.mcnemar(b_right, a_right)
    points = stats.accuracy_difference(paired) if paired else None
    return Comparison(
        a=a.name,
        b=b.name,
        ratio=ratio.value if ratio else None,
        low=ratio.low if ratio else None,
        high=ratio.high if ratio else None,
        verdict=stats.speed_verdict(ratio) if ratio else None,
        accuracy_points=points.points if points else None,
        accuracy_low=points.low if points else None,
        accuracy_high=points.high if points else None,
        mcnemar_p=paired.p_value if paired else None,
    )
