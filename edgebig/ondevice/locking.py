"""A lock on a file that goes with its process, however that ends, and names its holder to whoever waits for it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator
from typing import Any, Callable

# Of what any user of a board may have written there.
_LONGEST, _LONGEST_HOLDER = 500, 200


def hold(path: str, opened: Callable[[], Any], holder: str) -> Generator[dict[str, Any], None, None]:
    """`waiting` where another holds the lock of the file at `path`, with its `holder` and for how long; then `held`.

    `opened` gives it to read and write; it raises as that does.
    """
    while True:
        with opened() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield {"event": "waiting", **_holder(file)}
                fcntl.flock(file, fcntl.LOCK_EX)
            # After a cleaning a third finds a new file at this path, and locks that.
            if not _is_still(path, file.fileno()):
                continue
            file.seek(0)
            file.truncate()
            json.dump({"holder": holder, "since_unix_s": time.time()}, file)
            file.flush()
            yield {"event": "held"}
            return


def _holder(file: Any) -> dict[str, Any]:
    file.seek(0)
    try:
        told = json.loads(file.read(_LONGEST))
        return {
            "holder": str(told["holder"])[:_LONGEST_HOLDER],
            "for_s": max(0.0, time.time() - told["since_unix_s"]),
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"holder": "another process", "for_s": None}  # it has not written it yet


def _is_still(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
