"""Bounds of a bench: what the interval tells, what has no time, and what a CI gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import artifact, bench, bounds, device, stats
from edgebig.bench import Settings
from edgebig.bounds import Bounds, Outcome
from edgebig.campaign import Found, Row
from edgebig.data import source
from edgebig.errors import EdgebigError, Failure
from edgebig.measurement import Latency, Measurement
from edgebig.recipe import Data
from edgebig.report.bounds import cases
from tests.commandline import exit_code

GOLDEN = Path(__file__).resolve().parent / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def golden(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for end in (".tflite", ".json"):
        shutil.copyfile(GOLDEN / f"digits-float32{end}", folder / f"digits-float32{end}")
    artifact.write_hashes(folder, source.load(Data(source="digits-5k")).train.hashes)
    return folder / "digits-float32.tflite"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurement]:
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        settings = Settings(examples=100, processes=3, rounds=2, samples=3, warmup_s=0.1, energy=False)
        yield bench.bench([artifact.load(golden(folder / "run"))], device.load("local"), settings, None)


def changed(record: Measurement, **changes: Any) -> Measurement:
    return record.model_copy(update={"models": (record.models[0].model_copy(update=changes),)})


def only(record: Measurement, **limits: Any) -> Outcome:
    (outcome,) = bounds.check(record, Bounds(**limits))
    return outcome


# ---------------------------------------------------------------- one bound


@given(st.integers(1, 5000), st.data(), st.floats(0.001, 1))
def test_accuracy_is_told_by_the_ends_of_its_interval(
    measured: Measurement, n: int, data: st.DataObject, limit: float
) -> None:
    accuracy = stats.accuracy_interval(data.draw(st.integers(0, n)), n)
    outcome = only(changed(measured, accuracy=accuracy), min_accuracy=limit)
    assert outcome.verdict == (
        "PASS" if accuracy.low >= limit else "FAIL" if accuracy.high < limit else "INCONCLUSIVE"
    )
    assert (outcome.low, outcome.value, outcome.high) == (accuracy.low, accuracy.value, accuracy.high)


@given(
    st.lists(st.lists(st.integers(1_000, 10_000_000), min_size=1, max_size=9), min_size=2, max_size=6),
    st.sampled_from(["p50", "p90"]),
    st.floats(1, 2e7),
)
def test_a_time_is_told_by_the_ends_of_its_interval(
    measured: Measurement, processes: list[list[int]], name: str, limit_ns: float
) -> None:
    latency = Latency(kind="raw", processes=tuple(map(tuple, processes)), batch=(1,) * len(processes))
    outcome = only(changed(measured, latency=latency), **{f"max_{name}_ns": limit_ns})
    summary = stats.latency_summary(processes)
    low, high = getattr(summary, f"{name}_interval_ns")
    assert outcome.value == getattr(summary, f"{name}_ns")
    assert outcome.verdict == ("PASS" if high <= limit_ns else "FAIL" if low > limit_ns else "INCONCLUSIVE")


def test_the_whole_frame_is_bounded_where_there_is_one(measured: Measurement) -> None:
    summary = measured.models[0].latency.summary
    for name in ("p50", "p90"):
        outcome = only(measured, **{f"max_{name}_ns": 1e12})
        assert (outcome.what, outcome.value, outcome.verdict) == (
            f"frame {name}",
            getattr(summary["frame"], f"{name}_ns"),
            "PASS",
        )
    assert only(measured, max_p90_ns=1).verdict == "FAIL"


def test_a_size_is_exact(measured: Measurement) -> None:
    size = measured.models[0].size_bytes
    assert only(measured, max_size_bytes=size).verdict == "PASS"
    assert only(measured, max_size_bytes=size - 1).verdict == "FAIL"


@pytest.mark.parametrize(
    ("changes", "limits", "verdict", "why"),
    [
        ({"verdict": "WRONG"}, {"max_p50_ns": 1e12}, "FAIL", "wrong answers have no time"),
        ({"verdict": "THROTTLED", "cause": "too hot"}, {"max_p50_ns": 1}, "INCONCLUSIVE", "too hot"),
        ({"latency": Latency(kind="none")}, {"max_p90_ns": 1}, "INCONCLUSIVE", "no time was measured"),
        ({"accuracy": None}, {"min_accuracy": 0.1}, "INCONCLUSIVE", "no card"),
        ({"latency": Latency(kind="raw", processes=((5,),))}, {"max_p50_ns": 1}, "INCONCLUSIVE", "one process"),
        (
            {"latency": Latency(kind="raw", processes=((5,), (6,)), batch=(9, 9))},
            {"max_p90_ns": 100}, "INCONCLUSIVE", "means over a batch",
        ),
        (
            {"latency": Latency(kind="summary", processes=((5,), (6,)), statistic="mean")},
            {"max_p50_ns": 100}, "INCONCLUSIVE", "the mean, and no p50",
        ),
    ],
)  # fmt: skip
def test_what_tells_nothing_is_no_pass(
    measured: Measurement, changes: dict[str, Any], limits: dict[str, Any], verdict: str, why: str
) -> None:
    outcome = only(changed(measured, **changes), **limits)
    assert outcome.verdict == verdict
    assert why in outcome.why


@pytest.mark.parametrize("unreal", ["fake", "emulated", "software", "simulated", "stand-in"])
def test_an_unreal_time_keeps_no_bound(measured: Measurement, unreal: str) -> None:
    record = measured.model_copy(update={"provenance": unreal})
    outcome = only(record, max_p90_ns=1e12)
    assert (outcome.verdict, outcome.value) == ("INCONCLUSIVE", None)
    assert outcome.why.startswith(unreal)
    accuracy = only(record, min_accuracy=0.01)
    assert accuracy.verdict == ("INCONCLUSIVE" if unreal == "fake" else "PASS")


@pytest.mark.parametrize(
    "limits",
    [{"min_accuracy": 1.5}, {"min_accuracy": 0}, {"max_p90_ns": 0}, {"max_size_bytes": -1},
     {"max_p50_ns": float("nan")}, {"max_p50_ns": float("inf")}],
)  # fmt: skip
def test_bounds_that_are_none(limits: dict[str, Any]) -> None:
    with pytest.raises(EdgebigError, match="no bound"):
        Bounds(**limits)


# ---------------------------------------------------------------- the command


QUICK = ("--examples", "100", "--processes", "2", "--rounds", "2", "--samples", "3", "--no-energy")


def test_a_ci_is_told_by_exit_code_json_and_xml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, xml = str(golden(tmp_path / "run")), tmp_path / "bench.xml"
    # Of two processes, of which one met a stall, the interval would reach beyond any bound.
    kept = ("--min-accuracy", "50%", "--processes", "3", "--max-p90", "1000s", "--max-size", "1MiB")
    assert exit_code("bench", model, *QUICK, *kept, "--junit", str(xml), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["what"], one["verdict"]) for one in told["bounds"]] == [
        ("accuracy", "PASS"), ("frame p90", "PASS"), ("size", "PASS"),
    ]  # fmt: skip
    suite = ET.parse(xml).getroot()[0]
    assert [case.attrib["name"] for case in suite.findall("testcase")] == [
        "outputs", "accuracy", "frame p90", "size",
    ]  # fmt: skip
    assert suite.attrib["failures"] == "0"


@pytest.mark.slow
def test_a_bound_that_is_missed_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, xml = str(golden(tmp_path / "run")), tmp_path / "bench.xml"
    assert exit_code("bench", model, *QUICK, "--max-size", "1kB", "--junit", str(xml)) == 3
    assert "digits-float32: FAIL: size" in capsys.readouterr().err
    assert ET.parse(xml).getroot().attrib["failures"] == "1"


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 3)])
def test_what_is_not_told_is_exit_3_where_strict(
    tmp_path: Path, options: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(golden(tmp_path / "run"))
    assert (
        exit_code("bench", model, "--device", "fake", "--examples", "20", "--max-p50", "5ms", *options)
        == code
    )
    assert "INCONCLUSIVE: frame p50, at most 5,000 us; fake: its times say nothing" in capsys.readouterr().err


def test_bounds_of_a_sweep_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--device", "fake", "--threads", "1,2", "--max-p50", "5ms")
    assert exit_code("bench", str(golden(tmp_path / "run")), *options) == 1
    assert "not with a sweep" in capsys.readouterr().err


def test_a_place_that_takes_no_xml_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    model = golden(tmp_path / "run")
    assert exit_code("bench", str(model), "--device", "fake", "--junit", str(tmp_path)) == 1
    assert not (model.parent / "bench").exists()


def test_a_device_that_fails_is_an_error_in_the_xml_of_a_ci(tmp_path: Path) -> None:
    model, xml = str(golden(tmp_path / "run")), tmp_path / "bench.xml"
    xml.write_text("what an earlier run found")
    nobody = tmp_path / "nobody.toml"
    nobody.write_text(f'kind = "local"\npython = "{tmp_path}/no-python"\n')
    assert exit_code("bench", model, *QUICK, "--device", str(nobody), "--junit", str(xml)) == 4
    suite = ET.parse(xml).getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["errors"], suite.attrib["failures"]) == ("1", "1", "0")
    (error,) = suite.iter("error")
    assert "no-python: cannot be started: No such file" in error.attrib["message"]


def test_so_is_one_of_several_and_what_is_asked_wrongly(measured: Measurement, tmp_path: Path) -> None:
    found = Found(
        [
            Row("pi4", "", measured, Path("pi4.json")),
            Row("pixel", "", failure=Failure("phone 1234 went away", "plug it in again", 4)),
        ]
    )
    told = [(case.subject, case.verdict, case.text) for case in cases(found, [], [])]
    assert told[1] == ("pixel", "ERROR", "phone 1234 went away (plug it in again)")
    # A setting that cannot be had is what a sweep over the others found out.
    found.best["pixel"] = ()
    assert [case.verdict for case in cases(found, [], [])][1] is None
    xml = tmp_path / "bench.xml"
    assert exit_code("bench", str(tmp_path / "gone.tflite"), "--junit", str(xml)) == 1
    (error,) = ET.parse(xml).getroot().iter("error")
    assert "gone.tflite" in error.attrib["message"]
