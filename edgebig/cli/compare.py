"""edgebig compare"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError

if TYPE_CHECKING:
    from edgebig.comparing import Compared
    from edgebig.comparing.speed import Limits
    from edgebig.measurement import Measurement


def add_to(app: typer.Typer) -> None:
    app.command("compare")(compare)


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A record of bench (.json), a run or a .tflite: what is compared with.",
            autocompletion=options.complete_run,
        ),
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="B",
            help="Another of the same kind; without it, the models of one record.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    max_regression: Annotated[
        float,
        typer.Option(
            parser=options.share, metavar="SHARE", help="How much longer B's p50 may take, as in 5% or 0.05."
        ),
    ] = "5%",  # type: ignore[assignment]  # as it is typed: the parser makes a number of it
    and_: Annotated[
        float | None,
        typer.Option(
            "--and",
            parser=options.time_ns,
            metavar="TIME",
            help="And only more than this counts, as in 20us.",
        ),
    ] = None,
    max_loss: Annotated[
        float, typer.Option(metavar="POINTS", help="So many points of accuracy may B lose.")
    ] = 0.5,
    strict: options.Strict = False,
    junit: options.JUnit = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of two models: where both are measured, in turns. Default: local.",
            autocompletion=options.complete_device,
        ),
    ] = None,
    data: options.DataFolder = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of two models: only so many test examples.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Of two models: fresh processes to measure in. Default: 5."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Of two models: the record's file.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell whether B is slower or reads worse than A.

    A and B are two records of bench, or two models that are measured in turns.

    Each part is PASS where its whole 95 % interval is within the bound, FAIL where none of it is, else INCONCLUSIVE.
    Slower is FAIL only past --max-regression and --and both. Exit 3 where one is FAIL; INCONCLUSIVE is exit 0, with
    --strict 3.
    """
    from edgebig import comparing
    from edgebig.comparing.speed import Limits
    from edgebig.report import compared as report

    of_models = {
        "--device": device,
        "--data": data,
        "--examples": examples,
        "--processes": processes,
        "--out": out,
    }
    with options.error_as_xml(junit, "edgebig compare", f"{a} {b or ''}".rstrip()):
        limits = Limits(max_regression, and_, max_loss)
        if _is_record(a) or (b is not None and _is_record(b)):
            found = _records(a, b, limits, [name for name, value in of_models.items() if value is not None])
        else:
            record, path = _in_turns(a, b, device, data, examples, processes, out)
            found = comparing.within(record, limits, str(path))
    if junit is not None:
        _write_xml(junit, found, strict)
    if json:
        options.print_json(comparing.record(found))
    else:
        for line in report.lines(found):
            options.echo(line)
    raise typer.Exit(options.exit_code(found.verdict, strict))


def _write_xml(path: Path, found: Compared, strict: bool) -> None:
    from edgebig import files
    from edgebig.report import compared as report
    from edgebig.report import junit

    files.write_text(
        path, junit.document("edgebig compare", report.cases(found), report.properties(found), strict=strict)
    )


def _is_record(name: str) -> bool:
    return name.endswith(".json")


def _records(a: str, b: str | None, limits: Limits, given: list[str]) -> Compared:
    from edgebig import comparing, measurement

    if b is not None and _is_record(a) != _is_record(b):
        raise EdgebigError(f"{a} and {b}: a record and a model", "compare two records, or two models")
    if given:
        raise EdgebigError(
            f"{', '.join(given)}: says how models are measured, and {a} has been",
            "leave it out, or name models",
        )
    first = measurement.load(Path(a))
    if b is None:
        return comparing.within(first, limits, a)
    if Path(a).resolve() == Path(b).resolve():
        raise EdgebigError(f"{a} and {b} are the same record", "name two")
    return comparing.records(first, measurement.load(Path(b)), limits, (a, b))


def _in_turns(
    a: str,
    b: str | None,
    device: str | None,
    data: Path | None,
    examples: int | None,
    processes: int | None,
    out: Path | None,
) -> tuple[Measurement, Path]:
    from edgebig import campaign
    from edgebig import device as devices
    from edgebig.bench import Settings
    from edgebig.progress import say

    if b is None:
        raise EdgebigError(f"{a}: against what?", "edgebig compare A B, two models or two records")
    usual = Settings()
    settings = Settings(examples, processes or usual.processes)
    asked = campaign.Asked([devices.load(device or "local")], (a, b), settings, data=data, out=out)
    (row,) = campaign.run(asked).rows
    assert row.measurement is not None
    assert row.path is not None
    say(f"record: {row.path}")
    return row.measurement, row.path
