"""edgebig adopt"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options


class Pixels(str, Enum):
    zero_to_one = "0..1"
    bytes = "0..255"
    around_zero = "-1..1"


def add_to(app: typer.Typer) -> None:
    app.command()(adopt)


def adopt(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A .keras, an .h5, a SavedModel's folder or a .tflite.")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="The recipe that says which [data] it is for; its [model] and [train] do not count.",
            autocompletion=options.complete_recipe,
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the run; default: the file's.")
    ] = None,
    pixels: Annotated[
        Pixels | None,
        typer.Option(help="What the model takes pixels as; default: as a quantized input says, or 0..1."),
    ] = None,
    data: options.DataFolder = None,
    assignments: options.Set = None,
    json: options.Json = False,
) -> None:
    """Make a run of a model that was trained elsewhere.

    Then compress, bench, eval and predict take it.
    """
    from edgebig import adopt as adoption
    from edgebig import artifact, files, runs
    from edgebig import recipe as recipes
    from edgebig.cli.train import describe
    from edgebig.data import source

    found = adoption.examine(model)
    adopted = recipes.Adopted(name="adopted", file=model.name, sha256=found.sha256)
    spec = recipes.load(recipe, assignments or [], adopted, name or found.run_name())
    files.check_writable(runs.ROOT / spec.name)
    splits = source.load(spec.data, data)
    for note in splits.notes:
        options.echo(f"data: {note}", err=True)
    made = adoption.adopt(found, spec, splits, pixels.value if pixels else None, data)
    card = artifact.require_card(made, "")
    if json:
        options.print_json({"file": str(made.path), **artifact.dump_record(card)})
    else:
        options.echo(f"{made.path}: {describe(card)}")
