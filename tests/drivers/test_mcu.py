"""A simulated microcontroller: the real interpreter and the real compiler, in their environments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebig import artifact, bench, device, environment
from edgebig.artifact import Artifact
from edgebig.bench import Settings
from edgebig.data import source
from edgebig.device import Device
from edgebig.drivers import mcu
from edgebig.drivers.protocol import Job
from edgebig.errors import EdgebigError
from edgebig.measurement import ModelResult
from edgebig.micro import vela
from edgebig.recipe import Data
from tests.commandline import exit_code

TESTS = Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
NANO = TESTS.parent / "edgebig" / "zoo" / "digits-nano.tflite"
SETTINGS = Settings(examples=200)

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def model(folder: Path, name: str = "digits-int8", data: bytes | None = None) -> Artifact:
    """A golden with its card, or other bytes with the card of digits-int8, and its training set beside it."""
    path = folder / f"{name}.tflite"
    path.write_bytes((GOLDEN / path.name).read_bytes() if data is None else data)
    card = json.loads((GOLDEN / f"{name if data is None else 'digits-int8'}.json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": artifact.files.sha256_file(path)}))
    artifact.write_hashes(folder, source.load(Data(source="digits-5k")).train.hashes)
    return artifact.load(path)


def board(folder: Path, **facts: Any) -> Device:
    path = folder / "board.toml"
    path.write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in {"kind": "mcu", **facts}.items())
    )
    return device.load(str(path))


def measured(item: Artifact, target: Device) -> ModelResult:
    record = bench.bench([item], target, SETTINGS, None)
    assert record.provenance == "simulated"
    return record.models[0]


# ---------------------------------------------------------------- without the environments


def test_what_is_missing_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="needs the environment 'tflite-micro'") as caught:
        bench.bench([model(tmp_path)], device.load("mcu"), SETTINGS, None)
    assert caught.value.hint == "make it once: edgebig environment add tflite-micro"


def test_an_accelerator_that_is_none_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match=r"board.toml.*delegate") as caught:
        board(tmp_path, delegate="ethos-u99-1")
    assert "ethos-u55-128" in f"{caught.value.problem} {caught.value.hint}"


# ---------------------------------------------------------------- with them


@pytest.fixture
def interpreter(environments: Callable[[str], Path]) -> Path:
    return environments("tflite-micro")


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"cores": "0"}, "--cores"),
        ({"priority": 0}, "--priority"),
        ({"soak_s": 60.0}, "--soak"),
        ({"cool_down_c": 50.0}, "--cool-down"),
    ],
)
def test_what_a_simulation_has_not_is_refused(asked: dict[str, Any], option: str) -> None:
    job = Job(
        models=(), inputs=None, examples=0, runtime="tflite-micro", delegate="none", threads=1, processes=2, rounds=1,
        samples=1, warmup_s=0.1, want=("latency",),
    )  # fmt: skip
    mcu._check_asked(job)
    with pytest.raises(EdgebigError, match=f"has nothing for {option}"):
        mcu._check_asked(job.model_copy(update=asked))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-int8", "digits-float32"])
def test_it_is_right_on_every_example_and_fits(interpreter: Path, tmp_path: Path, name: str) -> None:
    item = model(tmp_path, name)
    found = measured(item, device.load("mcu"))
    assert (found.verdict, found.cause) == ("OK", "")
    assert found.parity is not None
    assert found.parity.n == 200
    # 2 steps in each logit, which are as many as 55 in a score between two classes.
    assert found.parity.largest_tolerance == {"digits-int8": 55, "digits-float32": 1e-5}[name]
    assert found.parity.rms_difference <= {"digits-int8": 0.1, "digits-float32": 1e-6}[name]
    assert found.parity.largest_difference <= found.parity.largest_tolerance
    assert found.predictions is not None
    assert len(found.predictions) == 200
    host = bench.bench([item], device.load("reference"), Settings(examples=200, latency=False), None).models[
        0
    ]
    assert found.predictions == host.predictions
    assert found.accuracy == host.accuracy
    # Nothing was timed, and no time is made up.
    assert found.latency.kind == "none"
    assert not found.latency.summary
    assert found.fit is not None
    assert found.fit.flash_bytes == item.path.stat().st_size
    # What the recording allocator of tflite-micro told on this machine; seven sizes of arena around it were tried.
    assert found.fit.arena_bytes == {"digits-int8": 2672, "digits-float32": 5440}[name]


@pytest.mark.network
@pytest.mark.slow
def test_one_that_does_not_fit_says_of_what_and_the_command_exits_with_3(
    interpreter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = model(tmp_path)
    board(tmp_path, arena_kb=2, flash_kb=4)
    assert exit_code("bench", item.path, "--device", tmp_path / "board.toml", "--examples", 20) == 3
    shown = capsys.readouterr().out
    assert "SIMULATED" in shown
    assert "TOO BIG: takes 4,800 bytes of flash, 704 more than the 4,096 that it may" in shown
    assert "bytes of RAM" in shown
    record = json.loads(next((tmp_path / "bench").glob("board-*.json")).read_text())
    assert record["provenance"] == "simulated"
    assert record["models"][0]["verdict"] == "TOO BIG"


@pytest.mark.network
@pytest.mark.slow
def test_int16_activations_have_sixteen_steps(interpreter: Path, tmp_path: Path) -> None:
    item = model(tmp_path, "many-int16", (TESTS / "export" / "nets" / "many-int16.tflite").read_bytes())
    found = measured(item, device.load("mcu"))
    assert found.parity is not None
    assert found.parity.largest_tolerance == 16
    assert found.parity.holds


@pytest.mark.network
@pytest.mark.slow
def test_a_file_without_a_card_is_fitted_all_the_same(interpreter: Path, tmp_path: Path) -> None:
    path = tmp_path / "stray.tflite"
    shutil.copyfile(GOLDEN / "dense-int8.tflite", path)
    found = measured(artifact.load(path), device.load("mcu"))
    assert found.verdict == "UNCHECKED"
    assert found.predictions is None
    assert found.fit is not None
    # At 1,344 bytes the interpreter ends its process with SIGSEGV.
    assert found.fit.arena_bytes == 1360


@pytest.mark.network
@pytest.mark.slow
def test_a_damaged_file_is_one_error_and_the_session_lives_on(interpreter: Path, tmp_path: Path) -> None:
    whole = (GOLDEN / "digits-int8.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[:3000])
    with pytest.raises(EdgebigError, match=r"cut\.tflite"):
        measured(artifact.load(path), device.load("mcu"))
    assert measured(model(tmp_path), device.load("mcu")).verdict == "OK"


@pytest.mark.network
@pytest.mark.slow
def test_an_ethos_u_gives_cycles_and_an_estimate(
    interpreter: Path, environments: Callable[[str], Path], tmp_path: Path
) -> None:
    environments("vela")
    found = bench.bench([artifact.load(NANO)], device.load("ethos-u55"), SETTINGS, None, "digits-5k").models[
        0
    ]
    assert (found.verdict, found.cause) == ("OK", "")
    assert found.fit is not None
    npu = found.fit.npu
    assert npu is not None
    assert npu.compiler == f"ethos-u-vela {environment.versions('vela')['ethos-u-vela']}"
    assert (found.delegate.asked, found.delegate.actual) == ("ethos-u55-128", "ethos-u55-128")
    assert (npu.nodes, npu.of, npu.partitions, npu.left) == (10, 10, 1, ())
    assert found.latency.kind == "estimate"
    assert found.latency.summary["invoke"].p50_ns == npu.cycles / 500e6 * 1e9
    assert found.latency.processes == ()
    small = vela.compile_for(NANO.read_bytes(), "ethos-u55-32", "m", 60)
    assert small.cycles > npu.cycles


@pytest.mark.network
@pytest.mark.slow
def test_what_an_ethos_u_leaves_to_the_cpu_is_named_and_not_timed(
    interpreter: Path, environments: Callable[[str], Path], tmp_path: Path
) -> None:
    environments("vela")
    some = measured(model(tmp_path), device.load("ethos-u55"))
    assert (some.delegate.nodes, some.delegate.of, some.delegate.left) == (3, 4, ("CONV_2D",))
    assert (some.verdict, some.latency.kind) == ("PARTIAL", "none")
    assert some.fit is not None
    assert some.fit.npu is not None
    assert some.fit.npu.cycles > 0
    found = measured(model(tmp_path, "digits-float32"), device.load("ethos-u55"))
    assert found.delegate.nodes == 0
    assert found.delegate.left == ("CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX")
    assert found.verdict == "PARTIAL"
    assert found.latency.kind == "none"
