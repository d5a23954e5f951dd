"""Answers of one model, step by step from this machine to a device: where did they change, and what with them?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgebig.check import tflite
from edgebig.check.tflite import Parity

Factor = Literal["preprocessing", "runtime", "machine", "kernels"]
Culprit = Literal["preprocessing", "runtime", "machine", "kernels", "chance", "unknown"]


@dataclass(frozen=True)
class Step:
    """Where a model ran, by what. `machine`: what tells machines apart; `runtime`: its name and version."""

    where: str
    machine: str
    runtime: str
    kernels: str

    @property
    def name(self) -> str:
        return f"{self.where}, {self.runtime}, {self.kernels}"


@dataclass(frozen=True)
class Answers:
    """What a step made of N pictures: `labels` (N,), `raw` outputs (N, classes) where they are told.

    `inputs`: for each picture a hash of the tensor that was made of it; None where the device does not tell.
    """

    step: Step
    labels: npt.NDArray[np.int64]
    raw: npt.NDArray[Any] | None
    inputs: tuple[str, ...] | None


@dataclass(frozen=True)
class Change:
    """From one step to the next: `factors` are other ones there. `labels`, `inputs`: of which examples they differ.

    `parity`: of the outputs, None where they are not told.
    """

    before: Step
    after: Step
    factors: tuple[Factor, ...]
    labels: tuple[int, ...]
    inputs: tuple[int, ...]
    parity: Parity | None


@dataclass(frozen=True)
class Blamed:
    """`what` made these `examples` other ones, at the change of that number. "unknown" is one of several `factors`."""

    what: Culprit
    change: int
    factors: tuple[Factor, ...]
    examples: tuple[int, ...]


def changes(chain: Sequence[Answers], output_step: float | None) -> list[Change]:
    """One less than there are steps. `output_step`: as check.tflite.parity takes it."""
    return [_change(before, after, output_step) for before, after in itertools.pairwise(chain)]


def _change(before: Answers, after: Answers, output_step: float | None) -> Change:
    factors: list[Factor] = []
    for name in ("runtime", "machine", "kernels"):
        if getattr(before.step, name) != getattr(after.step, name):
            factors.append(name)
    inputs: tuple[int, ...] = ()
    if before.inputs is not None and after.inputs is not None:
        pairs = zip(before.inputs, after.inputs, strict=True)
        inputs = tuple(place for place, (one, other) in enumerate(pairs) if one != other)
        factors = ["preprocessing", *factors] if inputs else factors
    elif before.step.machine != after.step.machine:
        factors = ["preprocessing", *factors]
    parity = None
    if before.raw is not None and after.raw is not None and _alike(before.raw, after.raw):
        parity = tflite.parity(after.raw, before.raw, output_step)
    labels = tuple(np.flatnonzero(before.labels != after.labels).tolist())
    return Change(before.step, after.step, tuple(factors), labels, inputs, parity)


def _alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Where one is float and the other is not, steps of an output are no common unit."""
    return one.shape == other.shape and one.dtype == other.dtype


def blamed(chain: Sequence[Answers], found: Sequence[Change]) -> list[Blamed]:
    """Who is to blame for the examples of which the last step says something else than the first; most examples first.

    An example is laid to the last change of its label. What was given to the model being another thing there, that is
    to blame; else what alone was changed; of several factors none can be named.
    """
    laid: dict[tuple[int, Culprit], list[int]] = {}
    for example in np.flatnonzero(chain[0].labels != chain[-1].labels).tolist():
        last = max(place for place, change in enumerate(found) if example in change.labels)
        laid.setdefault((last, _culprit(found[last], example)), []).append(example)
    listed = [
        Blamed(what, place, found[place].factors, tuple(examples)) for (place, what), examples in laid.items()
    ]
    return sorted(listed, key=lambda one: -len(one.examples))


def _culprit(change: Change, example: int) -> Culprit:
    if example in change.inputs:
        return "preprocessing"
    # Of other examples the inputs may differ; this one's were told to be the same.
    factors = [factor for factor in change.factors if factor != "preprocessing" or not change.inputs]
    if not factors:
        return "chance"
    return factors[0] if len(factors) == 1 else "unknown"
