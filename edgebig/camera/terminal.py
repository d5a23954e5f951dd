"""What a camera reads, in the terminal: JSON lines for a program, or for a person what is in sight now."""

from __future__ import annotations

import json
import shutil
import sys

from edgebig import predict
from edgebig.camera import without_pictures
from edgebig.drivers.protocol import Event
from edgebig.progress import printable, say


class JsonLines:
    """Each event on a line of stdout, without pictures; that nothing came is none."""

    def show(self, event: Event) -> None:
        if event["event"] != "waiting":
            print(json.dumps(without_pictures(event)), flush=True)

    def stay(self) -> None:
        pass


class Lines:
    """On a terminal one line that changes; else a line each time that what is read changes."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._last: tuple[str, str] | None = None

    def show(self, event: Event) -> None:
        match event["event"]:
            case "opened":
                pace = f"{event['per_s']:g} a second" if event["moves"] or event["live"] else "pictures"
                say(f"source: {event['source']}, {event['width']}x{event['height']}, {pace}")
            case "frame":
                self._frame(event)
            case "error":
                say(f"edgebig: {event['problem']}\n  {event['hint']}")
            case "end":
                self._clear()
                say(f"the source has ended: {event['frames']} read, {event['dropped']} left out")

    def _frame(self, event: Event) -> None:
        read = reading(event)
        if self._live:
            print(f"\r\x1b[2K{printable(f'{read}   {figures(event)}')[: _width()]}", end="", flush=True)
        elif self._last != (key := (event.get("image", ""), event["label"])):
            self._last = key
            print(printable(": ".join(part for part in (event.get("image", ""), read) if part)), flush=True)

    def stay(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._live:
            print("\r\x1b[2K", end="", flush=True)


def reading(event: Event) -> str:
    """As "42 / 7 (98 %)": a line of digits after another; of a model of whole pictures the class."""
    if not event["label"]:
        return "nothing read" if "top" in event["now"] else "no digit"
    lines = ["".join(digit["label"] for digit in line) for line in predict.lines_of(event["digits"])]
    return f"{' / '.join(lines) or event['label']} ({event['confidence']:.0%})"


def figures(event: Event) -> str:
    """The frames a second, and the three times of the last one."""
    return (
        f"{event['per_s']:4.1f} frames/s   pre {event['pre_ms']:.1f}   inference {event['inference_ms']:.1f}   "
        f"post {event['post_ms']:.1f} ms   capture to here {event['latency_ms']:.0f} ms"
    )


def _width() -> int:
    return max(20, shutil.get_terminal_size().columns - 1)
