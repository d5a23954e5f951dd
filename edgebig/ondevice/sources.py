"""A source of frames by its name: a camera, a video, a stream, or pictures. Only pictures need no more than Pillow."""

from __future__ import annotations

import glob
import importlib.util
import os
import platform
import re
import stat
import warnings
from typing import Any

from PIL import Image

from . import cameras, opencv, picamera
from .faults import Fault
from .frames import Source
from .picture import opened
from .whole import plain_of

AUTO, PICAMERA = "auto", "picamera"
PICTURES_PER_S = 1.0
_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".avif", ".jp2",
)  # fmt: skip
_NUMBER = re.compile(r"[0-9]{1,3}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(name: str) -> bool:
    return _URL.match(name) is not None


def is_path(name: str) -> bool:
    """Whether it names a file, a folder or a pattern."""
    return name not in (AUTO, PICAMERA) and not _NUMBER.fullmatch(name) and not is_url(name)


def open_source(task: dict[str, Any]) -> Source:
    """task: {source, size: [width, height]}. Raises Fault: source (the user's), no-camera and others."""
    name = str(task["source"])
    if name == AUTO:
        return _first_camera(task)
    if name == PICAMERA:
        return picamera.camera(task["size"])
    if _NUMBER.fullmatch(name):
        return opencv.camera(int(name), task["size"])
    if is_url(name):
        return opencv.stream(name)
    return _of_path(os.path.expanduser(name), task)


def _first_camera(task: dict[str, Any]) -> Source:
    """A Raspberry Pi's own camera, if picamera2 is there and finds one; else the first of Video4Linux."""
    if importlib.util.find_spec("picamera2") is not None and picamera.is_there():
        return picamera.camera(task["size"])
    found = cameras.found() if platform.system() == "Linux" else []
    usable = [camera["path"] for camera in found if camera["by"] == "Video4Linux" and "problem" not in camera]
    own = [camera for camera in found if camera["by"] == "libcamera" and "problem" not in camera]
    if own and not usable:
        raise picamera.missing(f"{own[0]['name']} is there, which only picamera2 can read")
    return opencv.node(usable[0], task["size"]) if usable else opencv.camera(0, task["size"])


def _of_path(path: str, task: dict[str, Any]) -> Source:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        if glob.has_magic(path):
            return _pictures(path, sorted(filter(os.path.isfile, glob.glob(path)), key=_by_number))
        raise Fault(
            "source",
            f"{path}: no such file or folder",
            "SOURCE is a camera's number, picamera, a video, a picture, a folder of pictures, a pattern as in "
            "'shots/*.png', or a URL",
        ) from None
    if stat.S_ISDIR(mode):
        return _pictures(path, _in_folder(path))
    node = os.path.realpath(path)  # /dev/v4l/by-id/* are links
    if stat.S_ISCHR(mode) and re.fullmatch(r"/dev/video[0-9]+", node):
        return opencv.node(node, task["size"])
    if not stat.S_ISREG(mode):
        raise Fault("source", f"{path} is no regular file", "name a video, a picture or a camera")
    is_picture = _is_picture(path) or path.lower().endswith(_SUFFIXES)
    return _pictures(path, [path]) if is_picture else opencv.video(path)


def _in_folder(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise Fault("source", f"{folder}: {error.strerror}", "check its permissions") from None
    pictures = [name for name in names if name.lower().endswith(_SUFFIXES) and not name.startswith(".")]
    return [os.path.join(folder, name) for name in sorted(pictures, key=_by_number)]


def _by_number(name: str) -> list[tuple[int, str]]:
    """frame-9 comes before frame-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _is_picture(path: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(path):
                return True
    except Fault as fault:
        if fault.code == "no-picture":
            return False
        raise Fault("source", fault.problem, fault.hint) from None


def _pictures(name: str, paths: list[str]) -> Source:
    if not paths:
        raise Fault(
            "source", f"{name}: no pictures in it", "name a folder with .png or .jpg files, or a video"
        )
    return Source(name, False, False, PICTURES_PER_S, ((path, _read(path)) for path in paths))


def _read(path: str) -> Image.Image | Fault:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(path) as picture:
                return plain_of(path, picture)
    except Fault as fault:
        return fault
