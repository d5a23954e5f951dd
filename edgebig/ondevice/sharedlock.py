"""The lock of a whole board, which all its users share: a file that anyone may lock, and nobody turn against another.

Who has an account there may hold it for as long as he likes, as he may take the processor. He can have nothing else be
written or locked through it: no link is followed, and only a plain file that has no second name is taken.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from . import locking

# Not that of a folder of edgebig's: it says that all in it may be taken away.
NAME = "edgebig-board.lock"
# All may write there, and none may take away or rename another's file. Android and Windows have none of them.
FOLDERS = ("/run/lock", "/tmp")
FOLDER_VARIABLE = "EDGEBIG_LOCKS"
_TRIES = 20


def hold(holder: str) -> Iterator[dict[str, Any]]:
    """`waiting` where another holds it; at last `shared`: whether it is held now, and if not `why`.

    It is held until this generator is closed, or its process ends in whatever way.
    """
    folder = place()
    if not folder:
        yield {"event": "shared", "held": False, "why": ""}
        return
    path = os.path.join(folder, NAME)
    try:
        holding = locking.hold(path, lambda: _opened(path), holder)
        for event in holding:
            yield event if event["event"] == "waiting" else {"event": "shared", "held": True, "why": ""}
    except OSError as error:
        yield {"event": "shared", "held": False, "why": f"{path}: {error.strerror}"}


def place() -> str:
    """The folder that every user of this machine finds; "" where there is none."""
    given = os.environ.get(FOLDER_VARIABLE, "")
    if given:
        return given
    for folder in FOLDERS:
        try:
            mode = os.stat(folder).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return folder
    return ""


def _opened(path: str) -> Any:
    """The file, to read and write. Raises OSError where there is no plain file of one name that all may write."""
    descriptor = _descriptor(path)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(0, "is no plain file of one name; who may, should take it away")
    return os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")


def _descriptor(path: str) -> int:
    # A pipe that somebody put there must not hold this up, nor what runs there inherit the lock.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for left in reversed(range(_TRIES)):
        try:
            # Not with O_CREAT: Linux may refuse another user's file in such a folder then (fs.protected_regular).
            return os.open(path, flags)
        except FileNotFoundError:
            pass
        except PermissionError:
            # Between the two lines below, another user's.
            if not left:
                raise
            time.sleep(0.01)
            continue
        try:
            made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        os.fchmod(made, 0o666)  # whatever this user's umask
        return made
    raise OSError(0, "comes and goes")
