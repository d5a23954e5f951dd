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
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A run or a .tflite; default: the newest .tflite of the last run. Several, for web alone.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new folder; default: NAME_TO, here.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What arrays and classes are called; default: the recipe and the variant."
        ),
    ] = None,
    data: options.DataFolder = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Examples of other data than the model's own, as in digits-5k."),
    ] = None,
    examples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Run so many test examples for the check.")
    ] = 200,
    runtime_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="LiteRT.js as npm pack leaves it, for web; no network is asked."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make C, a sketch, Android's assets or a page of a .tflite.

    What is made is checked; the page does for any https host.
    """
    from edgebig import artifact, lookup, runs
    from edgebig import export as exporting
    from edgebig.cli import examples as chosen
    from edgebig.data.examples import Examples
    from edgebig.errors import EdgebigError

    if to is not To.web and (len(models or ()) > 1 or runtime_dir is not None):
        raise EdgebigError(
            f"--to {to.value}: takes one model, and no --runtime-dir", "several go into one page: --to web"
        )
    items = [artifact.load(runs.resolve_model(model)) for model in models or (None,)]
    name, out = exporting.place(items[0], to.value, name, out)
    which = chosen.choose(items, data, source=source, count=examples)
    checked = Examples(which.examples.images, which.labels_of(artifact.require_card(items[0], "")))
    if to is To.web:
        made = exporting.export_web(items, name, out, checked, lookup.cache_dir(), runtime_dir)
    else:
        made = exporting.export(items[0], to.value, name, out, checked)
    if json:
        options.print_json({"files": [str(path) for path in made.paths], **made.record})
        return
    for line in (*map(str, made.paths), *made.lines):
        options.echo(line)
