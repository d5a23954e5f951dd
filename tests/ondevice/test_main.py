"""The runner as a user or a driver starts it, in real processes: three forms, one stream of events, and no orphans."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import files
from edgebig.data import source
from edgebig.drivers import payload
from edgebig.recipe import Data

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "tests" / "golden" / "digits-int8.tflite"
DIGITS = {"low": 0.0, "high": 1.0, "ink_is_high": True}

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copyfile(MODEL, folder / files.sha256_file(MODEL))
    np.save(folder / "inputs.npy", source.load(Data(source="digits-5k")).test[:30].images)
    (folder / "inputs.npy").rename(folder / "inputs")
    return folder


def job(**changes: Any) -> dict[str, Any]:
    model = {"sha256": files.sha256_file(MODEL), "name": "digits-int8", "preprocessing": DIGITS}
    return {
        "schema": 1, "models": [model], "inputs": "inputs", "examples": 30, "runtime": "ai-edge-litert",
        "delegate": "xnnpack", "threads": 1, "gpu_precision": "float32", "delegate_options": {},
        "processes": 1, "rounds": 2, "samples": 3, "warmup_s": 0.05,
        "resume_from": 0, "want": ["latency", "predictions", "outputs"], **changes,
    }  # fmt: skip


def start(form: str, folder: Path) -> list[str]:
    """The command of one form of the runner."""
    if form == "module":
        return [sys.executable, "-m", "edgebig.ondevice"]
    if form == "folder":
        copy = folder / "copied here"
        if not copy.exists():
            shutil.copytree(ROOT / "edgebig" / "ondevice", copy, ignore=shutil.ignore_patterns("__pycache__"))
        # A file beside it that would hide a library, were the folder's parent on the path.
        (folder / "numpy.py").write_text("raise RuntimeError('the wrong numpy')\n")
        return [sys.executable, str(copy)]
    return [sys.executable, str(payload.write(folder))]


def run(command: list[str], task: Any, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "--store", str(store)],
        input=task if isinstance(task, str) else json.dumps(task),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=store, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def events(text: str) -> list[dict[str, Any]]:
    """Every line of stdout, each of which must be an event."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(event, dict) and "event" in event for event in found)
    return found


def without_times(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must be the same in any two runs."""
    same = []
    for event in found:
        kept = {
            "event",
            "model",
            "protocol",
            "when",
            "labels",
            "raw",
            "dtype",
            "start",
            "of",
            "round",
            "process",
        }
        kept |= {"delegated", "input", "output", "complete"}
        same.append({key: value for key, value in event.items() if key in kept})
    return same


def test_the_three_forms_give_the_same_events(store: Path, tmp_path: Path) -> None:
    streams = {}
    for form in ("module", "folder", "zipapp"):
        done = run([*start(form, tmp_path), "run"], job(want=["predictions", "outputs"]), store)
        assert done.returncode == 0, done.stderr
        streams[form] = events(done.stdout)
    assert without_times(streams["module"]) == without_times(streams["folder"])
    assert without_times(streams["module"]) == without_times(streams["zipapp"])
    assert streams["zipapp"][0]["facts"]["runtimes"]["ai-edge-litert"]


# It prints at once, without an end of line, and again whenever something is imported after numpy.
CHATTY = """
import os, sys
print("sitecustomize was here", end="", flush=True)
def chat(event, arguments):
    if event == "import" and "numpy" in sys.modules:
        os.write(1, b"a library says {} on stdout")
sys.addaudithook(chat)
"""


def test_stdout_carries_events_alone_whatever_libraries_print(store: Path, tmp_path: Path) -> None:
    (tmp_path / "chatty").mkdir()
    (tmp_path / "chatty" / "sitecustomize.py").write_text(CHATTY)
    # As it is started over ssh.
    shell = ["sh", "-c", 'exec "$@" --events 3 3>&1 1>&2', "sh", *start("zipapp", tmp_path), "run"]
    done = run(shell, job(), store, PYTHONPATH=str(tmp_path / "chatty"))
    assert done.returncode == 0, done.stdout
    predict, measure = ["loaded", "memory", "outputs"], ["condition", "loaded", "warmup", "sample", "sample"]
    kinds = [event["event"] for event in events(done.stdout)]
    assert kinds == ["ready", "condition", *predict, *measure, "condition", "result"]
    assert "a library says {} on stdout" in done.stderr
    assert "sitecustomize was here" in done.stderr


@pytest.mark.parametrize(
    ("task", "code", "words"),
    [
        ({**job(), "schema": 2}, "other-protocol", "speaks protocol 2, this runner 1"),
        ([1], "other-protocol", "speaks protocol None"),
        ("{", "bad-job", "not JSON"),
        ("", "bad-job", "not JSON"),
    ],
)
def test_a_job_that_is_none_is_refused_by_name(task: Any, code: str, words: str, tmp_path: Path) -> None:
    done = run([*start("module", tmp_path), "run"], task, tmp_path)
    assert done.returncode == 1
    (error,) = events(done.stdout)
    assert (error["event"], error["code"]) == ("error", code)
    assert words in error["problem"]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the kernel ends the children")
@pytest.mark.parametrize("killed", ["host", pytest.param("runner", marks=pytest.mark.slow)])
def test_no_process_outlives_the_host_or_the_runner(killed: str, store: Path, tmp_path: Path) -> None:
    endless = job(processes=1, rounds=1, samples=10**9, want=["latency"])
    task = tmp_path / "task"
    task.write_text(json.dumps(endless) + "\n")
    command = [*start("zipapp", tmp_path), "run", "--attached", "--store", str(store)]
    # A host of its own, since this one must live on: it starts the runner, keeps its stdin open, and is killed.
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(task), *command], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    runner = int(host.stdout.readline())
    try:
        child = wait_for(lambda: children(runner))[0]
        wait_for(lambda: b"child" in Path(f"/proc/{child}/cmdline").read_bytes())
        os.kill(host.pid if killed == "host" else runner, signal.SIGKILL)
        wait_for(lambda: not alive(runner) and not alive(child))
    finally:
        host.kill()
        host.wait()
        host.stdout.close()


HOST = """
import subprocess, sys, time
runner = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
runner.stdin.write(open(sys.argv[1], "rb").read())
runner.stdin.flush()
print(runner.pid, flush=True)
runner.wait()
"""


def children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Any, seconds: float = 20.0) -> Any:
    """What `condition` gives once it is true; the machine may stall, so there is time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail("it did not happen in time")
