"""Frames and answers that are kept: a folder a session, with a PNG of each frame as it was read, and a line each."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from edgebig import files
from edgebig.camera import without_pictures
from edgebig.drivers.protocol import Event
from edgebig.progress import say

ANSWERS = "answers.jsonl"


class Recorder:
    """`limit_bytes`: of all that `root` holds, earlier sessions too; nothing more is kept then, and it is said once.

    A line of answers.jsonl is an event without its pictures, with the `file` that the frame lies in; it is written
    after that file, and whole.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self.folder = files.dated_folder(root)
        self.frames = 0
        self._bytes = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        self._full = False
        say(f"recording: {self.folder}/")

    def show(self, event: Event) -> None:
        """Takes the PNG out of the event. Raises OSError where it cannot be written."""
        packed = event.pop("png", None)
        if packed is None or self._full:
            return
        png = base64.b64decode(packed)
        name = f"frame-{event['frame']:06}.png"
        line = json.dumps({"file": name, **without_pictures(event)}).encode() + b"\n"
        if self._bytes + len(png) + len(line) > self.limit_bytes:
            self._full = True
            say(f"recording stops: {self.root}/ has {self.limit_bytes / 1e6:.0f} MB, the --record-limit")
            return
        files.write_bytes(self.folder / name, png)
        _append(self.folder / ANSWERS, line)
        self._bytes += len(png) + len(line)
        self.frames += 1

    def stay(self) -> None:
        pass


def _append(path: Path, line: bytes) -> None:
    """All of the line or nothing of it. Raises OSError, which names `path`."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(handle).st_size
            try:
                written = os.write(handle, line)
                while written < len(
                    line
                ):  # A disk that is nearly full takes a part, and says so at the next.
                    written += os.write(handle, line[written:])
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
