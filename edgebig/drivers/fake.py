"""A target that measures nothing, for tests. It is asked for by name, and stamps what it gives."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from edgebig import files
from edgebig.device import FakeDevice
from edgebig.drivers.protocol import PROTOCOL, Capabilities, DeviceFacts, Event, Job

_CHUNK = 500
_FACTS = {"machine": "fake", "system": "fake", "cpu": "none", "cores": 1, "python": "", "runtimes": {}}


class FakeDriver:
    """One session whose times are drawn from a fixed seed and whose predictions are all class 0."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def sessions(self) -> Iterator[AbstractContextManager[FakeSession]]:
        yield contextlib.nullcontext(FakeSession())


class FakeSession:
    def __init__(self) -> None:
        self.facts = DeviceFacts("fake", dict(_FACTS), Capabilities(True, True, True))

    def put(self, blob: Path) -> str:
        return files.sha256_file(blob)

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        draw = random.Random(0)
        yield {"event": "ready", "protocol": PROTOCOL, "facts": _FACTS}
        yield {"event": "condition", "when": "before"}
        for model in job.models:
            delegated = {"delegate": "none", "nodes": 0, "of": 1, "partitions": 0, "left": ["FAKE"]}
            yield {"event": "loaded", "model": model.sha256, "delegated": delegated}
            if model.preprocessing is not None and "predictions" in job.want:
                for start in range(model.answered, job.examples, _CHUNK):
                    yield {
                        "event": "outputs",
                        "model": model.sha256,
                        "start": start,
                        "of": job.examples,
                        "labels": [0] * min(_CHUNK, job.examples - start),
                    }
        for process in range(job.resume_from, job.processes if "latency" in job.want else 0):
            for model in job.models:
                stamp = {"model": model.sha256, "process": process}
                yield {
                    "event": "warmup",
                    **stamp,
                    "settled": True,
                    "batch": 1,
                    "init_ns": 1_000_000,
                    "first_ns": 200_000,
                }
                for turn in range(job.rounds):
                    times_ns = [draw.randint(90_000, 110_000) for _ in range(job.samples)]
                    frames_ns = [[10_000, time_ns, 5_000] for time_ns in times_ns]
                    yield {
                        "event": "sample",
                        **stamp,
                        "round": turn,
                        "batch": 1,
                        "ns": times_ns,
                        "frame_ns": frames_ns,
                    }
        for second in range(1, int(job.soak_s) + 1 if "latency" in job.want else 1):
            for model in job.models:
                figures = {"invokes": 10_000, "p50_ns": draw.randint(99_000, 101_000), "p90_ns": 110_000}
                yield {"event": "soak", "model": model.sha256, "at_s": float(second), **figures}
        yield {"event": "condition", "when": "after"}
        yield {"event": "result", "complete": True}

    def clean(self) -> None:
        pass
