"""edgebig compress"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EdgebigError


class Ptq(str, Enum):
    int8 = "int8"
    int16x8 = "int16x8"
    float16 = "float16"
    dynamic = "dynamic"
    weights_int8 = "weights-int8"
    weights_int4 = "weights-int4"


def add_to(app: typer.Typer) -> None:
    app.command()(compress)


def compress(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run; default: the last finished one.", autocompletion=options.complete_run
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantization-aware training to full int8.")] = False,
    slim: Annotated[
        float | None,
        typer.Option(
            "--slim", metavar="SHARE", help="Remove channels until this share of multiplications is left."
        ),
    ] = None,
    distil: Annotated[
        list[str] | None,
        typer.Option("--distil", metavar="TEACHER", help="Learn from a run or a model; may be repeated."),
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option("--prune", metavar="SHARE", help="Magnitude pruning to this share of zeros."),
    ] = None,
    cluster: Annotated[
        int | None,
        typer.Option("--cluster", metavar="N", min=2, max=256, help="So many different weights in a layer."),
    ] = None,
    ptq: Annotated[
        Ptq | None, typer.Option("--ptq", help="Quantization after training, by a calibration set.")
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Keep the model after each pass too, as a variant of its own.")
    ] = False,
    bench: Annotated[
        bool, typer.Option("--bench", help="Then measure every step here, in turns; implies --steps.")
    ] = False,
    data: options.DataFolder = None,
    assignments: options.Set = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="The seed of the passes; default: the training's."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Slim, distil, prune, cluster and quantize a trained run.

    Without flags, by the passes of its recipe.
    """
    from edgebig import artifact, runs
    from edgebig import recipe as recipes
    from edgebig.data import source
    from edgebig.progress import say

    if json and bench:
        raise typer.BadParameter("--json lists the files; measure them by edgebig bench FILES --json")
    asked: dict[str, dict[str, Any]] = {}
    if slim is not None:
        asked["slim"] = {"macs": _share("--slim", slim, "of multiplications left")}
    if distil:
        asked["distil"] = {"teacher": [recipes.anchored_teacher(name) for name in distil]}
    if prune is not None:
        asked["prune"] = {"sparsity": _share("--prune", prune, "of zeros")}
    if cluster is not None:
        asked["cluster"] = {"clusters": cluster}
    if int8:
        asked["qat"] = {}
    if ptq is not None:
        asked["ptq"] = {"dtype": ptq.value}
    _no_model(run)
    chosen = runs.finished(run)
    spec = chosen.recipe
    say(f"run: {chosen.folder}")
    if asked:
        say(
            f"passes: {', '.join(asked)}, in place of the recipe's; the other settings of each stay the recipe's"
        )
        spec = recipes.with_passes(spec, asked)
    for setting in assignments or []:
        if not setting.startswith(("compress.", "convert.")):
            raise EdgebigError(
                f"--set {setting}: the training is done; compress takes compress.* and convert.*",
                "train again for another recipe: edgebig train ... --set ...",
            )
    spec = recipes.with_settings(spec, assignments or [])

    folder = data or runs.data_folder(chosen.folder)
    splits = source.load(spec.data, folder)

    from edgebig import compress as compression

    try:
        made = compression.compress(chosen, spec, splits, seed, measure=_measure, keep_steps=steps or bench)
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped; the run is as it was", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    card = artifact.require_card(made.artifact, "")
    if json:
        kept = [str(step.path) for step in made.steps]
        options.print_json({"file": str(made.artifact.path), "steps": kept, **artifact.dump_record(card)})
    else:
        _show(chosen, made, card)
    if bench:
        from edgebig.cli.bench import measure as measure_all

        files = [chosen.folder / "float32.tflite", *(step.path for step in made.steps), made.artifact.path]
        measure_all([str(path) for path in files], json=json)


def _share(option: str, value: float, what: str) -> float:
    if not 0 < value < 1:
        raise EdgebigError(f"{option} {value}: a share {what} is over 0 and under 1", f"as in {option} 0.5")
    return value


def _show(run: Any, made: Any, card: Any) -> None:
    from rich.console import Console

    from edgebig import artifact
    from edgebig.cli.train import describe
    from edgebig.report import steps

    parent = artifact.require_card(artifact.load(run.folder / "float32.tflite"), "")
    steps.show(parent, card, Console())
    options.echo(f"{made.artifact.path}: {describe(card)}")


def _measure(before: bytes, after: bytes, device: str) -> float:
    """The time that `after` takes as a share of that of `before`, by a short bench on `device`."""
    from edgebig import artifact, files, lookup
    from edgebig import bench as benching
    from edgebig import device as devices

    with files.scratch(lookup.cache_dir() / "scratch") as folder:
        artifacts = []
        for name, data in (("before", before), ("after", after)):
            path = folder / f"{name}.tflite"
            path.write_bytes(data)
            artifacts.append(artifact.load(path))
        # Without cards they are timed alone; a ratio over three processes is enough to choose a width by.
        settings = benching.Settings(processes=3, rounds=10, samples=20)
        measured = benching.bench(artifacts, devices.load(device), settings, None)
    ratio = measured.comparisons[0].ratio
    if ratio is None:
        raise EdgebigError(f"{device}: gave no times to compare", "slim to a share of macs instead")
    return ratio


def _no_model(name: str | None) -> None:
    """Raises EdgebigError where what should be a run is a model file, or a SavedModel."""
    path = Path(name or "")
    if not (path.is_file() or (path / "saved_model.pb").is_file()):
        return
    inside = (path.parent / "recipe.toml").is_file()
    raise EdgebigError(
        f"{name}: a model, and no run",
        f"its run is edgebig compress {path.parent}"
        if inside
        else f"adopt it first: edgebig adopt {name} --recipe ...",
    )
