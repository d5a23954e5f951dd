"""Settings of one device in turns, within one session: which of them is the best for a model, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edgebig import bench, collecting, drivers, errors, partial, stats
from edgebig.bench import Settings, Subject
from edgebig.collecting import Collected
from edgebig.device import Device
from edgebig.drivers.protocol import Event, Job, Session
from edgebig.drivers.shell import LinkFault
from edgebig.errors import DeviceError, EdgebigError, Failure
from edgebig.measurement import Measurement, ModelResult, Open, Turned
from edgebig.progress import Advance, track
from edgebig.recipe import validate


@dataclass(frozen=True)
class Swept:
    """A setting: the device as it then is, and its record or why there is none."""

    target: Device
    label: str
    measurement: Measurement | None
    failure: EdgebigError | None


@dataclass(frozen=True)
class Rival:
    """`ratio`: the best setting's time over this one's, with its 95 % interval."""

    label: str
    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Best:
    """The fastest setting for a model, and the others, the next one first. FASTER where it is faster than every one."""

    model: str
    label: str
    rivals: tuple[Rival, ...]
    verdict: stats.Speed


@dataclass(frozen=True)
class Sweep:
    """All settings of a device, in the order in which they were asked for."""

    device: str
    settings: tuple[Swept, ...]
    best: tuple[Best, ...]


def variants(target: Device, threads: Sequence[int], delegates: Sequence[str]) -> list[tuple[str, Device]]:
    """The device with each delegate and number of threads ([]: its own), and what to call it: "gpu with 2 threads".

    Raises EdgebigError where the device cannot have one of them.
    """
    found = []
    for delegate in delegates or [target.delegate]:
        for count in threads or [target.threads]:
            values = target.model_dump(exclude_unset=True)
            changed = {**values, "name": target.name, "delegate": delegate, "threads": count}
            words = [delegate] * bool(delegates) + [f"{count} thread" + "s" * (count != 1)] * bool(threads)
            label = " with ".join(words)
            hint = "use --threads and --delegate with what the device has: edgebig devices show NAME"
            found.append((label, validate(type(target), changed, f"{target.name}, {label}", hint=hint)))
    return found


def sweep(
    subject: Subject,
    target: Device,
    wanted: Sequence[tuple[str, Device]],
    settings: Settings,
    earlier: Mapping[str, Measurement | EdgebigError] = MappingProxyType({}),
) -> Sweep:
    """Measures each of `wanted` on `target` in one session: a process of each, then one of each the other way round.

    A setting that fails is left out from there on. `earlier`: by its label the incomplete record of a setting that is
    gone on with, or why it was left out. Raises UnfinishedSweep where the board is gone or its user stops it after some
    turns, as `bench.measure` does where that is before, and where all settings fail.
    """
    driver = drivers.connect(target)
    with next(iter(driver.sessions())) as session:
        base = bench.send(session, subject, target, settings)
        turns = [_Turns(label, variant, base) for label, variant in wanted]
        for one in turns:
            one.go_on_from(earlier.get(one.label), session)
        try:
            _take_turns(session, turns, settings)
        except (LinkFault, KeyboardInterrupt) as cause:
            if not any(one.done for one in turns if one.failure is None):
                raise
            error = errors.of_interrupt(cause)
            cut = [one.cut_off(session, subject, settings, error.problem) for one in turns]
            raise partial.UnfinishedSweep(error, cut) from cause
        swept = tuple(one.swept(session, subject, settings) for one in turns)
    _check_any(target, swept)
    best = (_best(number, swept) for number in range(len(subject.artifacts)))
    return Sweep(target.name, swept, tuple(found for found in best if found is not None))


class _Turns:
    """What a setting gave so far: the events of `done` whole turns, or why it is left out."""

    def __init__(self, label: str, variant: Device, base: Job) -> None:
        self.label = label
        self.variant = variant
        changes = {"runtime": variant.runtime, "delegate": variant.delegate, "threads": variant.threads}
        self.job = base.model_copy(update=changes)
        self.events: list[Event] = []
        self.done = 0
        self.failure: EdgebigError | None = None

    def go_on_from(self, earlier: Measurement | EdgebigError | None, session: Session) -> None:
        """Raises EdgebigError where that was measured otherwise, or on another machine."""
        if isinstance(earlier, EdgebigError):
            self.failure = earlier
        elif earlier is not None and earlier.incomplete is not None:
            partial.check_machine(earlier, session.facts.machine)
            partial.check_same(self.job, earlier.incomplete)
            self.events = earlier.incomplete.told()
            self.done = earlier.incomplete.processes

    def of(self, turn: int) -> Job:
        """The answers do not change from turn to turn."""
        job = self.job.without_answers() if turn else self.job
        return job.model_copy(update={"processes": 1})

    def swept(self, session: Session, subject: Subject, settings: Settings) -> Swept:
        record = None
        if self.failure is None:
            collected = Collected.of(self.events)
            record = bench.measurement(session, collected, subject, self.variant, settings)
        return Swept(self.variant, self.label, record, self.failure)

    def cut_off(
        self, session: Session, subject: Subject, settings: Settings, why: str
    ) -> tuple[Turned, Measurement | None]:
        """What is kept of it, and the record of that; None where no turn was whole, or it was left out."""
        facts = Open.model_validate(self.variant.facts())
        turned = Turned(label=self.label, device=facts, turns=0 if self.failure else self.done)
        if self.failure is not None:
            return turned.model_copy(update={"failure": Failure.of(self.failure)}), None
        if not self.done:
            return turned, None
        part = partial.incomplete(self.job, self.events, self.done, why)
        return turned, bench.unfinished(session, self.job, part, subject, self.variant, settings)


def _take_turns(session: Session, turns: Sequence[_Turns], settings: Settings) -> None:
    left = [(one, turn) for one in turns if not one.failure for turn in range(one.done, settings.processes)]
    total = sum(collecting.steps(one.of(turn)) for one, turn in left)
    with track(f"sweep over {len(turns)} settings", total) as advance:
        for turn in range(settings.processes):
            for one in turns[:: 1 if turn % 2 == 0 else -1]:
                if one.failure is not None or turn < one.done:
                    continue
                where = f"{one.label}: turn {turn + 1} of {settings.processes}"
                try:
                    one.events += _turn(
                        session,
                        one.of(turn),
                        turn,
                        settings,
                        lambda steps=1, note="", where=where: advance(steps, where),
                    )
                    one.done = turn + 1
                except LinkFault:
                    raise
                except EdgebigError as error:
                    one.failure = error


def _turn(session: Session, job: Job, turn: int, settings: Settings, advance: Advance) -> list[Event]:
    """The events of a whole turn, its number in place of the process's."""
    events: list[Event] = []

    def stamped() -> Iterator[Event]:
        for event in session.run(job, settings.whole_deadline_s):
            events.append({**event, "process": turn} if "process" in event else event)
            yield events[-1]

    collecting.collect(stamped(), job, Collected(), advance)
    return events


def _check_any(target: Device, swept: Sequence[Swept]) -> None:
    failures = [one.failure for one in swept if one.failure is not None]
    if len(failures) == len(swept):
        told = "\n".join(f"{one.label}: {one.failure}" for one in swept)
        kind = DeviceError if any(isinstance(failure, DeviceError) for failure in failures) else EdgebigError
        raise kind(f"{target.name}: none of the settings could be measured\n{told}", failures[0].hint)


def _best(number: int, swept: Sequence[Swept]) -> Best | None:
    """Of the model of that number. None where no time of it may be shown."""
    timed: dict[str, ModelResult] = {}
    for one in swept:
        result = one.measurement.models[number] if one.measurement else None
        # Neither the time of wrong answers nor that of a device that was slowed down is compared with others.
        if result is not None and result.latency.processes and result.verdict not in ("WRONG", "THROTTLED"):
            timed[one.label] = result
    if not timed:
        return None
    order = sorted(timed, key=lambda label: timed[label].latency.summary["invoke"].p50_ns)
    first = timed[order[0]]
    ratios = {label: first.latency.ratio_to(timed[label].latency) for label in order[1:]}
    rivals = tuple(Rival(label, ratio.value, ratio.low, ratio.high) for label, ratio in ratios.items())
    faster = all(stats.speed_verdict(ratio) == "FASTER" for ratio in ratios.values())
    return Best(first.name, order[0], rivals, "FASTER" if faster and rivals else "INCONCLUSIVE")
