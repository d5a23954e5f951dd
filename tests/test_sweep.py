"""Settings in turns: what is run in which order, what is named the best, and what is never."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, bench, drivers, measurement, partial, resuming, stats, sweep
from edgebig.bench import Settings, Subject
from edgebig.campaign import Found
from edgebig.device import AdbDevice, Device, FakeDevice, LocalDevice, McuDevice
from edgebig.drivers.fake import FakeSession
from edgebig.drivers.protocol import Event, Job
from edgebig.drivers.shell import LinkFault
from edgebig.errors import DeviceError, EdgebigError
from edgebig.measurement import Latency
from edgebig.partial import UnfinishedSweep
from edgebig.sweep import Best, Swept

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SETTINGS = Settings(examples=50, processes=4, rounds=2, samples=2, warmup_s=0.05)


def subject(*names: str) -> Subject:
    """Models without pictures, so that nothing is computed here."""
    items = tuple(artifact.load(GOLDEN / f"{name}.tflite") for name in names)
    return Subject(items, None, np.empty(0, np.int64), {"source": None, "n": 0, "leak_check": "not possible"})


# ---------------------------------------------------------------- settings of a device


def test_every_delegate_with_every_number_of_threads() -> None:
    target = LocalDevice(name="here", about="mine", threads=3)
    found = sweep.variants(target, [1, 2], ["xnnpack", "./my.so"])
    assert [label for label, _ in found] == [
        "xnnpack with 1 thread", "xnnpack with 2 threads", "./my.so with 1 thread", "./my.so with 2 threads",
    ]  # fmt: skip
    assert [(one.delegate, one.threads, one.about) for _, one in found] == [
        ("xnnpack", 1, "mine"), ("xnnpack", 2, "mine"), ("./my.so", 1, "mine"), ("./my.so", 2, "mine"),
    ]  # fmt: skip
    assert [(label, one.threads) for label, one in sweep.variants(target, [], ["none", "gpu"])] == [
        ("none", 3),
        ("gpu", 3),
    ]
    assert [label for label, _ in sweep.variants(target, [1, 2], [])] == ["1 thread", "2 threads"]


@pytest.mark.parametrize(
    ("target", "threads", "delegates", "problem"),
    [
        (LocalDevice(name="here"), [1], ["xnpack"], "here, xnpack with 1 thread: delegate"),
        (LocalDevice(name="here"), [0], [], "here, 0 threads: threads = 0"),
        (McuDevice(name="mcu"), [], ["gpu"], "mcu, gpu: "),
        (AdbDevice(name="pixel"), [999], [], "pixel, 999 threads: threads = 999"),
    ],
)
def test_settings_that_a_device_cannot_have(
    target: Device, threads: list[int], delegates: list[str], problem: str
) -> None:
    with pytest.raises(EdgebigError) as caught:
        sweep.variants(target, threads, delegates)
    assert caught.value.problem.startswith(problem)
    assert "edgebig devices show" in caught.value.hint


# ---------------------------------------------------------------- turns

Faults = dict[tuple[str, int], BaseException]


class Recorder(FakeSession):
    """The fake device, which notes its jobs, and fails those that `faults` says."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults
        self.jobs: list[Job] = []

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        turn = sum(earlier.delegate == job.delegate for earlier in self.jobs)
        self.jobs.append(job)
        if (job.delegate, turn) in self.faults:
            raise self.faults[job.delegate, turn]
        yield from super().run(job, deadline_s)


class DriverOf:
    def __init__(self, session: Recorder) -> None:
        self.session = session

    def sessions(self) -> Iterator[AbstractContextManager[Recorder]]:
        yield contextlib.nullcontext(self.session)


def swept(monkeypatch: pytest.MonkeyPatch, delegates: list[str], faults: Faults) -> tuple[Recorder, Any]:
    session = Recorder(faults)
    monkeypatch.setattr(drivers, "connect", lambda target: DriverOf(session))
    target = FakeDevice(name="fake")
    wanted = sweep.variants(target, [], delegates)
    return session, sweep.sweep(subject("digits-int8"), target, wanted, SETTINGS)


def test_turns_go_there_and_back_and_answers_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    session, found = swept(monkeypatch, ["none", "xnnpack", "reference"], {})
    there, back = ["none", "xnnpack", "reference"], ["reference", "xnnpack", "none"]
    assert [job.delegate for job in session.jobs] == there + back + there + back
    assert all(job.processes == 1 and "latency" in job.want for job in session.jobs)
    assert ["predictions" in job.want for job in session.jobs] == [True] * 3 + [False] * 9
    for one in found.settings:
        latency = one.measurement.models[0].latency
        assert len(latency.processes) == len(latency.init) == SETTINGS.processes
        assert one.measurement.device.model_dump()["delegate"] == one.label


def test_a_setting_that_fails_is_left_out_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: Faults = {
        ("gpu", 0): DeviceError("no GPU", "buy one"),
        ("none", 2): DeviceError("killed", "again"),
    }
    session, found = swept(monkeypatch, ["gpu", "xnnpack", "none"], faults)
    tried = [job.delegate for job in session.jobs]
    assert (tried.count("gpu"), tried.count("xnnpack"), tried.count("none")) == (1, 4, 3)
    assert [str(one.failure) for one in found.settings] == ["no GPU", "None", "killed"]
    assert [one.measurement is None for one in found.settings] == [True, False, True]
    assert [(best.label, best.rivals, best.verdict) for best in found.best] == [
        ("xnnpack", (), "INCONCLUSIVE")
    ]


def test_where_every_setting_fails_each_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: Faults = {
        ("gpu", 0): EdgebigError("no GPU", "buy one"),
        ("none", 0): DeviceError("killed", "again"),
    }
    with pytest.raises(
        DeviceError, match="none of the settings could be measured\ngpu: no GPU\nnone: killed"
    ):
        swept(monkeypatch, ["gpu", "none"], faults)


def test_a_board_that_is_gone_before_any_turn_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkFault, match="gone"):
        swept(monkeypatch, ["gpu", "none"], {("gpu", 0): LinkFault("gone", "plug it in")})


def cut_off(
    monkeypatch: pytest.MonkeyPatch, folder: Path, by: BaseException | None = None
) -> tuple[EdgebigError, dict[str, Path]]:
    """A sweep over three settings, of which one fails, another is cut off in its second turn."""
    faults: Faults = {
        ("gpu", 0): DeviceError("no GPU", "buy one"),
        ("none", 1): by or LinkFault("gone", "plug it in"),
    }
    with pytest.raises(UnfinishedSweep) as caught:
        swept(monkeypatch, ["gpu", "none", "xnnpack"], faults)
    places = {name: folder / f"fake-{name}.json" for name in ("gpu", "none", "xnnpack")}
    return caught.value.keep(places), places


def gone_on_with(monkeypatch: pytest.MonkeyPatch, path: Path, session: Recorder) -> Found:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(drivers, "connect", lambda target: DriverOf(session))
    monkeypatch.setattr(bench, "prepared", lambda *_: contextlib.nullcontext(subject("digits-int8")))
    return resuming.resume(path, None)


def test_the_turns_before_a_board_is_gone_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, places = cut_off(monkeypatch, tmp_path)
    assert told.problem == f"gone\n3 of 8 turns are kept, in a record for each setting in {tmp_path}"
    assert told.hint.endswith(f"then go on with all of them: edgebig bench --resume {places['none']}")
    assert not places["gpu"].exists()
    for name, turns in (("none", 1), ("xnnpack", 2)):
        record, part = partial.load(places[name])
        assert (part.processes, part.of) == (turns, SETTINGS.processes)
        assert len(record.models[0].latency.processes) == turns
        assert [(one.label, one.turns, one.record) for one in part.sweep] == [
            ("gpu", 0, "fake-gpu.json"), ("none", 1, "fake-none.json"), ("xnnpack", 2, "fake-xnnpack.json"),
        ]  # fmt: skip


def test_ctrl_c_before_any_turn_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        swept(monkeypatch, ["gpu", "none"], {("gpu", 0): KeyboardInterrupt()})


@pytest.mark.parametrize("by", [None, KeyboardInterrupt()], ids=["gone", "Ctrl-C"])
def test_a_sweep_that_was_cut_off_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: BaseException | None
) -> None:
    told, places = cut_off(monkeypatch, tmp_path, by)
    assert (told.exit_code, told.problem.splitlines()[0]) == ((4, "gone") if by is None else (130, "stopped"))
    session = Recorder({})
    found = gone_on_with(monkeypatch, places["xnnpack"], session)
    # Neither the one that failed again, nor a turn twice; and there and back as ever.
    assert [job.delegate for job in session.jobs] == ["none", "none", "xnnpack", "xnnpack", "none"]
    assert not any("predictions" in job.want for job in session.jobs)
    assert [row.setting for row in found.rows] == ["gpu", "none", "xnnpack"]
    assert found.rows[0].failure is not None
    assert (found.rows[0].failure.problem, found.rows[0].failure.exit_code) == ("no GPU", 4)
    for row in found.rows[1:]:
        assert row.path is not None
        record = measurement.load(row.path)
        assert record.incomplete is None
        assert len(record.models[0].latency.processes) == SETTINGS.processes
    assert found.best["fake"][0].label in ("none", "xnnpack")
    with pytest.raises(EdgebigError, match="it is complete"):
        resuming.resume(places["none"], None)


def test_it_may_be_cut_off_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, places = cut_off(monkeypatch, tmp_path)
    session = Recorder({("none", 1): LinkFault("gone again", "plug it in")})
    with pytest.raises(DeviceError, match="gone again\n4 of 8 turns are kept"):
        gone_on_with(monkeypatch, places["none"], session)
    assert partial.load(places["none"])[1].processes == 2


@pytest.mark.parametrize("damage", ["gone", "other", "outside"])
def test_records_that_are_not_of_one_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    monkeypatch.chdir(ROOT)
    _, places = cut_off(monkeypatch, tmp_path)
    record = json.loads(places["none"].read_text())
    if damage == "gone":
        places["none"].unlink()
    elif damage == "other":
        record["incomplete"]["sweep"][1]["turns"] = 3
        places["none"].write_text(json.dumps(record))
    else:
        other = places["xnnpack"].read_text().replace("fake-none.json", "../fake-none.json")
        places["xnnpack"].write_text(other)
    problem = {
        "gone": "is gone, which is",
        "other": "is not of the same sweep",
        "outside": "is no file's name",
    }
    with pytest.raises(EdgebigError, match=problem[damage]):
        resuming.resume(places["xnnpack"], None)


# ---------------------------------------------------------------- the best


FAKE = bench.measure(subject("digits-int8"), FakeDevice(name="fake"), replace(SETTINGS, processes=2))


def one(label: str, factor: float, verdict: str = "OK", jitter: float = 0.01) -> Swept:
    """A setting of 5 processes whose times are `factor` of 100 us, give or take."""
    draw = np.random.default_rng(zlib.crc32(label.encode()))
    processes = tuple(
        tuple(int(100_000 * factor * level) for _ in range(10)) for level in draw.normal(1, jitter, 5)
    )
    result = FAKE.models[0].model_copy(
        update={"latency": Latency(kind="raw", processes=processes), "verdict": verdict}
    )
    return Swept(FakeDevice(name="fake"), label, FAKE.model_copy(update={"models": (result,)}), None)


def test_the_best_is_faster_than_every_other_one() -> None:
    found = sweep._best(0, [one("a", 1.0), one("b", 0.5), one("c", 0.7)])
    assert found is not None
    assert (found.label, found.verdict) == ("b", "FASTER")
    assert [rival.label for rival in found.rivals] == ["c", "a"]
    for rival, ratio in zip(found.rivals, (0.5 / 0.7, 0.5), strict=True):
        assert rival.ratio == pytest.approx(ratio, rel=0.03)
        assert rival.low is not None
        assert rival.high is not None
        assert rival.low < rival.ratio < rival.high < 1


def test_two_that_are_not_told_apart_are_inconclusive() -> None:
    found = sweep._best(0, [one("a", 1.0, jitter=0.2), one("b", 0.99, jitter=0.2), one("c", 9.0)])
    assert found is not None
    assert found.verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("verdict", ["WRONG", "THROTTLED"])
def test_what_has_no_time_to_be_believed_is_never_the_best(verdict: str) -> None:
    found = sweep._best(0, [one("fast", 0.1, verdict), one("a", 1.0), one("b", 2.0)])
    assert found is not None
    assert (found.label, [rival.label for rival in found.rivals]) == ("a", ["b"])
    assert sweep._best(0, [one("fast", 0.1, verdict)]) is None


def test_one_alone_is_best_of_nothing() -> None:
    found = sweep._best(0, [one("a", 1.0)])
    assert found == Best(FAKE.models[0].name, "a", (), "INCONCLUSIVE")


# ---------------------------------------------------------------- on this machine


@pytest.mark.slow
def test_kernels_that_are_far_apart_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    item = artifact.load(GOLDEN / "digits-slow.tflite")
    settings = Settings(examples=20, processes=3, rounds=2, samples=2, warmup_s=0.05)
    target = LocalDevice(name="here")
    wanted = sweep.variants(target, [], ["reference", "xnnpack", f"{tmp_path}/none.so"])
    with bench.prepared([item], settings, None) as prepared:
        found = sweep.sweep(prepared, target, wanted, settings)
    (best,) = found.best
    assert best.label == "xnnpack"
    assert best.rivals[0].label == "reference"
    assert best.rivals[0].ratio < 0.5
    reference, xnnpack, missing = found.settings
    assert missing.measurement is None
    assert "none.so" in str(missing.failure)
    for kept in (reference, xnnpack):
        assert kept.measurement is not None
        (result,) = kept.measurement.models
        assert result.accuracy is not None
        assert result.accuracy.n == 20
        ratio = stats.latency_ratio(
            xnnpack.measurement.models[0].latency.processes if xnnpack.measurement else (),
            reference.measurement.models[0].latency.processes if reference.measurement else (),
        )
        assert ratio.value == best.rivals[0].ratio
