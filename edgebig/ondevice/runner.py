"""A job on this machine: checks it, spawns a fresh process for each measurement, and passes their events on.

A model that kills its process kills only that one: the runner says so in an event and goes on living. No numpy here:
its import takes as long as many a measurement.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from typing import Any

from . import conditions, cores
from .cooling import Cooling
from .energy import Energy
from .faults import Fault

PROTOCOL = 1


def read_job(text: str) -> dict[str, Any]:
    """The job as JSON. Raises Fault where it is none, or of another protocol."""
    try:
        job = json.loads(text)
    except ValueError as error:
        raise Fault("bad-job", f"the job is not JSON: {error}") from error
    if not isinstance(job, dict) or job.get("schema") != PROTOCOL:
        found = job.get("schema") if isinstance(job, dict) else None
        raise Fault(
            "other-protocol",
            f"the job speaks protocol {found}, this runner {PROTOCOL}",
            "run one edgebig on both sides",
        )
    return job


def run(job: dict[str, Any], store: str, entry: list[str], root: str = "/") -> Iterator[dict[str, Any]]:
    """The events of a job: ready, condition, outputs, samples, condition, result. `entry` starts this program again.

    `root`: where /sys is; other than "/" in tests. Raises Fault where what is asked for cannot be had here, before
    anything is measured.
    """
    yield {"event": "ready", "protocol": PROTOCOL, "facts": conditions.facts()}
    task = {**job, "place": {"cores": cores.chosen(job.get("cores", ""), root), "nice": job.get("priority")}}
    cooling = Cooling(job.get("cool_down_c"), lambda: conditions.hottest(root))
    yield {"event": "condition", "when": "before", **conditions.now(root)}
    if "profile" in job["want"]:
        for model in job["models"]:
            yield from _child(entry, store, {**task, "task": "profile", "models": [model]}, {})
    for model in job["models"]:
        if model["preprocessing"] is None:
            if "latency" in job["want"]:
                yield from _child(entry, store, {**task, "task": "load", "models": [model]}, {})
        elif {"predictions", "outputs"} & set(job["want"]) and model.get("answered", 0) < job["examples"]:
            yield from _child(entry, store, {**task, "task": "predict", "models": [model]}, {})
    if "probe" in job["want"]:
        from . import probe

        model = os.path.join(store, job["models"][0]["sha256"])
        yield {"event": "probe", **probe.found(entry[:-1], model, root)}
    if "latency" in job["want"]:
        yield from _latency(task, store, entry, cooling, root)
    yield {"event": "condition", "when": "after", **conditions.now(root)}
    yield {"event": "result", "complete": True}


def _latency(
    task: dict[str, Any], store: str, entry: list[str], cooling: Cooling, root: str
) -> Iterator[dict[str, Any]]:
    """The processes, each with the conditions before it and the energy that it takes, then the soak."""
    energy = Energy(root) if "energy" in task["want"] else None
    if energy is not None:
        yield energy.source()
    for process in range(task.get("resume_from", 0), task["processes"]):
        stamp = {"process": process}
        yield from cooling.wait()
        yield {"event": "condition", "when": "process", **stamp, **conditions.now(root)}
        phase_s = energy.phase_s if energy else 0.0
        child = _child(entry, store, {**task, "task": "measure", "energy_s": phase_s}, stamp)
        yield from energy.around(child) if energy else child
    if task.get("soak_s"):
        yield from cooling.wait()
        yield from _soak(
            _child(entry, store, {**task, "task": "soak"}, {}), task["models"][0]["sha256"], root
        )


def _soak(child: Iterator[dict[str, Any]], first: str, root: str) -> Iterator[dict[str, Any]]:
    """The events of the soak, and the conditions each time that the `first` model has had its turn."""
    for event in child:
        yield event
        if event["event"] == "soak" and event["model"] == first:
            reading = conditions.briefly(root)
            yield {"event": "condition", "when": "soak", "at_s": event["at_s"], **reading}


def _child(
    entry: list[str], store: str, task: dict[str, Any], stamp: dict[str, Any]
) -> Generator[dict[str, Any], None, None]:
    """The events of one fresh process, each with `stamp` put in. Raises Fault where it fails or dies."""
    # Events have a pipe of their own: what start-up files and libraries print to stdout is for people.
    readable, writable = os.pipe()
    command = [*entry, "child", "--store", store, "--events", str(writable)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, pass_fds=[writable])
    os.close(writable)
    events = os.fdopen(readable, "rb")
    assert child.stdin is not None
    try:
        try:
            child.stdin.write(json.dumps({**task, "parent": os.getpid()}).encode())
            child.stdin.close()
        except BrokenPipeError:
            pass  # It died at once; its exit code below says how.
        failed = None
        for line in events:
            if not line.endswith(b"\n"):
                break  # It died within a line.
            event = _event(line)
            if event["event"] == "error":
                failed = Fault(event["code"], event["problem"], event["hint"])
            else:
                yield {**event, **stamp}
        code = child.wait()
    finally:
        events.close()
        if child.poll() is None:
            child.kill()
            child.wait()
    if failed is not None:
        raise failed
    if code != 0:
        names = ", ".join(model["name"] for model in task["models"])
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        raise Fault(
            "child-died",
            f"the process that ran {names} {how}",
            "most often the board has run out of memory: end other programs there, or bench one model at a time"
            if -code == signal.SIGKILL
            else "the file is damaged, or this runtime cannot run it here; what it printed last stands above",
        )


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        # Passed over, it might take an event with it that stands in the same line.
        raise Fault(
            "noise",
            f"a process of the runner said what is no event: {line[:200].decode(errors='replace').strip()}",
            "please report this",
        )
    return event


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
