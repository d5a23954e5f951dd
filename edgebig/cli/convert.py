"""edgebig convert"""

from __future__ import annotations

import dataclasses
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError

if TYPE_CHECKING:
    from edgebig.targets import Fitted


class Io(str, Enum):
    int8 = "int8"
    uint8 = "uint8"
    float32 = "float32"


class For(str, Enum):
    """The names of edgebig.targets.TARGETS, which loads too much for --help."""

    cpu = "cpu"
    gpu = "gpu"
    nnapi = "nnapi"
    edgetpu = "edgetpu"
    ethos_u = "ethos-u"
    mcu = "mcu"
    browser = "browser"
    mediapipe = "mediapipe"


def add_to(app: typer.Typer) -> None:
    app.command()(convert)


def convert(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A run or a .tflite; default: the newest .tflite of the last run.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    target: Annotated[
        For | None, typer.Option("--for", help="What it is to run on: gives the form that this takes best.")
    ] = None,
    io: Annotated[
        Io | None, typer.Option(help="The type of its inputs and outputs; without --for, int8.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --for: exit 3 if an operator is left to the CPU.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Give a model the form that a target takes best.

    An int8 model can be given other inputs and outputs, too.
    """
    from edgebig import artifact, runs

    if target is not None and io is not None:
        raise typer.BadParameter("a target has inputs and outputs of its own", param_hint="'--io'")
    if strict and target is None:
        raise typer.BadParameter("goes with --for", param_hint="'--strict'")
    _refuse_keras(model)
    if target is not None:
        _fit(model, target.value, strict, json)
        return
    from edgebig import convert as conversion

    path = runs.resolve_model(model)
    made = conversion.with_io(artifact.load(path), (io or Io.int8).value, runs.beside(path))
    card = artifact.require_card(made, "")
    if json:
        options.print_json({"file": str(made.path), **artifact.dump_record(card)})
    else:
        options.echo(
            f"{made.path}: {card.input.dtype} in, {card.output.dtype} out, {card.size_bytes / 1000:.1f} kB"
        )


def _fit(model: str | None, target: str, strict: bool, json: bool) -> None:
    from edgebig import artifact, runs, targets

    path = runs.resolve_model(model, lambda run: targets.pick(run.variants(), target, str(run.folder)))
    fitted = targets.fit(artifact.load(path), target, runs.beside(path), strict=strict)
    if json:
        options.print_json(_as_json(fitted))
        return
    for line in _lines(fitted):
        options.echo(line)


def _refuse_keras(model: str | None) -> None:
    path = Path(model or "")
    what = (
        "a SavedModel" if (path / "saved_model.pb").is_file()
        else "a Keras model" if path.suffix in (".keras", ".h5", ".hdf5") and path.is_file()
        else ""
    )  # fmt: skip
    if what:
        raise EdgebigError(
            f"{path}: {what}, and convert takes a run or a .tflite", f"make a run of it: edgebig adopt {path}"
        )


def _as_json(fitted: Fitted) -> dict[str, Any]:
    from edgebig import artifact

    card = artifact.require_card(fitted.artifact, "")
    return {
        "file": str(fitted.artifact.path),
        "target": fitted.target,
        "source": str(fitted.source.path),
        "chosen": list(fitted.chosen),
        "left": [dataclasses.asdict(one) for one in fitted.left],
        "rules": fitted.rules,
        "plain_kernels": list(fitted.plain),
        **artifact.dump_record(card),
    }


def _lines(fitted: Fitted) -> list[str]:
    from edgebig import artifact

    made, card = fitted.artifact, artifact.require_card(fitted.artifact, "")
    as_it_is = f"{made.path}: {fitted.target} takes it as it is, {card.size_bytes / 1000:.1f} kB"
    new = f"{made.path}: for {fitted.target}, {card.size_bytes / 1000:.1f} kB (from {fitted.source.name})"
    lines = [as_it_is if made.path == fitted.source.path else new, *(f"  {line}" for line in fitted.chosen)]
    if fitted.plain:
        lines.append(f"  XNNPACK leaves to the plain kernels, on this host: {', '.join(fitted.plain)}")
    if fitted.rules:
        lines.append(f"left to the CPU: {len(fitted.left) or 'nothing'}  (by {fitted.rules})")
        lines += [f"  {one.operator} ({one.tensor}): {one.reason}" for one in fitted.left]
    return lines
