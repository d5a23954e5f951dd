"""The events that a page sends of a job, each held against that job before anybody believes it.

A page is another's program: what is not asked for, comes twice, in another order or in other numbers than a clock gives
is refused, so that what is kept of a job is bounded by the job.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from edgebig.phone import facts

Event = dict[str, Any]

# Three hours; an inference that takes longer is none.
_LONGEST_NS = 10**13
_MOST_CLASSES = 100_000
_DTYPES = {"float32": 4, "uint8": 1, "int8": 1}
_MOST_ROW_BYTES = 16_384
_WHEN = ("before", "process", "paused", "soak", "after")
_READINGS = ("unix_s", "hidden_s", "at_s")
# A page that was hidden says so, each time.
_MOST_CONDITIONS = 2_000
_SPARE_SOAKS = 60
_ADAPTERS = ("discrete", "integrated", "virtual", "other", "software")


class Checker:
    """Takes the events of one job in their order."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        """`job`: as Job.to_json gives it."""
        self._job = job
        self._models = [model["sha256"] for model in job["models"]]
        self._outputs = dict.fromkeys(self._models, 0)
        self._soaked = dict.fromkeys(self._models, (0, 0.0))  # how many seconds of it, and the last
        self._seen: set[tuple[Any, ...]] = set()
        self._claimed: list[tuple[Any, ...]] = []
        self._count: Counter[str] = Counter()

    def checked(self, event: object) -> Event:
        """The event with what is known of it and nothing else. Raises ValueError, which says what is wrong; what is
        refused leaves no trace.
        """
        if not isinstance(event, dict):
            raise ValueError("an event that is no object")
        name = event.get("event")
        check = _CHECKS.get(name) if isinstance(name, str) else None
        if check is None:
            raise ValueError("an event that is not known")
        assert isinstance(name, str)
        if self._count["result"] or self._count["error"]:
            raise ValueError(f"{name}: after the end")
        self._claimed.clear()
        told = {"event": name, **check(self, event)}
        self._seen.update(self._claimed)
        self._count[name] += 1
        return told

    # ------------------------------------------------------------ each kind

    def _ready(self, event: Event) -> Event:
        self._once("ready")
        return {"protocol": _whole(event, "protocol", 1)}

    def _condition(self, event: Event) -> Event:
        if self._count["condition"] >= _MOST_CONDITIONS:
            raise ValueError("condition: too many")
        # Others are a board's, with readings of their own.
        if event.get("when") not in _WHEN:
            raise ValueError("condition: of no known time")
        told: Event = {"when": event["when"]}
        if "process" in event:
            told["process"] = self._process(event)
        told |= {key: _real(event, key) for key in _READINGS if key in event}
        if isinstance(battery := event.get("battery"), dict):
            level = _real(battery, "level") if "level" in battery else 0.0
            told["battery"] = {"level": level, "charging": battery.get("charging") is True}
        return told

    def _loaded(self, event: Event) -> Event:
        model = self._model(event)
        process = self._process(event) if "process" in event else -1
        self._once("loaded", model, process)
        taken = event.get("delegated")
        if not isinstance(taken, dict):
            raise ValueError("loaded: without 'delegated'")
        left = taken.get("left", [])
        if not isinstance(left, list) or len(left) > 300:
            raise ValueError("loaded: 'left' is no list")
        delegated = {
            "delegate": _text(taken, "delegate"),
            **{key: _whole(taken, key, 10_000) for key in ("nodes", "of", "partitions")},
            "left": [_short(item) for item in left],
        }
        adapter = event.get("adapter")
        told = {"model": model, "delegated": delegated, "adapter": _adapter(adapter) if adapter else None}
        if isinstance(accelerator := event.get("accelerator"), dict):
            told["accelerator"] = facts.checked(accelerator)
        return told | ({"process": process} if process >= 0 else {})

    def _predicted(self, event: Event) -> Event:
        model = self._model(event)
        labels = event.get("labels")
        start = _whole(event, "start", int(self._job["examples"]))
        if not isinstance(labels, list) or not labels or start != self._outputs[model]:
            raise ValueError(f"outputs: from {start}, wanted from {self._outputs[model]}")
        if start + len(labels) > self._job["examples"]:
            raise ValueError("outputs: more than pictures")
        for label in labels:
            if type(label) is not int or not 0 <= label < _MOST_CLASSES:
                raise ValueError("outputs: a label that is none")
        told = {"model": model, "start": start, "of": self._job["examples"], "labels": labels}
        told |= _raw(event, len(labels)) if "raw" in event else {}
        self._outputs[model] += len(labels)
        return told

    def _memory(self, event: Event) -> Event:
        model = self._model(event)
        self._once("memory", model)
        told = {key: _whole(event, key, 10**9) for key in ("baseline_kb", "peak_kb") if event.get(key)}
        return {"model": model, **told}

    def _warmup(self, event: Event) -> Event:
        model, process = self._model(event), self._process(event)
        self._once("warmup", model, process)
        if type(event.get("settled")) is not bool:
            raise ValueError("warmup: 'settled' is no truth")
        return {
            "model": model,
            "process": process,
            "settled": event["settled"],
            "batch": max(1, _whole(event, "batch", 10**9)),
            "init_ns": _whole(event, "init_ns", _LONGEST_NS),
            "first_ns": _whole(event, "first_ns", _LONGEST_NS),
        }

    def _sample(self, event: Event) -> Event:
        model, process = self._model(event), self._process(event)
        turn = _whole(event, "round", int(self._job["rounds"]) - 1)
        self._once("sample", model, process, turn)
        if ("warmup", model, process) not in self._seen:
            raise ValueError("sample: before its warm-up")
        ns, frames = event.get("ns"), event.get("frame_ns", [])
        if not isinstance(ns, list) or len(ns) != self._job["samples"]:
            raise ValueError(f"sample: not {self._job['samples']} times")
        if not isinstance(frames, list) or len(frames) not in (0, self._job["samples"]):
            raise ValueError(f"sample: not {self._job['samples']} frames")
        if not all(isinstance(frame, list) and len(frame) == 3 for frame in frames):
            raise ValueError("sample: a frame that has not three parts")
        return {
            "model": model,
            "process": process,
            "round": turn,
            "batch": max(1, _whole(event, "batch", 10**9)),
            "ns": [_time(time_ns, 1) for time_ns in ns],
            "frame_ns": [[_time(part_ns, 0) for part_ns in frame] for frame in frames],
        }

    def _soak(self, event: Event) -> Event:
        """About one a second of each model, of the time that the page was in front."""
        model, at_s = self._model(event), _real(event, "at_s")
        number = self._soaked[model][0] + 1
        if not self._job.get("soak_s") or number > self._job["soak_s"] + _SPARE_SOAKS:
            raise ValueError("soak: more than was asked for")
        if not self._soaked[model][1] < at_s <= self._job["soak_s"] + _LONGEST_NS / 1e9:
            raise ValueError("soak: at no later second")
        told = {
            "model": model,
            "at_s": at_s,
            "invokes": max(1, _whole(event, "invokes", 10**12)),
            **{key: _time(event.get(key), 1) for key in ("p50_ns", "p90_ns")},
        }
        self._soaked[model] = (number, at_s)
        return told

    def _progress(self, event: Event) -> Event:
        if self._count["progress"] >= 10_000:
            raise ValueError("progress: too much")
        return {"note": _text(event, "note")}

    def _result(self, event: Event) -> Event:
        """Whatever the page says, complete is what has all that was asked for."""
        self._once("result")
        return {"complete": event.get("complete") is True and self._is_whole()}

    def _is_whole(self) -> bool:
        job, want = self._job, self._job["want"]
        read = [model["sha256"] for model in job["models"] if model["preprocessing"] is not None]
        if "predictions" in want and any(self._outputs[sha256] != job["examples"] for sha256 in read):
            return False
        loaded = {key[1] for key in self._seen if key[0] == "loaded"}
        turns = (job["processes"] - job["resume_from"]) * job["rounds"] * len(self._models)
        # Of a page that was loaded anew behind its last process nothing but the soak is wanted, or nothing at all.
        if (turns or "predictions" in want) and loaded != set(self._models):
            return False
        if "latency" not in want:
            return True
        return self._count["sample"] == turns and all(
            at_s >= job.get("soak_s", 0) for _, at_s in self._soaked.values()
        )

    def _error(self, event: Event) -> Event:
        self._once("error")
        return {key: _text(event, key) for key in ("code", "problem", "hint")}

    # ------------------------------------------------------------ what they have in common

    def _once(self, *what: Any) -> None:
        if what in self._seen:
            raise ValueError(f"{what[0]}: a second time")
        self._claimed.append(what)

    def _model(self, event: Event) -> str:
        model = event.get("model")
        if model not in self._models:
            raise ValueError(f"{event['event']}: of a model that is not asked for")
        return str(model)

    def _process(self, event: Event) -> int:
        process = _whole(event, "process", int(self._job["processes"]) - 1)
        if process < self._job["resume_from"]:
            raise ValueError(f"{event['event']}: of a process that is not asked for")
        return process


_CHECKS: Mapping[str, Callable[[Checker, Event], Event]] = {
    "ready": Checker._ready,
    "condition": Checker._condition,
    "loaded": Checker._loaded,
    "outputs": Checker._predicted,
    "memory": Checker._memory,
    "warmup": Checker._warmup,
    "sample": Checker._sample,
    "soak": Checker._soak,
    "progress": Checker._progress,
    "result": Checker._result,
    "error": Checker._error,
}


def _whole(event: Event, key: str, largest: int) -> int:
    """A whole number from 0 to `largest`; true and false are none."""
    value = event.get(key)
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(f"'{key}' is not from 0 to {largest}")
    return value


def _real(event: Event, key: str) -> float:
    value = event[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e12:
        raise ValueError(f"'{key}' is no number")
    return float(value)


def _time(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= _LONGEST_NS:
        raise ValueError(f"a time that is not from {least} to {_LONGEST_NS} ns")
    return value


def _text(event: Event, key: str) -> str:
    return _short(event.get(key, ""))


def _short(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text that is none")
    return facts.cut(value)


def _raw(event: Event, rows: int) -> Event:
    dtype, raw = event.get("dtype"), event["raw"]
    if not isinstance(dtype, str) or dtype not in _DTYPES or not isinstance(raw, str):
        raise ValueError("outputs: of no known dtype")
    try:
        size = len(base64.b64decode(raw, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("outputs: not base64") from error
    if size == 0 or size % (rows * _DTYPES[dtype]) or size > rows * _MOST_ROW_BYTES:
        raise ValueError("outputs: not as many for each picture")
    return {"raw": raw, "dtype": dtype}


def _adapter(told: object) -> Event:
    if not isinstance(told, dict) or told.get("kind") not in _ADAPTERS:
        raise ValueError("loaded: an adapter of no known kind")
    return {"name": _text(told, "name"), "kind": told["kind"]}
