"""The options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a key of the recipe; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="The seed; the same as --set train.seed=N.")]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where the data set's files are (or EDGEBIG_DATA)."),
]


def settings(assignments: list[str] | None, seed: int | None) -> list[str]:
    return [*(assignments or []), *([f"train.seed={seed}"] if seed is not None else [])]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
