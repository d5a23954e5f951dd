"""What says that the processor was slowed down: a Raspberry Pi's firmware, and Linux's own counters."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

from . import sysfs

# raspberrypi.com/documentation/computers/os.html#get_throttled; 16 bits higher the same has happened since it booted.
_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_SINCE_BOOT = 16
_FIRMWARE_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_TIMEOUT_S = 5.0


def decode(value: int) -> dict[str, list[str]]:
    """The firmware's bits as words: {now: [...], since_boot: [...]}."""
    return {
        "now": [name for bit, name in _BITS.items() if value >> bit & 1],
        "since_boot": [name for bit, name in _BITS.items() if value >> bit + _SINCE_BOOT & 1],
    }


def firmware(root: str = "/") -> dict[str, list[str]] | None:
    """As `decode`; None where no Raspberry Pi's firmware answers."""
    said = vcgencmd("get_throttled", root)
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", said.strip()) if said else None
    if match is None:
        # Without vcgencmd, or the right to use it. The kernel calls this file deprecated, so it comes second.
        match = re.fullmatch(r"([0-9a-fA-F]{1,8})", sysfs.text(root, _FIRMWARE_FILE) or "")
    return decode(int(match[1], 16)) if match else None


def vcgencmd(command: str, root: str = "/") -> str | None:
    """What a Raspberry Pi's vcgencmd prints; None where there is none, or it fails."""
    folders = (os.path.join(root, "usr/bin"), os.path.join(root, "opt/vc/bin"))
    program = shutil.which("vcgencmd", path=os.pathsep.join(folders))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, command], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def counts(root: str = "/") -> dict[str, Any]:
    """How often an Intel processor has throttled since it booted: its cores, and its packages; {} where not told."""
    found: dict[str, int] = {}
    packages: dict[int, int] = {}
    for core in sysfs.paths(root, "sys/devices/system/cpu/cpu[0-9]*"):
        own = sysfs.number(root, f"{core}/thermal_throttle/core_throttle_count")
        shared = sysfs.number(root, f"{core}/thermal_throttle/package_throttle_count")
        if own is not None:
            found["core"] = found.get("core", 0) + own
        if shared is not None:
            # Each core repeats its package's.
            package = sysfs.number(root, f"{core}/topology/physical_package_id") or 0
            packages[package] = max(packages.get(package, 0), shared)
    if packages:
        found["package"] = sum(packages.values())
    return found
