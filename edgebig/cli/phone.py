"""edgebig phone"""

from __future__ import annotations

import json as jsonlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from edgebig.drivers.reception import Reception
    from edgebig.phones import Phone


def add_to(app: typer.Typer) -> None:
    app.command()(phone)


def phone(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Runs or .tflite files, among which the page lets choose; default: the zoo's for the camera.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Of this machine, as phones reach it; default: the one in its network."
        ),
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="Default: 8765, or the next that is free."),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Without a certificate: the browser then gives no camera.")
    ] = False,
    usb: Annotated[
        bool, typer.Option("--usb", help="An Android phone by its cable: adb opens the page on it.")
    ] = False,
    serial: Annotated[
        str, typer.Option(metavar="SERIAL", help="With --usb, which phone, as 'adb devices' names it.")
    ] = "",
    runtime_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where LiteRT.js's packages are; default: fetched once."),
    ] = None,
    data: options.DataFolder = None,
    examples: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="So many test examples in a bench that is asked for on the page."
        ),
    ] = 1000,
    json: options.Json = False,
) -> None:
    """Serve a page that reads digits by a phone, and benches it.

    It sees them by the phone's camera, or as a finger writes them; until Ctrl-C.

    The code that is shown opens it. Models run in the phone's browser; nothing is installed on it.
    """
    from edgebig.device import BrowserDevice
    from edgebig.recipe import validate

    facts: dict[str, Any] = {
        "name": "phone", "kind": "browser", "address": address, "port": port, "plain_http": http, "usb": usb,
        "serial": serial, "runtime_dir": str(runtime_dir or ""),
    }  # fmt: skip
    device = validate(BrowserDevice, facts, "edgebig phone")
    # Whoever ends it otherwise wants the same: no port of a phone that still leads here.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(device, models or [], data, examples, json)
    except KeyboardInterrupt:
        typer.echo("edgebig: stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _serve(device: Any, models: list[str], data: Path | None, examples: int, json: bool) -> None:
    from edgebig import drivers, phonepage
    from edgebig.bench import Settings

    drivers.connect(device)  # What it lacks is told before anything is computed.
    found = phonepage.offered(models)
    phonepage.serve(
        device,
        found,
        Settings(examples=examples),
        data,
        lambda reception: _line(_opened(reception)) if json else None,
        lambda one: _tell(one, json),
    )


def _opened(reception: Reception) -> dict[str, Any]:
    served = reception.served
    return {
        "event": "serving",
        "url": served.url,
        "dashboard": served.dashboard,
        "fingerprint": reception.certificate.fingerprint if reception.certificate else None,
    }


def _line(value: dict[str, Any]) -> None:
    typer.echo(jsonlib.dumps(value))


def _tell(one: Phone, json: bool) -> None:
    if not json:
        typer.echo(f"record: {one.path}" if one.path else f"no record: {one.name}", err=True)
        return
    failure = {"problem": one.failure.problem, "hint": one.failure.hint} if one.failure else None
    told = {"event": "measured", "phone": one.name, "about": one.about, "failure": failure}
    _line({**told, "record": str(one.path) if one.path else None})
