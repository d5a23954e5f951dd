"""edgebig convert"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from edgebig.cli import options


class Io(str, Enum):
    int8 = "int8"
    uint8 = "uint8"
    float32 = "float32"


def add_to(app: typer.Typer) -> None:
    app.command()(convert)


def convert(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A run or a .tflite; default: the newest .tflite of the last run.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    io: Annotated[Io, typer.Option(help="The type of its inputs and outputs.")] = Io.int8,
    json: options.Json = False,
) -> None:
    """Give an int8 model inputs and outputs of another type, inside unchanged."""
    from edgebig import artifact, runs
    from edgebig import convert as conversion

    made = conversion.with_io(artifact.load(runs.resolve_model(model)), io.value)
    card = artifact.require_card(made, "")
    if json:
        options.print_json({"file": str(made.path), **artifact.dump_record(card)})
    else:
        options.echo(
            f"{made.path}: {card.input.dtype} in, {card.output.dtype} out, {card.size_bytes / 1000:.1f} kB"
        )
