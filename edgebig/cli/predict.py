"""edgebig predict"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_USER


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A .tflite or a run.", autocompletion=options.complete_run)
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Pictures of what the model knows.")],
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where; only local devices can read pictures yet.",
            autocompletion=options.complete_device,
        ),
    ] = "local",
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="SHEET.png",
            help="Draw how the digits were found; of several pictures SHEET-1.png and so on.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell what is in pictures: digits, or one class for each.

    With --json, one object a line.
    """
    from edgebig import artifact, runs
    from edgebig import device as devices
    from edgebig import predict as predicting

    found = artifact.load(runs.resolve_model(model))
    failed = 0
    sheets = predicting.sheets_of(found, images, explain) if explain else [None] * len(images)
    answers = predicting.predict(found, images, devices.load(device))
    for answer, sheet in zip(answers, sheets, strict=True):
        if answer["event"] == "error":
            failed += 1
            options.echo(f"edgebig: {answer['problem']}", err=True)
            options.echo(f"  {answer['hint']}", err=True)
        elif json:
            typer.echo(jsonlib.dumps({key: value for key, value in answer.items() if key != "event"}))
        else:
            for line in _lines(answer):
                options.echo(line)
        if sheet and answer["event"] != "error":
            predicting.explain(answer, sheet)
            options.echo(f"  how they were found: {sheet}", err=True)
    if failed:
        raise typer.Exit(EXIT_USER)


def _lines(answer: dict[str, Any]) -> list[str]:
    """What a picture shows; of several lines of digits each on a line of its own, as sure as its least sure digit."""
    from edgebig.predict import lines_of

    image, digits = answer["image"], answer["digits"]
    if not digits and "top" not in answer:
        return [f"{image}: no digit found"]
    lines = lines_of(digits)
    if len(lines) < 2:
        return [f"{image}: {answer['label']} ({answer['confidence']:.1%})"]
    return [
        f"{image}, line {number}: {''.join(digit['label'] for digit in line)} "
        f"({min(digit['confidence'] for digit in line):.1%})"
        for number, line in enumerate(lines, start=1)
    ]
