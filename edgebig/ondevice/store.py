"""The folder on a device where sent files lie, and its lock, which one measurement at a time holds."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

from . import conditions, runner

# Its name says whose folder it is: nothing is put into one that has files and not this, nor is such a one cleaned.
LOCK = "edgebig.lock"


def hold(folder: str, holder: str) -> Generator[dict[str, Any], None, None]:
    """`waiting` where another holds the lock of `folder`, with its `holder` and for how long; then `held`.

    It is held from then on until this generator is closed, or its process ends in whatever way.
    """
    path = os.path.join(folder, LOCK)
    while True:
        os.makedirs(folder, exist_ok=True)  # the one before may have cleaned
        with open(path, "a+", encoding="utf-8") as file:
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


def hold_for_host(folder: str, holder: str) -> Iterator[dict[str, Any]]:
    """The events of `hold` and then `ready`; it has no end, since the lock is the host's until this process goes."""
    holding = hold(folder, holder)
    for event in holding:
        yield event
        if event["event"] == "held":
            break
    yield {"event": "ready", "protocol": runner.PROTOCOL, "facts": conditions.facts()}
    threading.Event().wait()


def _holder(file: Any) -> dict[str, Any]:
    file.seek(0)
    try:
        told = json.loads(file.read())
        return {"holder": str(told["holder"]), "for_s": max(0.0, time.time() - told["since_unix_s"])}
    except (ValueError, KeyError, TypeError):
        return {"holder": "another process", "for_s": None}  # it has not written it yet


def _is_still(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
