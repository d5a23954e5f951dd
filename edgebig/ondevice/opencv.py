"""Cameras, videos and streams by OpenCV, which is imported only here."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from PIL import Image

from . import cameras
from .faults import Fault, first_line
from .frames import Given, Source

_STREAMS = ("http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp")
_ANSWER_MS = 10_000
_USUAL_PER_S = 25.0
_MOST_PER_S = 1000.0
# What FFmpeg may open besides, where a playlist names it: nothing of this machine for a stream, no network for a file.
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_FILES_ALONE = "protocol_whitelist;file"
_NETWORK_ALONE = "protocol_whitelist;http,https,tcp,tls,udp,rtp,rtsp,rtmp,crypto|rtsp_transport;tcp"


def load() -> Any:
    """The module cv2. Raises Fault where it is missing or broken."""
    try:
        import cv2
    except ImportError as error:
        raise Fault(
            "no-package",
            f"OpenCV is needed for this source, and {sys.executable} cannot load it: {first_line(error)}",
            "pip install opencv-python-headless (on a Raspberry Pi: sudo apt install python3-opencv, and a venv made "
            "with --system-site-packages); pictures need none",
        ) from error
    with contextlib.suppress(AttributeError):
        # What went wrong is said once, by us.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def camera(index: int, size: tuple[int, int]) -> Source:
    """The camera of that number. Raises Fault where there is none, or it gives no picture."""
    cv2 = load()
    path = f"/dev/video{index}"
    if platform.system() == "Linux":
        _check_node(path, f"camera {index}")
        return _opened_camera(cv2, cv2.VideoCapture(index, cv2.CAP_V4L2), f"camera {index}", path, size)
    return _opened_camera(cv2, cv2.VideoCapture(index), f"camera {index}", "", size)


def node(path: str, size: tuple[int, int]) -> Source:
    """The camera of a file as /dev/video2."""
    cv2 = load()
    _check_node(path, path)
    return _opened_camera(cv2, cv2.VideoCapture(path, cv2.CAP_V4L2), path, path, size)


def _check_node(path: str, name: str) -> None:
    if not os.path.exists(path):
        there = [f"{one['path'].rpartition('video')[2]} ({one['name']})" for one in cameras.video4linux("/")]
        raise Fault(
            "no-camera",
            f"{name} is not there" + (f"; there is {', '.join(there)}" if there else ": this machine has none"),
            f"--source {there[0].split()[0]}" if there
            else "plug one in; or --source with a video, a folder of pictures or a URL; a Raspberry Pi's own: picamera",
        )  # fmt: skip
    if not os.access(path, os.R_OK | os.W_OK):
        raise Fault(
            "no-access", f"{path} may not be opened", "sudo usermod -aG video $USER, then log in again"
        )


def _opened_camera(cv2: Any, capture: Any, name: str, path: str, size: tuple[int, int]) -> Source:
    if not capture.isOpened():
        raise _no_picture(name, path)
    width, height = size
    if width > 640:
        # Raw pictures of more pixels do not fit through USB 2 thirty times a second.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    lost = Fault("camera-lost", f"{name} gives no pictures any more", "was it unplugged? start again")
    given = _given(capture, _no_picture(name, path), lost)
    return Source(name, True, True, float(capture.get(cv2.CAP_PROP_FPS)) or _USUAL_PER_S, given)


def _no_picture(name: str, path: str) -> Fault:
    users = users_of(path) if path else []
    if users:
        return Fault("camera-busy", f"{name} is in use by {', '.join(users)}", "end that, and start again")
    return Fault(
        "no-picture",
        f"{name} is there and gives no picture",
        "another program may use it; or it is no camera but a decoder: 'edgebig doctor' lists the cameras",
    )


def users_of(path: str) -> list[str]:
    """Each process that has it open, as far as this user may see, as "cheese (1234)"."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        with contextlib.suppress(OSError):
            links = (f"/proc/{pid}/fd/{handle}" for handle in os.listdir(f"/proc/{pid}/fd"))
            if int(pid) != os.getpid() and any(_leads_to(link, path) for link in links):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                    found.append(f"{comm.read().strip()} ({pid})")
    return found


def _leads_to(link: str, path: str) -> bool:
    try:
        return os.readlink(link) == path
    except OSError:  # It was closed meanwhile.
        return False


def video(path: str) -> Source:
    """A video file. Raises Fault, code source, where OpenCV reads none in it."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Fault("source", f"{path}: {error.strerror}", "check its permissions") from None
    cv2 = load()
    # By FFmpeg alone: to other parts of OpenCV a name may be a program to run.
    with _ffmpeg(_FILES_ALONE):
        capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    broken = Fault("source", f"{path} is no video that OpenCV can read", "use MP4, MKV, AVI or WebM")
    if not capture.isOpened():
        raise broken
    return Source(path, False, True, _per_s(cv2, capture), _given(capture, broken, None))


def stream(url: str) -> Source:
    """A camera in the network, or a video there. Raises Fault where it is no such URL or does not answer."""
    scheme = url.partition("://")[0].lower()
    if scheme not in _STREAMS:
        raise Fault("source", f"{shown(url)}: no such source", f"a URL begins with {', '.join(_STREAMS)}")
    cv2 = load()
    with _ffmpeg(_NETWORK_ALONE):
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _ANSWER_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _ANSWER_MS]
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    silent = Fault(
        "no-camera", f"{shown(url)} gives no video", "check the address, its password, and the network"
    )
    if not capture.isOpened():
        raise silent
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return Source(shown(url), False, True, _per_s(cv2, capture), _given(capture, silent, None))
    lost = Fault("camera-lost", f"{shown(url)} gives no pictures any more", "start again when it does")
    return Source(shown(url), True, True, _per_s(cv2, capture), _given(capture, silent, lost))


def shown(url: str) -> str:
    """Without its password: what is printed lands in logs."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


@contextlib.contextmanager
def _ffmpeg(options: str) -> Iterator[None]:
    """The user's own options stay as they are."""
    if _OPTIONS in os.environ:
        yield
        return
    os.environ[_OPTIONS] = options
    try:
        yield
    finally:
        del os.environ[_OPTIONS]


def _per_s(cv2: Any, capture: Any) -> float:
    told = float(capture.get(cv2.CAP_PROP_FPS))
    return told if 0 < told <= _MOST_PER_S else _USUAL_PER_S


def _given(capture: Any, none: Fault, lost: Fault | None) -> Generator[Given, None, None]:
    """Its pictures. Raises `none` where not even one comes, `lost` after the last, unless that is an end as any."""
    count = 0
    try:
        while True:
            there, bgr_u8 = capture.read()
            if not there:
                if lost is not None or not count:
                    raise (lost if lost is not None and count else none)
                return
            count += 1
            yield "", picture_of(bgr_u8)
    finally:
        capture.release()


def picture_of(bgr_u8: Any) -> Image.Image:
    """uint8 (H, W, 3) in OpenCV's order, or (H, W) -> the picture."""
    if bgr_u8.ndim == 2:
        return Image.fromarray(bgr_u8)
    height, width = bgr_u8.shape[:2]
    return Image.frombuffer("RGB", (width, height), np.ascontiguousarray(bgr_u8), "raw", "BGR", 0, 1)
