"""What a device is and what works on it: each runtime and delegate is tried, on a model and pictures of edgebig's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from edgebig import artifact, bench, collecting, drivers, group, runs
from edgebig.bench import Settings, Subject
from edgebig.collecting import Collected
from edgebig.device import NAMED_DELEGATES, AdbDevice, Device, FakeDevice, LocalDevice, McuDevice, SshDevice
from edgebig.drivers.protocol import Job, Session
from edgebig.drivers.shell import LinkFault
from edgebig.errors import EdgebigError
from edgebig.progress import track

PROBE_SCHEMA = 1
_MODEL = "digits-nano"
_DEADLINE_S = 180.0
_SETTINGS = Settings(examples=20, deadline_s=_DEADLINE_S, latency=False)
_RUN_TFLITE = ("ai-edge-litert", "tflite-runtime")

Works = Literal["works", "works in part", "works, wrongly", "does not work"]


@dataclass(frozen=True)
class Tried:
    """A runtime with a delegate, as it ran edgebig's smallest model on a few pictures."""

    runtime: str
    delegate: str
    works: Works
    detail: str
    hint: str


@dataclass(frozen=True)
class Probe:
    """`machine`: the device's account of itself; `board`: its cameras, power meter, clusters of cores, and whether
    LiteRT's CompiledModel runs there; None where no runner can look for them.
    """

    device: str
    kind: str
    provenance: str
    machine: dict[str, Any]
    tried: tuple[Tried, ...]
    board: dict[str, Any] | None

    def record(self) -> dict[str, Any]:
        return {"schema": PROBE_SCHEMA, **asdict(self)}

    @property
    def usable(self) -> bool:
        return any(one.works != "does not work" for one in self.tried)


def probe(target: Device) -> Probe:
    """Examines the device. Raises what its driver raises where it cannot be reached, EdgebigError of a browser."""
    if target.kind == "browser":
        raise EdgebigError(
            f"{target.name}: what a browser can do is found out with the phone in hand",
            f"edgebig bench digits-nano --device {target.name} --delegate wasm,webgpu",
        )
    item = artifact.load(runs.zoo()[_MODEL])
    driver = drivers.connect(target)
    with (
        bench.prepared([item], _SETTINGS, None, runs.ZOO_SOURCE, bench.parity_examples(target)) as subject,
        next(iter(driver.sessions())) as session,
    ):
        job = bench.send(session, subject, target, _SETTINGS)
        wanted = list(_candidates(target, session.facts.machine))
        with track(f"probe {target.name}", len(wanted) + 1) as advance:
            board = _board(session, job)
            tried = []
            for runtime, delegate in wanted:
                advance(1, f"{runtime}, {delegate}")
                tried.append(_try(session, subject, target, job, runtime, delegate))
        facts = session.facts
        return Probe(target.name, target.kind, facts.provenance, facts.machine, tuple(tried), board)


def answering(targets: Sequence[Device]) -> tuple[list[Device], dict[str, str]]:
    """Those that run edgebig's smallest model as their files say, and of each other one, by its name, why it does not.

    Boards are asked side by side.
    """
    if not targets:
        return [], {}
    item = artifact.load(runs.zoo()[_MODEL])
    with bench.prepared([item], _SETTINGS, None, runs.ZOO_SOURCE, None) as subject:
        outcomes = group.run([group.Task(target, partial(_answers, subject, target)) for target in targets])
    silent = {one.device: one.failure.problem if one.failure else one.result for one in outcomes}
    return [target for target in targets if not silent[target.name]], {
        k: why for k, why in silent.items() if why
    }


def _answers(subject: Subject, target: Device) -> str:
    """Empty, or why it does not."""
    with next(iter(drivers.connect(target).sessions())) as session:
        job = bench.send(session, subject, target, _SETTINGS)
        tried = _try(session, subject, target, job, target.runtime, target.delegate)
    return tried.detail if tried.works == "does not work" else ""


def _candidates(target: Device, machine: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each delegate by the device's own runtime, then each other runtime that is there, by its usual one."""
    match target:
        case McuDevice() | FakeDevice():
            delegates: Sequence[str] = (target.delegate,)
        case AdbDevice(runtime="benchmark_model"):
            delegates = ("none", "xnnpack", "gpu", "nnapi")
        case _ if target.runtime != "ai-edge-litert":
            delegates = ("none", "xnnpack", "reference", "edgetpu")
        case _:
            delegates = [name for name in NAMED_DELEGATES if name != "nnapi"]
    yield from ((target.runtime, name) for name in dict.fromkeys((*delegates, target.delegate)))
    if isinstance(target, LocalDevice | SshDevice):
        others = [
            name for name in machine.get("runtimes", {}) if name in _RUN_TFLITE and name != target.runtime
        ]
        yield from ((name, "xnnpack") for name in others)


def _board(session: Session, job: Job) -> dict[str, Any] | None:
    """What the runner finds around it; None from a tool that is no runner of ours."""
    models = tuple(model.model_copy(update={"preprocessing": None}) for model in job.models)
    wanted = job.model_copy(update={"models": models, "want": ("probe",)})
    for event in session.run(wanted, _DEADLINE_S):
        if event["event"] == "probe":
            return {name: value for name, value in event.items() if name != "event"}
    return None


def _try(session: Session, subject: Subject, target: Device, job: Job, runtime: str, delegate: str) -> Tried:
    collected = Collected()
    wanted = job.model_copy(update={"runtime": runtime, "delegate": delegate})
    try:
        collecting.collect(session.run(wanted, _DEADLINE_S), wanted, collected, lambda steps=1, note="": None)
        variant = target.model_copy(update={"runtime": runtime, "delegate": delegate})
        result = bench.measurement(session, collected, subject, variant, _SETTINGS).models[0]
    except LinkFault:
        raise
    except EdgebigError as error:
        return Tried(runtime, delegate, "does not work", error.problem.splitlines()[0], error.hint)
    taken = result.delegate
    detail = f"{taken.actual}: {taken.nodes} of {taken.of} operators" if taken.actual != "none" else ""
    detail += f", by {taken.adapter}" if taken.adapter else ""
    if result.verdict == "WRONG":
        return Tried(runtime, delegate, "works, wrongly", result.cause, "")
    ignored = not taken.nodes and delegate in ("xnnpack", "gpu", "nnapi", "edgetpu")
    if ignored and session.facts.provenance != "fake":
        return Tried(runtime, delegate, "works in part", "the delegate took none of the operators", "")
    return Tried(runtime, delegate, "works", detail, "")
