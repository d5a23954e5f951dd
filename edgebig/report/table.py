"""A measurement as a table for people, 80 columns wide."""

from __future__ import annotations

import statistics
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgebig.check.tflite import PARITY_TOLERANCES
from edgebig.measurement import FRAME_PARTS, Adapter, Comparison, Measurement, ModelResult
from edgebig.report import circumstances, profile

COLUMNS = 80
_DISTURBED_SHARE = 0.1
_UNREAL = {
    "fake": "MADE-UP FIGURES of the fake device",
    "emulated": "EMULATED: its times say nothing of the real board",
    "software": "SOFTWARE stands in for the GPU: its times say nothing of a real one",
    "simulated": "SIMULATED: no board ran it",
    "stand-in": "STAND-IN tools: the times say nothing of a real device",
}


def show(measurement: Measurement, console: Console) -> None:
    """The headline is the whole frame; its three parts, size and accuracy stand beside it."""
    if measurement.provenance in _UNREAL:
        console.print(Text(_UNREAL[measurement.provenance], "bold red"))
    if (part := measurement.incomplete) is not None:
        told = f"INCOMPLETE: {part.processes} of {part.of} processes, then: {part.why.splitlines()[0]}"
        console.print(plain(told, "bold red"))
    console.print(plain(_title(measurement), "bold"))
    table = _table(measurement)
    # In a narrower window the terminal folds the lines; a figure with its end cut off would be another figure.
    width, console.width = console.width, max(console.width, COLUMNS)
    console.print(table)
    console.width = width
    for line in notes(measurement):
        console.print(plain(line), soft_wrap=not console.is_terminal)


def plain(text: str, style: str = "") -> Text:
    """What devices and files say of themselves could steer a terminal: escaped, but for the ends of lines."""
    return Text("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text), style)


def _title(measurement: Measurement) -> str:
    device, machine = measurement.device.model_dump(), measurement.machine.model_dump()
    threads = f"{device['threads']} thread" + ("s" if device["threads"] > 1 else "")
    runtime = f"{device['runtime']} {machine.get('runtimes', {}).get(device['runtime'], '')}".strip()
    kind = " (browser)" if measurement.in_browser else ""
    return f"{device['name']}{kind}: {machine.get('cpu') or machine.get('machine')}, {runtime}, {threads}"


def _table(measurement: Measurement) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("model", overflow="fold", min_width=10)
    for heading in (
        "size\ndeflated",
        "accuracy\n95 %",
        "frame p50\np90",
        "pre + invoke\n+ post",
        "invoke p50\n95 %",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    names = short_names(measurement)
    for model in measurement.models:
        table.add_row(*(plain(cell) for cell in (names[model.name], *figures(model))))
    return table


def short_names(measurement: Measurement) -> dict[str, str]:
    """path -> what it is called here: as little of the path's end as tells the models apart."""
    paths = [Path(model.name).with_suffix("") for model in measurement.models]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        short = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(short)) == len(paths):
            break
    return {model.name: name for model, name in zip(measurement.models, short, strict=True)}


def figures(model: ModelResult) -> list[str]:
    accuracy = model.accuracy
    deflated = _size(model.deflated_bytes) if model.deflated_bytes else "-"
    cells = [
        f"{_size(model.size_bytes)}\n{deflated}",
        f"{accuracy.value:.2%}\n{100 * accuracy.low:.2f} .. {100 * accuracy.high:.2f}" if accuracy else "-",
    ]
    # A fast wrong answer is a failure: no time stands beside it.
    if model.verdict == "WRONG":
        return [*cells, "WRONG", "WRONG", "WRONG"]
    if model.latency.kind == "none":
        return [*cells, "-", "-", "-"]
    invoke = model.latency.summary["invoke"]
    unit, unit_ns = _unit(invoke.p50_ns)
    interval = invoke.p50_interval_ns
    between = " .. ".join(_figure(end_ns / unit_ns) for end_ns in interval) if interval else "-"
    if model.latency.kind == "estimate":
        between = "estimate"
    return [
        *cells,
        *_frame_cells(model, unit, unit_ns),
        f"{_figure(invoke.p50_ns / unit_ns)} {unit}\n{between}",
    ]


def _frame_cells(model: ModelResult, unit: str, unit_ns: float) -> list[str]:
    summary = model.latency.summary
    if "frame" not in summary:
        return ["-", "-"]
    whole = summary["frame"]
    p50 = _figure(whole.p50_ns / unit_ns)
    p90 = "-" if whole.p90_ns is None else _figure(whole.p90_ns / unit_ns)
    pre, invoke, post = (_figure(summary[part].p50_ns / unit_ns) for part in FRAME_PARTS)
    return [f"{p50} {unit}\n{p90} {unit}", f"{pre} + {invoke}\n+ {post} {unit}"]


def _unit(time_ns: float) -> tuple[str, float]:
    """The unit of a model's times and its ns, so that none takes more than five digits."""
    return ("us", 1e3) if time_ns < 1e7 else ("ms", 1e6) if time_ns < 1e10 else ("s", 1e9)


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 999.95 else f"{value:,.0f}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e3:.1f} kB" if size_bytes < 1e7 else f"{size_bytes / 1e6:.1f} MB"


def notes(measurement: Measurement, *, brief: bool = False) -> list[str]:
    """What a reader must know besides the figures, a line each; `brief`: of a model that is right no more figures."""
    names = short_names(measurement)
    lines = [_how(measurement)]
    lines += [text for comparison in measurement.comparisons if (text := _comparison(comparison, names))]
    for model in measurement.models:
        name = names[model.name]
        if model.accuracy is None:
            why = "its tool takes no pictures" if model.io and model.latency.told else "no card beside it"
            lines.append(f"{name}: {why}: timed on noise, its accuracy and its outputs not checked")
        if model.delegate.asked == "nnapi":
            lines.append(f"{name}: NNAPI is legacy: Android 15 deprecates it")
        if model.keras_sha256:
            lines.append(
                f"{name}: TensorFlow ran the Keras model that it was made of (sha256 {model.keras_sha256[:12]}), "
                "not the .tflite, whose size stands here"
            )
        if model.verdict != "OK":
            lines.append(f"{name}: {model.verdict}: {model.cause}")
        if model.verdict != "WRONG" and model.parity and not brief:
            parity = model.parity
            lines.append(
                f"{name}: outputs differ from the reference kernels by {parity.rms_difference:.1g} {parity.unit} "
                f"(root mean square, tolerance {parity.tolerance:g}; at most {parity.largest_difference:.2g}) on "
                f"{parity.n} examples, "
                f"{parity.labels_differ} labels differ"
            )
        if adapter := model.delegate.adapter:
            lines.append(f"{name}: {_adapter(model, adapter)}")
        if model.fit:
            lines.append(f"{name}: {model.fit.sentence()}")
        if model.verdict != "WRONG" and not brief:
            asked = bool(measurement.settings.model_dump().get("profile"))
            first, *more = profile.lines(model, asked) or [""]
            lines += [f"{name}: {first}", *more] if first else []
        if model.verdict != "WRONG" and model.latency.init and not brief:
            lines.append(f"{name}: {_start(model)}")
        if model.verdict != "WRONG" and model.latency.processes and (disturbed := _disturbed(model)):
            lines.append(f"{name}: {disturbed}: the machine was disturbed, measure again")
        if unsettled := sum(not settled for settled in model.latency.settled):
            lines.append(f"{name}: the warm-up did not settle in {unsettled} of its processes")
        if model.verdict != "WRONG":
            lines += [f"{name}: {line}" for line in circumstances.of_model(model)]
    lines += circumstances.of_session(measurement)
    if busy := _busy(measurement):
        lines.append(busy)
    leak_check = str(measurement.data.model_dump()["leak_check"])
    if "not possible" in leak_check and any(model.accuracy for model in measurement.models):
        lines.append(f"leak check {leak_check}")
    return lines


def _adapter(model: ModelResult, adapter: Adapter) -> str:
    """Which GPU it was, and what it was asked to compute in, which not every driver then does."""
    precision, parity = model.delegate.precision, model.parity
    exact = (
        parity is not None and parity.unit == "real" and parity.rms_difference <= PARITY_TOLERANCES["real"]
    )
    though = "; it is as exact as float32" if precision == "float16" and exact else ""
    return f"by {adapter}, asked to compute in {precision}{though}"


def _busy(measurement: Measurement) -> str:
    """More load before the measuring than the machine has cores, whichever of them this process may use."""
    before = measurement.conditions[0].model_dump() if measurement.conditions else {}
    machine = measurement.machine.model_dump()
    load, cores = before.get("load_1min"), machine.get("machine_cores") or machine.get("cores")
    if not load or not cores or load <= cores:
        return ""
    return (
        f"load {load:g} on {cores} cores before it began: the machine was busy, measure again when it is not"
    )


def _start(model: ModelResult) -> str:
    """What the table has no room for: how it starts, and how the times of single inferences end."""
    latency = model.latency
    init, first = (statistics.median(times_ns) for times_ns in (latency.init, latency.first))
    parts = [f"init {duration(init)}, first invoke {duration(first)}"]
    # Samples of `invoke` are means over a batch, which hide the slow ones.
    if (single := latency.summary.get("inference")) and single.p90_ns:
        tail = f", p99 {duration(single.p99_ns)}" if single.p99_ns else ""
        parts.append(f"single inferences p90 {duration(single.p90_ns)}{tail}")
    if took := circumstances.memory(model):
        parts.append(took)
    return "; ".join(parts)


def _disturbed(model: ModelResult) -> str:
    """Processes that ran at another speed than the rest: the machine was busy, throttled, or in another mode."""
    medians = [statistics.median(process) for process in model.latency.processes]
    typical = statistics.median(medians)
    off = [
        f"{median / typical:.2f}" for median in medians if abs(median - typical) > _DISTURBED_SHARE * typical
    ]
    return (
        f"{len(off)} of {len(medians)} processes ran at {', '.join(off)} of the others' time" if off else ""
    )


def duration(time_ns: float) -> str:
    if time_ns < 100:
        return f"{time_ns:.0f} ns"
    unit, unit_ns = _unit(time_ns)
    return f"{_figure(time_ns / unit_ns)} {unit}"


def _how(measurement: Measurement) -> str:
    data = measurement.data.model_dump()
    accuracy = (
        f"accuracy on {data['n']:,} {data['split']} examples of {data['source']}" if data["source"] else ""
    )
    processes = measurement.models[0].latency.processes
    told = measurement.models[0].latency.told
    samples = sum(process.n for process in told) or sum(len(process) for process in processes)
    turns = ", the models in turns" if len(measurement.models) > 1 else ""
    latency = f"latency from {samples:,} samples in {len(processes)} fresh processes{turns}"
    statistic = measurement.models[0].latency.statistic
    summary = f"of each process its {statistic} as its tool tells it, to the microsecond" if told else ""
    return "; ".join(part for part in (accuracy, latency if processes else "", summary) if part)


def _comparison(comparison: Comparison, names: dict[str, str]) -> str:
    a, b = names[comparison.a], names[comparison.b]
    parts: list[str] = []
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
