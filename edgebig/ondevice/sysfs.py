"""Files of /sys and /proc as text and numbers. `root` is "/"; a test's is a folder with another machine's files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable


def text(root: str, path: str) -> str | None:
    """What the file says, without the blanks and zeros around it; None where it cannot be read."""
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            return file.read().strip("\x00\n ")
    except OSError:
        return None


def number(root: str, path: str) -> int | None:
    """The whole number in the file; None where it holds none."""
    found = text(root, path)
    return int(found) if found and re.fullmatch(r"[+-]?[0-9]{1,20}", found) else None


def paths(root: str, pattern: str) -> list[str]:
    """Those that match, relative to `root`; numbers in their names count as numbers."""
    found = glob.glob(os.path.join(glob.escape(root), pattern))
    return sorted((os.path.relpath(path, root) for path in found), key=_by_number)


def _by_number(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path)]


def cores_of(listed: str) -> list[int]:
    """As the kernel writes them: "0,2-3" -> [0, 2, 3]. Raises ValueError where that is no list of cores."""
    found: set[int] = set()
    for part in listed.replace(" ", ",").split(","):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            raise ValueError(f"'{part}' is no core number and no range such as 0-3")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part} runs backwards")
        found.update(range(first, last + 1))
    return sorted(found)


def listed(cores: Iterable[int]) -> str:
    """[0, 2, 3] -> "0,2-3"."""
    runs: list[list[int]] = []
    for core in sorted(set(cores)):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
