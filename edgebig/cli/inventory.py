"""edgebig recipes, runs"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError

runs_app = typer.Typer(help="The runs in ./runs.", rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    app.command()(recipes)
    app.add_typer(runs_app, name="runs")


def recipes(json: options.Json = False) -> None:
    """List the recipes that can be named."""
    from edgebig import lookup, recipe

    rows = [
        {"recipe": name, "file": str(path), "header": recipe.header(path)}
        for name, path in lookup.available("recipes").items()
    ]
    if json:
        options.print_json(rows)
    else:
        for row in rows:
            options.echo(f"{row['recipe']:20} {row['header'][0] if row['header'] else ''}")


@runs_app.callback(invoke_without_command=True)
def _runs(context: typer.Context, json: options.Json = False) -> None:
    """List, show and remove runs."""
    if context.invoked_subcommand is None:
        list_runs(json)


@runs_app.command("list")
def list_runs(json: options.Json = False) -> None:
    """List the runs, oldest first."""
    from edgebig import runs

    rows = runs.overview()
    if json:
        options.print_json(rows)
        return
    for row in rows:
        options.echo(f"{row['run']:40} {_state(row)}")
    if not rows:
        typer.echo("no runs here yet: edgebig train digits-quick", err=True)


@runs_app.command("show")
def show_run(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run; default: the last finished one.", autocompletion=options.complete_run
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show what is in a run."""
    from edgebig import runs

    row = runs.summary(runs.load(run))
    if json:
        options.print_json(row)
        return
    options.echo(f"{row['folder']}  recipe {row['recipe']}  {_state(row)}")


@runs_app.command("rm")
def remove_run(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run to delete.", autocompletion=options.complete_run)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: options.Json = False,
) -> None:
    """Delete a run and everything in it."""
    from edgebig import runs

    folder = runs.locate(run)
    if not yes:
        # Not typer.confirm: it makes Ctrl-C a no, and the exit code 1.
        options.echo(f"delete {folder} and everything in it? [y/N]", err=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise EdgebigError(f"{folder}: kept", "answer y, or give --yes")
    runs.remove(folder)
    if json:
        options.print_json({"deleted": str(folder)})
    else:
        options.echo(f"{folder}: deleted")


def _state(row: dict[str, object]) -> str:
    if row["problem"]:
        return f"cannot be read: {row['problem']}"
    variants = row["variants"]
    assert isinstance(variants, list)
    made = ", ".join(f"{v['variant']} {v['accuracy']:.2%} {v['size_bytes'] / 1000:.1f} kB" for v in variants)
    return made if row["finished"] else f"not finished (edgebig train --resume {row['folder']})"
