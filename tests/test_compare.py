"""edgebig compare: what is held against what, what is refused, and what a CI gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from edgebig import artifact, bench, comparing, device, measurement
from edgebig.bench import Settings
from edgebig.comparing import Compared, pairs
from edgebig.comparing.speed import Limits
from edgebig.data import source
from edgebig.errors import EdgebigError
from edgebig.measurement import Latency, Measurement, ModelResult, Open, Truth
from edgebig.recipe import Data
from edgebig.report import compared as report
from tests.commandline import exit_code

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = ("A.json", "B.json")

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def copied(folder: Path, *names: str) -> list[artifact.Artifact]:
    """Goldens with the list of what they were trained on."""
    folder.mkdir(exist_ok=True)
    for name in names:
        for end in (".tflite", ".json"):
            shutil.copyfile(GOLDEN / f"{name}{end}", folder / f"{name}{end}")
    artifact.write_hashes(folder, source.load(Data(source="digits-5k")).train.hashes)
    return [artifact.load(folder / f"{name}.tflite") for name in names]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurement]:
    """Two models really measured here, on all of the test."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        models = copied(folder / "run", "digits-float32", "digits-int8")
        settings = Settings(processes=3, rounds=2, samples=3, warmup_s=0.1, energy=False)
        yield bench.bench(models, device.load("local"), settings, None)


def changed(record: Measurement, place: int = 0, **changes: Any) -> Measurement:
    """`record` with other facts of one of its models."""
    models = list(record.models)
    models[place] = models[place].model_copy(update=changes)
    return record.model_copy(update={"models": tuple(models)})


def timed(record: Measurement, *processes_us: float, place: int = 0) -> Measurement:
    """With samples of such times, one in each process."""
    latency = Latency(kind="raw", processes=tuple((round(time_us * 1000),) for time_us in processes_us))
    return changed(record, place, latency=latency)


def alone(record: Measurement, place: int = 0) -> Measurement:
    return record.model_copy(update={"models": (record.models[place],), "comparisons": ()})


def compare(a: Measurement, b: Measurement, **limits: Any) -> Compared:
    return comparing.records(a, b, Limits(**limits), NAMES)


FAST, SLOW = (100.0, 101.0, 102.0), (130.0, 131.0, 132.0)


# ---------------------------------------------------------------- speed


def test_a_record_is_no_worse_than_itself(base: Measurement) -> None:
    record = timed(timed(base, *FAST), *FAST, place=1)
    found = compare(record, record.model_copy())
    assert found.verdict == "PASS"
    assert [pair.matched_by for pair in found.pairs] == ["sha256", "sha256"]
    for pair in found.pairs:
        assert pair.answers.same == 1000
        assert pair.answers.paired is not None
        assert pair.answers.paired.p_value == 1
    assert not found.otherwise


@pytest.mark.parametrize(
    ("slower_us", "max_regression", "at_least_ns", "verdict"),
    [
        (SLOW, 0.05, None, "FAIL"),
        (SLOW, 0.05, 20e3, "FAIL"),  # 30 % and 30 us
        (SLOW, 0.05, 40e3, "PASS"),  # 30 % is too much, and 30 us is not
        (SLOW, 0.40, 20e3, "PASS"),  # 30 us is too much, and 30 % is not
        ((104.0, 105.0, 106.0), 0.05, None, "INCONCLUSIVE"),
        ((104.0, 105.0, 106.0), 0.05, 20e3, "PASS"),
        ((90.0, 91.0, 92.0), 0.0, None, "PASS"),
    ],
)
def test_slower_is_past_both_bounds(
    base: Measurement,
    slower_us: tuple[float, ...],
    max_regression: float,
    at_least_ns: float | None,
    verdict: str,
) -> None:
    a, b = timed(alone(base), *FAST), timed(alone(base), *slower_us)
    found = compare(a, b, max_regression=max_regression, at_least_ns=at_least_ns)
    assert found.pairs[0].speed.verdict == found.verdict == verdict
    assert found.pairs[0].speed.method.startswith("two sessions")


def test_models_of_one_session_are_paired(base: Measurement) -> None:
    # Each process is a minute of its own; within one the second model takes 10 % more.
    minutes = (100.0, 200.0, 400.0)
    record = timed(timed(base, *minutes), *(1.1 * time_us for time_us in minutes), place=1)
    (pair,) = comparing.within(record, Limits(max_loss_points=100), "R").pairs
    assert pair.speed.verdict == "FAIL"
    assert pair.speed.ratio is not None
    assert pair.speed.ratio.low == pytest.approx(1.1)
    assert pair.speed.method.startswith("measured in turns")
    apart = compare(alone(record), alone(record, 1), max_loss_points=100)
    assert apart.pairs[0].speed.verdict == "INCONCLUSIVE"


def test_wrong_answers_have_no_time(base: Measurement) -> None:
    good, wrong = timed(alone(base), *FAST), changed(alone(base), verdict="WRONG", cause="off by 9 steps")
    found = compare(good, wrong)
    assert found.pairs[0].speed.verdict == "FAIL"
    assert found.pairs[0].speed.ratio is None
    assert "off by 9 steps" in found.pairs[0].speed.why
    other_way = compare(wrong, good)
    assert (other_way.pairs[0].speed.verdict, other_way.pairs[0].speed.ratio) == ("INCONCLUSIVE", None)


@pytest.mark.parametrize("unreal", ["fake", "emulated", "software", "simulated", "stand-in"])
def test_no_unreal_time_is_compared(base: Measurement, unreal: str) -> None:
    real = timed(alone(base), *FAST)
    other = timed(alone(base), *SLOW).model_copy(update={"provenance": unreal})
    for a, b in ((real, other), (other, real)):
        found = compare(a, b)
        assert (found.pairs[0].speed.verdict, found.pairs[0].speed.ratio) == ("INCONCLUSIVE", None)
        assert found.verdict == "INCONCLUSIVE"
    same = compare(other, other.model_copy())
    assert (same.pairs[0].speed.verdict, same.pairs[0].speed.ratio) == (None, None)
    # Their answers are real ones, but of the fake.
    assert same.verdict == ("INCONCLUSIVE" if unreal == "fake" else "PASS")
    assert " us" not in report.speed(same.pairs[0], Limits())


def test_another_machine_has_a_ratio_and_no_verdict(base: Measurement) -> None:
    a = timed(alone(base), *FAST)
    machine = {**base.machine.model_dump(), "cpu": "a faster one"}
    b = timed(alone(base), *SLOW).model_copy(update={"machine": Open.model_validate(machine)})
    found = compare(a, b)
    assert found.pairs[0].speed.verdict == "INCONCLUSIVE"
    assert found.pairs[0].speed.ratio is not None
    assert "other machines" in found.pairs[0].speed.why
    assert ("cpu", "a faster one") in {(one.what, one.b) for one in found.otherwise}


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_throttled_time_proves_nothing(base: Measurement, which: str) -> None:
    a, b = timed(alone(base), *FAST), timed(alone(base), *SLOW)
    slowed = {"verdict": "THROTTLED", "cause": "it was hot"}
    a, b = (changed(a, **slowed), b) if which == "a" else (a, changed(b, **slowed))
    speed = compare(a, b).pairs[0].speed
    assert speed.verdict == "INCONCLUSIVE"
    assert f"{which.upper()} is THROTTLED: it was hot" in speed.why


def test_one_process_tells_nothing(base: Measurement) -> None:
    speed = compare(timed(alone(base), 100), timed(alone(base), 900)).pairs[0].speed
    assert (speed.verdict, speed.why) == ("INCONCLUSIVE", "one process tells no interval")


def test_a_mean_is_not_held_against_a_median(base: Measurement) -> None:
    told = Latency(kind="summary", processes=((100_000,), (101_000,)), statistic="mean")
    speed = compare(timed(alone(base), *FAST), changed(alone(base), latency=told)).pairs[0].speed
    assert speed.verdict == "INCONCLUSIVE"
    assert "A tells the median of each process, B the mean" in speed.why


@pytest.mark.parametrize("damaged", [((-5,), (3,)), ((), (3,))])
def test_times_that_are_none(base: Measurement, damaged: tuple[tuple[int, ...], ...]) -> None:
    latency = base.models[0].latency.model_copy(update={"processes": damaged})
    with pytest.raises(EdgebigError, match="their times are none"):
        compare(changed(alone(base), latency=latency), alone(base))


# ---------------------------------------------------------------- accuracy


def flipped(record: Measurement, count: int) -> Measurement:
    """The first `count` right answers made wrong."""
    assert record.truth is not None
    model = record.models[0]
    assert model.predictions is not None
    predictions = list(model.predictions)
    right = [i for i, label in enumerate(record.truth.labels) if label == predictions[i]]
    for place in right[:count]:
        predictions[place] = (predictions[place] + 1) % 10
    return changed(record, predictions=tuple(predictions))


@pytest.mark.parametrize(("lost", "verdict"), [(0, "PASS"), (4, "INCONCLUSIVE"), (100, "FAIL")])
def test_accuracy_is_paired_by_example(base: Measurement, lost: int, verdict: str) -> None:
    a = timed(alone(base), *FAST)
    answers = compare(a, flipped(a, lost)).pairs[0].answers
    assert answers.verdict == verdict
    assert answers.paired is not None
    assert (answers.paired.only_a, answers.paired.only_b, answers.same) == (lost, 0, 1000 - lost)
    assert answers.difference is not None
    assert answers.difference.points == pytest.approx(-lost / 10)


def test_other_examples_are_not_compared(base: Measurement) -> None:
    assert base.truth is not None
    for truth in (
        base.truth.model_copy(update={"inputs_sha256": "0" * 64}),
        Truth(inputs_sha256=base.truth.inputs_sha256, labels=base.truth.labels[::-1]),
    ):
        answers = compare(base, base.model_copy(update={"truth": truth})).pairs[0].answers
        assert (answers.verdict, answers.paired) == ("INCONCLUSIVE", None)
        assert answers.why.startswith("other examples")


def test_a_record_without_labels_says_so(base: Measurement) -> None:
    answers = compare(base, base.model_copy(update={"truth": None})).pairs[0].answers
    assert (answers.verdict, answers.paired) == ("INCONCLUSIVE", None)
    assert answers.why == "B's record is older than the labels in it: measure it again"


def test_a_record_with_too_few_predictions_is_damaged(base: Measurement) -> None:
    with pytest.raises(EdgebigError, match="1 predictions and 1000 labels"):
        compare(base, changed(base, predictions=(3,)))


# ---------------------------------------------------------------- which models, and what else


def model(base: Measurement, name: str, sha256: str) -> ModelResult:
    return base.models[0].model_copy(update={"name": name, "sha256": sha256})


def test_models_are_matched_by_file_then_by_name(base: Measurement) -> None:
    a = [
        model(base, "runs/1/int8.tflite", "1"),
        model(base, "x.tflite", "2"),
        model(base, "runs/1/a.tflite", "3"),
    ]
    b = [
        model(base, "runs/2/int8.tflite", "9"),
        model(base, "moved.tflite", "2"),
        model(base, "y.tflite", "8"),
    ]
    found = pairs.match(a, b)
    assert [(one.name, other.name, by) for one, other, by in found.pairs] == [
        ("runs/1/int8.tflite", "runs/2/int8.tflite", "file name"),
        ("x.tflite", "moved.tflite", "sha256"),
    ]
    assert [one.name for one in found.missing] == ["runs/1/a.tflite"]
    assert [one.name for one in found.added] == ["y.tflite"]


def test_names_that_are_there_twice_match_nothing(base: Measurement) -> None:
    a = [model(base, "1/int8.tflite", "1"), model(base, "2/int8.tflite", "2")]
    b = [model(base, "3/int8.tflite", "3"), model(base, "4/int8.tflite", "4")]
    assert pairs.match(a, b).pairs == ()
    ((_, _, by),) = pairs.match(a[:1], [model(base, "other.tflite", "5")]).pairs
    assert by == "being the only ones"


def test_a_model_that_b_lacks_is_no_pass(base: Measurement) -> None:
    both = timed(timed(base, *FAST), *FAST, place=1)
    found = compare(both, alone(both))
    assert [Path(name).name for name in found.missing] == ["digits-int8.tflite"]
    assert found.verdict == "INCONCLUSIVE"
    assert compare(alone(both), both).verdict == "PASS"


def test_records_of_other_models_are_refused(base: Measurement) -> None:
    others = [model(base, f"{name}.tflite", name) for name in "pq"]
    with pytest.raises(EdgebigError, match=r"A\.json and B\.json have no model in common"):
        compare(base, base.model_copy(update={"models": tuple(others)}))
    with pytest.raises(EdgebigError, match="one model, and nothing to compare it with"):
        comparing.within(alone(base), Limits(), "A.json")


def test_what_was_otherwise_is_listed(base: Measurement) -> None:
    machine = base.machine.model_dump()
    machine |= {"release": "9.9", "runtimes": {**machine["runtimes"], "ai-edge-litert": "9.0"}}
    before, *rest = base.conditions
    hot = {**before.model_dump(), "governor": "powersave", "load_1min": 7.5, "temperatures_c": {"cpu": 81.2}}
    other = base.model_copy(
        update={
            "machine": Open.model_validate(machine),
            "device": Open.model_validate({**base.device.model_dump(), "threads": 4, "delegate": "none"}),
            "settings": Open.model_validate({**base.settings.model_dump(), "cores": "big"}),
            "conditions": (Open.model_validate(hot), *rest),
        }
    )
    found = {one.what: one.b for one in compare(base, other).otherwise}
    assert found["kernel"] == "9.9"
    assert found["ai-edge-litert version"] == "9.0"
    assert (found["threads"], found["delegate"], found["--cores"]) == ("4", "none", "big")
    assert found["governor"] == "powersave"
    assert found["load before, after"].startswith("7.5, ")
    assert found["hottest before, after"].startswith("81 C, ")
    assert set(found) == {
        "kernel", "ai-edge-litert version", "threads", "delegate", "--cores", "governor", "load before, after",
        "hottest before, after",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "problem"),
    [({"max_regression": -0.1}, "no bound"), ({"max_regression": float("nan")}, "no bound"),
     ({"max_loss_points": 101}, "no bound")],
)  # fmt: skip
def test_limits_that_are_none(limits: dict[str, float], problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem):
        Limits(**limits)


# ---------------------------------------------------------------- the command


@pytest.fixture
def saved(base: Measurement, tmp_path: Path) -> dict[str, str]:
    """Records as files: base, the same, one that is slower, and one that may be."""
    both = timed(base, *FAST, place=1)
    times = {"base": FAST, "same": FAST, "slow": SLOW, "perhaps": (104.0, 105.0, 106.0)}
    for name, times_us in times.items():
        measurement.save(timed(both, *times_us), tmp_path / f"{name}.json")
    return {name: str(tmp_path / f"{name}.json") for name in times}


@pytest.mark.parametrize(
    ("b", "options", "code"),
    [
        ("same", (), 0), ("same", ("--strict",), 0), ("slow", (), 3), ("slow", ("--and", "40us"), 0),
        ("slow", ("--and", "20us"), 3), ("perhaps", (), 0), ("perhaps", ("--strict",), 3),
        ("slow", ("--max-regression", "50%"), 0), ("slow", ("--max-regression", "0.1"), 3),
    ],
)  # fmt: skip
def test_the_exit_code_of_a_comparison(
    saved: dict[str, str], b: str, options: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compare", saved["base"], saved[b], *options) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "PASS" if code == 0 and b != "perhaps" else "FAIL" if b == "slow" else "INCONCLUSIVE"
    )


@pytest.mark.parametrize("strict", [False, True])
def test_a_ci_gets_its_xml(saved: dict[str, str], tmp_path: Path, strict: bool) -> None:
    options = ("--strict",) if strict else ()
    assert exit_code(
        "compare", saved["base"], saved["perhaps"], "--junit", str(tmp_path / "j.xml"), *options
    ) == (3 if strict else 0)
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert suite.attrib["tests"] == "4"
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == (("1", "0") if strict else ("0", "1"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_cannot_be_compared_is_an_error_in_it(saved: dict[str, str], tmp_path: Path) -> None:
    assert exit_code("compare", saved["base"], "gone.json", "--junit", str(tmp_path / "j.xml")) == 1
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")
    (error,) = suite.iter("error")
    assert "gone.json" in error.attrib["message"]


def test_all_of_it_is_json(saved: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compare", saved["base"], saved["slow"], "--and", "20us", "--json") == 3
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["verdict"] == "FAIL"
    assert found["limits"] == {"max_regression": 0.05, "at_least_ns": 20000.0, "max_loss_points": 0.5}
    first = found["pairs"][0]
    assert first["speed"]["verdict"] == "FAIL"
    assert first["speed"]["ratio"]["low"] > 1.2
    assert first["speed"]["difference"]["low_ns"] > 20_000
    assert first["accuracy"]["paired"] == {"only_a": 0, "only_b": 0, "p_value": 1.0, "n": 1000}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("base", "base"), "are the same record"),
        (("base", "digits"), "a record and a model"),
        (("digits", "base"), "a record and a model"),
        (("base", "same", "--examples", "9"), "--examples: says how models are measured"),
        (("base", "gone.json"), "gone.json"),
        (("digits",), "digits: against what?"),
        (("base", "same", "--max-loss", "101"), "no bound"),
        (("base", "same", "--junit", "gone/here/"), ""),
    ],
)
def test_what_cannot_be_compared(
    saved: dict[str, str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone" / "here").mkdir(parents=True)
    assert exit_code("compare", *(saved.get(word, word) for word in arguments)) == 1
    told = capsys.readouterr()
    assert problem in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "option", [("--and", "20"), ("--and", "-3us"), ("--max-regression", "5"), ("--and", "nan")]
)
def test_bounds_that_are_none_are_usage(saved: dict[str, str], option: tuple[str, str]) -> None:
    assert exit_code("compare", saved["base"], saved["same"], *option) == 2


@pytest.mark.slow
def test_two_models_are_measured_in_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, slow = (str(item.path) for item in copied(tmp_path / "run", "digits-float32", "digits-slow"))
    out = tmp_path / "turns.json"
    options = ("--examples", "100", "--processes", "2", "--and", "1us", "--out", str(out))
    assert exit_code("compare", small, slow, *options) == 3
    told = capsys.readouterr()
    assert "FAIL: B is worse than allowed in speed of digits-slow, accuracy of digits-slow" in told.out
    assert "by being measured in turns" in told.out
    assert measurement.load(out).truth is not None
    # The record alone tells the same.
    assert exit_code("compare", str(out)) == 3
    assert exit_code("compare", slow, small, "--device", "fake", "--examples", "20", "--out", str(out)) == 0
    assert "nothing could be compared" in capsys.readouterr().out
