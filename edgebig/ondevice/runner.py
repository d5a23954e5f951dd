"""A job on this machine: checks it, spawns a fresh process for each measurement, and passes their events on.

A model that kills its process kills only that one: the runner says so in an event and goes on living. No numpy here:
its import takes as long as many a measurement.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

from . import conditions
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


def run(job: dict[str, Any], store: str, entry: list[str]) -> Iterator[dict[str, Any]]:
    """The events of a job: ready, condition, outputs, samples, condition, result. `entry` starts this program again."""
    yield {"event": "ready", "protocol": PROTOCOL, "facts": conditions.facts()}
    yield {"event": "condition", "when": "before", **conditions.now()}
    if "predictions" in job["want"] or "outputs" in job["want"]:
        for model in job["models"]:
            if model["preprocessing"] is not None:
                yield from _child(entry, store, {**job, "task": "predict", "models": [model]}, {})
    if "latency" in job["want"]:
        for process in range(job["processes"]):
            yield from _child(entry, store, {**job, "task": "measure"}, {"process": process})
    yield {"event": "condition", "when": "after", **conditions.now()}
    yield {"event": "result", "complete": True}


def _child(
    entry: list[str], store: str, task: dict[str, Any], stamp: dict[str, Any]
) -> Iterator[dict[str, Any]]:
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
            "the file is damaged, or this runtime cannot run it here; what it printed last stands above",
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
