"""A Raspberry Pi's own camera by picamera2, which is imported only here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Any

from PIL import Image

from .faults import Fault, first_line
from .frames import Given, Source

_PER_S = 30.0


def missing(why: str) -> Fault:
    """It comes by apt, for the system's own Python; pip's would have to build libcamera's bindings."""
    return Fault(
        "no-package",
        f"{why}: {sys.executable} has no picamera2",
        "sudo apt install python3-picamera2, and make the environment with: python3 -m venv --system-site-packages; "
        "of a board: name such a Python as 'python' in its file",
    )


def load() -> Any:
    """The class Picamera2. Raises Fault where it is missing or broken."""
    try:
        from picamera2 import Picamera2  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        if error.name == "picamera2":
            raise missing("the camera of a Raspberry Pi is asked for") from error
        raise _broken(error) from error
    except (ImportError, ValueError) as error:  # ValueError: built against another numpy
        raise _broken(error) from error
    return Picamera2


def _broken(error: Exception) -> Fault:
    return Fault(
        "no-package",
        f"picamera2 is there and does not load: {first_line(error)}",
        "it wants the system's own numpy: make the environment with python3 -m venv --system-site-packages",
    )


def is_there() -> bool:
    """Whether a camera is. Raises Fault as `load` does."""
    return bool(load().global_camera_info())


def camera(size: tuple[int, int]) -> Source:
    """The first one. Raises Fault where there is none, or another program has it."""
    picamera2 = load()
    try:
        found = picamera2.global_camera_info()
        if not found:
            raise Fault(
                "no-camera",
                "no camera on this Raspberry Pi's connector",
                "check its ribbon cable with the power off; 'rpicam-hello --list-cameras' lists those it finds",
            )
        device = picamera2()
        # Named by the order of its bits: in memory red comes first.
        device.configure(device.create_video_configuration(main={"size": tuple(size), "format": "BGR888"}))
        device.start()
    except (RuntimeError, IndexError, OSError) as error:
        raise Fault(
            "camera-busy",
            f"the Raspberry Pi's camera cannot be opened: {error}",
            "end the program that uses it (rpicam-*, another edgebig camera), and start again",
        ) from error
    return Source(f"picamera ({found[0].get('Model', '?')})", True, True, _PER_S, _given(device))


def _given(device: Any) -> Generator[Given, None, None]:
    try:
        while True:
            try:
                rgb_u8 = device.capture_array("main")
            except RuntimeError as error:
                raise Fault(
                    "camera-lost", f"the Raspberry Pi's camera stopped: {error}", "start again"
                ) from error
            yield "", Image.fromarray(rgb_u8)
    finally:
        with contextlib.suppress(RuntimeError):
            device.stop()
            device.close()
