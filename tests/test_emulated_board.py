"""Emulated Raspberry Pis: they take themselves for the real ones, and the reference kernels give the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import artifact, bench, device, drivers
from edgebig.bench import Settings
from edgebig.device import LocalDevice
from edgebig.drivers.protocol import Job, JobModel, Session
from edgebig.errors import EdgebigError
from edgebig.measurement import ModelResult
from tests import boards as emulated

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = [pytest.mark.arm, pytest.mark.network, pytest.mark.slow]

Boards = Callable[[str], Path]
NANO = emulated.ROOT / "edgebig" / "zoo" / "digits-nano.tflite"
EXAMPLES = 300
RUNTIMES = {
    "emulated-pi-4": "ai-edge-litert",
    "emulated-pi-5": "ai-edge-litert",
    "emulated-pi-32bit": "tflite-runtime",
}


def measured(target: LocalDevice, examples: int | None = EXAMPLES, folder: Path | None = None) -> ModelResult:
    """digits-nano's predictions there, of the embedded digits unless a folder of MNIST is given."""
    settings = Settings(examples=examples, latency=False)
    source = None if folder else "digits-5k"
    measurement = bench.bench([artifact.load(NANO)], target, settings, folder, source)
    assert measurement.provenance == ("emulated" if target.emulated else "real")
    (result,) = measurement.models
    return result


def job(session: Session, **changes: object) -> Job:
    values: dict[str, object] = {
        "models": (JobModel(sha256=session.put(NANO), name=NANO.name, preprocessing=None),),
        "inputs": None, "examples": 0, "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "processes": 1, "rounds": 1, "samples": 2, "warmup_s": 0.05, "want": ("latency",),
    }  # fmt: skip
    return Job.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("name", "model", "machine", "bits"),
    [
        ("emulated-pi-4", "Raspberry Pi 4 Model B Rev 1.4", "aarch64", 64),
        ("emulated-pi-5", "Raspberry Pi 5 Model B Rev 1.0", "aarch64", 64),
        ("emulated-pi-32bit", "Raspberry Pi 2 Model B Rev 1.1", "armv7l", 32),
    ],
)
def test_a_board_takes_itself_for_the_real_one(
    name: str, model: str, machine: str, bits: int, boards: Boards
) -> None:
    with next(iter(drivers.connect(emulated.device(boards(name))).sessions())) as session:
        facts = session.facts.machine
        assert session.facts.provenance == "emulated"
        assert (facts["board"], facts["cpu"], facts["machine"], facts["bits"]) == (
            model, model, machine, bits,
        )  # fmt: skip
        assert list(facts["runtimes"]) == [RUNTIMES[name]]
        events = list(session.run(job(session, runtime=RUNTIMES[name], want=("predictions",)), 300.0))
    before = next(event for event in events if event["event"] == "condition")
    assert before["temperatures_c"] == {"cpu-thermal": 45.277}
    assert before["governor"] == "ondemand"
    assert events[-1] == {"event": "result", "complete": True}


@pytest.mark.parametrize(("name", "runtime"), [*RUNTIMES.items(), ("emulated-pi-bullseye", "tflite-runtime")])
def test_its_reference_kernels_give_this_machines_numbers(name: str, runtime: str, boards: Boards) -> None:
    target = emulated.device(boards(name), runtime=runtime, delegate="reference")
    result = measured(target)
    assert result.parity is not None
    assert (result.parity.n, result.parity.largest_difference) == (EXAMPLES, 0.0)
    assert result.verdict == "OK"
    assert result.accuracy is not None
    assert result.accuracy.value > 0.97


@pytest.mark.parametrize("name", ["emulated-pi-4", "emulated-pi-5"])
def test_its_xnnpack_gives_the_answers_of_this_machines_xnnpack(name: str, boards: Boards) -> None:
    there = measured(emulated.device(boards(name)))
    here = measured(LocalDevice(name="local"))
    assert there.delegate == here.delegate
    assert there.parity is not None
    assert there.parity.holds
    assert there.predictions == here.predictions


def test_all_predictions_on_mnist_are_this_machines(boards: Boards, shared: Path) -> None:
    folder = shared / "data" / "mnist"
    there = measured(emulated.device(boards("emulated-pi-4"), delegate="reference"), None, folder)
    here = measured(LocalDevice(name="reference", delegate="reference"), None, folder)
    assert here.predictions is not None
    assert len(here.predictions) == 10_000
    assert there.predictions == here.predictions


def test_litert_on_a_gpu_is_refused_where_its_library_would_kill_the_process(boards: Boards) -> None:
    opening = next(iter(drivers.connect(emulated.device(boards("emulated-pi-4"))).sessions()))
    with opening as session, pytest.raises(EdgebigError) as refused:
        list(session.run(job(session, delegate="gpu"), 300.0))
    assert "no atomic instructions (LSE)" in refused.value.problem
    assert "killed" not in refused.value.problem


def test_bench_by_name_stamps_what_it_prints_and_what_it_writes(
    boards: Boards, users_state: Path, shared: Path, tmp_path: Path
) -> None:
    name, record = "emulated-pi-32bit", tmp_path / "record.json"
    home = users_state / ".cache" / "edgebig" / "boards"
    home.parent.mkdir(parents=True)
    home.symlink_to(boards(name).parent)
    command = [
        sys.executable, "-m", "edgebig", "bench", NANO, "--device", name, "--data", shared / "data" / "mnist",
        "--processes", "2", "--rounds", "2", "--samples", "2", "--examples", "20", "--no-energy", "--out", record,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": str(emulated.ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "EMULATED" in done.stdout
    assert json.loads(record.read_text())["provenance"] == "emulated"


def test_the_devices_that_ship_name_these_boards() -> None:
    for name, runtime in RUNTIMES.items():
        target = device.load(name)
        assert isinstance(target, LocalDevice)
        assert (target.emulated, target.runtime) == (True, runtime)
        assert target.python == f"~/.cache/edgebig/boards/{name}/bin/python3"


def test_a_board_that_was_cut_off_is_made_whole_and_then_left_as_it_is(
    tmp_path: Path, users_environment: dict[str, str]
) -> None:
    make_board, folder = emulated.tool(), tmp_path / "boards"
    command = [sys.executable, emulated.ROOT / "tools" / "make_board.py", folder, "--arch", "arm64"]
    environ = {**users_environment, "PYTHONPATH": str(emulated.ROOT)}
    making = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, start_new_session=True)
    assert making.stderr is not None
    for line in making.stderr:
        if "fetching wheels" in line:
            break
    os.killpg(making.pid, signal.SIGKILL)
    making.communicate()
    half = {path.name for path in folder.iterdir()}
    assert not {"debian-arm64", "emulated-pi-4", "emulated-pi-5"} & half
    assert len(half) == 2  # the lock, and what was begun
    board, _ = make_board.make(folder, make_board.ARM64, users_environment)
    assert {path.name for path in folder.iterdir()} == {
        ".arm64.lock", "debian-arm64", "emulated-pi-4", "emulated-pi-5",
    }  # fmt: skip
    launcher = board / "bin" / "python3"
    written_ns = launcher.stat().st_mtime_ns
    make_board.make(folder, make_board.ARM64, users_environment)
    assert launcher.stat().st_mtime_ns == written_ns
    (board / make_board.MARKER).write_text("another version")
    make_board.make(folder, make_board.ARM64, users_environment)
    assert launcher.stat().st_mtime_ns > written_ns
    shutil.rmtree(folder)


def test_without_its_programs_a_board_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_board = emulated.tool()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgebigError, match="need qemu-arm-static, apt-get, dpkg-deb") as refused:
        make_board.make(tmp_path / "boards", make_board.ARMHF)
    assert "qemu-user-static" in refused.value.hint
    assert not (tmp_path / "boards").exists()
