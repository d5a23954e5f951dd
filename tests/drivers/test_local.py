"""The local machine: what is sent, the lock between two benches, deadlines, and a runner that fails in every way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig import device, files, lookup
from edgebig.drivers import local
from edgebig.drivers.local import LocalDriver, LocalSession
from edgebig.drivers.protocol import Job, JobModel
from edgebig.errors import DeviceError, EdgebigError

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "tests" / "golden" / "digits-int8.tflite"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def store() -> Path:
    return lookup.cache_dir() / "local"


@pytest.fixture
def session() -> Iterator[LocalSession]:
    with next(iter(LocalDriver(device.load("local")).sessions())) as opened:
        yield opened


def job(session: LocalSession, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "models": (JobModel(sha256=session.put(MODEL), name="digits-int8.tflite", preprocessing=None),),
        "inputs": None, "examples": 0, "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "processes": 1, "rounds": 1, "samples": 2, "warmup_s": 0.05, "want": ("latency",),
    }  # fmt: skip
    return Job(**{**values, **changes})


def test_put_skips_what_is_there_and_mends_what_is_damaged(session: LocalSession, store: Path) -> None:
    sha256 = session.put(MODEL)
    stored = store / sha256
    os.utime(stored, ns=(1, 1))
    session.put(MODEL)
    assert stored.stat().st_mtime_ns == 1  # not written again
    stored.write_bytes(MODEL.read_bytes()[:100])
    assert session.put(MODEL) == sha256
    assert files.sha256_file(stored) == sha256


def test_clean_leaves_only_the_lock(session: LocalSession, store: Path) -> None:
    session.put(MODEL)
    session.clean()
    assert [path.name for path in store.iterdir()] == ["edgebig.lock"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_past_its_deadline_a_job_is_stopped_and_nothing_is_left(session: LocalSession) -> None:
    endless = job(session, samples=10**9)
    started_s = time.monotonic()
    with pytest.raises(DeviceError, match="not done after 2 s, stopped") as caught:
        list(session.run(endless, 2.0))
    assert 1.5 < time.monotonic() - started_s < 30
    assert "--deadline" in caught.value.hint
    nothing_is_left()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_a_job_that_is_given_up_leaves_nothing(session: LocalSession) -> None:
    events = session.run(job(session, samples=10**9), 60.0)
    assert next(event for event in events if event["event"] == "warmup")
    events.close()  # type: ignore[attr-defined]
    nothing_is_left()


def nothing_is_left() -> None:
    """A grandchild that was killed is gone when the system has come round to it; one that was not measures for ever."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not processes_with(str(lookup.cache_dir())):
            return
        time.sleep(0.02)
    pytest.fail(f"still there: {processes_with(str(lookup.cache_dir()))}")


def processes_with(word: str) -> list[int]:
    """The processes that have `word` in their command line, and are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_a_model_that_kills_its_process_is_one_error_and_the_session_lives_on(
    session: LocalSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The runtime dies as it is loaded, as LiteRT does on a processor that it was not built for.
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text(
        "import os\nos.write(2, b'F0000 illegal instruction\\n')\nos.kill(os.getpid(), 4)\n"
    )
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(DeviceError) as caught:
            list(session.run(job(session), 60.0))
    assert "the process that ran digits-int8.tflite was killed by SIGILL" in caught.value.problem
    assert caught.value.problem.endswith("F0000 illegal instruction")
    assert [event["event"] for event in session.run(job(session), 60.0)][-1] == "result"


def test_a_damaged_model_is_the_users_fault_and_named_as_he_named_it(
    session: LocalSession, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(MODEL.read_bytes()[:2000])
    models = (JobModel(sha256=session.put(cut), name="mine/cut.tflite", preprocessing=None),)
    with pytest.raises(EdgebigError, match=r"^mine/cut\.tflite: the runtime refuses it") as caught:
        list(session.run(job(session, models=models), 60.0))
    assert not isinstance(caught.value, DeviceError)


# Stands in the place of the device's Python: $EVENTS is where a runner writes its events.
STUBS = [
    ("exit 3", "the runner ended with exit code 3"),
    ("kill -9 $$", "the runner ended with exit code -9"),
    ("echo nonsense >&$EVENTS", "said what is no event: nonsense"),
    ('echo "[1, 2]" >&$EVENTS', r"said what is no event: \[1, 2\]"),
    ('printf \'{"event": "rea\' >&$EVENTS; exit 5', "ended with exit code 5"),
    ("true", "it ended well and said nothing"),
    ("echo 'Exec format error, or so'; exit 126", "exit code 126: .*\nExec format error, or so"),
]


@pytest.mark.parametrize(("script", "words"), STUBS, ids=[script for script, _ in STUBS])
def test_a_python_that_is_none_is_one_error(script: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=words), next(iter(LocalDriver(stub(script, tmp_path)).sessions())):
        pass


def test_a_runner_that_says_nothing_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_FACTS_DEADLINE_S", 0.5)
    opening = next(iter(LocalDriver(stub("sleep 600", tmp_path)).sessions()))
    with pytest.raises(DeviceError, match="not done after 0 s"), opening:
        pass


def stub(script: str, folder: Path) -> device.LocalDevice:
    python = folder / "python"
    python.write_text(f'#!/bin/bash\nfor EVENTS in "$@"; do :; done\n{script}\n')
    python.chmod(0o755)
    return device.LocalDevice(name="stub", python=str(python))


HOLD = """
import sys
from edgebig import device
from edgebig.drivers.local import LocalDriver
with next(iter(LocalDriver(device.load("local")).sessions())):
    print("measuring", flush=True)
    sys.stdin.read()
"""


def hold() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_second_bench_waits_for_the_first_and_says_for_whom() -> None:
    first = hold()
    second = None
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "measuring\n"
        second = hold()
        assert second.stdout is not None
        assert second.stderr is not None
        told = rf"waiting: .+@.+, process {first.pid} has been measuring on this machine for \d+ s\n"
        assert re.fullmatch(told, second.stderr.readline())
        first.send_signal(signal.SIGKILL)
        assert second.stdout.readline() == "measuring\n"  # the lock went with the first
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()


def test_half_a_copy_has_another_name_and_goes_with_clean(session: LocalSession, store: Path) -> None:
    (store / f".{'a' * 64}-xyz").write_bytes(b"half")
    assert session.put(MODEL) in {path.name for path in store.iterdir()}
    session.clean()
    assert [path.name for path in store.iterdir()] == ["edgebig.lock"]
