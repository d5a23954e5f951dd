"""Which viewers there are: a window or a page, the terminal or JSON lines, and a folder that keeps what was seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgebig.camera import EveryFrameOf, Viewer
from edgebig.camera.page import Page
from edgebig.camera.record import Recorder
from edgebig.camera.terminal import JsonLines, Lines
from edgebig.drivers.stream import Says
from edgebig.errors import EdgebigError
from edgebig.progress import say

Show = Literal["auto", "window", "page", "none"]


@dataclass(frozen=True)
class Wanted:
    """`show`: auto is a window where there is a screen, else a page, and with `json` none."""

    show: Show = "auto"
    port: int | None = None
    json: bool = False
    record: Path | None = None
    record_limit_bytes: int = 10**9

    @property
    def pictures(self) -> bool:
        return self.show in ("window", "page") or (self.show == "auto" and not self.json)

    def every_frame_of(self, every_frame: bool | None) -> EveryFrameOf:
        """For Settings.every_frame_of: who looks on wants a file at its own pace, a program all of it."""
        if every_frame is None:
            return "none" if self.pictures else "files"
        return "all" if every_frame else "none"


@contextlib.contextmanager
def opened(wanted: Wanted, says: Says) -> Iterator[list[Viewer]]:
    """In the order in which they get each event; `says` is told while somebody watches.

    Raises EdgebigError where what is asked for cannot be had.
    """
    with contextlib.ExitStack() as stack:
        viewers: list[Viewer] = []
        if wanted.record is not None:
            viewers.append(Recorder(wanted.record, wanted.record_limit_bytes))
        viewers.append(JsonLines() if wanted.json else Lines())
        if wanted.pictures:
            viewers.append(_pictures(wanted, says, stack))
        yield viewers


def _pictures(wanted: Wanted, says: Says, stack: contextlib.ExitStack) -> Viewer:
    from edgebig.camera import window

    def watched(by_somebody: bool) -> None:
        says.say({"watched": by_somebody})

    if wanted.show == "window" or (wanted.show == "auto" and wanted.port is None and window.has_screen()):
        try:
            shown = stack.enter_context(contextlib.closing(window.Window()))
        except EdgebigError as error:
            if wanted.show == "window":
                raise
            say(error.problem)
        else:
            watched(True)
            return shown
    return stack.enter_context(contextlib.closing(Page(wanted.port, watched)))
