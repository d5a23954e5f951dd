"""Bench, with real processes on this machine: the record, what is refused, and what must never be shown."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, bench, device, drivers, measurement, partial, results, stats
from edgebig.artifact import Artifact
from edgebig.bench import Settings
from edgebig.data import source
from edgebig.data.examples import per_class
from edgebig.drivers.protocol import Event, Job, Session
from edgebig.errors import EdgebigError
from edgebig.measurement import Measurement
from edgebig.ondevice import infer
from edgebig.recipe import Data
from tests.commandline import exit_code

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def model(folder: Path, name: str = "digits-int8", hashes: bool = True, **changes: Any) -> Artifact:
    """A golden in a folder of its own, with its training set's hashes and `changes` to its card."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(GOLDEN / f"{name}.tflite", folder / f"{name}.tflite")
    card = {**json.loads((GOLDEN / f"{name}.json").read_text()), **changes}
    (folder / f"{name}.json").write_text(json.dumps(card))
    if hashes:
        artifact.write_hashes(folder, source.load(Data(source="digits-5k")).train.hashes)
    return artifact.load(folder / f"{name}.tflite")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurement]:
    """A small net against one that is worse and takes many times as long, and a stray file; really measured here."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        models = [model(folder / "run", name) for name in ("digits-float32", "digits-slow")]
        shutil.copyfile(GOLDEN / "digits-int8.tflite", folder / "stray.tflite")
        models.append(artifact.load(folder / "stray.tflite"))
        settings = Settings(examples=100, processes=3, rounds=4, samples=3, warmup_s=0.1)
        yield bench.bench(models, device.load("local"), settings, None)


# ---------------------------------------------------------------- the record


def test_the_record_goes_through_json_and_back(measured: Measurement, tmp_path: Path) -> None:
    path = measurement.reserve("local", tmp_path, None)
    measurement.save(measured, path)
    assert path.parent == tmp_path / "bench"
    assert next(iter(json.loads(path.read_text()))) == "schema"
    assert measurement.load(path) == measured


def test_two_records_of_one_second_do_not_take_each_others_place(
    measured: Measurement, tmp_path: Path
) -> None:
    paths = set()
    for _ in range(3):
        paths.add(measurement.reserve("local", tmp_path, None))
        for path in paths:
            measurement.save(measured, path)
    assert len(paths) == 3


def test_the_record_sums_up_its_own_samples(measured: Measurement) -> None:
    for model in measured.models:
        latency = model.latency
        assert latency.summary["invoke"].p50_ns == stats.latency_summary(latency.processes).p50_ns
        if latency.frames:
            pre = [[frame[0] for frame in process] for process in latency.frames]
            assert latency.summary["pre"].p90_ns == stats.latency_summary(pre).p90_ns
            assert set(latency.summary) == {"invoke", "frame", "pre", "inference", "post"}


def test_a_record_of_another_schema_is_refused_by_name(measured: Measurement, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    values = artifact.dump_record(measured)
    path.write_text(json.dumps({**values, "schema": 99}))
    with pytest.raises(EdgebigError, match="a measurement of schema 99, this edgebig reads schema 1"):
        measurement.load(path)
    path.write_text(json.dumps(values)[:-100])
    with pytest.raises(EdgebigError, match="not JSON"):
        measurement.load(path)
    path.write_text(json.dumps({**values, "models": 3}))
    with pytest.raises(EdgebigError, match="models"):
        measurement.load(path)


def test_what_a_record_says_of_the_session(measured: Measurement) -> None:
    assert measured.provenance == "real"
    assert measured.device.model_dump()["name"] == "local"
    assert measured.machine.model_dump()["runtimes"]["ai-edge-litert"]
    before, *between, after = (reading.model_dump() for reading in measured.conditions)
    assert (before["when"], after["when"]) == ("before", "after")
    assert [(reading["when"], reading["process"]) for reading in between] == [
        ("process", k) for k in range(3)
    ]
    assert before["unix_s"] < after["unix_s"]
    assert measured.settings.model_dump()["rounds"] == 4
    assert measured.data.model_dump() == {
        "source": "digits-5k", "split": "test", "n": 100, "of": 1000,
        "leak_check": "no test example was in a training set",
    }  # fmt: skip


def test_what_a_record_says_of_a_model(measured: Measurement) -> None:
    for result in measured.models[:2]:
        assert result.sha256 == artifact.load(GOLDEN / Path(result.name).name).sha256
        assert result.predictions is not None
        assert result.accuracy is not None
        assert result.parity is not None
        assert len(result.predictions) == result.accuracy.n == result.parity.n == 100
        assert result.accuracy.low < result.accuracy.value < result.accuracy.high
        assert result.parity.holds
        assert (result.verdict, result.delegate.nodes) == ("OK", result.delegate.of)
        latency = result.latency
        assert [len(process) for process in latency.processes] == [12, 12, 12]
        assert [len(process) for process in latency.frames] == [12, 12, 12]
        assert len(latency.init) == len(latency.first) == len(latency.batch) == len(latency.settled) == 3
        assert min(latency.init) > 0
        assert result.peak_memory_kb is not None
        assert result.memory_baseline_kb is not None
        assert result.peak_memory_kb > result.memory_baseline_kb > 10_000
        assert result.model_mapped is True
        assert result.energy.source or "not measurable here: " in result.energy.why


def test_accuracy_is_of_the_examples_that_were_asked_for(measured: Measurement) -> None:
    test = source.load(Data(source="digits-5k")).test
    chosen = test[per_class(test.labels, 100, seed=0)]
    assert np.bincount(chosen.labels).tolist() == [10] * 10
    first = measured.models[0]
    assert first.accuracy is not None
    assert first.accuracy.correct == int(np.sum(np.array(first.predictions) == chosen.labels))
    assert first.accuracy.value > 0.8  # trained on other digits, it reads these


def test_the_slower_and_worse_model_is_called_so(measured: Measurement) -> None:
    comparison = measured.comparisons[0]
    assert Path(comparison.a).stem == "digits-slow"
    assert Path(comparison.b).stem == "digits-float32"
    assert comparison.verdict == "SLOWER"
    assert comparison.ratio is not None
    assert comparison.low is not None
    assert comparison.ratio > comparison.low > 2
    assert comparison.accuracy_points is not None
    assert comparison.accuracy_high is not None
    assert comparison.accuracy_points < comparison.accuracy_high < 0  # it is worse, surely
    assert comparison.mcnemar_p is not None
    assert comparison.mcnemar_p < 1e-6
    slow, small = (
        stats.latency_summary(result.latency.processes).p50_ns for result in measured.models[1::-1]
    )
    assert slow / small == pytest.approx(comparison.ratio)


# ---------------------------------------------------------------- what is refused, and what is said


def test_a_model_that_was_trained_on_the_test_is_refused(tmp_path: Path) -> None:
    test = source.load(Data(source="digits-5k")).test
    digest = artifact.write_hashes(tmp_path, np.append(test.hashes[:3], np.uint64(7)))
    train = {"source": "digits-5k", "split": "train", "n": 4, "sha256": digest}
    leaky = model(tmp_path, hashes=False, train=train)
    with pytest.raises(EdgebigError, match="3 of the 1000 test examples were in its training set") as caught:
        bench.bench([leaky], device.load("fake"), Settings(), None)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_leak_check_that_could_not_be_made_is_said(damage: str, tmp_path: Path) -> None:
    item = model(tmp_path, hashes=damage == "altered")
    if damage == "altered":
        (hashes,) = tmp_path.glob("examples-*.u64")
        hashes.write_bytes(hashes.read_bytes()[8:])
    _, data = bench.test_examples([item], None, None, None)
    assert data["leak_check"] == (
        "not possible for digits-int8: the list of its training examples is not beside it"
    )


def test_models_of_different_data_are_not_benched_together(tmp_path: Path) -> None:
    mnist = {"source": "mnist", "split": "test", "n": 10_000, "sha256": "0" * 64}
    models = [model(tmp_path), model(tmp_path, "digits-float32", test=mnist)]
    with pytest.raises(EdgebigError, match="tested on different data: digits-5k, mnist"):
        bench.bench(models, device.load("fake"), Settings(), None)


def test_one_model_twice_is_refused_under_any_name(tmp_path: Path) -> None:
    models = [model(tmp_path / "a"), model(tmp_path / "b")]
    with pytest.raises(EdgebigError, match="are the same file"):
        bench.bench(models, device.load("fake"), Settings(), None)


def test_a_model_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    item = model(tmp_path)
    item.path.write_bytes((GOLDEN / "digits-float32.tflite").read_bytes())
    with pytest.raises(EdgebigError, match="was changed while it was being measured"):
        bench.bench([Artifact(item.path, item.sha256, None)], device.load("fake"), Settings(), None)


def test_a_model_without_a_card_gets_its_latency_alone(measured: Measurement) -> None:
    result, comparison = measured.models[-1], measured.comparisons[-1]
    assert Path(result.name).stem == Path(comparison.a).stem == "stray"
    assert comparison.ratio is not None
    assert comparison.accuracy_points is None
    assert (result.accuracy, result.predictions, result.parity) == (None, None, None)
    assert result.latency.kind == "raw"
    assert result.latency.frames == ()
    assert result.verdict == "UNCHECKED"


def test_without_any_card_no_leak_check_is_claimed(tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / "digits-int8.tflite", tmp_path / "stray.tflite")
    examples, data = bench.test_examples([artifact.load(tmp_path / "stray.tflite")], None, None, None)
    assert examples is None
    assert data["leak_check"] == "not possible: no model has a card"


# ---------------------------------------------------------------- wrong answers


class Flipped:
    """A device that is fast and wrong: the fake one's times, with the real outputs turned round."""

    def __init__(self, session: Session, path: Path) -> None:
        self.facts, self.clean = session.facts, session.clean
        self._session, self._path = session, path
        self._images = np.empty(0)

    def put(self, blob: Path) -> str:
        if blob.suffix == ".npy":
            self._images = np.load(blob)
        return self._session.put(blob)

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        for event in self._session.run(job, deadline_s):
            if event["event"] == "outputs":
                loaded = infer.Model(str(self._path), job.runtime, job.delegate, job.threads)
                raw = infer.classify(loaded, self._images, job.models[0].preprocessing or {})[:, ::-1]
                labels = [int(label) for label in np.argmax(raw, axis=1)]
                event |= {
                    "raw": base64.b64encode(raw.tobytes()).decode(),
                    "dtype": str(raw.dtype),
                    "labels": labels,
                }
            yield event


class FlippingDriver:
    def __init__(self, driver: drivers.Driver, path: Path) -> None:
        self._driver, self._path = driver, path

    def sessions(self) -> Iterator[contextlib.AbstractContextManager[Session]]:
        with next(iter(self._driver.sessions())) as session:
            yield contextlib.nullcontext(Flipped(session, self._path))


def test_a_fast_wrong_answer_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect, path = drivers.connect, model(tmp_path).path

    def connect_wrongly(target: device.Device) -> drivers.Driver:
        return FlippingDriver(connect(target), path) if target.kind == "fake" else connect(target)

    monkeypatch.setattr(drivers, "connect", connect_wrongly)
    code = exit_code("bench", str(path), "--device", "fake", "--examples", "20")
    assert code == 3
    shown = capsys.readouterr().out
    assert shown.count("WRONG") == 4  # in the place of three figures, and in the verdict
    assert "outputs differ from the reference kernels by 1.1e+02 steps" in shown
    assert " us" not in shown
    (record,) = (tmp_path / "bench").glob("*.json")
    assert measurement.load(record).models[0].verdict == "WRONG"


def test_the_time_of_wrong_answers_is_compared_with_nothing(measured: Measurement) -> None:
    good, slow, _ = measured.models
    wrong = slow.model_copy(update={"verdict": "WRONG"})
    comparison = results.compared(wrong, good, None)
    assert (comparison.ratio, comparison.verdict) == (None, None)


# ---------------------------------------------------------------- Ctrl-C and kill -9


def start_bench(path: Path, *more: str) -> subprocess.Popen[str]:
    options = ["--examples", "20", "--processes", "2", "--rounds", "2", "--samples", "2", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "edgebig", "bench", str(path), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def on_the_device() -> list[int]:
    """The processes of a runner from this test's own cache folder."""
    word, found = os.environ["XDG_CACHE_HOME"].encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        if word in command_line(int(path.name)):
            found.append(int(path.name))
    return found


def command_line(pid: int) -> bytes:
    """Nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    running = start_bench(model(tmp_path).path)
    wait_until(on_the_device)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in out + err
    wait_until(lambda: not on_the_device())
    # Some answers may have been in already.
    for path in (tmp_path / "bench").glob("*"):
        assert partial.load(path)[1].processes == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_ctrl_c_keeps_the_processes_that_were_whole(tmp_path: Path) -> None:
    running = start_bench(model(tmp_path).path, "--processes", "500")
    began: set[int] = set()

    def several_began() -> bool:
        began.update(pid for pid in on_the_device() if b"child" in command_line(pid))
        return len(began) >= 10  # Some give the answers, and what else comes first.

    wait_until(several_began)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in out + err
    (path,) = (tmp_path / "bench").glob("*")
    record, part = partial.load(path)
    assert 1 <= part.processes < part.of == 500
    assert len(record.models[0].latency.processes) == part.processes
    assert f"edgebig: stopped\n{part.processes} of 500 processes are kept in {path}\n" in err
    assert f"edgebig bench --resume {path}" in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_kill_9_at_any_moment_leaves_no_half_and_no_lock(tmp_path: Path) -> None:
    path = model(tmp_path).path
    rng = np.random.default_rng(0)
    whole_s = 4.0
    for delay_s in (0.3, 0.7, *rng.uniform(0, whole_s, 6)):
        running = start_bench(path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)
        wait_until(lambda: not on_the_device())
    before = set((tmp_path / "bench").glob("*")) if (tmp_path / "bench").exists() else set()
    for record in before:
        if not record.name.startswith("."):
            measurement.load(record)
    running = start_bench(path)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "waiting" not in err
    (record,) = set((tmp_path / "bench").glob("*.json")) - before
    measurement.load(record)


def test_the_record_holds_the_labels_of_what_was_predicted(measured: Measurement) -> None:
    test = source.load(Data(source="digits-5k")).test
    chosen = test[per_class(test.labels, 100, seed=0)]
    assert measured.truth is not None
    assert list(measured.truth.labels) == chosen.labels.tolist()
    assert len(measured.truth.inputs_sha256) == 64
    for result in measured.models[:2]:
        assert result.accuracy is not None
        right = np.array(result.predictions) == np.array(measured.truth.labels)
        assert int(right.sum()) == result.accuracy.correct
