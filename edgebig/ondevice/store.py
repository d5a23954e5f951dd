"""The folder on a device where sent files lie, and its lock, which one measurement at a time holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from typing import Any

from . import conditions, locking, runner, sharedlock

# Its name says whose folder it is: nothing is put into one that has files and not this, nor is such a one cleaned.
LOCK = "edgebig.lock"


def hold(folder: str, holder: str) -> Generator[dict[str, Any], None, None]:
    """`waiting` where another holds the lock of `folder`, with its `holder` and for how long; then `held`.

    It is held from then on until this generator is closed, or its process ends in whatever way.
    """
    path = os.path.join(folder, LOCK)

    def opened() -> Any:
        os.makedirs(folder, exist_ok=True)  # the one before may have cleaned
        return open(path, "a+", encoding="utf-8")

    return locking.hold(path, opened, holder)


def hold_for_host(folder: str, holder: str) -> Iterator[dict[str, Any]]:
    """The events of `hold` and of the lock that all users of the board share, then `ready`.

    It has no end, since both are the host's until this process goes.
    """
    own, shared = hold(folder, holder), sharedlock.hold(holder)
    for event in own:
        if event["event"] == "held":
            break
        yield event
    for event in shared:
        yield {**event, "event": "held"} if event["event"] == "shared" else event
        if event["event"] == "shared":
            break
    yield {"event": "ready", "protocol": runner.PROTOCOL, "facts": conditions.facts()}
    threading.Event().wait()
