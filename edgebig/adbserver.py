"""adb's server on this machine: whether one runs, and which phones it lists. Asking adb itself would start one."""

from __future__ import annotations

import os
import re
import socket

_PORT = "5037"
_KNOCK_S = 0.5


def is_up() -> bool:
    """Whether one answers where adb would look for it: ADB_SERVER_SOCKET, else ANDROID_ADB_SERVER_PORT, else 5037."""
    port = os.environ.get("ANDROID_ADB_SERVER_PORT") or _PORT
    kind, _, place = (os.environ.get("ADB_SERVER_SOCKET") or f"tcp:{port}").partition(":")
    host, _, port = place.rpartition(":")
    in_tcp = kind == "tcp"
    with socket.socket(socket.AF_INET if in_tcp else socket.AF_UNIX) as probe:
        probe.settimeout(_KNOCK_S)
        try:
            probe.connect((host or "127.0.0.1", int(port)) if in_tcp else place)
        except (OSError, ValueError, OverflowError):
            return False
    return True


def phones(text: str) -> dict[str, str]:
    """serial -> state, from what `adb devices` prints: SERIAL, a tab or blanks, and the state, which may have words."""
    found = {}
    for line in text.partition("List of devices attached")[2].splitlines():
        if match := re.fullmatch(r"(\S+)\s+(no permissions|\S+)(\s.*)?", line.strip()):
            found[match[1]] = match[2]
    return found
