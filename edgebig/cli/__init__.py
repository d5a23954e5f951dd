"""The command line: parse, one call, print. It loads neither numpy nor TensorFlow until a command needs them."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from typing import NoReturn

import typer

import edgebig
from edgebig.cli import (
    adopt,
    bench,
    blame,
    camera,
    check,
    compare,
    compress,
    convert,
    data,
    devices,
    doctor,
    environment,
    export,
    init,
    inspect,
    inventory,
    options,
    phone,
    predict,
    train,
)
from edgebig.cli import eval as evaluate
from edgebig.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_USER, EdgebigError, of_machine

app = typer.Typer(
    name="edgebig",
    help="A model from data to evidence on a device.",
    no_args_is_help=True,
    # Plain help comes in half the time: it needs no rich.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    train,
    adopt,
    compress,
    convert,
    export,
    evaluate,
    check,
    inspect,
    bench,
    compare,
    blame,
    predict,
    camera,
    phone,
    inventory,
    devices,
    data,
    init,
    doctor,
    environment,
):
    module.add_to(app)

# What the machine refuses is the user's to mend: a full disk, a read-only folder, a path that is none.
_MACHINE_SAYS_NO = {
    errno.ENOSPC: "free some space; nothing half-written was left",
    errno.EDQUOT: "free some space; nothing half-written was left",
    errno.EROFS: "work in a folder that can be written",
    errno.EACCES: "work in a folder that you may read and write",
    errno.EPERM: "work in a folder that you may read and write",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.ELOOP: "check the path, its links go in a circle",
    errno.EEXIST: "move that away, or work in another folder",
    errno.ENOTEMPTY: "move that away, or work in another folder",
    errno.EBUSY: "close what uses it",
    errno.EIO: "the disk fails, or the connection to it",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENOMEM: "free some memory",
    errno.EISDIR: "give a file, not a folder",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EFBIG: "the largest file allowed here is too small (ulimit -f); nothing half-written was left",
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgebig {edgebig.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """The `edgebig` command. Exit codes stand in edgebig.errors."""
    _open_streams()
    try:
        app(prog_name="edgebig")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except EdgebigError as error:
        _tell(error.problem, error.hint)
        sys.exit(error.exit_code)
    except OSError as error:
        mend = _MACHINE_SAYS_NO.get(error.errno or 0)
        if mend is None:
            _tell_bug()
        _tell(of_machine(error).problem, mend)
        sys.exit(EXIT_USER)
    except Exception:  # noqa: BLE001  # The one place where a bug is named as one; its traceback is printed.
        _tell_bug()


def _open_streams() -> None:
    """Gives a closed stream somewhere to go, and stdout a way to print what its encoding cannot."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # It lives as long as the process.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _tell(problem: str, hint: str) -> None:
    for line in [*f"edgebig: {problem}".split("\n"), *([f"  {hint}"] if hint else [])]:
        options.echo(line, err=True)


def _tell_bug() -> NoReturn:
    traceback.print_exc()
    typer.echo("edgebig: this is a bug; please report it with the lines above", err=True)
    sys.exit(EXIT_BUG)
