"""The record of one bench session, and its file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from edgebig import artifact, energy, files, stats
from edgebig.check.tflite import Parity
from edgebig.drivers.protocol import Provenance
from edgebig.energy import Energy
from edgebig.errors import Failure
from edgebig.micro.fit import Fit
from edgebig.profile import Profile
from edgebig.recipe import Spec
from edgebig.soak import Soak
from edgebig.stats import Accuracy, LatencySummary

MEASUREMENT_SCHEMA = 1
Verdict = Literal["OK", "WRONG", "TOO BIG", "THROTTLED", "PARTIAL", "UNCHECKED"]
_TOOL_STEP_NS = 1000.0  # benchmark_model counts whole microseconds
FRAME_PARTS = ("pre", "inference", "post")


class Open(Spec):
    """A part of the record whose keys differ from device to device."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Told(Spec):
    """What a tool told of one process, in ns over `n` invokes; what it does not tell is None."""

    n: int
    min_ns: float
    max_ns: float
    mean_ns: float
    std_ns: float
    p5_ns: float | None
    p50_ns: float | None
    p95_ns: float | None


class Latency(Spec):
    """Times in ns. `processes`: for each fresh process its samples of one invoke, each the mean over a `batch`.

    `frames`: for each process its whole frames as [pre-processing, inference, post-processing]; empty where no pictures
    were sent. `init` loads and allocates, `first` is the first invoke, once a process. `summary` has "invoke", and
    where there are frames "frame" and its parts "pre", "inference", "post"; it is worked out where it is not given.

    Of a "summary" the samples stayed with the tool that took them, which `told` a few figures of each process;
    `processes` then has one figure for each, its `statistic`. An "estimate" is a compiler's, and no process ran.
    """

    kind: Literal["raw", "summary", "estimate", "none"]
    batch: tuple[int, ...] = ()
    settled: tuple[bool, ...] = ()
    init: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    processes: tuple[tuple[int, ...], ...] = ()
    frames: tuple[tuple[tuple[int, int, int], ...], ...] = ()
    told: tuple[Told, ...] = ()
    statistic: Literal["", "median", "mean"] = ""
    summary: dict[str, LatencySummary] = Field(default_factory=dict)

    def ratio_to(self, other: Latency, *, paired: bool = True) -> stats.Ratio:
        """The ratio of this p50 to the other's; `paired`: measured in turns. Raises as stats.latency_ratio does."""
        step_ns = self._step_ns(other)
        return stats.latency_ratio(self.processes, other.processes, step_ns=step_ns, paired=paired)

    def longer_than(self, other: Latency, *, paired: bool = True) -> stats.TimeDifference:
        """What this p50 has more than the other's, as `ratio_to`."""
        step_ns = self._step_ns(other)
        return stats.latency_difference(self.processes, other.processes, step_ns=step_ns, paired=paired)

    def _step_ns(self, other: Latency) -> float:
        return _TOOL_STEP_NS if self.told or other.told else 0.0

    @model_validator(mode="before")
    @classmethod
    def _summarised(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("processes") and not values.get("summary"):
            if told := values.get("told"):
                n, least_ns = sum(process.n for process in told), min(process.min_ns for process in told)
                figures_ns = [figure for (figure,) in values["processes"]]
                summary = stats.told_summary(figures_ns, n, least_ns, _TOOL_STEP_NS)
                return {**values, "summary": {"invoke": summary}}
            return {**values, "summary": _summaries(values["processes"], values.get("frames") or ())}
        return values


class Adapter(Open):
    """A GPU as its driver names it. kind: discrete, integrated, virtual, other; software: a processor plays one."""

    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.name} ({'software, no GPU' if self.kind == 'software' else f'{self.kind} GPU'})"


class Delegate(Spec):
    """What was asked for and what was done: `nodes` of `of` in `partitions`; `left` stayed out, for `reasons`.

    `precision`: what a GPU was asked to compute in. `told`: what a browser's runtime, which tells no numbers of nodes,
    says instead: its variant, its threads, whether it is fully accelerated.
    """

    asked: str
    actual: str
    nodes: int
    of: int
    partitions: int
    left: tuple[str, ...]
    reasons: dict[str, str] = Field(default_factory=dict)
    precision: str | None = None
    adapter: Adapter | None = None
    told: Open | None = None

    @property
    def whole(self) -> bool:
        """The delegate that was asked for took the whole graph."""
        return self.actual == self.asked and self.nodes == self.of


class ModelResult(Spec):
    """One model on the device.

    `peak_memory_kb`: of a fresh process that loads it and runs it once; `memory_baseline_kb` of that was there before
    the model; `model_mapped`: its file is mapped, so that its pages are there once and can be dropped.
    """

    name: str
    sha256: str
    # Of the Keras model that TensorFlow ran in place of this .tflite.
    keras_sha256: str | None = None
    size_bytes: int
    deflated_bytes: int | None
    io: str | None
    latency: Latency
    peak_memory_kb: int | None
    energy: Annotated[Energy, BeforeValidator(energy.of_text)]
    delegate: Delegate
    predictions: tuple[int, ...] | None
    accuracy: Accuracy | None
    parity: Parity | None
    fit: Fit | None = None
    memory_baseline_kb: int | None = None
    model_mapped: bool | None = None
    soak: Soak | None = None
    profile: Profile | None = None
    verdict: Verdict
    cause: str


class Comparison(Spec):
    """Model a against the first one, b, measured in turns: the ratio of the p50s, and accuracy on the same examples."""

    a: str
    b: str
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Literal["FASTER", "SLOWER", "INCONCLUSIVE"] | None
    accuracy_points: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    mcnemar_p: float | None


class Truth(Spec):
    """The `labels` of the pictures, in the order of the predictions; `inputs_sha256`: of the file of those pictures."""

    inputs_sha256: str
    labels: tuple[int, ...]


class Turned(Spec):
    """A setting of a sweep that was cut off: the device as it then is, how many of its `turns` were whole, the name of
    its `record` in the same folder (of no turn there is none), and why it was left out, if it was.
    """

    label: str
    device: Open
    turns: int
    record: str = ""
    failure: Failure | None = None


class Incomplete(Spec):
    """The device went away, or it was stopped (`why`): `processes` of the `of` wanted are whole, and `answers` of the
    `answers_of` are in.

    `job` and `events`: to go on from; `sweep`: all settings, in their order, where this is one of them.
    """

    why: str
    processes: int
    of: int
    answers: int = 0
    answers_of: int = 0
    job: Open
    events: tuple[Open, ...]
    sweep: tuple[Turned, ...] = ()

    def told(self) -> list[dict[str, Any]]:
        """The events as a session gave them."""
        return [event.model_dump() for event in self.events]


class Measurement(Spec):
    """One bench session, or several where it is or was incomplete. `truth`: None in records older than it."""

    schema_: int = MEASUREMENT_SCHEMA
    provenance: Provenance
    device: Open
    machine: Open
    conditions: tuple[Open, ...]
    settings: Open
    data: Open
    models: tuple[ModelResult, ...]
    comparisons: tuple[Comparison, ...]
    truth: Truth | None = None
    incomplete: Incomplete | None = None

    @property
    def in_browser(self) -> bool:
        """Its times are a browser's, which are held against no native ones."""
        return bool(self.device.model_dump().get("kind") == "browser")


def _summaries(processes: Sequence[Any], frames: Sequence[Any]) -> dict[str, Any]:
    times = {"invoke": processes}
    if frames:
        times["frame"] = [[sum(frame) for frame in process] for process in frames]
        for index, part in enumerate(FRAME_PARTS):
            times[part] = [[frame[index] for frame in process] for process in frames]
    return {name: stats.latency_summary(samples) for name, samples in times.items()}


def reserve(device: str, folder: Path, path: Path | None) -> Path:
    """Where a record will be written: `path`, or a new file in bench/ under `folder`.

    Raises OSError where that cannot be written to, before minutes of measuring are spent.
    """
    if path is None:
        stem = f"{device}-{time.strftime('%Y%m%d-%H%M%S')}"
        taken = [folder / "bench" / f"{stem}{end}.json" for end in ("", *(f"-{n}" for n in range(2, 100)))]
        path = next(candidate for candidate in taken if not candidate.exists())
    files.check_writable(path)
    return path


def save(measurement: Measurement, path: Path) -> None:
    files.write_text(path, json.dumps(artifact.dump_record(measurement), separators=(",", ":")) + "\n")


def load(path: Path) -> Measurement:
    """A Measurement from its file. Raises EdgebigError where it is damaged or of another schema."""
    record: Measurement = artifact.read_record(path, Measurement, MEASUREMENT_SCHEMA, "measurement")
    return record
