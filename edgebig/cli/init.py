"""edgebig init"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options


def add_to(app: typer.Typer) -> None:
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder.")],
    json: options.Json = False,
) -> None:
    """Start a project of your own, which works as it is.

    It has a recipe, a model, data and a test.
    """
    from edgebig import project

    made = project.create(folder)
    name = folder.absolute().name
    if json:
        options.print_json({"recipe": name, "files": [str(path) for path in made]})
        return
    for path in made:
        options.echo(str(path))
    options.echo(
        f"next: cd {folder} && edgebig train {name}.toml && edgebig compress --int8 && edgebig bench"
    )
