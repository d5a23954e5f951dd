"""What was measured before a device went away: whole processes are kept, and a later session goes on behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgebig import measurement as measurements
from edgebig.drivers.protocol import Event, Job
from edgebig.errors import DeviceError, EdgebigError
from edgebig.measurement import Incomplete, Measurement, Open

_PREDICTIONS = ("predictions", "outputs")


class Unfinished(DeviceError):
    """The device failed after a part was measured, which `measurement` holds; `keep` writes it down."""

    def __init__(self, error: DeviceError, measurement: Measurement) -> None:
        super().__init__(error.problem, error.hint)
        self.measurement = measurement

    def keep(self, path: Path) -> DeviceError:
        """Writes the incomplete record; gives the error that says where it is and how to go on."""
        measurements.save(self.measurement, path)
        part = self.measurement.incomplete
        assert part is not None
        return DeviceError(
            f"{self.problem}\n{part.processes} of {part.of} processes are kept in {path}",
            f"{self.hint}; then go on with: edgebig bench --resume {path}",
        )


def kept(job: Job, events: Sequence[Event], why: str) -> Incomplete | None:
    """What of the `events` of a cut-off `job` stands; None where that is nothing.

    Predictions stand where all are there; a process where the next one had begun.
    """
    stamped = [event["process"] for event in events if "process" in event]
    begun = max(stamped, default=0)
    # The soak and what else comes behind the last process tells that it was whole.
    last = max((at for at, event in enumerate(events) if "process" in event), default=-1)
    first = min((at for at, event in enumerate(events) if "process" in event), default=len(events))
    whole = begun + 1 if stamped and last < len(events) - 1 else begun
    if not stamped and not _all_predicted(job, events):
        return None
    standing = [
        event
        for at, event in enumerate(events)
        if (at < first if "process" not in event else event["process"] < whole)
    ]
    return Incomplete(
        why=why,
        processes=whole,
        of=job.processes,
        job=Open.model_validate(job.to_json()),
        events=tuple(Open.model_validate(event) for event in standing),
    )


def _all_predicted(job: Job, events: Sequence[Event]) -> bool:
    if "predictions" not in job.want:
        return False
    count = {model.sha256: 0 for model in job.models if model.preprocessing is not None}
    for event in events:
        if event["event"] == "outputs":
            count[event["model"]] += len(event["labels"])
    return bool(count) and all(n == job.examples for n in count.values())


def rest(job: Job, part: Incomplete) -> Job:
    """The job that measures what `part` lacks. Raises EdgebigError where that was another job."""
    now, then = _essence(job.to_json()), _essence(part.job.model_dump())
    if others := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
        raise EdgebigError(
            f"it was measured otherwise than it would be now: {', '.join(others)}",
            "measure anew, without --resume",
        )
    want = tuple(what for what in job.want if what not in _PREDICTIONS)
    return job.model_copy(update={"want": want, "resume_from": part.processes})


def _essence(job: dict[str, Any]) -> dict[str, Any]:
    """All that matters to what is measured: not by what path a model was named."""
    models = [{**model, "name": ""} for model in job["models"]]
    told: dict[str, Any] = json.loads(json.dumps({**job, "models": models, "resume_from": 0}))
    return told


def check_machine(record: Measurement, machine: dict[str, Any]) -> None:
    """Raises EdgebigError where another machine answers than the one that measured the part."""
    then = record.machine.model_dump()
    for name in ("machine", "cpu", "board", "cores", "python", "runtimes"):
        if then.get(name) != machine.get(name):
            raise EdgebigError(
                f"it was measured on another machine: {name} was {then.get(name)}, now {machine.get(name)}",
                "measure anew, without --resume",
            )


def load(path: Path) -> tuple[Measurement, Incomplete]:
    """An incomplete record. Raises EdgebigError where it is none."""
    record = measurements.load(path)
    if record.incomplete is None:
        raise EdgebigError(f"{path}: it is complete, nothing is left to measure", "bench without --resume")
    return record, record.incomplete
