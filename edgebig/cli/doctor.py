"""edgebig doctor"""

from __future__ import annotations

from typing import Any

import typer

from edgebig.cli import options


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(json: options.Json = False) -> None:
    """Tell what works here, and how to mend what does not.

    Each thing is tried and not guessed.
    """
    from edgebig import doctor as doctoring
    from edgebig.progress import track

    with track("trying what is here", doctoring.CHECK_COUNT) as advance:
        checks = doctoring.check_all(on_done=lambda check: advance(note=check.name))
    if json:
        options.print_json(doctoring.to_json(checks))
    else:
        for check in checks:
            _print(check)
    raise typer.Exit(doctoring.exit_code(checks))


def _print(check: Any) -> None:
    marks = {"ok": "ok      ", "missing": "missing ", "optional": "optional", "broken": "BROKEN  "}
    typer.echo(f"{marks[check.state]}  {check.name}: {check.detail}")
    if check.mend and check.state != "ok":
        typer.echo(f"{'':10}{check.mend}")
