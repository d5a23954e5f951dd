"""Frames, and what gives them: pictures one after another, as a camera takes them or as a file holds them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import NamedTuple, Union

from PIL import Image

from .faults import Fault

ROTATIONS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}

# A picture of mode L or RGB, upright, and the file that it came from, or ""; or why that file gave none.
Given = tuple[str, Union[Image.Image, Fault]]


class Source(NamedTuple):
    """`live`: it goes on whether or not anybody looks; else it has `per_s` pictures a second, and it waits.

    `moves`: each picture shows what the one before it showed, a little later.
    """

    name: str
    live: bool
    moves: bool
    per_s: float
    given: Generator[Given, None, None]


class Frame(NamedTuple):
    """A picture as it came: `number` from 0, `at_s` since the first, `taken_ns` of a monotonic clock."""

    number: int
    at_s: float
    taken_ns: int
    file: str
    image: Image.Image | Fault


def frames(source: Source, rotate: int, waits: bool) -> Iterator[Frame]:
    """Its pictures, turned by `rotate` degrees clockwise; of one that is not live at its own pace if it `waits`."""
    began_ns = time.monotonic_ns()
    for number, (file, image) in enumerate(source.given):
        if rotate and not isinstance(image, Fault):
            image = image.transpose(ROTATIONS[rotate])
        at_s = (time.monotonic_ns() - began_ns) / 1e9 if source.live else number / source.per_s
        if waits and not source.live:
            time.sleep(max(0.0, at_s - (time.monotonic_ns() - began_ns) / 1e9))
        yield Frame(number, at_s, time.monotonic_ns(), file, image)
