"""edgebig data show"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError

if TYPE_CHECKING:
    from edgebig.data.examples import Splits
    from edgebig.recipe import Augment, Data

data_app = typer.Typer(help="What is in a data set.", rich_markup_mode=None, no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(data_app, name="data")


@data_app.callback()
def _data() -> None:
    """What is in a data set."""


@data_app.command("show")
def show(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE|RECIPE",
            help="digits-5k, mnist, fashion-mnist, idx:DIR, npz:FILE, images:DIR, csv:FILE, python:FILE:FUNCTION, or a "
            "recipe's name or path.",
            autocompletion=options.complete_recipe,
        ),
    ],
    data: options.DataFolder = None,
    assignments: options.Set = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="Show what augmentation makes of the pictures.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The contact sheet; default: data-SOURCE.png here."),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what is in a data set, and a sheet of its pictures.

    Its classes, duplicates, and drift between the splits.
    """
    from dataclasses import asdict

    from edgebig import files
    from edgebig.data import source as sources
    from edgebig.data import survey as surveys

    name, spec = resolve(source, [*(assignments or []), *(["data.skip_broken=true"] if skip_broken else [])])
    _check_augment(spec.augment, wanted=augment)
    path = _sheet_path(out, f"data-{name}{'-augmented' if augment else ''}.png")
    files.check_writable(path)
    splits = sources.load(spec, data, check=False)
    found = surveys.survey(splits)
    _save_sheet(splits, spec.augment if augment else None, path)
    if json:
        options.print_json({**asdict(found), "sheet": str(path)})
    else:
        from rich.console import Console

        from edgebig.report import survey as report

        report.show(found, Console())


def resolve(source: str, settings: Sequence[str]) -> tuple[str, Data]:
    """A name for files, and the [data] of a source or a recipe, with --set overrides. A source's name goes first.

    Raises EdgebigError, with all faults.
    """
    from edgebig import lookup, recipe

    kind, colon, rest = source.partition(":")
    is_file = source.endswith(".toml") and not (colon and kind in recipe.OWN_SOURCES)
    if is_file or (source not in recipe.SOURCES and source in lookup.available("recipes")):
        loaded = recipe.load(source, settings)
        return loaded.name, loaded.data
    if not colon and source not in recipe.SOURCES:
        raise EdgebigError(*_unknown(source))
    tables = {"data": {"source": recipe.anchored_source(source, Path.cwd())}, "model": {"name": "mlp"}}
    spec = recipe.parse(tables, "show", settings, file="data show", hint="as in edgebig data show mnist").data
    path = rest.rpartition(":")[0] if kind == "python" else rest
    stem = Path(path).absolute().stem if colon else source
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or kind, spec


def _unknown(source: str) -> tuple[str, str]:
    import difflib

    from edgebig import lookup, recipe

    known = [*recipe.SOURCES, *lookup.available("recipes")]
    if source in recipe.OWN_SOURCES or Path(source).exists():
        example = source if source in recipe.OWN_SOURCES else "images" if Path(source).is_dir() else "csv"
        where = "PATH" if source in recipe.OWN_SOURCES else source
        return f"'{source}': neither a source nor a recipe", f"say what it is, as in {example}:{where}"
    close = difflib.get_close_matches(source, known, n=1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return (
        f"no source and no recipe '{source}'{guess}",
        f"a source: {', '.join(recipe.SOURCES)}, idx:DIR, npz:FILE, images:DIR, csv:FILE, python:FILE:FUNCTION; "
        "'edgebig recipes' lists the recipes",
    )


def _check_augment(augment: Augment, *, wanted: bool) -> None:
    from edgebig.data import sample

    if wanted and not sample.is_on(augment):
        raise EdgebigError(
            "--augment: no augmentation is on",
            "turn one on, as in --set data.augment.rotate_deg=12, or name a recipe that has one, as in digits",
        )


def _sheet_path(out: Path | None, default: str) -> Path:
    path = out or Path(default)
    if path.suffix.lower() != ".png":
        raise EdgebigError(f"--out {path}: the sheet is a PNG", f"as in --out {path.with_suffix('.png')}")
    return path


def _save_sheet(splits: Splits, augment: Augment | None, path: Path) -> None:
    """Writes the contact sheet of `splits` to `path`, whole or not at all, and says so on stderr."""
    import numpy as np

    from edgebig import files
    from edgebig.data import sample
    from edgebig.progress import say
    from edgebig.report import sheet

    train, classes = splits.train, splits.classes
    most = int(np.bincount(train.labels).max(initial=0))
    plan = sheet.layout(train.shape, classes, most, versions=sheet.VERSIONS if augment else 0)
    chosen = sample.pick(train, plan.classes, plan.each)
    changed = sample.changed(train[np.concatenate(chosen)], augment, plan.versions) if augment else None
    picture = sheet.draw(train, classes, plan, chosen, _caption(splits, plan.classes, augment), changed)
    replaced = ", in the place of the one there" if path.exists() else ""
    with files.replacing(path) as temporary:
        picture.save(temporary, "PNG")
    say(f"contact sheet: {options.printable(str(path))} ({picture.width} x {picture.height} px){replaced}")


def _caption(splits: Splits, shown: int, augment: Augment | None) -> str:
    height, width, _ = splits.train.shape
    caption = f"{splits.source}: train, {height} x {width}"
    if shown < len(splits.classes):
        caption += f", the first {shown:,} of {len(splits.classes):,} classes"
    if augment:
        on = augment.model_dump(mode="json", exclude_defaults=True)
        keys = ", ".join(f"{key} = {value}" for key, value in on.items())
        caption += f"; each framed picture is followed by some that training would draw from it: {keys}"
    return options.printable(caption)
