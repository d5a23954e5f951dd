"""The same pictures through a model on a device, by one kind of kernels after another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from edgebig import bench, collecting, drivers
from edgebig.bench import Settings, Subject
from edgebig.blame.chain import Answers, Step
from edgebig.collecting import Collected
from edgebig.device import AdbDevice, Device, FakeDevice, LocalDevice, McuDevice
from edgebig.drivers.protocol import DeviceFacts, Event, Job, Session
from edgebig.errors import DeviceError

_SETTINGS = Settings(latency=False, energy=False)
# Their kernels are their own: with the runtime they change too, and with nothing else.
_OWN_KERNELS = ("tflite-micro", "tensorflow")


class Place:
    """A device, opened, which runs one model on the pictures of a subject."""

    def __init__(
        self, session: Session, subject: Subject, target: Device, where: str, deadline_s: float
    ) -> None:
        self.facts = session.facts
        self._session = session
        self._target = target
        self.where = where
        self._deadline_s = deadline_s
        job = bench.send(session, subject, target, _SETTINGS)
        self._job = job.model_copy(update={"want": ("predictions", "outputs", "inputs")})

    @property
    def runtime(self) -> str:
        """Its name and version."""
        version = self.facts.machine.get("runtimes", {}).get(self._target.runtime, "")
        return f"{self._target.runtime} {version}".strip()

    def step(self, kernels: str) -> Step:
        shown = "reference" if self._target.runtime in _OWN_KERNELS else kernels
        return Step(self.where, machine_of(self._target, self.facts), self.runtime, shown)

    def answers(self, kernels: str) -> Answers:
        """Raises as the session does."""
        job: Job = self._job.model_copy(update={"delegate": kernels})
        collected, inputs = Collected(), list[str]()
        events = _noting(self._session.run(job, self._deadline_s), inputs)
        collecting.collect(events, job, collected, lambda steps=1, note="": None)
        sha256 = job.models[0].sha256
        labels = collected.labels[sha256]
        if not labels:
            raise DeviceError(
                f"{self._target.name}: gives no predictions by {self._target.runtime}",
                "use a runtime that takes pictures: benchmark_model of TFLite, or a Python there",
            )
        if len(labels) != job.examples:
            raise DeviceError(
                f"{self._target.name}: {len(labels)} predictions for {job.examples} pictures", "run it again"
            )
        told = tuple(inputs) if len(inputs) == job.examples else None
        raw = collected.outputs(sha256)
        return Answers(self.step(kernels), np.array(labels, np.int64), raw, told)


@contextlib.contextmanager
def opened(target: Device, subject: Subject, deadline_s: float, where: str = "") -> Iterator[Place]:
    with next(iter(drivers.connect(target).sessions())) as session:
        yield Place(session, subject, target, where or target.name, deadline_s)


def _noting(events: Iterator[Event], inputs: list[str]) -> Iterator[Event]:
    for event in events:
        inputs += event.get("inputs", ()) if event["event"] == "outputs" else ()
        yield event


def kernels_of(target: Device) -> list[str]:
    """Those that it runs, its own delegate last."""
    match target:
        case McuDevice() | FakeDevice():
            return [target.delegate]
        case AdbDevice(runtime="benchmark_model"):
            known = ["none"]
        case _ if target.runtime == "tensorflow":
            known = ["none"]
        case _ if target.delegate == "reference":
            known = []
        case _:
            known = ["reference", "none"]
    return list(dict.fromkeys([*known, target.delegate]))


def bridge_to(target: Device) -> str:
    """The kernels of this machine that are nearest to the first ones there."""
    first = kernels_of(target)[0]
    return "none" if first == "none" and target.runtime not in _OWN_KERNELS else "reference"


def prepares_here(target: Device) -> bool:
    """The host makes the model's input of a picture, and not the device."""
    return isinstance(target, McuDevice) or (
        isinstance(target, AdbDevice) and target.runtime == "benchmark_model"
    )


def machine_of(target: Device, facts: DeviceFacts) -> str:
    """What tells machines apart. A simulated microcontroller is a program of this machine."""
    if isinstance(target, McuDevice):
        return _HERE
    told = [facts.machine.get(name) for name in ("machine", "cpu", "board")]
    words = ", ".join(str(word) for word in told if word)
    if facts.provenance in ("emulated", "fake", "stand-in"):
        return f"{facts.provenance} {words}"
    return _HERE if isinstance(target, LocalDevice) else words


_HERE = "this machine"
