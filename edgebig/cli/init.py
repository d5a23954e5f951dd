"""edgebig init"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options


def add_to(app: typer.Typer) -> None:
    app.command()(init)


def init(folder: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder.")]) -> None:
    """Start a project of your own: a recipe, a model, data and a test that work as they are."""
    from edgebig import project

    for path in project.create(folder):
        options.echo(str(path))
    name = folder.absolute().name
    options.echo(
        f"next: cd {folder} && edgebig train {name}.toml && edgebig compress --int8 && edgebig bench"
    )
