"""edgebig environment"""

from __future__ import annotations

from typing import Annotated

import typer

from edgebig.cli import options

environment_app = typer.Typer(
    help="Environments for packages that do not go with edgebig's own.", rich_markup_mode=None
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="One of those that 'edgebig environment' lists.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(environment_app, name="environment")


@environment_app.callback(invoke_without_command=True)
def _environments(context: typer.Context, json: options.Json = False) -> None:
    """List, make and remove the environments that some commands need."""
    if context.invoked_subcommand is None:
        list_environments(json)


@environment_app.command("list")
def list_environments(json: options.Json = False) -> None:
    """List the environments, and which are made."""
    from edgebig import environment

    rows = environment.listed()
    if json:
        options.print_json(rows)
        return
    for row in rows:
        options.echo(f"{row['environment']:16} {'made' if row['made'] else '-':6} {row['about']}")


@environment_app.command("add")
def add_environment(name: Name, json: options.Json = False) -> None:
    """Make an environment, from the package index.

    It is kept in the cache.
    """
    from edgebig import environment

    interpreter = environment.add(name)
    if json:
        options.print_json(
            {"environment": name, "python": str(interpreter), "packages": environment.versions(name)}
        )
    else:
        options.echo(f"{name}: {interpreter}")


@environment_app.command("remove")
def remove_environment(name: Name, json: options.Json = False) -> None:
    """Delete an environment."""
    from edgebig import environment

    gone = environment.remove(name)
    if json:
        options.print_json({"environment": name, "deleted": [str(folder) for folder in gone]})
    else:
        options.echo(f"{name}: {'deleted' if gone else 'was not there'}")
