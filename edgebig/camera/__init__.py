"""A camera that reads digits live: the runner captures and reads where the camera is, and here it is shown and kept."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Protocol

from edgebig import lookup, predict
from edgebig.artifact import Artifact
from edgebig.device import Device, LocalDevice, SshDevice
from edgebig.drivers import local, ssh
from edgebig.drivers.protocol import Event
from edgebig.drivers.stream import Says
from edgebig.errors import EdgebigError

EveryFrameOf = Literal["none", "files", "all"]
# What a picture takes on its way matters only where there is a network in between: some 500 kB/s there.
_NEAR = {"side": 1280, "quality": 80, "per_s": 60.0}
_FAR = {"side": 640, "quality": 70, "per_s": 15.0}


@dataclass(frozen=True)
class Settings:
    """`size`: asked of a camera; `rotate`: degrees clockwise.

    `every_frame_of`: of what no frame is left out, and nothing waits for the time that it was taken at; a camera has no
    such frames, and "all" refuses it. `hold`: over how many frames a digit must hold to be shown, 0 for what suits the
    source. `jpeg`, `png`: whether frames come with the answers, small and drawn upon, or just as they were read.
    """

    source: str = "auto"
    size: tuple[int, int] = (640, 480)
    rotate: int = 0
    every_frame_of: EveryFrameOf = "none"
    hold: int = 0
    jpeg: bool = False
    png: bool = False


def watch(
    model: Artifact, target: Device, settings: Settings, viewers: Says | None = None
) -> Generator[Event, None, None]:
    """The events of ondevice.camera.run: `opened`, `frame`, `waiting`, `error` of one picture of many, `end`.

    `viewers`: says {"watched": bool} when somebody begins or ceases to watch; only between are pictures packed and
    sent. Without it they always are.

    Raises EdgebigError where the model or the source is at fault, DeviceError where the camera or the device is.
    """
    if not isinstance(target, LocalDevice | SshDevice):
        phone = target.kind in ("adb", "browser")
        mend = "on a phone: edgebig phone" if phone else "use a local device, or a board that ssh reaches"
        raise EdgebigError(f"{target.name}: no camera is read on a device of kind '{target.kind}'", mend)
    task = {
        **predict.task_of(model, target),
        "source": settings.source,
        "size": list(settings.size),
        "rotate": settings.rotate,
        "every_frame_of": settings.every_frame_of,
        "hold": settings.hold,
        "png": settings.png,
        "awaits_viewers": viewers is not None,
    }
    if isinstance(target, SshDevice):
        with next(iter(ssh.SshDriver(target).sessions())) as session:
            there = {"model": session.put(model.path), "jpeg": _FAR if settings.jpeg else None}
            yield from session.call("camera", {**task, **there}, None, viewers)
        return
    here = {"model": str(model.path.absolute()), "jpeg": _NEAR if settings.jpeg else None}
    store = lookup.cache_dir() / "local"
    yield from local.run_ondevice(local.python_of(target), "camera", {**task, **here}, store, None, viewers)


def without_pictures(event: Event) -> Event:
    return {key: value for key, value in event.items() if key not in ("jpeg", "png")}


class Viewer(Protocol):
    """Somewhere that events are shown or kept."""

    def show(self, event: Event) -> None:
        """Raises Closed where its user has seen enough."""

    def stay(self) -> None:
        """After the last event: returns when its user has seen enough of what is shown."""


class Closed(Exception):
    """The user closed what was shown."""


def live(events: Generator[Event, None, None], viewers: Sequence[Viewer]) -> int:
    """Shows each event to each viewer, in their order. -> how many pictures gave none."""
    failed = 0
    with closing(events):
        try:
            for event in events:
                failed += event["event"] == "error"
                for viewer in viewers:
                    viewer.show(event)
        except Closed:
            return failed
    for viewer in viewers:
        viewer.stay()
    return failed
