"""A delegate that is a library: a real one, compiled here, that computes right, wrong, nothing, or does not load."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgebig import artifact, bench, cli, delegation
from edgebig.device import LocalDevice
from edgebig.ondevice import delegates, infer, loading
from edgebig.ondevice.faults import Fault

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
MODEL = str(GOLDEN / "digits-float32.tflite")

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    path = tmp_path_factory.mktemp("delegate") / "libsoftmax_delegate.so"
    source = HERE / "softmax_delegate.cc"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(path), str(source)], check=True, timeout=120)
    return str(path)


def how(delegate: str, **options: str) -> dict[str, Any]:
    return {
        "runtime": "ai-edge-litert", "delegate": delegate, "threads": 1, "gpu_precision": "float32",
        "delegate_options": options,
    }  # fmt: skip


def answer(model: infer.Loaded) -> Any:
    model.warm_up()
    return model.get_output()


def test_what_it_takes_is_its_own_and_the_rest_is_named(library: str) -> None:
    model = loading.load(MODEL, how(library))
    assert model.delegated() == infer.Delegated(library, 1, 4, 1, ["CONV_2D", "FULLY_CONNECTED", "RESHAPE"])
    reference = answer(infer.Model(MODEL, "ai-edge-litert", "reference", 1))
    np.testing.assert_allclose(answer(model), reference, rtol=0, atol=1e-5)


def test_its_options_reach_it(library: str) -> None:
    right, wrong = (answer(loading.load(MODEL, how(library, factor=factor))) for factor in ("1", "0.5"))
    np.testing.assert_allclose(wrong, right / 2, rtol=1e-6)


def test_one_that_takes_nothing_is_none(library: str) -> None:
    found = loading.load(MODEL, how(library, takes="none")).delegated()
    assert (found.delegate, found.nodes, found.of, found.partitions) == ("none", 0, 4, 0)


def test_what_it_says_as_it_refuses_is_passed_on(library: str) -> None:
    with pytest.raises(Fault, match=r"with {'colour': 'red'}: it knows no option colour$") as caught:
        loading.load(MODEL, how(library, colour="red"))
    assert caught.value.code == "no-delegate"


@pytest.mark.slow
def test_a_wrong_answer_is_wrong_however_fast(library: str) -> None:
    models = [artifact.load(GOLDEN / "digits-float32.tflite")]
    quick = bench.Settings(examples=50, processes=2, rounds=1, samples=2, warmup_s=0.05)
    wrong = LocalDevice(name="wrong", delegate=library, delegate_options={"factor": "0.5"})
    (found,) = bench.bench(models, wrong, quick, None).models
    assert found.verdict == "WRONG"
    assert found.accuracy is not None
    assert found.accuracy.value > 0.5  # half of each probability: the labels are all right, and it is wrong
    assert found.parity is not None
    assert found.parity.labels_differ == 0
    # What is declared for it may be wider.
    (found,) = bench.bench(models, wrong.model_copy(update={"tolerance": 0.9}), quick, None).models
    assert found.verdict == "PARTIAL"
    assert found.cause == f"{library} took 1 of 4 operators, not CONV_2D, FULLY_CONNECTED, RESHAPE"
    assert not found.delegate.whole


@pytest.mark.slow
def test_a_delegate_that_must_take_all_is_exit_3_and_says_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--examples", "20", "--processes", "2", "--rounds", "1", "--samples", "2", "--require-delegate"]
    whole, partial = (
        CliRunner().invoke(
            cli.app, ["bench", str(GOLDEN / f"{name}.tflite"), *common, "--out", str(tmp_path / name)]
        )
        for name in ("digits-float32", "digits-int8")
    )
    assert whole.exit_code == 0, whole.output
    assert partial.exit_code == 3
    assert "xnnpack took 3 of 4 operators, not SOFTMAX" in partial.stderr
    assert (tmp_path / "digits-int8").is_file()  # what was measured is kept
    plain = ["bench", str(GOLDEN / "digits-float32.tflite"), *common, "--delegate", "none", "--out"]
    assert CliRunner().invoke(cli.app, [*plain, str(tmp_path / "plain")]).exit_code == 3


NOT_THERE = [
    ("edgetpu", "no-delegate", r"the Edge TPU cannot be used: libedgetpu\.so\.1", "libedgetpu1-std"),
    ("nnapi", "unknown-delegate", "NNAPI is a part of Android", "benchmark_model"),
    ("/no/such/library.so", "no-delegate", "/no/such/library.so: no such file", "put the library there"),
    ("not_there.so", "no-delegate", r"not_there\.so: cannot be loaded", "external delegate"),
    ("cuda", "unknown-delegate", "no delegate 'cuda'", "use one of: xnnpack, none, reference, gpu, edgetpu, nnapi"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "words", "hint"), NOT_THERE, ids=[row[0] for row in NOT_THERE])
def test_one_that_is_not_there_is_named_with_its_mend(name: str, code: str, words: str, hint: str) -> None:
    if name == "edgetpu" and shutil.which("ldconfig") and "libedgetpu" in _libraries():
        pytest.skip("needs a machine without libedgetpu")
    with pytest.raises(Fault, match=words) as caught:
        loading.load(MODEL, how(name))
    assert caught.value.code == code
    assert hint in caught.value.hint


def _libraries() -> str:
    return subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False, timeout=30).stdout


def test_a_file_that_is_no_library_and_a_library_that_is_no_delegate(tmp_path: Path) -> None:
    path = tmp_path / "text.so"
    path.write_text("no library")
    with pytest.raises(Fault, match=r"text\.so: cannot be loaded as a delegate"):
        loading.load(MODEL, how(str(path)))
    with pytest.raises(Fault, match=r"undefined symbol: tflite_plugin_create_delegate"):
        loading.load(MODEL, how("libc.so.6"))


def test_android_has_no_nnapi_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    with pytest.raises(Fault, match="Python on Android has no way to it"):
        delegates.library_of("nnapi")


def test_a_gpu_is_ai_edge_litert_s() -> None:
    with pytest.raises(Fault, match="tflite-runtime has no GPU delegate") as caught:
        loading.load(MODEL, {**how("gpu"), "runtime": "tflite-runtime"})
    assert caught.value.code == "unknown-delegate"


def test_tolerances_are_declared_by_what_computes() -> None:
    usual = delegation.tolerances(LocalDevice(name="cpu"))
    assert delegation.tolerances(LocalDevice(name="gpu", delegate="gpu")) == usual
    half = LocalDevice(name="gpu", delegate="gpu", gpu_precision="float16")
    assert delegation.tolerances(half)["real"] > usual["real"]
    # float16 is the GPU's alone: another delegate is held to the usual.
    assert delegation.tolerances(half.model_copy(update={"delegate": "xnnpack"})) == usual
    assert delegation.tolerances(half.model_copy(update={"tolerance": 0.5})) == {"steps": 0.5, "real": 0.5}
