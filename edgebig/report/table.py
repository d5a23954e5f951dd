"""A measurement as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edgebig import stats
from edgebig.bench import Comparison, Measurement, ModelResult

_UNREAL = {
    "fake": "MADE-UP FIGURES of the fake device",
    "emulated": "EMULATED: its times say nothing of the real board",
    "software": "SOFTWARE stands in for the GPU: its times say nothing of a real one",
    "simulated": "SIMULATED",
    "stand-in": "STAND-IN tools: the times say nothing of a real device",
}


def show(measurement: Measurement, console: Console) -> None:
    """The headline is the whole frame; its three parts, size and accuracy stand beside it."""
    if measurement.provenance in _UNREAL:
        console.print(f"[bold red]{_UNREAL[measurement.provenance]}[/]")
    console.print(_table(measurement))
    for line in notes(measurement):
        console.print(line, highlight=False)


def _table(measurement: Measurement) -> Table:
    table = Table(title=_title(measurement), title_justify="left", title_style="bold")
    table.add_column("model", overflow="fold")
    for heading in (
        "kB",
        "deflated",
        "accuracy",
        "95 %",
        "frame p50",
        "p90",
        "pre + invoke + post",
        "invoke p50",
        "95 %",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in measurement.models:
        table.add_row(*_row(model))
    return table


def _title(measurement: Measurement) -> str:
    device, machine = measurement.device.model_dump(), measurement.machine.model_dump()
    threads = f"{device['threads']} thread" + ("s" if device["threads"] > 1 else "")
    runtime = f"{device['runtime']} {machine.get('runtimes', {}).get(device['runtime'], '')}".strip()
    return f"{device['name']}: {machine.get('cpu') or machine.get('machine')}, {runtime}, {threads}"


def _row(model: ModelResult) -> list[str]:
    accuracy = model.accuracy
    cells = [
        Path(model.name).stem,
        f"{model.size_bytes / 1000:.1f}",
        f"{model.deflated_bytes / 1000:.1f}" if model.deflated_bytes else "-",
        f"{accuracy.value:.2%}" if accuracy else "-",
        f"{accuracy.low:.2%} .. {accuracy.high:.2%}" if accuracy else "-",
    ]
    # A fast wrong answer is a failure: no time stands beside it.
    if model.verdict == "WRONG" or model.latency.kind == "none":
        return [*cells, *(["WRONG" if model.verdict == "WRONG" else "-"] * 5)]
    invoke = stats.latency_summary(model.latency.processes)
    interval = invoke.p50_interval_ns
    return [
        *cells,
        *_frame_cells(model),
        _us(invoke.p50_ns),
        f"{interval[0] / 1e3:.1f} .. {interval[1] / 1e3:.1f}" if interval else "-",
    ]


def _frame_cells(model: ModelResult) -> list[str]:
    frames = model.latency.frames
    if not frames:
        return ["-", "-", "-"]
    whole = stats.latency_summary([[sum(frame) for frame in process] for process in frames])
    parts = [
        stats.latency_summary([[frame[part] for frame in process] for process in frames]) for part in range(3)
    ]
    return [_us(whole.p50_ns), _us(whole.p90_ns), " + ".join(f"{part.p50_ns / 1e3:.1f}" for part in parts)]


def _us(time_ns: float) -> str:
    return f"{time_ns / 1e3:.1f} us" if time_ns < 1e6 else f"{time_ns / 1e6:.2f} ms"


def notes(measurement: Measurement) -> list[str]:
    """What a reader must know besides the figures, a line each."""
    lines = [_how(measurement)] if measurement.models[0].latency.kind != "none" else []
    lines += [text for comparison in measurement.comparisons if (text := _comparison(comparison))]
    for model in measurement.models:
        if model.verdict != "OK":
            lines.append(f"{Path(model.name).stem}: {model.verdict}: {model.cause}")
        if model.verdict != "WRONG" and model.parity:
            parity = model.parity
            lines.append(
                f"{Path(model.name).stem}: outputs within {parity.largest_difference:.2g} {parity.unit} of the "
                f"reference kernels on {parity.n} examples, {parity.labels_differ} labels differ"
            )
        if model.latency.settled and not all(model.latency.settled):
            unsettled = sum(not settled for settled in model.latency.settled)
            lines.append(
                f"{Path(model.name).stem}: the warm-up did not settle in {unsettled} of its processes"
            )
    data = measurement.data.model_dump()
    if str(data["leak_check"]).startswith("not possible"):
        lines.append(f"leak check {data['leak_check']}")
    return lines


def _how(measurement: Measurement) -> str:
    latency = measurement.models[0].latency
    n = sum(len(process) for process in latency.processes)
    data = measurement.data.model_dump()
    where = (
        f"accuracy on {data['n']:,} {data['split']} examples of {data['source']}, " if data["source"] else ""
    )
    return (
        f"{where}latency from {n:,} samples in {len(latency.processes)} fresh processes, the models in turns"
    )


def _comparison(comparison: Comparison) -> str:
    a, b = Path(comparison.a).stem, Path(comparison.b).stem
    parts: list[Any] = []
    if comparison.ratio is not None:
        interval = f" ({comparison.low:.2f} .. {comparison.high:.2f})" if comparison.low is not None else ""
        parts.append(f"{comparison.ratio:.2f}{interval} of its time, {comparison.verdict}")
    if comparison.accuracy_points is not None:
        parts.append(
            f"{comparison.accuracy_points:+.2f} points of accuracy "
            f"({comparison.accuracy_low:+.2f} .. {comparison.accuracy_high:+.2f}, "
            f"McNemar p = {comparison.mcnemar_p:.2g})"
        )
    return f"{a} against {b}: " + "; ".join(parts) if parts else ""
