"""A phone that has opened the page: what it was asked, how far it is, and its answers on their way to the host."""

from __future__ import annotations

import queue
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgebig.phone import facts as facts_of
from edgebig.phone.events import Checker, Event

State = Literal["joined", "waits", "works", "away", "done", "failed"]
# Not heard of for so long, and without an open line: asleep, or out of the network.
AWAY_S = 20.0
SILENT_S = 60.0
LOST_S = 2.0


@dataclass(frozen=True)
class Again:
    """Stands in a phone's answers where its page was loaded anew: what was not whole before it is lost."""


Answer = Event | Again


@dataclass
class Task:
    """A job of one phone, numbered; `next`: the number of the event that is wanted."""

    number: int
    job: Mapping[str, Any]
    tables: Mapping[str, list[float]]
    checker: Checker
    next: int = 0


@dataclass
class Handset:
    """A phone. `answers`: the events of its task, for the one session that waits for them."""

    id: str
    name: str
    facts: dict[str, Any]
    answers: queue.Queue[Answer] = field(default_factory=queue.Queue)
    task: Task | None = None
    tasks: int = 0
    line: int = 0  # the number of the last line that was opened: an older one closes
    open: bool = False
    arrived: bool = False
    taken: bool = False  # by the host, which has a job for it or prepares one
    ended: str | None = None
    failed: bool = False
    seen_s: float = 0.0
    note: str = ""
    done: int = 0
    of: int = 0
    p50_ns: float | None = None
    accuracy: float | None = None

    def state(self, now_s: float) -> State:
        if self.ended is not None:
            return "failed" if self.failed else "done"
        silent_s = now_s - self.seen_s
        # Of one that is at work an open line says nothing: it stands for minutes after a Wi-Fi is gone.
        if silent_s > (SILENT_S if self.open else AWAY_S) and (self.task is not None or not self.open):
            return "away"
        if self.task is not None:
            return "works"
        return "waits" if self.arrived else "joined"

    def is_lost(self, now_s: float) -> bool:
        """It was given a job, and its page is closed without an answer."""
        asked = self.ended is None and self.task is not None and not self.task.next
        return asked and not self.open and now_s - self.seen_s > LOST_S

    def row(self, number: int, now_s: float) -> dict[str, Any]:
        """How it stands, for people; `number`: its place among the others."""
        return {
            "phone": number,
            "name": self.name,
            "about": facts_of.about(self.facts),
            "state": self.state(now_s),
            "note": self.note,
            "done": self.done,
            "of": self.of,
            "p50_ns": self.p50_ns,
            "accuracy": self.accuracy,
        }

    def hear(self, event: Event) -> None:
        """An event that was checked: for whoever waits for it, and for the row."""
        self.answers.put(event)
        match event["event"]:
            case "outputs":
                self.done += len(event["labels"])
                self.note = "accuracy"
            case "sample":
                self.done += 1
                self.note = f"process {event['process'] + 1}"
                self.p50_ns = statistics.median(event["ns"])
            case "soak":
                self.done += 1
                self.note = f"soak, {event['at_s']:.0f} s"
                self.p50_ns = event["p50_ns"]
            case "progress":
                self.note = event["note"]
