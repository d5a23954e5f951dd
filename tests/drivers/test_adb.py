"""A phone by the real adb and Debian's real adbd: what is measured there, and how it fails. See adbd.py."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, bench, device, files, measurement, setup
from edgebig.data import source
from edgebig.drivers.adb import AdbDriver
from edgebig.drivers.protocol import Event, Job, JobModel, Session
from edgebig.errors import DeviceError, EdgebigError
from edgebig.recipe import Data
from tests.drivers import adbd, benchmark_model_stand_in
from tests.drivers.conftest import device_of

pytestmark = [pytest.mark.network, pytest.mark.slow]
ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
MODEL = GOLDEN / "digits-int8.tflite"
DIGITS = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def opened(target: device.AdbDevice) -> Any:
    return next(iter(AdbDriver(target).sessions()))


def job(session: Session, folder: Path, *, examples: int = 7, **changes: Any) -> Job:
    pictures = folder / "inputs.npy"
    np.save(pictures, source.load(Data(source="digits-5k")).test[:examples].images)
    values: dict[str, Any] = {
        "models": (JobModel(sha256=session.put(MODEL), name="digits-int8.tflite", preprocessing=DIGITS),),
        "inputs": session.put(pictures), "examples": examples, "runtime": "benchmark_model",
        "delegate": "xnnpack", "threads": 1, "processes": 2, "rounds": 2, "samples": 3, "warmup_s": 0.05,
        "want": ("predictions", "outputs", "latency"),
    }  # fmt: skip
    return Job(**{**values, **changes})


def of_kind(seen: list[Event], kind: str) -> list[Event]:
    return [event for event in seen if event["event"] == kind]


def stored(phone: adbd.TestPhone) -> list[str]:
    return sorted(path.name for path in (phone.folder / "store").rglob("*"))


def test_a_thousand_digits_and_the_latency_of_two_models(phone: adbd.TestPhone, tmp_path: Path) -> None:
    """The answers are those of this host's own XNNPACK, and the record says that a stand-in timed them."""
    models = [
        artifact.load(ROOT / "edgebig" / "zoo" / f"{name}.tflite") for name in ("digits-small", "digits-nano")
    ]
    settings = bench.Settings(processes=2, rounds=2, samples=3, warmup_s=0.05)
    record = bench.bench(models, device_of(phone), settings, None, "digits-5k")
    here = bench.bench(models, device.load("local"), settings, None, "digits-5k")
    assert record.provenance == "stand-in"
    for there, local in zip(record.models, here.models, strict=True):
        assert there.predictions == local.predictions
        assert there.accuracy is not None
        assert there.accuracy.n == 1000
        assert there.accuracy.low < there.accuracy.value
        assert there.parity is not None
        assert there.parity.holds
        assert (there.delegate.actual, there.delegate.nodes) == ("xnnpack", local.delegate.nodes)
        assert there.peak_memory_kb is not None
        check_latency(there.latency)
    assert record.comparisons[0].ratio is not None
    machine = record.machine.model_dump()
    assert (machine["system"], machine["cpu"], machine["board"]) == (
        "Android 15",
        "Stand-in 1",
        "Nobody Test Phone",
    )
    for reading in record.conditions:
        told = reading.model_dump()
        assert told["temperatures_c"] == {"AP": 44.8, "SKIN": 38.0}
        assert told["throttled"]["now"] == ["light"]
        assert told["power"]["battery_percent"] == 81
    path = tmp_path / "record.json"
    measurement.save(record, path)
    assert measurement.load(path) == record


def check_latency(latency: measurement.Latency) -> None:
    assert (latency.kind, latency.statistic, len(latency.told)) == ("summary", "median", 2)
    for told, (figure_ns,) in zip(latency.told, latency.processes, strict=True):
        assert told.n >= 6
        assert told.p50_ns is not None
        assert figure_ns == round(told.p50_ns)
        assert told.min_ns <= told.p50_ns <= told.max_ns
    summary = latency.summary["invoke"]
    assert (summary.processes, summary.p90_ns) == (2, None)
    assert summary.p50_interval_ns is not None
    assert min(latency.init) > 0


def test_pictures_go_one_by_one_where_a_model_takes_no_more(phone: adbd.TestPhone, tmp_path: Path) -> None:
    """The answers are the same; a model whose RESHAPE has the batch of 1 written in fails when it is given more."""
    with opened(device_of(phone)) as session:
        few = of_kind(list(session.run(job(session, tmp_path, examples=3, want=("outputs",)), 60)), "outputs")
        many = of_kind(
            list(session.run(job(session, tmp_path, examples=12, want=("outputs",)), 60)), "outputs"
        )
    assert few[0]["labels"] == many[0]["labels"][:3]
    assert many[0]["of"] == 12


def test_litert_s_tool_gives_latency_alone_and_says_so(phone: adbd.TestPhone, tmp_path: Path) -> None:
    tool = benchmark_model_stand_in.write(phone.folder, "litert")
    with opened(device_of(phone, benchmark_model=str(tool))) as session:
        assert not session.facts.capabilities.predictions
        seen = list(session.run(job(session, tmp_path), 60))
    assert not of_kind(seen, "outputs")
    assert len(of_kind(seen, "summary")) == 2


@pytest.mark.parametrize("delegate", ["gpu", "nnapi"])
def test_a_delegate_that_did_not_run_is_not_named(
    delegate: str, phone: adbd.TestPhone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(device_of(phone, delegate=delegate)) as session:
        seen = list(session.run(job(session, tmp_path, delegate=delegate, want=()), 60))
        assert ("nnapi" in session.facts.machine) == (delegate == "nnapi")
    assert [event["delegated"]["delegate"] for event in of_kind(seen, "loaded")] == ["xnnpack"]
    assert ("deprecated since Android 15" in capsys.readouterr().err) == (delegate == "nnapi")


def test_a_file_is_sent_once_and_mended_when_it_is_damaged(phone: adbd.TestPhone) -> None:
    with opened(device_of(phone)) as session:
        sha256 = session.put(MODEL)
        there = phone.folder / "store" / "edgebig" / sha256
        os.utime(there, ns=(1, 1))
        assert session.put(MODEL) == sha256
        assert there.stat().st_mtime_ns == 1
        there.write_bytes(b"half")
        assert session.put(MODEL) == sha256
        assert files.sha256_file(there) == sha256
        assert not any(name.startswith(".part") for name in stored(phone))


def test_clean_leaves_nothing_and_takes_nothing_of_the_user_s(phone: adbd.TestPhone, tmp_path: Path) -> None:
    with opened(device_of(phone)) as session:
        list(session.run(job(session, tmp_path, want=("predictions",)), 60))
        session.clean()
        session.clean()
    assert stored(phone) == []
    own = phone.folder / "store" / "own.txt"
    own.write_text("mine")
    with opened(device_of(phone, folder=f"{phone.folder}/store")) as session:
        session.put(MODEL)
        session.clean()
    assert stored(phone) == ["own.txt"]


def test_after_clean_a_session_measures_on(phone: adbd.TestPhone, tmp_path: Path) -> None:
    with opened(device_of(phone)) as session:
        session.clean()
        seen = list(session.run(job(session, tmp_path, want=()), 60))
    assert seen[-1]["event"] == "result"


HOLD = """
import sys
from edgebig import device
from edgebig.drivers.adb import AdbDriver
with next(iter(AdbDriver(device.AdbDevice(name="pixel", benchmark_model=sys.argv[1], folder=sys.argv[2])).sessions())):
    print("measuring", flush=True)
    sys.stdin.read()
"""


def hold(phone: adbd.TestPhone) -> subprocess.Popen[str]:
    target = device_of(phone)
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, target.benchmark_model, target.folder], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_second_host_waits_for_the_first_and_says_for_whom(phone: adbd.TestPhone) -> None:
    first, second = hold(phone), None
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "measuring\n"
        second = hold(phone)
        assert second.stdout is not None
        assert second.stderr is not None
        assert second.stderr.readline() == (
            f"waiting: process {first.pid} of {socket.gethostname()} is measuring on phone {phone.serial}\n"
        )
        first.send_signal(signal.SIGKILL)
        assert second.stdout.readline() == "measuring\n"  # the lock went with the first
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()


def test_a_phone_that_is_unplugged_is_one_error_and_soon(phone: adbd.TestPhone, tmp_path: Path) -> None:
    with opened(device_of(phone)) as session:
        seen: list[Event] = []

        def measure() -> None:
            for event in session.run(job(session, tmp_path, processes=50), 300):
                seen.append(event)
                if event["event"] == "summary":
                    phone.unplug()

        started_s = time.monotonic()
        with pytest.raises(DeviceError, match=rf"phone {phone.serial} went away") as caught:
            measure()
        assert time.monotonic() - started_s < 120
    assert of_kind(seen, "summary")  # what came before it went is there
    assert "plug it in" in caught.value.hint


def test_past_its_deadline_a_job_is_stopped_and_nothing_runs_on(
    phone: adbd.TestPhone, tmp_path: Path
) -> None:
    with opened(device_of(phone)) as session:
        slow = job(session, tmp_path, rounds=10**6, samples=10**3, warmup_s=5.0, want=("latency",))
        with pytest.raises(DeviceError, match="not done after 8 s, stopped"):
            list(session.run(slow, 8))
        gone(phone, "--graph=")


MEASURE = """
import pathlib, sys
from edgebig import artifact, bench, device
target = device.AdbDevice(name="pixel", benchmark_model=sys.argv[1], folder=sys.argv[2])
settings = bench.Settings(rounds=10**6, samples=10**3)
bench.bench([artifact.load(pathlib.Path(sys.argv[3]))], target, settings, None)
"""


def test_ctrl_c_leaves_nothing_running(phone: adbd.TestPhone) -> None:
    target, endless = device_of(phone), "--num_runs=1000000000"
    model = GOLDEN / "dense-int8.tflite"
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE, target.benchmark_model, target.folder, str(model)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        end_s = time.monotonic() + 120
        while not phone.processes(endless):
            assert time.monotonic() < end_s
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in said
    gone(phone, endless)


def gone(phone: adbd.TestPhone, word: str) -> None:
    end_s = time.monotonic() + 60
    while phone.processes(word):
        assert time.monotonic() < end_s, f"still there: {phone.processes(word)}"
        time.sleep(0.05)


def test_a_full_phone_is_named_and_no_half_file_stays(
    tmp_path: Path, adbd_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with adbd.started(adbd_root, tmp_path / "phone", full=True) as phone:
        for name in ("ADB_SERVER_SOCKET", "HOME"):
            monkeypatch.setenv(name, phone.environment[name])
        large = tmp_path / "large"
        large.write_bytes(os.urandom(3_000_000))
        with opened(device_of(phone)) as session:
            with pytest.raises(DeviceError, match="is full: no space is left") as caught:
                session.put(large)
            left = phone.adb("shell", f"find {phone.folder}/store -name '.part*'")
            assert left.strip() == ""
            assert session.put(MODEL)  # what fits goes on
    assert "free some space" in caught.value.hint


def test_a_damaged_model_is_the_user_s_fault(phone: adbd.TestPhone, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(MODEL.read_bytes()[:2000])
    with opened(device_of(phone)) as session:
        models = (JobModel(sha256=session.put(cut), name="mine/cut.tflite", preprocessing=None),)
        with pytest.raises(EdgebigError, match=r"mine/cut\.tflite: benchmark_model refuses it") as caught:
            list(session.run(job(session, tmp_path, models=models), 60))
        assert not isinstance(caught.value, DeviceError)
        assert list(session.run(job(session, tmp_path, want=()), 60))[-1]["event"] == "result"


def tool_that(phone: adbd.TestPhone, script: str) -> Path:
    """A tool whose --help is the stand-in's, and which then does something else."""
    honest = benchmark_model_stand_in.write(phone.folder)
    path = phone.folder / "tool"
    path.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exec {honest} --help\n{script}\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "digits-int8.tflite: benchmark_model was killed by signal 11"),
        ("kill -9 $$", "benchmark_model was killed by signal 9"),
        ("echo it works; exit 0", "output is not as it should be: it ends before its figures\nit works"),
        ("exit 3", "benchmark_model ended with exit code 3"),
    ],
)
def test_a_tool_that_fails_is_named(script: str, words: str, phone: adbd.TestPhone, tmp_path: Path) -> None:
    tool = tool_that(phone, script)
    with opened(device_of(phone, benchmark_model=str(tool))) as session:
        with pytest.raises(DeviceError, match=words) as caught:
            list(session.run(job(session, tmp_path), 60))
        assert caught.value.hint


def test_a_tool_for_another_processor_is_not_sent(phone: adbd.TestPhone) -> None:
    """And without the tool a phone can be looked at and cleaned."""
    wrong = phone.folder / "riscv"
    wrong.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + (243).to_bytes(2, "little") + bytes(40))
    for tool, words in (
        (str(wrong), "is for riscv64, and this phone runs"),
        ("", "names no tool"),
        ("/no", "no file /no"),
    ):
        with opened(device_of(phone, benchmark_model=tool)) as session:
            assert session.facts.machine["board"] == "Nobody Test Phone"
            assert not session.facts.capabilities.predictions
            with pytest.raises(EdgebigError, match=words) as caught:
                session.put(MODEL)
            assert caught.value.hint
            session.clean()
    assert stored(phone) == []


@pytest.mark.parametrize(
    ("content", "words"), [("#!/bin/sh\necho hello\n", "does not answer --help"), ("\x00", "start")]
)
def test_another_program_than_the_tool_is_refused(content: str, words: str, phone: adbd.TestPhone) -> None:
    wrong = phone.folder / "wrong"
    wrong.write_text(content)
    with pytest.raises(DeviceError, match=words), opened(device_of(phone, benchmark_model=str(wrong))):
        pass


def test_several_phones_and_wrong_ones_are_told_apart(phone: adbd.TestPhone) -> None:
    phone.adb("connect", f"127.0.0.2:{adbd.PORT}")  # the same daemon, by another name
    with pytest.raises(EdgebigError, match="2 phones are attached") as caught, opened(device_of(phone)):
        pass
    assert "serial" in caught.value.hint
    with opened(device_of(phone, serial=f"127.0.0.2:{adbd.PORT}")) as session:
        assert session.facts.provenance == "stand-in"
    with (
        pytest.raises(DeviceError, match="no phone 'R58M' is attached"),
        opened(device_of(phone, serial="R58M")),
    ):
        pass
    phone.adb("disconnect")
    with pytest.raises(DeviceError, match="no phone is attached"), opened(device_of(phone)):
        pass


def with_a_python(phone: adbd.TestPhone, **changes: Any) -> device.AdbDevice:
    return device_of(phone, runtime="ai-edge-litert", python=sys.executable, **changes)


def test_a_phone_with_a_python_runs_the_runner(phone: adbd.TestPhone, tmp_path: Path) -> None:
    """As a board over ssh does, raw samples and all; this phone's Python is this machine's."""
    with opened(with_a_python(phone)) as session:
        assert session.facts.capabilities.raw_samples
        seen = list(session.run(job(session, tmp_path, runtime="ai-edge-litert"), 120))
        session.clean()
    assert seen[-1]["event"] == "result"
    assert len(of_kind(seen, "sample")) == 4
    assert [event["labels"] for event in of_kind(seen, "outputs")] == [
        source.load(Data(source="digits-5k")).test[:7].labels.tolist()
    ]
    assert stored(phone) in ([], ["edgebig"], ["edgebig", "lock"])


def test_a_phone_with_a_python_is_unplugged(phone: adbd.TestPhone, tmp_path: Path) -> None:
    def measure() -> None:
        with opened(with_a_python(phone)) as session:
            for event in session.run(job(session, tmp_path, runtime="ai-edge-litert", rounds=10**6), 300):
                if event["event"] == "sample":
                    phone.unplug()

    with pytest.raises(DeviceError, match=rf"phone {phone.serial} went away"):
        measure()


def test_cores_and_priority_are_those_of_the_tool_s_process(phone: adbd.TestPhone, tmp_path: Path) -> None:
    honest = benchmark_model_stand_in.write(phone.folder)
    seen = phone.folder / "seen"
    told = f"echo $(grep Cpus_allowed_list /proc/self/status) $(nice) >{seen}"
    tool = tool_that(phone, f'{told}\nexec {honest} "$@"')
    core = min(os.sched_getaffinity(0))
    with opened(device_of(phone, benchmark_model=str(tool))) as session:
        pinned = job(session, tmp_path, cores=str(core), priority=5, processes=1, want=("latency",))
        list(session.run(pinned, 60))
        with pytest.raises(EdgebigError, match="no core 4000"):
            list(session.run(job(session, tmp_path, cores="4000"), 60))
    priority = min(os.nice(0) + 5, 19)  # adbd is this Python's child, which may be a nice one
    assert seen.read_text().split() == ["Cpus_allowed_list:", str(core), str(priority)]


def test_a_process_waits_until_the_phone_is_cool(phone: adbd.TestPhone, tmp_path: Path) -> None:
    hot = phone.folder / "thermalservice"
    with opened(device_of(phone)) as session:
        waiting = job(session, tmp_path, cool_down_c=40.0, processes=1, want=("latency", "energy"))
        seen = []
        for event in session.run(waiting, 120):
            seen.append(event)
            if event["event"] == "cooling":
                assert (event["zone"], event["hottest_c"]) == ("AP", 44.8)
                hot.write_text(adbd.THERMAL.replace("44.8", "39.5"))
    cooled = next(event for event in seen if event.get("when") == "cool-down")
    assert (cooled["reached"], cooled["hottest_c"]) == (True, 39.5)
    assert of_kind(seen, "summary")
    assert "battery" in of_kind(seen, "energy_source")[0]["why"]


def test_its_profile_and_a_soak(phone: adbd.TestPhone, tmp_path: Path) -> None:
    settings = bench.Settings(
        examples=10, processes=2, rounds=1, samples=2, warmup_s=0.05, profile=True, soak_s=3.0
    )
    (result,) = bench.bench([artifact.load(MODEL)], device_of(phone), settings, None).models
    assert result.profile is not None
    assert result.profile.invokes >= 20
    inside = {operator.operator for operator in result.profile.operators if operator.inside}
    assert inside
    assert [operator.operator for operator in result.profile.operators if not operator.inside] == ["SOFTMAX"]
    assert result.soak is not None
    assert 2 <= len(result.soak.points) <= 4
    # The tool counts on its own for a second each time, and tells no p90.
    assert [point[3] for point in result.soak.points] == [None] * len(result.soak.points)
    assert all(point[1] > 1 for point in result.soak.points)
    assert result.soak.points[-1][0] >= 3.0


def test_litert_s_tool_has_no_profile_and_says_so_before_anything_runs(
    phone: adbd.TestPhone, tmp_path: Path
) -> None:
    tool = benchmark_model_stand_in.write(phone.folder, "litert")
    target = device_of(phone, benchmark_model=str(tool))
    with (
        opened(target) as session,
        pytest.raises(EdgebigError, match="tells no times of operators") as caught,
    ):
        list(session.run(job(session, tmp_path, want=("profile",)), 60))
    assert type(caught.value) is EdgebigError


def test_setup_says_why_no_tool_is_fetched(phone: adbd.TestPhone) -> None:
    assert adbd.NATIVE is not None
    with pytest.raises(
        EdgebigError, match=rf"no build of benchmark_model for {adbd.NATIVE.abi} can be vouched"
    ):
        setup.install(device_of(phone))
