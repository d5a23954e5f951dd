"""The phones that have opened the page: what each is asked, how far it is, and what it has answered.

The server's thread and those of the host's sessions meet here, behind one lock.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

from edgebig.phone import facts as facts_of
from edgebig.phone.events import Checker
from edgebig.phone.handset import Again, Handset, Task

# Its place is another's from then on, should all be taken.
FORGET_S = 60.0
_MOST_EVENTS = 500


class Refused(Exception):
    """What a page is told with `status`, and `more` beside it."""

    def __init__(self, status: int, problem: str, hint: str = "", **more: Any) -> None:
        super().__init__(problem)
        self.status = status
        self.body = {"problem": problem, "hint": hint, **more}


class Hub:
    """`mode`: "bench" where a page asks for its job at once, "page" where its owner does; `limit`: so many phones."""

    def __init__(self, mode: Literal["bench", "page"], limit: int) -> None:
        self.mode = mode
        self._lock = threading.RLock()
        self._limit = limit
        self._phones: dict[str, Handset] = {}
        self._arrivals: queue.SimpleQueue[Handset] = queue.SimpleQueue()
        self._blobs: dict[str, bytes] = {}
        self._closed: str | None = None
        self._joined = 0

    # ------------------------------------------------------------ what pages do

    def join(self, wanted: object, told: object) -> Handset:
        """The phone of that id where it is known, else a new one. Raises Refused."""
        try:
            facts = facts_of.checked(told)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        with self._lock:
            phone = self._phones.get(wanted) if isinstance(wanted, str) else None
            if phone is None:
                if self._closed is not None and not self._lacks_one():
                    raise Refused(503, self._closed)
                self._forget_one()
                if len(self._phones) >= self._limit:
                    raise Refused(
                        503,
                        f"{self._limit} phones are here already",
                        "start another edgebig, or ask for more",
                    )
                self._joined += 1
                phone = Handset(secrets.token_urlsafe(12), f"phone-{self._joined}", facts)
                self._phones[phone.id] = phone
            phone.seen_s = time.monotonic()
            return phone

    def _forget_one(self) -> None:
        """Where all places are taken, the one of who has gone: a page that is open to all has many visitors."""
        if len(self._phones) < self._limit:
            return
        now_s = time.monotonic()
        for phone in self._phones.values():
            is_done = not phone.arrived or (self.mode == "page" and phone.ended is not None)
            if is_done and not phone.open and now_s - phone.seen_s > FORGET_S:
                del self._phones[phone.id]
                return

    def phone(self, wanted: str | None) -> Handset:
        """Raises Refused where there is none of that id."""
        with self._lock:
            phone = self._phones.get(wanted or "")
            if phone is None:
                raise Refused(404, "no phone of that id", "load the page again")
            phone.seen_s = time.monotonic()
            return phone

    def open_line(self, phone: Handset, has: int) -> int:
        """A page listens for its job from now on, and is at work on number `has`; gives the line's number."""
        with self._lock:
            phone.line += 1
            phone.open = True
            if phone.ended is not None and self.mode == "page":
                # Its owner asks for one more bench.
                phone.ended, phone.failed, phone.arrived, phone.of, phone.accuracy = (
                    None,
                    False,
                    False,
                    0,
                    None,
                )
            if not phone.arrived:
                phone.arrived = True
                self._arrivals.put(phone)
            if phone.task is not None and phone.task.next and phone.task.number != has:
                phone.task = None
                phone.answers.put(Again())
            return phone.line

    def close_line(self, phone: Handset, line: int) -> None:
        with self._lock:
            if phone.line == line:
                phone.open = False
                phone.seen_s = time.monotonic()

    def line_says(self, phone: Handset, line: int) -> tuple[str, int, dict[str, Any]]:
        """What a line has to say now: the event's name, a number that is another when it is another, and its data."""
        with self._lock:
            if phone.line != line:
                return "end", -1, {"why": "this page was opened again elsewhere"}
            if phone.ended is not None:
                return "end", -1, {"why": phone.ended, "accuracy": phone.accuracy}
            if (task := phone.task) is not None:
                job = {"number": task.number, "next": task.next, "job": task.job, "tables": task.tables}
                return "job", task.number, job
            if self._closed is not None and not phone.taken and not self._lacks_one():
                return "end", -1, {"why": self._closed}
            return "wait", 0, {"why": "the host prepares the job"}

    def take(self, phone: Handset, body: object) -> int:
        """The events of a POST; gives the number of the next one that is wanted. Raises Refused."""
        if not isinstance(body, dict):
            raise Refused(400, "not an object")
        number, first, events = body.get("job"), body.get("first"), body.get("events")
        if type(number) is not int or type(first) is not int or not isinstance(events, list) or first < 0:
            raise Refused(400, "wants 'job' and 'first', whole numbers, and 'events', a list")
        if len(events) > _MOST_EVENTS:
            raise Refused(413, f"more than {_MOST_EVENTS} events at once", "send fewer")
        with self._lock:
            task = phone.task
            if task is None or task.number != number:
                raise Refused(
                    409,
                    "another job is wanted now",
                    job=task.number if task else 0,
                    next=task.next if task else 0,
                )
            if first > task.next:
                raise Refused(409, "events are missing", job=task.number, next=task.next)
            for event in events[task.next - first :]:
                try:
                    checked = task.checker.checked(event)
                except ValueError as error:
                    raise Refused(
                        400, f"event {task.next}: {error}", job=task.number, next=task.next
                    ) from error
                task.next += 1
                phone.hear(checked)
            return task.next

    def blob(self, sha256: str) -> bytes:
        """Raises Refused where nothing of that hash was put there."""
        with self._lock:
            if sha256 not in self._blobs:
                raise Refused(404, "nothing of that hash is here")
            return self._blobs[sha256]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each phone, in the order in which they joined."""
        now_s = time.monotonic()
        with self._lock:
            return [phone.row(number, now_s) for number, phone in enumerate(self._phones.values(), 1)]

    # ------------------------------------------------------------ what the host does

    def put(self, sha256: str, data: bytes) -> None:
        with self._lock:
            self._blobs[sha256] = data

    def arrival(self, limit_s: float) -> Handset | None:
        """The next phone that asks for a job; None where none does within `limit_s`."""
        try:
            phone = self._arrivals.get(timeout=limit_s) if limit_s > 0 else self._arrivals.get_nowait()
        except queue.Empty:
            return None
        with self._lock:
            phone.taken = True
        return phone

    def in_place_of(self, phone: Handset) -> Handset | None:
        """Another phone that asks for a job, where this one's page was closed before it sent anything.

        Who scans the code twice has mostly closed the first page.
        """
        with self._lock:
            return self.arrival(0) if phone.is_lost(time.monotonic()) and not self._arrivals.empty() else None

    def _lacks_one(self) -> bool:
        return any(phone.is_lost(time.monotonic()) for phone in self._phones.values())

    def give(
        self, phone: Handset, job: Mapping[str, Any], tables: Mapping[str, list[float]], of: int
    ) -> None:
        """A task for the phone, of `of` steps, whose events come as its answers."""
        with self._lock:
            while not phone.answers.empty():
                phone.answers.get_nowait()
            phone.tasks += 1
            phone.task = Task(phone.tasks, job, tables, Checker(job))
            phone.of = max(phone.of, of)
            phone.done = phone.of - of

    def finish(
        self, phone: Handset, why: str, *, failed: bool = False, accuracy: float | None = None
    ) -> None:
        """The page is told that it has nothing more to do."""
        with self._lock:
            phone.ended, phone.failed, phone.accuracy, phone.task = why, failed, accuracy, None
            phone.note = why

    def close(self, why: str) -> None:
        """No more phones from now on; those without a job are told `why`."""
        with self._lock:
            self._closed = why

    def is_away(self, phone: Handset) -> bool:
        with self._lock:
            return phone.state(time.monotonic()) == "away"

    def are_told(self) -> bool:
        """Whether no page listens any more: each has had its end."""
        with self._lock:
            return not any(phone.open for phone in self._phones.values())
