"""Which cameras this machine has: those of Video4Linux, and those that only libcamera can use."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from typing import Any

from . import sysfs

_LIST_LIMIT_S = 15
_QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP of linux/videodev2.h; struct v4l2_capability is 104 bytes
_CAPTURE = 0x1001  # V4L2_CAP_VIDEO_CAPTURE, with one plane or several
_NO_CAMERA = 0x2000C000  # V4L2_CAP_VIDEO_M2M: a codec; V4L2_CAP_IO_MC: a node of a media pipeline


def found(root: str = "/") -> list[dict[str, Any]]:
    """Each as {name, by, path}; one that may not be opened has a `problem`."""
    return [*video4linux(root), *_libcamera()]


def video4linux(root: str) -> list[dict[str, Any]]:
    cameras = []
    for path in sysfs.paths(root, "dev/video*"):
        name = sysfs.text(root, f"sys/class/video4linux/{os.path.basename(path)}/name")
        camera = {"name": name or os.path.basename(path), "by": "Video4Linux", "path": f"/{path}"}
        try:
            if not _captures(os.path.join(root, path)):
                continue
        except PermissionError:
            camera["problem"] = "may not be opened: sudo usermod -aG video $USER, then log in again"
        except OSError:
            continue
        cameras.append(camera)
    return cameras


def _captures(path: str) -> bool:
    """Whether pictures come out of it. Raises OSError where it cannot be asked."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        capability = bytearray(104)
        fcntl.ioctl(handle, _QUERYCAP, capability)
    finally:
        os.close(handle)
    driver, flags = struct.unpack_from("16s72xI", capability)
    return bool(flags & _CAPTURE) and not flags & _NO_CAMERA and not driver.startswith(b"bcm2835-isp")


def _libcamera() -> list[dict[str, Any]]:
    """By the tool of Raspberry Pi OS, under its name since 2023 or its older one."""
    tool = shutil.which("rpicam-hello") or shutil.which("libcamera-hello")
    if tool is None:
        return []
    try:
        done = subprocess.run(
            [tool, "--list-cameras"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=_LIST_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return [{"name": os.path.basename(tool), "by": "libcamera", "path": "", "problem": str(error)}]
    return listed(done.stdout.decode(errors="replace"))


def listed(text: str) -> list[dict[str, Any]]:
    """Those of `rpicam-hello --list-cameras`, which prints "0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/...)"."""
    lines = re.findall(r"^\d+ : (\S+(?: \[[^\]\n]*\])?) \(([^)\n]*)\)", text, re.MULTILINE)
    return [{"name": name, "by": "libcamera", "path": path} for name, path in lines]
