"""Host against device: which step changes a model's predictions? One change at a time, on the same examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import artifact, bench, drivers, files, lookup, metadata, stats
from edgebig.artifact import Artifact, Card
from edgebig.bench import Subject
from edgebig.blame import chain as chains
from edgebig.blame import running
from edgebig.blame.chain import Answers, Blamed, Change, Step
from edgebig.blame.running import Place, opened
from edgebig.data.examples import Examples
from edgebig.device import Device, LocalDevice
from edgebig.drivers.shell import LinkFault
from edgebig.errors import EdgebigError
from edgebig.progress import Advance, track

BLAME_SCHEMA = 1
_HERE = "here"
_CLOSE = 1e-3


@dataclass(frozen=True)
class Example:
    """One of which host and device say something else. `labels`: of every step; `picture`: its hash, or file."""

    index: int
    picture: str
    truth: int
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Blame:
    """`steps`: from this machine's usual kernels to the device's delegate, `changes` between them.

    `blamed`: for the `examples` of which the ends differ; `right`: of each step, so many; `skipped`: steps that could
    not be had, and why; `doubts`: why the card may not be what the model was measured with, on host and device alike;
    `prepares_here`: the host makes the input, so that the device cannot make another.
    """

    model: str
    device: str
    provenance: str
    data: dict[str, Any]
    steps: tuple[Step, ...]
    right: tuple[int, ...]
    changes: tuple[Change, ...]
    blamed: tuple[Blamed, ...]
    examples: tuple[Example, ...]
    skipped: tuple[str, ...]
    doubts: tuple[str, ...]
    prepares_here: bool

    def record(self) -> dict[str, Any]:
        """All of it as JSON values."""
        values = asdict(self)
        for change, found in zip(values["changes"], self.changes, strict=True):
            change["parity"] = found.parity.model_dump(mode="json") if found.parity else None
        return {"schema": BLAME_SCHEMA, **values}


@dataclass(frozen=True)
class Asked:
    """`count`: so many examples, None for all; `source`: whose test split, in place of the model's own."""

    count: int | None = None
    folder: Path | None = None
    source: str | None = None
    deadline_s: float = 900.0


def blame(item: Artifact, target: Device, asked: Asked) -> Blame:
    """Raises EdgebigError where the model has no card, and what the device raises where its own delegate fails."""
    card = artifact.require_card(item, "which says what a picture must be made into")
    drivers.connect(target)  # What it lacks is told before anything is computed.
    examples, data = bench.test_examples([item], asked.count, asked.folder, asked.source)
    assert examples is not None
    with files.scratch(lookup.cache_dir() / "scratch") as scratch:
        inputs = scratch / "inputs.npy"
        examples.write_npy(inputs)
        subject = Subject((item,), inputs, examples.labels, data)
        kernels = running.kernels_of(target)
        with track(f"blame on {target.name}", len(kernels) + 4) as advance:
            chain, provenance, skipped = _chain(subject, target, kernels, asked.deadline_s, advance)
    found = chains.changes(chain, card.output_step)
    reference = next(one for one in chain if one.step.kernels == "reference")
    right = tuple(int(np.sum(one.labels == examples.labels)) for one in chain)
    own = asked.source is None or asked.source == card.test.source
    return Blame(
        model=str(item.path),
        device=target.name,
        provenance=provenance,
        data=data,
        steps=tuple(one.step for one in chain),
        right=right,
        changes=tuple(found),
        blamed=tuple(chains.blamed(chain, found)),
        examples=tuple(_differing(chain, examples)),
        skipped=tuple(skipped),
        doubts=tuple(_doubts(item, card, right[chain.index(reference)] if own else None, len(examples))),
        prepares_here=running.prepares_here(target),
    )


def _chain(
    subject: Subject, target: Device, kernels: Sequence[str], deadline_s: float, advance: Advance
) -> tuple[list[Answers], str, list[str]]:
    """The answers in order, how real the device is, and what could not be had."""
    bridge = running.bridge_to(target)
    host = LocalDevice(name=_HERE, delegate="xnnpack")
    with opened(host, subject, deadline_s, _HERE) as here:
        chain = [_noted(here, name, advance) for name in dict.fromkeys(("xnnpack", "reference", bridge))]
    with opened(target, subject, deadline_s) as there:
        provenance = there.facts.provenance
        found, skipped = _there(there, kernels, advance)
    if running.prepares_here(target):
        found = [replace(one, inputs=chain[0].inputs) for one in found]
    first = found[0].step
    if first.runtime != chain[-1].step.runtime and first.machine != chain[-1].step.machine:
        between = _version_here(subject, target, first.runtime, bridge, deadline_s, advance)
        if isinstance(between, str):
            skipped = [between, *skipped]
        else:
            chain.append(between)
    return [*chain, *found], provenance, skipped


def _noted(place: Place, kernels: str, advance: Advance) -> Answers:
    advance(1, place.step(kernels).name)
    return place.answers(kernels)


def _there(place: Place, kernels: Sequence[str], advance: Advance) -> tuple[list[Answers], list[str]]:
    """Its own delegate comes last and must run; what else does not is left out."""
    found, skipped = [], []
    for name in kernels:
        try:
            found.append(_noted(place, name, advance))
        except LinkFault:
            raise
        except EdgebigError as error:
            if name == kernels[-1]:
                raise
            skipped.append(f"{place.step(name).name}: {error.problem.splitlines()[0]}")
    return found, skipped


def _version_here(
    subject: Subject, target: Device, runtime: str, kernels: str, deadline_s: float, advance: Advance
) -> Answers | str:
    """The device's version of its runtime on this machine, or why it is not to be had."""
    if target.runtime != "tflite-runtime":
        return f"{_HERE}, {runtime}: this machine has no environment of that version"
    host = LocalDevice(name=_HERE, runtime="tflite-runtime", delegate=kernels)
    try:
        with opened(host, subject, deadline_s, _HERE) as here:
            if here.runtime != runtime:
                return f"{_HERE}, {runtime}: this machine's is {here.runtime}"
            return _noted(here, kernels, advance)
    except EdgebigError as error:
        return f"{_HERE}, {runtime}: {error.problem.splitlines()[0]} ({error.hint})"


def _differing(chain: Sequence[Answers], examples: Examples) -> Iterator[Example]:
    hashes = examples.hashes
    for index in np.flatnonzero(chain[0].labels != chain[-1].labels).tolist():
        name = examples.images.name_of(index) if hasattr(examples.images, "name_of") else ""
        labels = tuple(int(one.labels[index]) for one in chain)
        yield Example(index, name or f"{int(hashes[index]):016x}", int(examples.labels[index]), labels)


def _doubts(item: Artifact, card: Card, right: int | None, n: int) -> Iterator[str]:
    """Against what the file itself says of its input, and against what its card says of its accuracy."""
    told = metadata.read_metadata(item.path.read_bytes(), str(item.path))
    mean, std = card.preprocessing.mean_and_std()
    for what, said, carded in (("mean", told.mean, mean), ("std", told.std, std)) if told else ():
        if any(not math.isclose(value, carded, rel_tol=_CLOSE, abs_tol=_CLOSE) for value in said):
            yield (
                f"the file's own metadata says that its input's {what} is {said[0]:g}, the card's low and high make it "
                f"{carded:g}"
            )
    then = card.host_accuracy
    if right is None or not then.n:
        return
    now = stats.accuracy_interval(right, n)
    if now.high < then.low or now.low > then.high:
        yield (
            f"the reference kernels here read {now.value:.2%} right, and its card says {then.value:.2%} "
            f"({then.low:.2%} .. {then.high:.2%})"
        )
