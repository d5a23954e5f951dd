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
            metavar="RECIPE",
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
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=100, help="Train so many times, with seeds from the recipe's on."
        ),
    ] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write logs for TensorBoard.")] = False,
    skip_broken: options.SkipBroken = False,
    json: options.Json = False,
) -> None:
    """Train a recipe into a new run folder."""
    from edgebig import files, runs
    from edgebig import recipe as recipes
    from edgebig.data import source

    overrides = options.settings(assignments, seed, skip_broken)
    if resume is not None:
        if recipe is not None or overrides or seeds > 1:
            raise typer.BadParameter(
                "--resume goes on with a run as it was; leave out RECIPE, --set, --seed, --seeds and --skip-broken"
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
    if isinstance(spec.model, recipes.Adopted):
        raise EdgebigError(
            f"{spec.name}: its model, {spec.model.file}, was trained elsewhere and adopted",
            "edgebig compress trains it on; to train from the beginning, name a model in the recipe",
        )
    files.check_writable(runs.ROOT / spec.name if resume is None else run.checkpoint_path)
    folder = data or (runs.data_folder(run.folder) if resume is not None else None)
    splits = source.load(spec.data, folder)
    for note in splits.notes:
        options.echo(f"data: {note}", err=True)

    from edgebig import train as training
    from edgebig.compress import preflight

    preflight.check_recipe(spec, splits.train.shape, len(splits.classes))
    done = []
    for number in range(seeds):
        if resume is None:
            of_seed = recipes.with_settings(spec, [f"train.seed={spec.train.seed + number}"])
            run = runs.create(of_seed, data=data)
        try:
            with runs.training(run):
                artifact = training.train(
                    run.recipe, splits, run, resume=resume is not None, tensorboard=tensorboard
                )
        except KeyboardInterrupt:
            options.echo(
                f"edgebig: stopped; 'edgebig train --resume {run.folder}' goes on from the last epoch",
                err=True,
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None
        done.append((run, artifact))
        _tell_validation(run, artifact, splits.validation)
        if not json:
            options.echo(f"{artifact.path}: {describe(artifact.card)}")
    if seeds == 1:
        if json:
            options.print_json(runs.summary(run))
        return
    _tell_spread(done, json)


def _tell_validation(run: Any, artifact: Any, examples: Any) -> None:
    """What validation examples are read as; the test set's mistakes are not looked at, or they would be learnt from."""
    from edgebig import evaluation
    from edgebig.report import evaluation as reports
    from edgebig.report import words

    found = evaluation.of(artifact, examples, "validation")
    paths = reports.write(run.folder, found, examples)
    for line in words.summary_lines(found):
        options.echo(line, err=True)
    options.echo(f"drawn: {', '.join(map(str, paths))}", err=True)


def _tell_spread(done: list[tuple[Any, Any]], json: bool) -> None:
    """Mean and spread over seeds: what a recipe gives, where one run says what one run gave."""
    from statistics import mean, stdev

    from edgebig import runs

    accuracies = [artifact.card.host_accuracy.value for _, artifact in done]
    spread = {"seeds": len(done), "mean": mean(accuracies), "standard_deviation": stdev(accuracies)}
    if json:
        options.print_json({"test_accuracy": spread, "runs": [runs.summary(run) for run, _ in done]})
        return
    options.echo(
        f"{len(done)} seeds: {spread['mean']:.2%} of {done[0][1].card.host_accuracy.n:,} test examples on average, "
        f"standard deviation {100 * spread['standard_deviation']:.2f} points, {min(accuracies):.2%} .. "
        f"{max(accuracies):.2%}"
    )


def describe(card: Any) -> str:
    """A card in one line."""
    accuracy = card.host_accuracy
    return (
        f"{card.size_bytes / 1000:.1f} kB ({card.deflated_bytes / 1000:.1f} deflated), {accuracy.value:.2%} of "
        f"{accuracy.n:,} {accuracy.split} examples (95 %: {accuracy.low:.2%} .. {accuracy.high:.2%}), seed {card.seed}"
    )
