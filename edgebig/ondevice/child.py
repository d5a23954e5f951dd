"""One task in this process, which the runner made for it alone: predictions, latency, or a soak."""

from __future__ import annotations

import base64
import functools
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import conditions, cores, infer, loading, measure, profile
from .faults import Fault

_CHUNK = 500
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run(task: dict[str, Any], store: str) -> Iterator[dict[str, Any]]:
    """The events of one task: loaded and memory, and outputs; or loaded, then warmup and samples, or a soak."""
    _end_with(task["parent"])
    placed = cores.place(**task["place"])
    if task["task"] == "profile":
        yield from _profile(task, store)
        return
    images_u8 = _inputs(task, store)
    models: list[Any] = []
    timed = task["task"] in ("measure", "soak")
    if timed and (task["place"]["cores"] or task["place"]["nice"] is not None):
        yield {"event": "condition", "when": "placed", **placed}
    if timed:
        # The first model of a process pays for loading the libraries; `init` and `first` are to be the model's own.
        _load(task, store, task["models"][0]).warm_up()
    loading.load_runtime(task["runtime"])
    baseline_kb = conditions.peak_memory_kb()
    for model in task["models"]:
        loaded = _load(task, store, model)
        models.append((model, loaded))
        yield {
            "event": "loaded",
            "model": model["sha256"],
            "input": loaded.input._asdict(),
            "output": loaded.output._asdict(),
            "delegated": loaded.delegated()._asdict(),
            "adapter": loaded.adapter,
        }
    if not timed:
        for model, loaded in models:
            yield _memory(model, loaded, os.path.join(store, model["sha256"]), baseline_kb)
            if task["task"] == "predict":
                yield from _predict(task, model, loaded, images_u8)
        return
    subjects = [
        measure.Subject(model["sha256"], loaded, model["preprocessing"], images_u8)
        for model, loaded in models
    ]
    wanted = functools.partial(_check_parent, task["parent"])
    if task["task"] == "soak":
        yield from measure.soak(subjects, task["soak_s"], task["warmup_s"], wanted)
        return
    yield from measure.measure(subjects, task["rounds"], task["samples"], task["warmup_s"], wanted)
    if task["energy_s"]:
        yield from measure.drain(subjects, task["energy_s"])


def _profile(task: dict[str, Any], store: str) -> Iterator[dict[str, Any]]:
    for model in task["models"]:
        # First as ever, which tells of a file that is none.
        _load(task, store, model).warm_up()
        found = profile.profile(os.path.join(store, model["sha256"]), task)
        yield {"event": "profile", "model": model["sha256"], **found}


def _load(task: dict[str, Any], store: str, model: dict[str, Any]) -> infer.Loaded:
    path = os.path.join(store, model.get("keras") or model["sha256"])
    try:
        return loading.load(path, task)
    except Fault as fault:
        raise Fault(fault.code, fault.problem.replace(path, model["name"]), fault.hint) from fault


def _end_with(parent: int) -> None:
    """A measurement that nobody waits for would disturb the next one: it is killed with the runner that started it.

    Linux does that at once; elsewhere it is seen between two rounds, or when an event cannot be sent.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _check_parent(parent)


def _check_parent(parent: int) -> None:
    if os.getppid() != parent:
        raise Fault("orphaned", "the runner that started this process is gone")


def _inputs(task: dict[str, Any], store: str) -> Any:
    """uint8 (N, H, W, C), mapped and not read in; None without inputs."""
    if task["inputs"] is None:
        return None
    path = os.path.join(store, task["inputs"])
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)[: task["examples"]]
    except (OSError, ValueError) as error:
        raise Fault(
            "bad-inputs", f"the pictures that were sent cannot be read: {error}", "run it again"
        ) from error


def _memory(model: dict[str, Any], loaded: Any, path: str, baseline_kb: int | None) -> dict[str, Any]:
    """What the process took before the model and takes with it, after an invoke and before any pictures."""
    loaded.warm_up()
    return {
        "event": "memory",
        "model": model["sha256"],
        "baseline_kb": baseline_kb,
        "peak_kb": conditions.peak_memory_kb(),
        "mapped": conditions.is_mapped(path),
    }


def _predict(
    task: dict[str, Any], model: dict[str, Any], loaded: Any, images_u8: Any
) -> Iterator[dict[str, Any]]:
    for start in range(model.get("answered", 0), len(images_u8), _CHUNK):
        part = images_u8[start : start + _CHUNK]
        raw = infer.classify(loaded, part, model["preprocessing"])
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
        if "inputs" in task["want"]:
            event["inputs"] = infer.input_hashes(loaded.input, part, model["preprocessing"])
        yield event
