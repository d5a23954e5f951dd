"""edgebig bench"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED, EXIT_SHORTFALL, EdgebigError

if TYPE_CHECKING:
    from edgebig.bounds import Bounds, Outcome
    from edgebig.campaign import Asked, Found, Row
    from edgebig.device import Device

T = TypeVar("T")


def add_to(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Runs or .tflite files, the first is what the others are compared with; default: the newest.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Where, several as in pi4,pi5; 'edgebig devices' lists them. Default: local.",
            autocompletion=options.complete_devices,
        ),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="On every device that answers, but the fake ones.")
    ] = False,
    threads: Annotated[
        str,
        typer.Option(
            metavar="N", help="In place of the device's own; several, as in 1,2,4, are tried in turns."
        ),
    ] = "",
    delegate: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="In place of the device's own; several, as in cpu,gpu, are tried in turns."
        ),
    ] = "",
    phones: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=64,
            help="So many phones are waited for, in place of the device's own number.",
        ),
    ] = None,
    data: options.DataFolder = None,
    examples: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only so many test examples, as many of each class."),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=2, help="Fresh processes to measure latency in.")
    ] = 5,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Turns of each model in a process.")] = 20,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Samples a turn.")] = 20,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Seconds until it is given up.")
    ] = 900.0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The record's file; default: bench/ beside the first model."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORD",
            help="Go on with the record of a bench that was cut off, or all of its sweep; it says the rest.",
        ),
    ] = None,
    cores: Annotated[
        str, typer.Option(metavar="CORES", help="Only on these cores: big, little, or numbers as in 0,2-3.")
    ] = "",
    priority: Annotated[
        int | None, typer.Option(metavar="N", min=-20, max=19, help="The nice value of what is measured.")
    ] = None,
    cool_down: Annotated[
        float | None,
        typer.Option(min=0, max=150, metavar="C", help="Wait before each process until no zone is hotter."),
    ] = None,
    soak: Annotated[
        float,
        typer.Option(
            parser=options.duration, metavar="TIME", help="Run on for so long (90s, 10m), to see it drift."
        ),
    ] = "0s",  # type: ignore[assignment]  # as it is typed: the parser makes a number of it
    energy: Annotated[bool, typer.Option(help="Measure energy, where the device shows it.")] = True,
    profile: Annotated[
        bool, typer.Option(help="Where the time goes, operator by operator, where the runtime tells it.")
    ] = False,
    require_delegate: Annotated[
        bool, typer.Option("--require-delegate", help="Exit 3 unless the delegate took every operator.")
    ] = False,
    min_accuracy: Annotated[
        float | None,
        typer.Option(parser=options.share, metavar="SHARE", help="A bound, as in 0.99 or 99%."),
    ] = None,
    max_p50: Annotated[
        float | None,
        typer.Option(
            parser=options.time_ns, metavar="TIME", help="A bound of the whole frame, as in 5ms or 800us."
        ),
    ] = None,
    max_p90: Annotated[
        float | None,
        typer.Option(parser=options.time_ns, metavar="TIME", help="A bound of the whole frame."),
    ] = None,
    max_size: Annotated[
        int | None,
        typer.Option(parser=options.size_bytes, metavar="SIZE", help="A bound of the file, as in 64KiB."),
    ] = None,
    strict: options.Strict = False,
    junit: options.JUnit = None,
    json: options.Json = False,
) -> None:
    """Measure accuracy and latency of .tflite files on a device.

    Several models are measured in turns, and compared.

    A bound is PASS where the whole 95 % interval keeps it, FAIL where none of it does (exit 3), else INCONCLUSIVE
    (exit 0, with --strict 3).
    """
    from edgebig import campaign
    from edgebig.bench import Settings
    from edgebig.bounds import Bounds

    with options.error_as_xml(junit, "edgebig bench", str(resume or device or "local")):
        wanted = Wanted(
            require_delegate, Bounds(min_accuracy, max_p50, max_p90, max_size), strict=strict, junit=junit
        )
        settings = Settings(
            examples, processes, rounds, samples, deadline_s=deadline,
            cores=cores, priority=priority, cool_down_c=cool_down, soak_s=soak, energy=energy,
            profile=profile,
        )  # fmt: skip
        if resume is not None:
            found = _resumed(resume, models or (), data)
        else:
            targets = _with_phones(_targets(device, everywhere), phones)
            asked = campaign.Asked(
                targets, models or (), settings, _numbers(threads), _delegates(delegate), data, out
            )
            found = _benched(asked, wanted)
        _show(found, json, wanted)


def _resumed(path: Path, models: Sequence[str], data: Path | None) -> Found:
    from edgebig import resuming

    if models:
        raise EdgebigError("--resume goes with no models: the record names them", "leave them out")
    return _measured(lambda: resuming.resume(path, data))


def _benched(asked: Asked, wanted: Wanted) -> Found:
    from edgebig import campaign
    from edgebig.bounds import Bounds

    if asked.is_sweep and wanted.bounds != Bounds():
        raise EdgebigError("bounds go with one setting, not with a sweep", "bound the best one")
    return _measured(lambda: campaign.run(asked))


def measure(models: list[str], json: bool) -> None:
    """As `edgebig bench MODELS`."""
    from edgebig import campaign
    from edgebig.bench import Settings

    asked = campaign.Asked(_targets(None, False), models, Settings())
    _show(_measured(lambda: campaign.run(asked)), json)


def _targets(names: str | None, everywhere: bool) -> list[Device]:
    from edgebig import campaign, group

    if everywhere and names is not None:
        raise EdgebigError("--all and --device name devices in two ways", "give one of them")
    if everywhere:
        return campaign.everywhere()
    return group.load("local" if names is None else names)


def _with_phones(targets: list[Device], count: int | None) -> list[Device]:
    from edgebig.device import BrowserDevice

    if count is not None and not any(isinstance(target, BrowserDevice) for target in targets):
        raise EdgebigError("--phones goes with a device of the kind browser", "as in --device phone")
    return [
        target.model_copy(update={"phones": count}) if count and isinstance(target, BrowserDevice) else target
        for target in targets
    ]


def _numbers(text: str) -> list[int]:
    words = _words(text)
    if not all(word.isascii() and word.isdigit() and 0 < int(word) <= 256 for word in words):
        raise EdgebigError(f"--threads {text}: wants numbers from 1 to 256", "as in --threads 1,2,4")
    return list(dict.fromkeys(int(word) for word in words))


def _delegates(text: str) -> list[str]:
    # What people call it; on a processor it is XNNPACK that computes.
    return list(dict.fromkeys("xnnpack" if word == "cpu" else word for word in _words(text)))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _show(found: Found, json: bool, wanted: Wanted | None = None) -> None:
    from edgebig import artifact, campaign
    from edgebig.progress import say

    alone = found.rows[0].measurement if len(found.rows) == 1 and not found.best else None
    outcomes = wanted.outcomes(found) if wanted else []
    if json:
        record = artifact.dump_record(alone) if alone else campaign.record(found)
        told = (
            {"bounds": [{"row": row.name, **vars(outcome)} for row, outcome in outcomes]} if outcomes else {}
        )
        options.print_json({**record, **told})
    else:
        from rich.console import Console

        from edgebig.report import several, table

        table.show(alone, Console()) if alone else several.show(found, Console())
    for row in found.rows:
        say(f"record: {row.path}" if row.path else f"no record: {row.name}")
    measured = [row.measurement for row in found.rows if row.measurement is not None]
    short = any(model.verdict in ("WRONG", "TOO BIG") for record in measured for model in record.models)
    short = (wanted is not None and wanted.is_short(found, outcomes)) or short
    raise typer.Exit(found.exit_code or (EXIT_SHORTFALL if short else 0))


@dataclass(frozen=True)
class Wanted:
    """What has to hold of what is measured."""

    require_delegate: bool
    bounds: Bounds
    strict: bool
    junit: Path | None

    def outcomes(self, found: Found) -> list[tuple[Row, Outcome]]:
        from edgebig import bounds

        return [
            (row, outcome)
            for row in found.rows
            if row.measurement is not None
            for outcome in bounds.check(row.measurement, self.bounds)
        ]

    def is_short(self, found: Found, outcomes: list[tuple[Row, Outcome]]) -> bool:
        """Tells what does not hold, and writes the XML. Is it exit 3?"""
        from edgebig import delegation, files
        from edgebig.progress import say
        from edgebig.report import bounds as report
        from edgebig.report import junit

        measured = [row.measurement for row in found.rows if row.measurement is not None]
        lacking = [text for record in measured for text in delegation.shortfalls(record)]
        lacking = lacking if self.require_delegate else []
        for text in lacking:
            say(f"--require-delegate: {text}")
        for row, outcome in outcomes:
            say(f"{row.name}: {report.line(outcome)}" if len(found.rows) > 1 else report.line(outcome))
        if self.junit is not None:
            told = report.cases(found, outcomes, lacking)
            files.write_text(self.junit, junit.document("edgebig bench", told, {}, strict=self.strict))
        codes = [options.exit_code(outcome.verdict, self.strict) for _, outcome in outcomes]
        return bool(lacking) or any(codes)


def _measured(measure: Callable[[], T]) -> T:
    try:
        return measure()
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped; nothing else was recorded", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
