"""edgebig bench"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EXIT_SHORTFALL


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
    json: options.Json = False,
) -> None:
    """Measure accuracy and latency of .tflite files on a device, in turns."""
    from edgebig import artifact, runs, targets
    from edgebig import bench as benching
    from edgebig import device as devices
    from edgebig import measurement as measurements
    from edgebig.progress import say
    from edgebig.targets.table import TARGETS

    target = devices.load(device)
    target_name = targets.implied_by(target.kind, target.delegate)

    def choose(run: runs.Run) -> Path:
        say(f"{target.name}: for {TARGETS[target_name].about}")
        return targets.ready(run.variants(), target_name, str(run.folder))

    artifacts = [artifact.load(runs.resolve_model(model, choose)) for model in models or (None,)]
    settings = benching.Settings(examples, processes, rounds, samples, deadline_s=deadline)
    source = runs.usual_source([item.path for item in artifacts], data)
    path = measurements.reserve(target.name, runs.beside(artifacts[0].path), out)
    measurement = _measured(
        lambda: benching.bench(
            artifacts, target, settings, data or runs.data_folder(artifacts[0].path.parent), source
        )
    )
    measurements.save(measurement, path)
    if json:
        options.print_json(artifact.dump_record(measurement))
    else:
        from rich.console import Console

        from edgebig.report import table

        table.show(measurement, Console())
    say(f"record: {path}")
    if any(model.verdict in ("WRONG", "TOO BIG") for model in measurement.models):
        raise typer.Exit(EXIT_SHORTFALL)


def _measured(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped; nothing was recorded", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
