"""Where one stage of a live pipeline hands on to the next: one place, in which the newest thing lies."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended(Exception):
    """Nothing more comes, or nobody takes it."""


class Slot(Generic[T]):
    """One place between two threads, so that what is taken is never old.

    What nobody took gives way to what is newer, and is counted in `dropped`. One that `keeps` drops nothing: its giver
    waits.
    """

    def __init__(self, keeps: bool = False) -> None:
        self.keeps = keeps
        self.dropped = 0
        self._changed = threading.Condition()
        self._things: list[T] = []
        self._ended = False
        self._fault: BaseException | None = None

    def put(self, thing: T) -> None:
        """Raises Ended where nobody takes any more."""
        with self._changed:
            while self.keeps and self._things and not self._ended:
                self._changed.wait()
            if self._ended:
                raise Ended
            self.dropped += len(self._things)
            self._things = [thing]
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T | None:
        """None where nothing came in that time. Raises Ended after the last, or what made it the last."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._things and not self._ended:
                left_s = None if until_s is None else until_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return None
                self._changed.wait(left_s)
            if self._things:
                self._changed.notify_all()
                return self._things.pop()
            raise Ended if self._fault is None else self._fault

    def end(self, fault: BaseException | None = None) -> None:
        """By either side; `fault`: why, for who takes. What lies there can still be taken."""
        with self._changed:
            if not self._ended:
                self._ended, self._fault = True, fault
                self._changed.notify_all()
