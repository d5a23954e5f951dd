"""edgebig bench"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EXIT_SHORTFALL, EdgebigError

if TYPE_CHECKING:
    from edgebig.measurement import Measurement


def add_to(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs or .tflite files, the first is what the others are compared with; default: the newest.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="Where; 'edgebig devices' lists them.", autocompletion=options.complete_device),
    ] = "local",
    data: options.DataFolder = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Only so many test examples, as many of each class.")
    ] = None,
    processes: Annotated[int, typer.Option(min=2, help="Fresh processes to measure latency in.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each model in a process.")] = 20,
    samples: Annotated[int, typer.Option(min=1, help="Samples a turn.")] = 20,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds until it is given up.")] = 900.0,
    out: Annotated[
        Path | None, typer.Option(help="The record's file; default: bench/ beside the first model.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORD",
            help="Go on with the incomplete record of a device that went away; it says the rest.",
        ),
    ] = None,
    cores: Annotated[
        str, typer.Option(help="Only on these cores: big, little, or numbers as in 0,2-3.")
    ] = "",
    priority: Annotated[
        int | None, typer.Option(min=-20, max=19, help="The nice value of what is measured.")
    ] = None,
    cool_down: Annotated[
        float | None,
        typer.Option(min=0, max=150, metavar="C", help="Wait before each process until no zone is hotter."),
    ] = None,
    soak: Annotated[
        float,
        typer.Option(
            parser=options.duration, metavar="TIME", help="Run on for so long (90s, 10m), to see it drift."
        ),
    ] = "0s",  # type: ignore[assignment]  # as it is typed: the parser makes a number of it
    energy: Annotated[bool, typer.Option(help="Measure energy, where the device shows it.")] = True,
    json: options.Json = False,
) -> None:
    """Measure accuracy and latency of .tflite files on a device, in turns."""
    from edgebig import artifact, runs, targets
    from edgebig import bench as benching
    from edgebig import device as devices
    from edgebig import measurement as measurements
    from edgebig.progress import say
    from edgebig.targets.table import TARGETS

    if resume is not None:
        if models:
            raise EdgebigError("--resume goes with no models: the record names them", "leave them out")
        _show(_kept(lambda: _resumed(resume, data), resume), resume, json)
        return
    target = devices.load(device)
    target_name = targets.implied_by(target.kind, target.delegate)

    def choose(run: runs.Run) -> Path:
        say(f"{target.name}: for {TARGETS[target_name].about}")
        return targets.ready(run.variants(), target_name, str(run.folder))

    artifacts = [artifact.load(runs.resolve_model(model, choose)) for model in models or (None,)]
    settings = benching.Settings(
        examples, processes, rounds, samples, deadline_s=deadline,
        cores=cores, priority=priority, cool_down_c=cool_down, soak_s=soak, energy=energy,
    )  # fmt: skip
    source = runs.usual_source([item.path for item in artifacts], data)
    path = measurements.reserve(target.name, runs.beside(artifacts[0].path), out)
    folder = data or runs.data_folder(artifacts[0].path.parent)
    measurement = _kept(lambda: benching.bench(artifacts, target, settings, folder, source), path)
    _show(measurement, path, json)


def _show(measurement: Measurement, path: Path, json: bool) -> None:
    from edgebig import artifact
    from edgebig.progress import say

    if json:
        options.print_json(artifact.dump_record(measurement))
    else:
        from rich.console import Console

        from edgebig.report import table

        table.show(measurement, Console())
    say(f"record: {path}")
    if any(model.verdict in ("WRONG", "TOO BIG") for model in measurement.models):
        raise typer.Exit(EXIT_SHORTFALL)


def _kept(measure: Callable[[], Measurement], path: Path) -> Measurement:
    """What `measure` gives, written to `path`; where the device goes away, the part that was measured."""
    from edgebig import measurement as measurements
    from edgebig import partial

    try:
        measurement = measure()
    except partial.Unfinished as unfinished:
        raise unfinished.keep(path) from unfinished
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped; nothing was recorded", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    measurements.save(measurement, path)
    return measurement


def _resumed(path: Path, data: Path | None) -> Measurement:
    """What the incomplete record at `path` lacks, measured, and the whole of it."""
    from edgebig import artifact, partial, runs
    from edgebig import bench as benching
    from edgebig import device as devices

    record, _ = partial.load(path)
    artifacts = [artifact.load(Path(model.name)) for model in record.models]
    for item, model in zip(artifacts, record.models, strict=True):
        if item.sha256 != model.sha256:
            raise EdgebigError(
                f"{item.path}: is another file than the one that {path} measured",
                "measure anew, without --resume",
            )
    paths = [item.path for item in artifacts]
    return benching.bench(
        artifacts,
        devices.of_facts(record.device.model_dump(), str(path)),
        benching.Settings(**record.settings.model_dump()),
        data or runs.data_folder(paths[0].parent),
        runs.usual_source(paths, data),
        record,
    )
