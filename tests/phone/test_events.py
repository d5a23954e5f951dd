"""A page's events against the job that it was given: only what was asked for, once, in order, in a clock's numbers."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from edgebig.phone.events import Checker, Event

SHA, OTHER = "a" * 64, "b" * 64
JOB: dict[str, Any] = {
    "models": [{"sha256": SHA, "preprocessing": {}}], "examples": 4, "processes": 3, "rounds": 2, "samples": 2,
    "resume_from": 1, "want": ["latency", "predictions"],
}  # fmt: skip
RAW = base64.b64encode(np.zeros((2, 10), np.float32).tobytes()).decode()
LOADED = {
    "event": "loaded",
    "model": SHA,
    "delegated": {"delegate": "wasm", "nodes": 1, "of": 1, "partitions": 1, "left": []},
}
OUTPUTS = {
    "event": "outputs",
    "model": SHA,
    "start": 0,
    "of": 4,
    "labels": [3, 4],
    "raw": RAW,
    "dtype": "float32",
}
WARMUP = {
    "event": "warmup",
    "model": SHA,
    "process": 1,
    "settled": True,
    "batch": 2,
    "init_ns": 5,
    "first_ns": 7,
}
SAMPLE = {
    "event": "sample",
    "model": SHA,
    "process": 1,
    "round": 0,
    "batch": 2,
    "ns": [5, 6],
    "frame_ns": [[1, 5, 0], [0, 6, 1]],
}


def checked(*events: Any) -> list[Event]:
    checker = Checker(JOB)
    return [checker.checked(event) for event in events]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({**OUTPUTS, "raw": "no base64"}, OUTPUTS),
        ({**OUTPUTS, "dtype": {"a": 1}}, OUTPUTS),
        ({**LOADED, "delegated": None}, LOADED),
        ({**WARMUP, "first_ns": -1}, WARMUP),
        ({"event": "error", "code": [], "problem": "", "hint": ""}, {"event": "error"}),
    ],
)
def test_what_is_refused_leaves_no_trace(wrong: Event, right: Event) -> None:
    """Else what comes behind it would be taken for its rest."""
    checker = Checker(JOB)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"outputs|loaded|first_ns|text"):
            checker.checked(wrong)
    assert checker.checked(right)["event"] == right["event"]
    with pytest.raises(ValueError, match=r"a second time|wanted from|after the end"):
        checker.checked(right)


def test_what_was_asked_for_goes_through_and_nothing_beside_it() -> None:
    sent = [LOADED, OUTPUTS, {**OUTPUTS, "start": 2}, WARMUP, {**SAMPLE, "evil": "<script>"}]
    found = checked(*sent, {"event": "result", "complete": True})
    assert found[0] == {**LOADED, "adapter": None}
    assert found[1] == OUTPUTS
    assert found[3] == WARMUP
    assert found[4] == SAMPLE
    assert found[-1] == {"event": "result", "complete": False}  # it left out a process and a half


def test_a_result_is_complete_where_all_is_there() -> None:
    samples = [
        {**one, "process": process} for process in (1, 2) for one in (WARMUP, SAMPLE, {**SAMPLE, "round": 1})
    ]
    answers = [OUTPUTS, {**OUTPUTS, "start": 2}]
    result = {"event": "result", "complete": True}
    assert checked(LOADED, *answers, *samples, result)[-1]["complete"] is True
    for part in ([LOADED, *answers, *samples[:-1]], [LOADED, answers[0], *samples], [*answers, *samples]):
        assert checked(*part, result)[-1]["complete"] is False
    assert checked(LOADED, *answers, *samples, {"event": "result"})[-1]["complete"] is False


def test_what_is_told_of_an_accelerator_is_kept_within_bounds() -> None:
    adapter = {"name": "Mali" * 200, "kind": "integrated", "more": 1}
    (found,) = checked({**LOADED, "adapter": adapter, "accelerator": {"asked": "webgpu", "fully": False}})
    assert found["adapter"] == {"name": ("Mali" * 200)[:300], "kind": "integrated"}
    assert found["accelerator"] == {"asked": "webgpu", "fully": False}
    with pytest.raises(ValueError, match="adapter"):
        checked({**LOADED, "adapter": {"name": "x", "kind": "real"}})


@pytest.mark.parametrize(
    "times",
    [
        [5, -1], [0, 5], [5, 6, 7], [5], [], None, "56", [5, 1.5], [5, "6"], [5, True], [5, None], [5, 10**14],
        [5, json.loads("1e308")], [5, float("nan")], [5, float("inf")], [5, [6]], {"0": 5, "1": 6},
    ],
    ids=str,
)  # fmt: skip
def test_times_that_no_clock_gives(times: Any) -> None:
    with pytest.raises(ValueError, match=r"time|sample"):
        checked(WARMUP, {**SAMPLE, "ns": times})


@pytest.mark.parametrize(
    "frames", [[[1, 2]], [[1, 2, 3]], [[1, 2], [3, 4]], [[1, 2, -3]] * 2, [[1, 2, 1e300]] * 2, "x", [7, 8]]
)
def test_frames_that_are_none(frames: Any) -> None:
    with pytest.raises(ValueError, match=r"time|frame"):
        checked(WARMUP, {**SAMPLE, "frame_ns": frames})


@pytest.mark.parametrize(
    "events",
    [
        [SAMPLE],
        [WARMUP, SAMPLE, SAMPLE],
        [WARMUP, WARMUP],
        [LOADED, LOADED],
        [{**WARMUP, "process": 0}],
        [{**WARMUP, "process": 3}],
        [WARMUP, {**SAMPLE, "round": 2}],
        [{**OUTPUTS, "start": 2}],
        [OUTPUTS, OUTPUTS],
        [OUTPUTS, {**OUTPUTS, "start": 2}, {**OUTPUTS, "start": 4}],
        [{**WARMUP, "model": OTHER}],
        [{**LOADED, "model": None}],
        [{"event": "result"}, LOADED],
        [{"event": "error", "code": "x", "problem": "y", "hint": ""}, LOADED],
        [{"event": "soak"}],
        [{"event": ["result"]}],
        [{}],
        [None],
        ["result"],
    ],
    ids=lambda events: " ".join(
        str(event.get("event") if isinstance(event, dict) else event) for event in events
    ),
)
def test_what_is_not_asked_for_or_comes_twice_or_too_early(events: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        checked(*events)
    assert len(events) == 1 or checked(*events[:-1])


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": []}, {"labels": [1, -1]}, {"labels": [1, 2.0]}, {"labels": [True, 1]}, {"labels": [1, 10**9]},
        {"labels": "12"}, {"labels": [1] * 5}, {"raw": "!!"}, {"raw": RAW[:-4]}, {"raw": ""}, {"raw": 7},
        {"dtype": "object"}, {"dtype": "float64"}, {"dtype": None}, {"start": -1}, {"start": "0"}, {"start": True},
    ],
    ids=str,
)  # fmt: skip
def test_answers_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        checked({**OUTPUTS, **changes})


def test_conditions_and_progress_have_an_end() -> None:
    condition = {"event": "condition", "when": "paused", "hidden_s": 2.5, "process": 1}
    with pytest.raises(ValueError, match="too many"):
        checked(*[condition] * 3_000)
    assert checked(*[condition] * 100) == [condition] * 100
    with pytest.raises(ValueError, match="no number"):
        checked({**condition, "hidden_s": float("nan")})
    with pytest.raises(ValueError, match="no number"):
        checked({**condition, "battery": {"level": 1e300}})
    for when in ("cool-down", "placed", "", None, ["after"]):
        with pytest.raises(ValueError, match="no known time"):
            checked({**condition, "when": when})


SOAK = {"event": "soak", "model": SHA, "at_s": 1.0, "invokes": 90, "p50_ns": 5, "p90_ns": 7}


def test_a_soak_goes_on_from_second_to_second() -> None:
    checker = Checker({**JOB, "soak_s": 3.0})
    assert checker.checked({**SOAK, "evil": 1}) == SOAK
    for wrong in (
        {"at_s": 1.0},
        {"at_s": -2},
        {"at_s": True},
        {"invokes": 0.5},
        {"p50_ns": 0},
        {"p90_ns": None},
    ):
        with pytest.raises(ValueError, match=r"soak|at_s|invokes|ns"):
            checker.checked({**SOAK, "at_s": 2.0, **wrong})
    assert checker.checked({**SOAK, "at_s": 2.0})["at_s"] == 2.0
    for second in range(61):
        checker.checked({**SOAK, "at_s": 2.1 + second / 100})
    with pytest.raises(ValueError, match="more than was asked for"):
        checker.checked({**SOAK, "at_s": 3.0})


def test_a_soak_that_nobody_asked_for() -> None:
    with pytest.raises(ValueError, match="more than was asked for"):
        checked(SOAK)
