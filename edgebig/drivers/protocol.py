"""How a target is reached and what is said to it: the job that goes there, the events that come back.

A driver opens sessions; a session holds its board's lock from enter to exit. Whatever stands behind it, a job's events
come in this order: ready, condition (before), loaded and outputs for each model, warmup and sample for each process,
condition (after), result. A fault ends the job with an error raised on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Protocol

from pydantic import Field

from edgebig.errors import DeviceError, EdgebigError
from edgebig.recipe import Spec

PROTOCOL = 1
Provenance = Literal["real", "emulated", "software", "simulated", "fake", "stand-in"]
Wanted = Literal["latency", "predictions", "outputs", "inputs", "profile", "energy", "probe"]
_ANSWERS = frozenset({"predictions", "outputs"})
Event = dict[str, Any]


class JobModel(Spec):
    """A model that was put there, and how pictures are made into its input (None: its accuracy is not measured).

    `answered`: of the first so many pictures an earlier session has the answers. A driver may answer them again.
    """

    sha256: str
    # Of the Keras model that TensorFlow, as a runtime, runs in place of the .tflite.
    keras: str | None = None
    name: str
    preprocessing: dict[str, Any] | None
    answered: int = 0


class Job(Spec):
    """What a session is to run. `inputs`: the sha256 of an .npy file, uint8 (N, H, W, C), or None.

    `cores`: "" for all, "big", "little", or numbers as in "0,2-3"; `priority`: the nice value; `cool_down_c`: it waits
    until the hottest zone is that cool; `soak_s`: after the processes, one that runs so long. `resume_from`: the first
    process that is still wanted.
    """

    schema_: int = PROTOCOL
    models: tuple[JobModel, ...]
    inputs: str | None
    examples: int
    runtime: str
    delegate: str
    threads: int
    gpu_precision: Literal["float32", "float16"] = "float32"
    delegate_options: dict[str, str] = Field(default_factory=dict)
    processes: int
    rounds: int
    samples: int
    warmup_s: float
    cores: str = ""
    priority: int | None = None
    cool_down_c: float | None = None
    soak_s: float = 0.0
    resume_from: int = 0
    want: tuple[Wanted, ...]

    @property
    def wants_answers(self) -> bool:
        return not _ANSWERS.isdisjoint(self.want)

    def without_answers(self) -> Job:
        return self.model_copy(update={"want": tuple(what for what in self.want if what not in _ANSWERS)})

    def to_json(self) -> dict[str, Any]:
        values = self.model_dump(mode="json")
        return {"schema": values.pop("schema_"), **values}


@dataclass(frozen=True)
class Capabilities:
    """What this way of measuring can give."""

    raw_samples: bool
    predictions: bool
    interleaving: bool


@dataclass(frozen=True)
class DeviceFacts:
    """What stands behind a session: the machine's own account of itself, and how real it is."""

    provenance: Provenance
    machine: dict[str, Any]
    capabilities: Capabilities


class Session(Protocol):
    """A board while its lock is held."""

    facts: DeviceFacts

    def put(self, blob: Path) -> str:
        """Sends a file under its sha256, which is returned; skipped if it is there."""

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        """The events of a job. Raises DeviceError past the deadline or where the device fails, EdgebigError where a
        model or the pictures are at fault.
        """

    def clean(self) -> None:
        """Takes away everything that was put there."""


class Driver(Protocol):
    """A way to reach a target."""

    def sessions(self) -> Iterator[AbstractContextManager[Session]]:
        """One for a board; for phones one as each arrives."""


# Faults of what the user gave; every other one is the device's.
_USERS_FAULTS = frozenset(
    {"cores", "priority", "conditions", "bad-model", "shape", "source", "unknown-runtime", "unknown-delegate"}
)


def raise_fault(event: Event, printed: str = "") -> NoReturn:
    """An `error` event as the exception that the user sees; where a process died, with what it `printed` last."""
    kind = EdgebigError if event["code"] in _USERS_FAULTS else DeviceError
    told = f"{event['problem']}\n{printed}".rstrip() if event["code"] == "child-died" else event["problem"]
    raise kind(told, event["hint"])
