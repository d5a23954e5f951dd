"""One task in this process, which the runner made for it alone: predictions, or latency."""

from __future__ import annotations

import base64
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import conditions, infer, loading, measure
from .faults import Fault

_CHUNK = 500
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run(task: dict[str, Any], store: str) -> Iterator[dict[str, Any]]:
    """The events of one task: loaded, then outputs and memory, or warmup and samples."""
    _end_with(task["parent"])
    images_u8 = _inputs(task, store)
    models: list[Any] = []
    if task["task"] == "measure":
        # The first model of a process pays for loading the libraries; `init` and `first` are to be the model's own.
        _load(task, store, task["models"][0]).warm_up()
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
    if task["task"] == "predict":
        for model, loaded in models:
            yield from _predict(task, model, loaded, images_u8)
    else:
        subjects = [
            measure.Subject(model["sha256"], loaded, model["preprocessing"], images_u8)
            for model, loaded in models
        ]
        yield from measure.measure(
            subjects, task["rounds"], task["samples"], task["warmup_s"], lambda: _check_parent(task["parent"])
        )


def _load(task: dict[str, Any], store: str, model: dict[str, Any]) -> infer.Loaded:
    path = os.path.join(store, model["sha256"])
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


def _predict(
    task: dict[str, Any], model: dict[str, Any], loaded: Any, images_u8: Any
) -> Iterator[dict[str, Any]]:
    # Before the pictures, which would count.
    yield {"event": "memory", "model": model["sha256"], "peak_kb": conditions.peak_memory_kb()}
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
