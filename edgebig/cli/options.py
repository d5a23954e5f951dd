"""The options that several commands share."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebig.errors import EXIT_OK, EXIT_SHORTFALL, EdgebigError, Failure

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a key of the recipe; may be repeated."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="The seed; the same as --set train.seed=N.")
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where the data set's files are (or EDGEBIG_DATA)."),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out picture files that cannot be read, and list them.")
]

Strict = Annotated[bool, typer.Option("--strict", help="INCONCLUSIVE is exit 3 too.")]
JUnit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Also write the verdicts there, as JUnit XML.")
]

_SECONDS_OF = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST_S = 86_400.0


def duration(text: str) -> float:
    """Seconds of a text as 90s, 10m, 1.5h or 45. Raises typer.BadParameter."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", text.strip())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no duration: use as in 90s, 10m or 1h")
    seconds = float(match[1]) * _SECONDS_OF[match[2]]
    if seconds > _LONGEST_S:
        raise typer.BadParameter(f"{text} is longer than a day")
    return seconds


_NS_OF = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_BYTES_OF = {"": 1, "b": 1, "kb": 1000, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)"


def time_ns(text: str) -> float:
    """Nanoseconds of a text as 20us, 5ms, 1.5 s. Raises typer.BadParameter."""
    match = re.fullmatch(rf"{_NUMBER} ?(ns|us|µs|ms|s)", text.strip())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no time: use as in 20us, 5ms or 1s")
    return float(match[1]) * _NS_OF[match[2]]


def size_bytes(text: str) -> int:
    """Bytes of a text as 64KiB, 20kB or 20480. Raises typer.BadParameter."""
    match = re.fullmatch(rf"{_NUMBER} ?([kmg]i?b|b|)", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no size: use as in 64KiB, 20kB or 20480")
    return int(float(match[1]) * _BYTES_OF[match[2]])


def share(text: str) -> float:
    """A text as 5% or 0.05, as a number; a bare number above 1 could be meant either way. Raises typer.BadParameter."""
    match = re.fullmatch(rf"{_NUMBER} ?(%?)", text.strip())
    if match is None or (not match[2] and float(match[1]) > 1):
        raise typer.BadParameter(f"'{text}' is no share: use as in 5% or 0.05")
    return float(match[1]) / (100 if match[2] else 1)


@contextlib.contextmanager
def error_as_xml(path: Path | None, suite: str, subject: str) -> Iterator[None]:
    """What fails within is written to `path` too, as JUnit's error of `subject`: a CI that reads the file would
    else read what an earlier run found. Raises OSError where that cannot be written, before anything is done.
    """
    if path is None:
        yield
        return
    from edgebig import files
    from edgebig.report import junit

    files.check_writable(path)
    try:
        yield
    except (EdgebigError, OSError) as error:
        case = junit.Case(subject, "measured", "ERROR", Failure.of(error).told)
        files.write_text(path, junit.document(suite, [case], {}))
        raise


def exit_code(verdict: str, strict: bool) -> int:
    """FAIL is 3, and INCONCLUSIVE too where it is `strict`."""
    return EXIT_SHORTFALL if verdict == "FAIL" or (strict and verdict != "PASS") else EXIT_OK


def settings(assignments: list[str] | None, seed: int | None, skip_broken: bool = False) -> list[str]:
    return [
        *(assignments or []),
        *([f"train.seed={seed}"] if seed is not None else []),
        *(["data.skip_broken=true"] if skip_broken else []),
    ]


def words(context: typer.Context, instead: dict[str, str | None]) -> list[str]:
    """What would call this command again as it was called, but with `instead`, by parameters' names; None: without."""
    given = []
    for parameter in context.command.params:
        value = {**context.params, **instead}[str(parameter.name)]
        value = getattr(value, "value", value)
        if isinstance(value, bool):
            given += (parameter.opts if value else parameter.secondary_opts)[:1]
        elif value is not None:
            given += [*([] if parameter.param_type_name == "argument" else parameter.opts[:1]), str(value)]
    return given


def print_json(value: Any) -> None:
    # ASCII, so that it is JSON whatever the terminal's encoding is, and whatever bytes a file's name holds.
    typer.echo(json.dumps(value, indent=2))


def printable(text: str) -> str:
    """`text`, which may hold names and comments from files, with all that could steer a terminal escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def echo(text: str, *, err: bool = False) -> None:
    typer.echo(printable(text), err=err)


def complete_recipe(incomplete: str) -> list[str]:
    return _complete("recipes", incomplete)


def complete_device(incomplete: str) -> list[str]:
    return _complete("devices", incomplete)


def complete_devices(incomplete: str) -> list[str]:
    """Of a list between commas, the last name."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in _complete("devices", last) if name not in taken]


def _complete(kind: str, incomplete: str) -> list[str]:
    from edgebig import lookup

    return _safe(lookup.available(kind), incomplete)


def complete_run(incomplete: str) -> list[str]:
    # As in edgebig.runs, which loads too much for a key press.
    return _safe((path.parent.name for path in Path("runs").glob("*/recipe.toml")), incomplete)


def _safe(names: Iterable[str], incomplete: str) -> list[str]:
    """A shell puts a completion on the line as it is: no name that would then be a command."""
    return sorted(name for name in names if name.startswith(incomplete) and re.fullmatch(r"\w[\w.-]*", name))
