"""edgebig train"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EdgebigError


def add_to(app: typer.Typer) -> None:
    app.command()(train)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe's name or path; 'edgebig recipes' lists them.",
            autocompletion=options.complete_recipe,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with this run from its last checkpoint.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    data: options.DataFolder = None,
    assignments: options.Set = None,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Train a recipe into a new run folder."""
    from edgebig import files, runs
    from edgebig import recipe as recipes
    from edgebig.data import source

    overrides = options.settings(assignments, seed)
    if resume is not None:
        if recipe is not None or overrides:
            raise typer.BadParameter(
                "--resume goes on with a run as it was; leave out RECIPE, --set and --seed"
            )
        run = runs.load(resume)
        if run.finished:
            raise EdgebigError(f"{run.folder}: its training has finished", "nothing to resume")
    elif recipe is None:
        raise typer.BadParameter(
            "which recipe? As in edgebig train digits-quick; 'edgebig recipes' lists them"
        )
    spec = run.recipe if resume is not None else recipes.load(recipe or "", overrides)

    # What can be refused is refused before TensorFlow's seconds of loading.
    files.check_writable(runs.ROOT / spec.name if resume is None else run.checkpoint_path)
    folder = data or (runs.data_folder(run.folder) if resume is not None else None)
    splits = source.load(spec.data, folder)

    from edgebig import train as training
    from edgebig.compress import preflight

    preflight.check_recipe(spec, splits.train.images.shape[1:], len(splits.classes))
    if resume is None:
        run = runs.create(spec, data=data)
    try:
        with runs.training(run):
            artifact = training.train(spec, splits, run, resume=resume is not None)
    except KeyboardInterrupt:
        options.echo(
            f"edgebig: stopped; 'edgebig train --resume {run.folder}' goes on from the last epoch", err=True
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if json:
        options.print_json(runs.summary(run))
    else:
        options.echo(f"{artifact.path}: {describe(artifact.card)}")


def describe(card: Any) -> str:
    """A card in one line."""
    accuracy = card.host_accuracy
    return (
        f"{card.size_bytes / 1000:.1f} kB ({card.deflated_bytes / 1000:.1f} deflated), {accuracy.value:.2%} of "
        f"{accuracy.n:,} {accuracy.split} examples (95 %: {accuracy.low:.2%} .. {accuracy.high:.2%}), seed {card.seed}"
    )
