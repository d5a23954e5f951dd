"""edgebig eval"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options


class Split(str, Enum):
    """The part of the data."""

    test = "test"
    validation = "validation"
    train = "train"
    all = "all"


def add_to(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Runs or .tflite files, the first is what the others are compared with; default: the newest.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    data: options.DataFolder = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Other data than the model's own, as in images:FOLDER; classes go by their names.",
        ),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Which examples; default: test, and all of pictures of your own.", show_default=False
        ),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many examples, as many of each class.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where; 'edgebig devices' lists them.",
            autocompletion=options.complete_device,
        ),
    ] = "local",
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Seconds until it is given up.")
    ] = 900.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Also write evaluation.json, confusion.png and misread.png there."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell how accurate .tflite files are and what they misread.

    It tells each class by itself, with intervals.
    """
    from edgebig import artifact, evaluation, files, runs
    from edgebig import device as devices
    from edgebig.cli import examples as chosen
    from edgebig.evaluation import record as records
    from edgebig.progress import say
    from edgebig.report import evaluation as report

    if out is not None:
        files.check_writable(out / "evaluation.json")
    target = devices.load(device)
    artifacts = [artifact.load(runs.resolve_model(model)) for model in models or (None,)]
    part = split.value if split else None
    which = chosen.choose(artifacts, data, source=source, split=part, count=examples)
    result = evaluation.run(artifacts, which, target, deadline)
    record = records.record(result, which.examples)
    if json:
        options.print_json(record)
    else:
        for line in report.lines(result):
            options.echo(line)
    if out is not None:
        for path in report.save(out, result, which.examples, record):
            say(str(path))
