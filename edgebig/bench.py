"""Artifacts + a driver -> a Measurement: accuracy and latency of the shipped files, with their conditions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import (
    artifact,
    delegation,
    drivers,
    errors,
    files,
    lookup,
    partial,
    results,
)
from edgebig.artifact import Artifact
from edgebig.collecting import Collected, collect, steps
from edgebig.data import source as sources
from edgebig.data.examples import Examples, per_class
from edgebig.device import Device, LocalDevice
from edgebig.drivers.protocol import Event, Job, JobModel, Session, Wanted
from edgebig.errors import DeviceError, EdgebigError
from edgebig.measurement import Incomplete, Measurement, Open, Truth
from edgebig.ondevice.cooling import BUDGET_S
from edgebig.progress import Advance, track
from edgebig.recipe import Data

# Outputs are held against the reference kernels on so many examples; more would take longer than the bench itself.
PARITY_EXAMPLES = 500


@dataclass(frozen=True)
class Settings:
    """How to measure. examples: None is all of the test split."""

    examples: int | None = None
    processes: int = 5
    rounds: int = 20
    samples: int = 20
    warmup_s: float = 2.0
    deadline_s: float = 900.0
    latency: bool = True
    energy: bool = True
    profile: bool = False
    cores: str = ""
    priority: int | None = None
    cool_down_c: float | None = None
    soak_s: float = 0.0

    @property
    def whole_deadline_s(self) -> float:
        """With what was asked for on top of the measuring itself."""
        return self.deadline_s + self.soak_s + (BUDGET_S if self.cool_down_c is not None else 0.0)


@dataclass(frozen=True)
class Subject:
    """What is measured, on whatever device: models, and the pictures whose labels these are.

    `inputs`: an .npy file of uint8 (N, H, W, C), None where no model has a card; `labels`: int64 (N,);
    `reference`: by the model's sha256, raw outputs of the first pictures by the reference kernels on this host.
    """

    artifacts: tuple[Artifact, ...]
    inputs: Path | None
    labels: npt.NDArray[np.int64]
    data: dict[str, Any]
    reference: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


def bench(
    artifacts: Sequence[Artifact],
    target: Device,
    settings: Settings,
    folder: Path | None,
    source: str | None = None,
    earlier: Measurement | None = None,
) -> Measurement:
    """Measures `artifacts`, in turns, on `target`. `folder`: where the test split's files are; `source`: whose test
    split, in place of the models' own; `earlier`: an incomplete record of the same, which is gone on with.

    Raises EdgebigError where the models do not go together, or would be tested on what they were trained on; what the
    driver raises.
    """
    drivers.connect(target)  # What it lacks is told before anything is computed.
    with prepared(artifacts, settings, folder, source, parity_examples(target)) as subject:
        return measure(subject, target, settings, earlier)


@contextlib.contextmanager
def prepared(
    artifacts: Sequence[Artifact],
    settings: Settings,
    folder: Path | None,
    source: str | None = None,
    compared: int | None = PARITY_EXAMPLES,
) -> Iterator[Subject]:
    """What is the same for every device: the pictures in one file, and what the reference kernels make of the first
    `compared` of them, None is all.

    Raises as `bench` does.
    """
    _check_distinct(artifacts)
    examples, data = test_examples(artifacts, settings.examples, folder, source)
    if examples is None:
        yield Subject(tuple(artifacts), None, np.empty(0, np.int64), data)
        return
    with files.scratch(lookup.cache_dir() / "scratch") as scratch:
        inputs = scratch / "inputs.npy"
        examples.write_npy(inputs)
        subject = Subject(tuple(artifacts), inputs, examples.labels, data)
        yield replace(subject, reference=_reference_outputs(subject, settings, compared))


def parity_examples(target: Device) -> int | None:
    """How many examples' outputs are held against the reference kernels; None is all."""
    # Whether it is right is what a simulated microcontroller is asked, and nothing waits for the answer.
    return None if target.kind == "mcu" else PARITY_EXAMPLES


def measure(
    subject: Subject, target: Device, settings: Settings, earlier: Measurement | None = None
) -> Measurement:
    """One session on `target`, which goes on from an `earlier` incomplete record.

    Raises what its driver raises; where that, or Ctrl-C, came after a part was measured, Unfinished with that part.
    """
    driver = drivers.connect(target)
    with next(iter(driver.sessions())) as session:
        return measure_in(session, subject, target, settings, earlier)


def measure_in(
    session: Session,
    subject: Subject,
    target: Device,
    settings: Settings,
    earlier: Measurement | None = None,
    shown: Advance | None = None,
) -> Measurement:
    """As `measure`, in a session that is open; `shown`: who shows how far it is, in place of a bar of its own."""
    job = send(session, subject, target, settings)
    seen: list[Event] = []
    wanted = job
    if earlier is not None and earlier.incomplete is not None:
        partial.check_machine(earlier, session.facts.machine)
        wanted = partial.rest(job, earlier.incomplete)
        seen = earlier.incomplete.told()
    collected = Collected.of(seen)
    bar = track(f"bench on {target.name}", steps(wanted)) if shown is None else contextlib.nullcontext(shown)
    try:
        with bar as advance:
            run = _noted(session.run(wanted, settings.whole_deadline_s), seen)
            collect(run, wanted, collected, advance)
    except (DeviceError, KeyboardInterrupt) as cause:
        error = errors.of_interrupt(cause)
        if (part := partial.kept(job, seen, error.problem)) is None:
            raise
        record = unfinished(session, job, part, subject, target, settings)
        raise partial.Unfinished(error, record) from cause
    return measurement(session, collected, subject, target, settings)


def unfinished(
    session: Session, job: Job, part: Incomplete, subject: Subject, target: Device, settings: Settings
) -> Measurement:
    """The record of a part: of the models that were loaded by then, with all that is needed to go on."""
    collected = Collected.of(partial.shown(job, part))
    loaded = tuple(item for item in subject.artifacts if item.sha256 in collected.loaded)
    record = measurement(session, collected, replace(subject, artifacts=loaded), target, settings)
    return record.model_copy(update={"incomplete": part})


def _noted(events: Iterator[Event], seen: list[Event]) -> Iterator[Event]:
    for event in events:
        seen.append(event)
        yield event


def _check_distinct(artifacts: Sequence[Artifact]) -> None:
    seen: dict[str, Artifact] = {}
    for item in artifacts:
        if item.sha256 in seen:
            raise EdgebigError(
                f"{item.path} and {seen[item.sha256].path} are the same file", "name each model once"
            )
        seen[item.sha256] = item


def test_examples(
    artifacts: Sequence[Artifact], count: int | None, folder: Path | None, source: str | None
) -> tuple[Examples | None, dict[str, Any]]:
    """The test split that the cards name, a per-class part of it where `count` says so, and what the record says of it.

    None where no model has a card: then only latency can be measured. Raises EdgebigError where cards name different
    test sets, or an example was in a model's training set.
    """
    cards = [item.card for item in artifacts if item.card is not None]
    if not cards:
        return None, {"source": None, "n": 0, "leak_check": "not possible: no model has a card"}
    names = {card.test.source for card in cards}
    if len(names) > 1 and source is None:
        raise EdgebigError(
            f"the models were tested on different data: {', '.join(sorted(names))}",
            "bench them one source at a time",
        )
    splits = sources.load(Data(source=source) if source else cards[0].data_spec(), folder)
    if others := [card.recipe for card in cards if source and card.classes != splits.classes]:
        raise EdgebigError(
            f"{', '.join(others)}: knows other classes than {source}", "bench it on its own data"
        )
    examples = splits.test
    if count is not None and count < len(examples):
        examples = examples[per_class(examples.labels, count, seed=0)]
    checked = [
        artifact.leak_check(item, examples.hashes, "test") for item in artifacts if item.card is not None
    ]
    data = {"source": splits.source, "split": "test", "n": len(examples), "of": len(splits.test)}
    return examples, {**data, "leak_check": "; ".join(dict.fromkeys(checked))}


def send(session: Session, subject: Subject, target: Device, settings: Settings) -> Job:
    """Puts models and pictures there; gives the job that measures them by the target's runtime and delegate.

    Raises EdgebigError where a model's file is another one than when it was loaded.
    """
    sent = [(item, session.put(item.path)) for item in subject.artifacts]
    for item, sha256 in sent:
        if sha256 != item.sha256:
            raise EdgebigError(f"{item.path}: was changed while it was being measured", "run it again")
    return Job(
        models=tuple(
            JobModel(
                sha256=sha256,
                keras=session.put(artifact.keras_model_of(item)) if target.runtime == "tensorflow" else None,
                name=str(item.path),
                preprocessing=item.card.preprocessing.model_dump() if item.card else None,
            )
            for item, sha256 in sent
        ),
        inputs=session.put(subject.inputs) if subject.inputs is not None else None,
        examples=len(subject.labels),
        runtime=target.runtime,
        delegate=target.delegate,
        threads=target.threads,
        gpu_precision=target.gpu_precision,
        delegate_options=target.delegate_options,
        processes=settings.processes,
        rounds=settings.rounds,
        samples=settings.samples,
        warmup_s=settings.warmup_s,
        cores=settings.cores,
        priority=settings.priority,
        cool_down_c=settings.cool_down_c,
        soak_s=settings.soak_s,
        want=_wanted(settings),
    )


def _wanted(settings: Settings) -> tuple[Wanted, ...]:
    timed: tuple[Wanted, ...] = ("latency", "energy") if settings.energy else ("latency",)
    profiled: tuple[Wanted, ...] = ("profile",) if settings.profile else ()
    return (*profiled, "predictions", "outputs", *(timed if settings.latency else ()))


def _reference_outputs(
    subject: Subject, settings: Settings, compared: int | None
) -> dict[str, npt.NDArray[Any]]:
    """Raw outputs of the first examples by the reference kernels on this host, by the model's sha256."""
    # Not by its name: a file of the user's could put anything in the place of what all is held against.
    host = LocalDevice(name="reference", delegate="reference")
    few = replace(subject, labels=subject.labels[:compared])
    quick = Settings(latency=False, deadline_s=settings.deadline_s)
    collected = Collected()
    with next(iter(drivers.connect(host).sessions())) as session:
        job = send(session, few, host, quick)
        with track("reference kernels", steps(job)) as advance:
            collect(session.run(job, quick.deadline_s), job, collected, advance)
    return {
        item.sha256: outputs
        for item in subject.artifacts
        if (outputs := collected.outputs(item.sha256)) is not None
    }


def measurement(
    session: Session, collected: Collected, subject: Subject, target: Device, settings: Settings
) -> Measurement:
    """What was collected, as a record."""
    labels = subject.labels if subject.inputs is not None else None
    models = tuple(
        results.of_model(item, collected, labels, subject.reference.get(item.sha256), target)
        for item in subject.artifacts
    )
    return Measurement(
        provenance=delegation.provenance(session.facts.provenance, collected.loaded.values()),
        device=Open.model_validate(target.facts()),
        machine=Open.model_validate(session.facts.machine),
        conditions=tuple(Open.model_validate(reading) for reading in collected.conditions),
        settings=Open.model_validate(vars(settings)),
        data=Open.model_validate(subject.data),
        models=models,
        comparisons=tuple(results.compared(model, models[0], labels) for model in models[1:]),
        truth=_truth(subject),
    )


def _truth(subject: Subject) -> Truth | None:
    if subject.inputs is None:
        return None
    return Truth(inputs_sha256=files.sha256_file(subject.inputs), labels=tuple(subject.labels.tolist()))
