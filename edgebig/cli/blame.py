"""edgebig blame"""

from __future__ import annotations

from typing import Annotated

import typer

from edgebig.cli import options


def add_to(app: typer.Typer) -> None:
    app.command("blame")(blame)


def blame(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A run or a .tflite; default: the newest.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is held against this machine; 'edgebig devices' lists them.",
            autocompletion=options.complete_device,
        ),
    ] = "local",
    examples: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only so many test examples, as many of each class."),
    ] = None,
    data: options.DataFolder = None,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Seconds until a step is given up.")
    ] = 900.0,
    json: options.Json = False,
) -> None:
    """Tell why a device predicts something else than this machine.

    It is the preprocessing, the runtime, the processor or the kernels.

    The same examples go through each, one change at a time. Exit 0 whoever is to blame.
    """
    from edgebig import artifact, runs
    from edgebig import blame as blaming
    from edgebig import device as devices
    from edgebig.report import blame as report

    item = artifact.load(runs.resolve_model(model))
    folder, source = runs.usual_data([item.path], data)
    found = blaming.blame(item, devices.load(device), blaming.Asked(examples, folder, source, deadline))
    if json:
        options.print_json(found.record())
        return
    for line in report.lines(found):
        options.echo(line)
