"""edgebig compress"""

from __future__ import annotations

from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EdgebigError


def add_to(app: typer.Typer) -> None:
    app.command()(compress)


def compress(
    run: Annotated[
        str | None,
        typer.Argument(help="A run; default: the last finished one.", autocompletion=options.complete_run),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantization-aware training to full int8.")] = False,
    prune: Annotated[
        float | None,
        typer.Option("--prune", metavar="SHARE", help="Magnitude pruning to this share of zeros."),
    ] = None,
    data: options.DataFolder = None,
    assignments: options.Set = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The seed of the passes; default: the training's.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Prune and quantize a trained run; without flags, by the passes of its recipe."""
    from edgebig import artifact, runs
    from edgebig import recipe as recipes
    from edgebig.cli.train import describe
    from edgebig.data import source
    from edgebig.progress import say

    chosen = runs.finished(run)
    spec = chosen.recipe
    say(f"run: {chosen.folder}")
    if int8 or prune is not None:
        flags = [*(["--int8"] if int8 else []), *([f"--prune {prune}"] if prune is not None else [])]
        say(
            f"passes by {' '.join(flags)}, in place of the recipe's; the settings of each pass stay the recipe's"
        )
        spec = recipes.with_passes(spec, int8=int8, prune=prune)
    for setting in assignments or []:
        if not setting.startswith(("compress.", "convert.")):
            raise EdgebigError(
                f"--set {setting}: the training is done; compress takes compress.* and convert.*",
                "train again for another recipe: edgebig train ... --set ...",
            )
    spec = recipes.with_settings(spec, assignments or [])

    folder = data or runs.data_folder(chosen.folder)
    splits = source.load(spec.data, folder)

    from edgebig import compress as compression

    try:
        made = compression.compress(chosen, spec, splits, seed)
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped; the run is as it was", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    card = artifact.require_card(made, "")
    if json:
        options.print_json({"file": str(made.path), **artifact.dump_record(card)})
    else:
        options.echo(f"{made.path}: {describe(card)}")
