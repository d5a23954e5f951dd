"""The events of a job, as they come from a device, sorted by model."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.drivers.protocol import Event, Job
from edgebig.errors import DeviceError
from edgebig.micro.fit import Fit
from edgebig.progress import Advance


@dataclass
class Collected:
    """The events of one job or of several, sorted by model."""

    conditions: list[Event] = field(default_factory=list)
    loaded: dict[str, Event] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    raw: dict[str, list[npt.NDArray[Any]]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, Event] = field(default_factory=dict)
    warmups: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    samples: dict[str, dict[int, list[Event]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    summaries: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    fits: dict[str, Fit] = field(default_factory=dict)
    profiles: dict[str, Event] = field(default_factory=dict)
    energy_source: Event | None = None
    energy: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    soak: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, events: Iterable[Event]) -> Collected:
        collected = cls()
        for event in events:
            collected.add(event)
        return collected

    def add(self, event: Event) -> None:
        match event["event"]:
            case "condition":
                self.conditions.append({name: value for name, value in event.items() if name != "event"})
            case "loaded":
                self.loaded[event["model"]] = event
            case "outputs":
                # A driver that cannot go on behind the answers of an earlier session gives them again.
                self.labels[event["model"]][event["start"] :] = event["labels"]
                if "raw" in event:
                    values = np.frombuffer(base64.b64decode(event["raw"]), event["dtype"])
                    self._add_raw(event, values.reshape(len(event["labels"]), -1))
            case "memory":
                self.memory[event["model"]] = event
            case "warmup":
                self.warmups[event["model"]].append(event)
            case "sample":
                self.samples[event["model"]][event["process"]].append(event)
            case "summary":
                self.summaries[event["model"]].append(event)
            case "energy_source":
                self.energy_source = event
            case "energy":
                self.energy[event["model"]].append(event)
            case "soak":
                self.soak[event["model"]].append(event)
            case "profile":
                self.profiles[event["model"]] = event
            case "fit":
                self.fits[event["model"]] = Fit.model_validate(event["fit"])

    def _add_raw(self, event: Event, values: npt.NDArray[Any]) -> None:
        parts = self.raw[event["model"]]
        if event["start"] < sum(len(part) for part in parts):
            parts[:] = [np.concatenate(parts)[: event["start"]]]
        parts.append(values)

    def outputs(self, sha256: str) -> npt.NDArray[Any] | None:
        return np.concatenate(self.raw[sha256]) if self.raw[sha256] else None


def steps(job: Job) -> int:
    """How far `collect` will advance over the job."""
    pictures = sum(job.examples - model.answered for model in job.models if model.preprocessing is not None)
    turns = ((job.processes - job.resume_from) * job.rounds + int(job.soak_s)) * len(job.models)
    return pictures * ("predictions" in job.want) + turns * ("latency" in job.want)


def collect(events: Iterator[Event], job: Job, collected: Collected, advance: Advance) -> None:
    """Adds the events of the job. Raises DeviceError where they end before its result, and what they raise."""
    finished = False
    for event in events:
        collected.add(event)
        if event["event"] == "outputs":
            advance(len(event["labels"]), "accuracy")
        elif event["event"] in ("sample", "summary"):
            turn = job.rounds if event["event"] == "summary" else 1
            advance(turn, f"process {event['process'] + 1} of {job.processes}")
        elif event["event"] == "soak":
            advance(1, f"soak, {event['at_s']:.0f} of {job.soak_s:.0f} s")
        elif event["event"] == "cooling":
            advance(0, f"cools: {event['zone']} {event['hottest_c']:.1f} C, {event['wanted_c']:g} wanted")
        finished = finished or event["event"] == "result"
    if not finished:
        raise DeviceError("the runner ended before its result", "run it again")
