"""LiteRT's profiler, asked through its C functions: real operators of real models, and where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebig import artifact, bench
from edgebig.device import FakeDevice, LocalDevice
from edgebig.errors import DeviceError
from edgebig.ondevice import profile
from edgebig.ondevice.faults import Fault
from edgebig.report import table

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
QUICK = bench.Settings(examples=20, processes=2, rounds=1, samples=2, warmup_s=0.05, profile=True)

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

# In a process of its own: what is wrong in a call of C ends the process.
ASK = """
import json, sys
from edgebig.ondevice import profile
how = {"runtime": "ai-edge-litert", "delegate": sys.argv[2], "threads": 1}
print(json.dumps(profile.profile(sys.argv[1], how, seconds=0.1, least=5)))
"""


def ask(name: str, delegate: str) -> dict[str, Any]:
    command = [sys.executable, "-c", ASK, str(GOLDEN / f"{name}.tflite"), delegate]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("delegate", ["none", "reference"])
def test_the_plain_kernels_tell_each_operator_of_the_model(delegate: str) -> None:
    found = ask("digits-float32", delegate)
    rows = [(row["node"], row["operator"]) for row in found["operators"]]
    assert rows == [(0, "CONV_2D"), (1, "RESHAPE"), (2, "FULLY_CONNECTED"), (3, "SOFTMAX")]
    assert not any(row["inside"] for row in found["operators"])
    assert found["invokes"] >= 5
    assert all(row["us"] >= 0 for row in found["operators"])


def test_xnnpack_tells_its_own_and_what_it_left_stands_beside() -> None:
    rows = ask("digits-int8", "xnnpack")["operators"]
    inside = {row["operator"] for row in rows if row["inside"]}
    assert any("Convolution" in operator for operator in inside)
    assert any("Fully Connected" in operator for operator in inside)
    assert [row["operator"] for row in rows if not row["inside"]] == ["SOFTMAX"]


@pytest.mark.slow
def test_a_bench_shows_it_and_keeps_it() -> None:
    models = [artifact.load(GOLDEN / f"{name}.tflite") for name in ("digits-slow", "digits-int8")]
    found = bench.bench(models, LocalDevice(name="here", delegate="none"), QUICK, None)
    slow, fast = (model.profile for model in found.models)
    assert slow is not None
    assert fast is not None
    assert slow.total_us > fast.total_us
    assert fast.operators[0].operator == "CONV_2D"
    notes = table.notes(found)
    (head,) = [line for line in notes if line.startswith("digits-slow: ") and "us in operators" in line]
    row = notes[notes.index(head) + 1]
    assert "CONV_2D" in row  # its five convolutions take the most
    assert "%" in row


@pytest.mark.parametrize(
    ("runtime", "delegate", "words"),
    [
        ("tflite-runtime", "none", "tflite-runtime tells no times"),
        ("ai-edge-litert", "gpu", "gpu in ai-edge"),
    ],
)
def test_who_has_no_profiler_says_who_has(runtime: str, delegate: str, words: str) -> None:
    with pytest.raises(Fault, match=words) as caught:
        profile.Profiler("any.tflite", runtime, delegate, 1)
    assert caught.value.code == "no-profile"
    assert "'xnnpack', 'none', 'reference'" in caught.value.hint


def test_a_version_that_was_not_tried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "TRIED", "2.2.")
    with pytest.raises(Fault, match=r"the profiler of ai-edge-litert \S+ was not tried"):
        profile.Profiler("any.tflite", "ai-edge-litert", "none", 1)


def test_a_bench_without_one_ends_before_it_measures(tmp_path: Path) -> None:
    models = [artifact.load(GOLDEN / "digits-int8.tflite")]
    library = LocalDevice(name="here", delegate=str(tmp_path / "library.so"))
    with pytest.raises(DeviceError, match="no such file"):
        bench.bench(models, library, QUICK, None)


def test_a_way_that_tells_none_says_so() -> None:
    models = [artifact.load(GOLDEN / "digits-int8.tflite")]
    found = bench.bench(models, FakeDevice(name="fake"), QUICK, None)
    assert found.models[0].profile is None
    assert any("no profile: this way of measuring it" in line for line in table.notes(found))
