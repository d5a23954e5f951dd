"""edgebig inspect"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError


def add_to(app: typer.Typer) -> None:
    app.command("inspect")(inspect)


def inspect(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A .tflite, or a run; default: the newest .tflite of the last run.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    explorer: Annotated[
        bool, typer.Option("--explorer", help="Open it in Google's Model Explorer, in the browser.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what is in a .tflite: operators, bytes and memory.

    Shapes and multiplications, too.
    """
    from edgebig import inspection, runs

    path = runs.resolve_model(model)
    found = inspection.of_file(path)
    if json:
        options.print_json(inspection.record(found))
    else:
        from edgebig.report import inspection as report

        for line in report.lines(found):
            options.echo(line)
    if explorer:
        _explore(path)


def _explore(path: Path) -> None:
    """Model Explorer's own server, until it is stopped. Raises EdgebigError where it is not installed."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("model_explorer") is None:
        raise EdgebigError(
            "--explorer needs ai-edge-model-explorer, which is not installed here",
            'pip install "edgebig[explorer]"; from a checkout: pip install ".[explorer]"',
        )
    done = subprocess.run([sys.executable, "-m", "model_explorer", str(path.absolute())], check=False)
    if done.returncode:
        raise EdgebigError(
            f"Model Explorer ended with exit code {done.returncode}", "what it said stands above"
        )
