"""edgebig check"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_SHORTFALL


class Split(str, Enum):
    """The part of the data."""

    test = "test"
    validation = "validation"


def add_to(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    a: Annotated[
        str | None,
        typer.Argument(
            metavar="A",
            help="A .tflite, a .keras or a run; default: the last run, its float model against its newest .tflite.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(metavar="B", help="What is compared with it.", autocompletion=options.complete_run),
    ] = None,
    runtimes: Annotated[
        str | None,
        typer.Option(
            metavar="R[,R]",
            help="Two of xnnpack, none, reference, tflite-runtime, tflite-micro: one model under both; or one, for "
            "A and B alike (default: reference).",
        ),
    ] = None,
    max_loss: Annotated[
        float, typer.Option(metavar="POINTS", help="So many points of accuracy may B lose; if more, exit 3.")
    ] = 0.5,
    split: Annotated[
        Split, typer.Option(help="Which examples; validation, where you choose by the outcome.")
    ] = Split.test,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many examples, as many of each class.")
    ] = None,
    no_layers: Annotated[
        bool, typer.Option("--no-layers", help="Compare the answers alone, which is quicker.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg|png", help="Also draw the layers there.")
    ] = None,
    data: options.DataFolder = None,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Seconds until a model is given up.")
    ] = 900.0,
    json: options.Json = False,
) -> None:
    """Tell where two models part, and in which layer.

    It compares their answers on real examples, and tells layer by layer what is lost.
    """
    from edgebig import comparison
    from edgebig.cli import examples as chosen
    from edgebig.progress import say
    from edgebig.report import layerplot
    from edgebig.report import layers as report

    if plot is not None:
        layerplot.check_name(plot)
    first, second = comparison.subjects(a, b, runtimes.split(",") if runtimes else [])
    carded = comparison.cards(first, second)
    which = chosen.choose(carded, data, split=split.value, count=examples)
    layer_examples = 0 if no_layers else comparison.LAYER_EXAMPLES
    found = comparison.compare(first, second, which, comparison.Settings(max_loss, layer_examples, deadline))
    if json:
        options.print_json(comparison.record(found))
    else:
        for line in report.lines(found):
            options.echo(line)
    if plot is not None:
        layerplot.save(plot, found)
        say(str(plot))
    if found.verdict == "FAIL":
        raise typer.Exit(EXIT_SHORTFALL)
