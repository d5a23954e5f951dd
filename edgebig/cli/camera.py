"""edgebig camera"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebig.cli import options
from edgebig.errors import EXIT_USER, EdgebigError


class Show(str, Enum):
    auto = "auto"
    window = "window"
    page = "page"
    none = "none"


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"'{text}' is no size: use as in 640x480", param_hint="'--size'")
    size = int(width[:9]), int(height[:9])
    if not all(16 <= side <= 8192 for side in size):
        raise typer.BadParameter(f"'{text}': a side has 16 to 8192 pixels", param_hint="'--size'")
    return size


def _rotation(degrees: int) -> int:
    if degrees not in (0, 90, 180, 270):
        raise typer.BadParameter(f"{degrees}: use 0, 90, 180 or 270", param_hint="'--rotate'")
    return degrees


def add_to(app: typer.Typer) -> None:
    app.command()(camera)


def camera(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A .tflite or a run; default: the one that learned from photographs.",
            show_default=False,
            autocompletion=options.complete_run,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where the camera is; local, or a board.",
            autocompletion=options.complete_device,
        ),
    ] = "local",
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="A camera's number, picamera, a video, a picture, a folder, a pattern, or a URL; of a board: its own.",
        ),
    ] = "auto",
    size: Annotated[str, typer.Option(metavar="WxH", help="Asked of a camera, in pixels.")] = "640x480",
    rotate: Annotated[int, typer.Option(metavar="DEGREES", help="Turn it clockwise by 90, 180 or 270.")] = 0,
    show: Annotated[
        Show, typer.Option(help="auto: a window where there is a screen, else a page on this machine.")
    ] = Show.auto,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="Of the page; default: 8765, or a free one."),
    ] = None,
    json: options.Json = False,
    every_frame: Annotated[
        bool | None,
        typer.Option(
            "--every-frame/--real-time",
            help="Of a file: leave out none; default with --json, or where nothing is shown.",
            show_default=False,
        ),
    ] = None,
    smooth: Annotated[
        int,
        typer.Option(
            min=0, max=100, metavar="FRAMES", help="A digit is shown when it has held so long; 0: as suits."
        ),
    ] = 0,
    record: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the frames and what was read in them there.")
    ] = None,
    record_limit: Annotated[
        str, typer.Option(metavar="SIZE", help="What that folder may hold, as in 500MB.")
    ] = "1GB",
    install_service: Annotated[
        bool,
        typer.Option(
            "--install-service", help="Write a systemd unit that does this whenever the machine starts."
        ),
    ] = False,
) -> None:
    """Read digits live from a camera, a video or a stream.

    The camera is this machine's or a board's. Pictures are read, too.
    """
    from edgebig import artifact, runs
    from edgebig import camera as watching
    from edgebig import device as devices
    from edgebig.camera import viewers
    from edgebig.drivers.stream import Says

    wanted = viewers.Wanted(show.value, port, json, record, options.size_bytes(record_limit))
    asked = watching.Settings(
        source,
        _size(size),
        _rotation(rotate),
        wanted.every_frame_of(every_frame),
        smooth,
        wanted.pictures,
        record is not None,
    )
    item = artifact.load(runs.resolve_model(model or runs.camera_model()))
    if install_service:
        if device != "local":
            raise EdgebigError(
                "a service reads this machine's own camera", "run it on the board, without --device"
            )
        from edgebig.camera import service

        arguments = options.words(context, service.instead(item, asked, wanted))
        for line in service.install(arguments, item, asked, wanted):
            options.echo(line)
        return
    says = Says()
    with viewers.opened(wanted, says) as opened:
        failed = watching.live(watching.watch(item, devices.load(device), asked, says), opened)
    if failed:
        raise typer.Exit(EXIT_USER)
