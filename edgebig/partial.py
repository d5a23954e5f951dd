"""What was measured before a device went away: whole processes and the answers are kept, and a later session goes on
behind them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebig import measurement as measurements
from edgebig.drivers.protocol import Event, Job
from edgebig.errors import EdgebigError
from edgebig.measurement import Incomplete, Measurement, Open, Turned


class Unfinished(EdgebigError):
    """It ended by `error` after a part was measured, which `measurement` holds; `keep` writes it down."""

    def __init__(self, error: EdgebigError, measurement: Measurement) -> None:
        super().__init__(error.problem, error.hint)
        self.error, self.exit_code = error, error.exit_code
        self.measurement = measurement

    def keep(self, path: Path) -> EdgebigError:
        """Writes the incomplete record; gives the error that says where it is and how to go on."""
        measurements.save(self.measurement, path)
        part = self.measurement.incomplete
        assert part is not None
        what = f"{part.processes} of {part.of} processes"
        if part.processes == 0 and part.answers_of:
            what = f"{part.answers:,} of {part.answers_of:,} answers and no process"
        return _kept(self.error, f"{what} are kept in {path}", f"go on with: edgebig bench --resume {path}")


class UnfinishedSweep(EdgebigError):
    """It ended by `error` after some turns of a sweep. `settings`: all of them, each with its record if it has one."""

    def __init__(self, error: EdgebigError, settings: Sequence[tuple[Turned, Measurement | None]]) -> None:
        super().__init__(error.problem, error.hint)
        self.error, self.exit_code = error, error.exit_code
        self.settings = tuple(settings)

    def keep(self, places: Mapping[str, Path]) -> EdgebigError:
        """Writes a record for each setting to its label's place, as `Unfinished.keep` does."""
        sweep = tuple(
            turned.model_copy(update={"record": places[turned.label].name}) for turned, _ in self.settings
        )
        first, turns, wanted = None, 0, 0
        for turned, record in self.settings:
            if record is None or record.incomplete is None:
                continue
            part = record.incomplete.model_copy(update={"sweep": sweep})
            measurements.save(record.model_copy(update={"incomplete": part}), places[turned.label])
            first, turns, wanted = first or places[turned.label], turns + part.processes, part.of
        assert first is not None
        of = wanted * sum(turned.failure is None for turned in sweep)
        return _kept(
            self.error,
            f"{turns} of {of} turns are kept, in a record for each setting in {first.parent}",
            f"go on with all of them: edgebig bench --resume {first}",
        )


def _kept(error: EdgebigError, what: str, how: str) -> EdgebigError:
    """The same error, which tells what is kept and how to go on."""
    return type(error)(f"{error.problem}\n{what}", f"{error.hint}; then {how}" if error.hint else how)


def kept(job: Job, events: Sequence[Event], why: str) -> Incomplete | None:
    """What of the `events` of a cut-off `job` stands; None where that is nothing.

    A process stands where the next one had begun, and answers as far as they came.
    """
    stamped = [event["process"] for event in events if "process" in event]
    begun = max(stamped, default=0)
    # The soak and what else comes behind the last process tells that it was whole.
    last = max((at for at, event in enumerate(events) if "process" in event), default=-1)
    first = min((at for at, event in enumerate(events) if "process" in event), default=len(events))
    whole = begun + 1 if stamped and last < len(events) - 1 else begun
    standing = [
        event
        for at, event in enumerate(events)
        if (at < first if "process" not in event else event["process"] < whole)
    ]
    return incomplete(job, standing, whole, why) if whole or any(answered(job, standing).values()) else None


def incomplete(job: Job, standing: Sequence[Event], processes: int, why: str) -> Incomplete:
    """That of the events that stand, so many `processes` among them."""
    answers = answered(job, standing)
    return Incomplete(
        why=why,
        processes=processes,
        of=job.processes,
        answers=sum(answers.values()),
        answers_of=job.examples * len(answers),
        job=Open.model_validate(job.to_json()),
        events=tuple(Open.model_validate(event) for event in standing),
    )


def answered(job: Job, events: Sequence[Event]) -> dict[str, int]:
    """sha256 of each model that is to answer -> of how many pictures, from the first on, the answers are in."""
    if not job.wants_answers:
        return {}
    found = {model.sha256: 0 for model in job.models if model.preprocessing is not None}
    for event in events:
        if event["event"] == "outputs":
            found[event["model"]] = event["start"] + len(event["labels"])
    return found


def shown(job: Job, part: Incomplete) -> Iterator[Event]:
    """The events that a record can show: a model's answers only where all are in."""
    events = part.told()
    answers = answered(job, events)
    for event in events:
        if event["event"] != "outputs" or answers[event["model"]] == job.examples:
            yield event


def rest(job: Job, part: Incomplete) -> Job:
    """The job that measures what `part` lacks. Raises EdgebigError where that was another job."""
    check_same(job, part)
    answers = answered(job, part.told())
    if all(n == job.examples for n in answers.values()):
        job = job.without_answers()
    models = tuple(
        model.model_copy(update={"answered": answers.get(model.sha256, 0)}) for model in job.models
    )
    return job.model_copy(update={"models": models, "resume_from": part.processes})


def check_same(job: Job, part: Incomplete) -> None:
    """Raises EdgebigError where `part` is of another job."""
    now, then = _essence(job.to_json()), _essence(part.job.model_dump())
    if others := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
        raise EdgebigError(
            f"it was measured otherwise than it would be now: {', '.join(others)}",
            "measure anew, without --resume",
        )


def _essence(job: dict[str, Any]) -> dict[str, Any]:
    """All that matters to what is measured: not by what path a model was named."""
    models = [{**model, "name": "", "answered": 0} for model in job["models"]]
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
