"""edgebig predict"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_USER


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    model: Annotated[str, typer.Argument(help="A .tflite or a run.", autocompletion=options.complete_run)],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Pictures with handwritten digits.")
    ],
    device: Annotated[
        str,
        typer.Option(
            help="Where; only local devices can read pictures yet.", autocompletion=options.complete_device
        ),
    ] = "local",
    json: options.Json = False,
) -> None:
    """Read the digits in pictures; with --json, one object a line."""
    from edgebig import artifact, runs
    from edgebig import device as devices
    from edgebig import predict as predicting

    found = artifact.load(runs.resolve_model(model))
    failed = 0
    for answer in predicting.predict(found, images, devices.load(device)):
        if answer["event"] == "error":
            failed += 1
            options.echo(f"edgebig: {answer['problem']}", err=True)
            options.echo(f"  {answer['hint']}", err=True)
        elif json:
            typer.echo(jsonlib.dumps({key: value for key, value in answer.items() if key != "event"}))
        elif answer["digits"]:
            options.echo(f"{answer['image']}: {answer['label']} ({answer['confidence']:.1%})")
        else:
            options.echo(f"{answer['image']}: no digit found")
    if failed:
        raise typer.Exit(EXIT_USER)
