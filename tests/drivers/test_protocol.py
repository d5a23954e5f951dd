"""What every driver keeps, whatever stands behind it. A new one is added to DRIVERS and must pass as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import device, drivers, files
from edgebig.data import source
from edgebig.drivers import protocol
from edgebig.drivers.protocol import Event, Job, JobModel, Session
from edgebig.errors import DeviceError, EdgebigError
from edgebig.measurement import Told
from edgebig.recipe import Data
from tests.drivers.conftest import device_of

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
MODELS = [GOLDEN / "digits-int8.tflite", GOLDEN / "digits-float32.tflite"]
DIGITS = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}
EXAMPLES, PROCESSES, ROUNDS, SAMPLES = 7, 2, 2, 3

DRIVERS = [
    "fake",
    "local",
    pytest.param("ssh", marks=pytest.mark.slow),
    pytest.param("mcu", marks=[pytest.mark.network, pytest.mark.slow]),
    pytest.param("adb", marks=[pytest.mark.network, pytest.mark.slow]),
]

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture(params=DRIVERS)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    if request.param == "mcu":
        request.getfixturevalue("environments")("tflite-micro")
    match request.param:
        case "ssh":
            target = request.getfixturevalue("pi").device()
        case "adb":
            target = device_of(request.getfixturevalue("phone"))
        case name:
            target = device.load(name)
    sessions = drivers.connect(target).sessions()
    with next(iter(sessions)) as opened:
        yield opened


def job(session: Session, folder: Path, **changes: Any) -> Job:
    pictures = folder / "inputs.npy"
    np.save(pictures, source.load(Data(source="digits-5k")).test[:EXAMPLES].images)
    models = tuple(
        JobModel(sha256=session.put(path), name=path.name, preprocessing=DIGITS) for path in MODELS
    )
    values: dict[str, Any] = {
        "models": models, "inputs": session.put(pictures), "examples": EXAMPLES, "runtime": "ai-edge-litert",
        "delegate": "none" if session.facts.provenance == "simulated" else "xnnpack", "threads": 1,
        "processes": PROCESSES, "rounds": ROUNDS, "samples": SAMPLES,
        "warmup_s": 0.05, "want": ("predictions", "outputs", "latency"),
    }  # fmt: skip
    return Job(**{**values, **changes})


def of_kind(seen: list[Event], kind: str) -> list[Event]:
    return [event for event in seen if event["event"] == kind]


def test_a_job_from_ready_to_result(session: Session, tmp_path: Path) -> None:
    asked = job(session, tmp_path)
    seen = list(session.run(asked, 60))
    hashes = [files.sha256_file(path) for path in MODELS]
    check_order([event["event"] for event in seen])
    assert seen[0]["protocol"] == protocol.PROTOCOL
    moments = [event["when"] for event in of_kind(seen, "condition")]
    assert moments[:1] + moments[-1:] == ["before", "after"]
    assert set(moments[1:-1]) <= {"process"}
    check_loaded(of_kind(seen, "loaded"), hashes)
    check_predictions(of_kind(seen, "outputs"), hashes)
    if session.facts.capabilities.raw_samples:
        check_latency(seen, hashes)
    else:
        check_summaries(of_kind(seen, "summary"), hashes)


def check_order(kinds: list[str]) -> None:
    assert kinds[:2] == ["ready", "condition"]
    assert kinds[-2:] == ["condition", "result"]
    known = {"condition", "loaded", "outputs", "memory", "warmup", "sample", "summary", "progress", "fit"}
    assert set(kinds[2:-2]) <= known
    if "sample" in kinds:
        assert "outputs" not in kinds[kinds.index("sample") :]


def check_loaded(loaded: list[Event], hashes: list[str]) -> None:
    assert {event["model"] for event in loaded} == set(hashes)
    for event in loaded:
        taken = event["delegated"]
        assert set(taken) - {"reasons"} == {"delegate", "nodes", "of", "partitions", "left"}
        assert 0 <= taken["nodes"] <= taken["of"]


def check_predictions(outputs: list[Event], hashes: list[str]) -> None:
    for sha256 in hashes:
        parts = [event for event in outputs if event["model"] == sha256]
        assert [event["start"] for event in parts] == [0]
        assert {event["of"] for event in parts} == {EXAMPLES}
        labels = [label for event in parts for label in event["labels"]]
        assert len(labels) == EXAMPLES
        assert all(type(label) is int and 0 <= label < 10 for label in labels)


def check_summaries(summaries: list[Event], hashes: list[str]) -> None:
    """The models in turns, where there is a latency at all."""
    turns = [(process, sha256) for process in range(PROCESSES) for sha256 in hashes]
    assert [(event["process"], event["model"]) for event in summaries] in ([], turns)
    for event in summaries:
        told = Told(**event["told"])
        assert told.n >= ROUNDS * SAMPLES
        assert 0 < told.min_ns <= told.mean_ns <= told.max_ns
        assert event["init_ns"] > 0
        assert event["first_ns"] > 0


def check_latency(seen: list[Event], hashes: list[str]) -> None:
    warmups, samples = of_kind(seen, "warmup"), of_kind(seen, "sample")
    assert sorted((event["process"], event["model"]) for event in warmups) == sorted(
        (process, sha256) for process in range(PROCESSES) for sha256 in hashes
    )
    for event in warmups:
        assert event["batch"] >= 1
        assert event["init_ns"] > 0
        assert event["first_ns"] > 0
        assert event["settled"] in (True, False)
    assert len(samples) == PROCESSES * ROUNDS * len(hashes)
    for event in samples:
        assert len(event["ns"]) == SAMPLES
        assert min(event["ns"]) > 0
        assert [len(frame) for frame in event["frame_ns"]] == [3] * SAMPLES
    assert {event["process"] for event in samples} == set(range(PROCESSES))


def test_nothing_is_done_that_was_not_asked_for(session: Session, tmp_path: Path) -> None:
    asked = job(session, tmp_path, want=("predictions",), models=job(session, tmp_path).models[:1])
    seen = list(session.run(asked, 60))
    assert not of_kind(seen, "sample")
    assert not any("raw" in event for event in of_kind(seen, "outputs"))
    assert len(of_kind(seen, "outputs")) == 1


def test_the_facts_tell_how_real_it_is(session: Session) -> None:
    assert session.facts.provenance in ("real", "fake", "simulated", "stand-in")
    assert {"machine", "system", "cpu", "cores", "python", "runtimes"} <= set(session.facts.machine)


def test_put_gives_the_hash(session: Session) -> None:
    assert session.put(MODELS[0]) == files.sha256_file(MODELS[0])
    assert session.put(MODELS[0]) == files.sha256_file(MODELS[0])


def test_clean_may_be_called_twice(session: Session) -> None:
    session.put(MODELS[0])
    session.clean()
    session.clean()


@pytest.mark.parametrize(
    ("code", "kind"),
    [("bad-model", EdgebigError), ("shape", EdgebigError), ("child-died", DeviceError), ("new", DeviceError)],
)
def test_a_fault_is_the_users_or_the_devices(code: str, kind: type[EdgebigError]) -> None:
    with pytest.raises(EdgebigError) as caught:
        protocol.raise_fault({"code": code, "problem": "what", "hint": "do"}, "its last words")
    assert type(caught.value) is kind
    assert caught.value.hint == "do"
    assert caught.value.problem == ("what\nits last words" if code == "child-died" else "what")


def test_a_job_says_its_protocol() -> None:
    values = {
        "models": (), "inputs": None, "examples": 0, "runtime": "r", "delegate": "d", "threads": 1, "processes": 1,
        "rounds": 1, "samples": 1, "warmup_s": 1.0, "want": (),
    }  # fmt: skip
    assert next(iter(Job(**values).to_json().items())) == ("schema", protocol.PROTOCOL)
