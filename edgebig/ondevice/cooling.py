"""Waiting until the machine is cool enough, and giving up in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Optional

from .faults import Fault

# Over all waits of a job; the host allows for it in its deadline.
BUDGET_S = 600.0
_STEP_S = 2.0
# So little in so long is no cooling any more: the room is as warm.
_PROGRESS_C = 0.5
_PATIENCE_S = 60.0

# The hottest zone and its temperature in degrees Celsius, None where none can be read.
Hottest = Callable[[], Optional[tuple[str, float]]]


class Cooling:
    """Waits for `wanted_c` (None: not at all) before each measurement, BUDGET_S in all; never again once it gave up.

    Raises Fault where a temperature is wanted and none can be read.
    """

    def __init__(self, wanted_c: float | None, hottest: Hottest) -> None:
        self._wanted_c, self._hottest, self._left_s = wanted_c, hottest, BUDGET_S
        if wanted_c is not None and hottest() is None:
            raise Fault(
                "conditions", "a cool-down is asked for, and no temperature can be read here", "leave it out"
            )

    def wait(self) -> Iterator[dict[str, Any]]:
        """Events `cooling` as it goes, then a condition of how it ended."""
        if self._wanted_c is None:
            return
        started_s = lowest_s = time.monotonic()
        lowest_c, why = float("inf"), ""
        while True:
            zone, hottest_c = self._hottest() or ("", float("nan"))
            waited_s = time.monotonic() - started_s
            reading = {
                "zone": zone,
                "hottest_c": hottest_c,
                "wanted_c": self._wanted_c,
                "waited_s": round(waited_s, 1),
            }
            if hottest_c <= lowest_c - _PROGRESS_C:
                lowest_c, lowest_s = hottest_c, time.monotonic()
            if hottest_c <= self._wanted_c:
                break
            if not zone:
                why = "its temperature can no longer be read"
            elif waited_s >= self._left_s:
                why = f"{BUDGET_S:.0f} s of waiting are over"
            elif time.monotonic() - lowest_s >= _PATIENCE_S:
                why = f"it stays at {hottest_c:.1f} C: the room, or another program, keeps it warm"
            if why:
                break
            yield {"event": "cooling", **reading}
            time.sleep(_STEP_S)
        self._left_s -= waited_s
        yield {"event": "condition", "when": "cool-down", **reading, "reached": not why, "why": why}
        if why:
            self._wanted_c = None
