"""edgebig export"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options


class To(str, Enum):
    c = "c"
    arduino = "arduino"
    android = "android"
    web = "web"


def add_to(app: typer.Typer) -> None:
    app.command()(export)


def export(
    to: Annotated[To, typer.Option(help="What it is built into.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A run or a .tflite; default: the newest .tflite of the last run.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new folder; default: NAME_TO, here.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What arrays and classes are called; default: the recipe and the variant."),
    ] = None,
    data: options.DataFolder = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Examples of other data than the model's own, as in digits-5k."),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Run so many test examples for the check.")] = 200,
    json: options.Json = False,
) -> None:
    """Make C, an Arduino sketch or Android's assets of a .tflite, checked in the real runtime."""
    from edgebig import artifact, runs
    from edgebig import export as exporting
    from edgebig.cli import examples as chosen
    from edgebig.data.examples import Examples

    if to is To.web:
        exporting.refuse_web()
    item = artifact.load(runs.resolve_model(model))
    name, out = exporting.place(item, to.value, name, out)
    which = chosen.choose([item], data, source=source, count=examples)
    labels = which.labels_of(artifact.require_card(item, ""))
    made = exporting.export(item, to.value, name, out, Examples(which.examples.images, labels))
    if json:
        options.print_json({"files": [str(path) for path in made.paths], **made.record})
        return
    for line in (*map(str, made.paths), *made.lines):
        options.echo(line)
