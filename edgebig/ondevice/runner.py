"""A job on this machine: checks it, spawns a fresh process for each measurement, and passes their events on.

A model that kills its process kills only that one: the runner says so in an event and goes on living.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Callable, TextIO

import numpy as np

from . import conditions, infer, measure
from .faults import Fault

PROTOCOL = 1
_CHUNK = 500


def take_stdout() -> TextIO:
    """The real stdout for events alone; from here on whatever else is printed goes to stderr."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return events


def emit(events: TextIO, event: dict[str, Any]) -> None:
    events.write(json.dumps(event, separators=(",", ":")) + "\n")
    events.flush()


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


def run(job: dict[str, Any], store: str, entry: str) -> Iterator[dict[str, Any]]:
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


def _child(entry: str, store: str, task: dict[str, Any], stamp: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of one fresh process, each with `stamp` put in. Raises Fault where it fails or dies."""
    command = [sys.executable, entry, "child", "--store", store]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        try:
            child.stdin.write(json.dumps(task))
            child.stdin.close()
        except BrokenPipeError:
            pass  # It died at once; its exit code below says how.
        failed = None
        for line in child.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                sys.stderr.write(line)
                continue
            if event.get("event") == "error":
                failed = Fault(event["code"], event["problem"], event["hint"])
            else:
                yield {**event, **stamp}
        code = child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if failed is not None:
        raise failed
    if code != 0:
        names = ", ".join(model["sha256"][:12] for model in task["models"])
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise Fault(
            "child-died",
            f"the process that ran {names} {how}",
            "the file is damaged, or this runtime cannot run it here; what it printed stands above",
        )


def child(task: dict[str, Any], store: str) -> Iterator[dict[str, Any]]:
    """The events of one task, in this process."""
    images_u8 = _inputs(task, store)
    models: list[Any] = []
    for model in task["models"]:
        path = os.path.join(store, model["sha256"])
        try:
            loaded = infer.Model(path, task["runtime"], task["delegate"], task["threads"])
        except Fault as fault:
            raise Fault(fault.code, fault.problem.replace(path, model["name"]), fault.hint) from fault
        models.append((model, loaded))
        yield {
            "event": "loaded",
            "model": model["sha256"],
            "input": loaded.input._asdict(),
            "output": loaded.output._asdict(),
            "delegated": loaded.delegated()._asdict(),
        }
    if task["task"] == "predict":
        for model, loaded in models:
            yield from _predict(task, model, loaded, images_u8)
    else:
        subjects = [
            measure.Subject(model["sha256"], loaded, model["preprocessing"], images_u8)
            for model, loaded in models
        ]
        yield from measure.measure(
            subjects, task["rounds"], task["samples"], task["warmup_s"], _parent_watch()
        )


def _inputs(task: dict[str, Any], store: str) -> Any:
    """uint8 (N, H, W, C), mapped and not read in, so that it hardly counts in the peak memory; None without inputs."""
    if task["inputs"] is None:
        return None
    path = os.path.join(store, task["inputs"])
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)[: task["examples"]]
    except (OSError, ValueError) as error:
        raise Fault(
            "bad-inputs", f"the pictures that were sent cannot be read: {error}", "run it again"
        ) from error


def _predict(
    task: dict[str, Any], model: dict[str, Any], loaded: Any, images_u8: Any
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(images_u8), _CHUNK):
        raw = infer.classify(loaded, images_u8[start : start + _CHUNK], model["preprocessing"])
        event = {
            "event": "outputs",
            "model": model["sha256"],
            "start": start,
            "of": len(images_u8),
            "labels": [int(label) for label in np.argmax(loaded.scores(raw), axis=1)],
        }
        if "outputs" in task["want"]:
            event["raw"] = base64.b64encode(np.ascontiguousarray(raw).tobytes()).decode()
            event["dtype"] = str(raw.dtype)
        yield event
    yield {"event": "memory", "model": model["sha256"], "peak_kb": conditions.peak_memory_kb()}


def _parent_watch() -> Callable[[], None]:
    """A measurement that nobody waits for any more ends itself: raises Fault once this process has another parent."""
    parent = os.getppid()

    def check() -> None:
        if os.getppid() != parent:
            raise Fault("orphaned", "the runner that started this process is gone")

    return check
