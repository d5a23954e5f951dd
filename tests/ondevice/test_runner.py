"""The runner lives on whatever its children do; each end of a child is one clear fault."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebig.ondevice import runner
from edgebig.ondevice.faults import Fault

JOB: dict[str, Any] = {
    "schema": 1,
    "models": [{"sha256": "a" * 64, "name": "model.tflite", "preprocessing": {"low": 0}}],
    "want": ["predictions"],
    "examples": 1,
    "processes": 2,
}
# A child of the test's own: `say` sends a line where events go.
PROLOGUE = """
import json, os, sys
task = json.load(sys.stdin)
def say(text):
    os.write(int(sys.argv[-1]), text.encode())
def event(kind, **more):
    say(json.dumps({"event": kind, **more}) + "\\n")
"""


def run_with(child: str, folder: Path, **changes: Any) -> tuple[list[dict[str, Any]], Fault | None]:
    """The events that got through and the fault that ended them, of a job whose children do `child`."""
    entry = folder / "child.py"
    entry.write_text(PROLOGUE + child)
    seen: list[dict[str, Any]] = []
    try:
        for event in runner.run({**JOB, **changes}, str(folder), [sys.executable, str(entry)]):
            seen.append(event)
    except Fault as fault:
        return seen, fault
    return seen, None


def kinds(seen: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in seen]


def test_a_job_ends_with_its_result(tmp_path: Path) -> None:
    seen, fault = run_with("event('outputs', of=task['models'][0]['sha256'])", tmp_path)
    assert fault is None
    assert kinds(seen) == ["ready", "condition", "outputs", "condition", "result"]
    assert [event["when"] for event in seen if event["event"] == "condition"] == ["before", "after"]
    assert seen[2]["of"] == "a" * 64
    assert seen[-1]["complete"] is True


def test_each_process_is_fresh_and_stamped(tmp_path: Path) -> None:
    seen, _ = run_with("event('sample', pid=os.getpid(), task=task['task'])", tmp_path, want=["latency"])
    samples = [event for event in seen if event["event"] == "sample"]
    assert [event["process"] for event in samples] == [0, 1]
    assert len({event["pid"] for event in samples}) == 2
    assert {event["task"] for event in samples} == {"measure"}


def test_a_model_without_preprocessing_gives_no_predictions(tmp_path: Path) -> None:
    models = [{"sha256": "a" * 64, "name": "model.tflite", "preprocessing": None}]
    seen, _ = run_with("event('outputs')", tmp_path, models=models)
    assert kinds(seen) == ["ready", "condition", "condition", "result"]


def test_of_a_model_without_preprocessing_the_memory_is_known_all_the_same(tmp_path: Path) -> None:
    models = [{"sha256": "a" * 64, "name": "model.tflite", "preprocessing": None}]
    seen, _ = run_with(
        "event('memory', task=task['task'])", tmp_path, models=models, want=["latency"], processes=0
    )
    assert [event["task"] for event in seen if event["event"] == "memory"] == ["load"]


DEATHS = [
    ("os.kill(os.getpid(), 11)", "child-died", "model.tflite was killed by SIGSEGV"),
    ("os.abort()", "child-died", "model.tflite was killed by SIGABRT"),
    ("os.kill(os.getpid(), 9)", "child-died", "model.tflite was killed by SIGKILL"),
    ("os.kill(os.getpid(), 40)", "child-died", "model.tflite was killed by signal 40"),
    ("sys.exit(3)", "child-died", "model.tflite ended with exit code 3"),
    ('say(\'{"event": "sam\'); os._exit(5)', "child-died", "model.tflite ended with exit code 5"),
    ("say('what is this?\\n')", "noise", "said what is no event: what is this?"),
    ("say('[1]\\n')", "noise", "said what is no event: [1]"),
    ("say('{\"ns\": [1]}\\n')", "noise", "said what is no event"),
    ("event('error', code='bad-model', problem='no', hint='h'); sys.exit(1)", "bad-model", "no"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the numbers of its signals")
@pytest.mark.parametrize(("child", "code", "words"), DEATHS, ids=[child for child, _, _ in DEATHS])
def test_the_end_of_a_child_is_one_fault(child: str, code: str, words: str, tmp_path: Path) -> None:
    seen, fault = run_with(f"event('loaded')\n{child}", tmp_path)
    assert kinds(seen) == ["ready", "condition", "loaded"]
    assert fault is not None
    assert fault.code == code
    assert words in fault.problem
    assert set(fault.event()) == {"event", "code", "problem", "hint"}


def test_a_child_that_dies_before_it_reads_its_task(tmp_path: Path) -> None:
    entry = tmp_path / "child.py"
    entry.write_text("import os; os._exit(7)")
    job = {**JOB, "padding": "x" * 1_000_000}  # more than a pipe holds
    with pytest.raises(Fault, match="ended with exit code 7"):
        list(runner.run(job, str(tmp_path), [sys.executable, str(entry)]))


def test_what_a_child_prints_is_no_event(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen, fault = run_with("print('hello'); event('loaded')", tmp_path)
    assert fault is None
    assert kinds(seen) == ["ready", "condition", "loaded", "condition", "result"]
    assert capfd.readouterr() == ("", "hello\n")


def test_a_job_that_is_given_up_takes_its_child_along(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        PROLOGUE + "event('loaded', pid=os.getpid())\nimport time; time.sleep(600)"
    )
    events = runner.run(JOB, str(tmp_path), [sys.executable, str(tmp_path / "child.py")])
    pid = next(event["pid"] for event in events if event["event"] == "loaded")
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
