"""A job that is cut off anywhere: what is kept, and that the rest put behind it is the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import artifact, bench, device, drivers, measurement, partial
from edgebig.collecting import Collected
from edgebig.drivers.protocol import Event, Job, JobModel
from edgebig.errors import DeviceError, EdgebigError
from edgebig.measurement import Measurement

GOLDEN = Path(__file__).resolve().parent / "golden"
MODELS = tuple(JobModel(sha256=name, name=name, preprocessing={}) for name in "ab")
JOB = Job(
    models=MODELS, inputs="0", examples=1200, runtime="ai-edge-litert", delegate="xnnpack", threads=1, processes=3,
    rounds=2, samples=2, warmup_s=0.1, want=("predictions", "outputs", "latency"),
)  # fmt: skip


def events_of(job: Job) -> list[Event]:
    with next(iter(drivers.connect(device.load("fake")).sessions())) as session:
        return list(session.run(job, 1.0))


EVENTS = events_of(JOB)


def sorted_out(events: list[Event]) -> dict[str, Any]:
    """All but the times, which the fake device draws anew in each session: their processes and numbers."""
    collected = Collected()
    for event in events:
        collected.add(event)
    values = dict(vars(collected))
    values.pop("conditions")
    values["samples"] = {
        model: {process: [len(event["ns"]) for event in turns] for process, turns in processes.items()}
        for model, processes in collected.samples.items()
    }
    return values


@given(cut=st.integers(0, len(EVENTS) - 1))
def test_wherever_it_is_cut_off_the_rest_makes_it_whole(cut: int) -> None:
    part = partial.kept(JOB, EVENTS[:cut], "gone")
    seen = [event for event in EVENTS[:cut] if event["event"] in ("outputs", "sample")]
    if part is None:
        assert not seen
        return
    kept = [event.model_dump() for event in part.events]
    rest = partial.rest(JOB, part)
    assert rest.resume_from == part.processes
    answers = sum(len(event["labels"]) for event in seen if event["event"] == "outputs")
    assert (part.answers, part.answers_of) == (answers, 2400)
    assert ("predictions" in rest.want) == (answers < 2400)
    assert [model.answered for model in rest.models] == [min(answers, 1200), max(answers - 1200, 0)]
    assert sorted_out(kept + events_of(rest)) == sorted_out(EVENTS)
    # A driver that takes no notice of what was answered answers it all again.
    anew = rest.model_copy(update={"models": MODELS})
    assert sorted_out(kept + events_of(anew)) == sorted_out(EVENTS)
    # What is shown of it is whole: all answers of a model, or none.
    shown = [event for event in partial.shown(JOB, part) if event["event"] == "outputs"]
    assert {sum(len(e["labels"]) for e in shown if e["model"] == name) for name in "ab"} <= {0, 1200}
    # Only the process that was cut off is measured anew.
    assert part.processes >= max((event.get("process", 0) for event in EVENTS[:cut]), default=0)


def test_without_any_model_that_predicts_nothing_is_kept_before_the_first_process() -> None:
    timed = JOB.model_copy(update={"want": ("latency",)})
    events = events_of(timed)
    first = next(at for at, event in enumerate(events) if event["event"] == "warmup")
    assert partial.kept(timed, events[:first], "gone") is None


def test_answers_that_were_cut_off_are_a_record_too(tmp_path: Path) -> None:
    cut = next(at for at, event in enumerate(EVENTS) if event["event"] == "outputs") + 2
    part = partial.kept(JOB, EVENTS[:cut], "gone")
    assert part is not None
    assert (part.processes, part.answers, part.answers_of) == (0, 1000, 2400)
    record = measurement.Measurement(
        provenance="fake", device={"name": "a"}, machine={}, conditions=(), settings={}, data={}, models=(),
        comparisons=(), incomplete=part,
    )  # fmt: skip
    told = partial.Unfinished(DeviceError("gone", "bring it back"), record).keep(tmp_path / "part.json")
    assert told.problem == f"gone\n1,000 of 2,400 answers and no process are kept in {tmp_path}/part.json"
    assert partial.load(tmp_path / "part.json")[1] == part


def test_another_job_is_not_gone_on_with() -> None:
    part = partial.kept(JOB, EVENTS, "gone")
    assert part is not None
    with pytest.raises(EdgebigError, match="otherwise than it would be now: inputs, threads"):
        partial.rest(JOB.model_copy(update={"inputs": "1", "threads": 2}), part)
    named = tuple(model.model_copy(update={"name": "elsewhere"}) for model in MODELS)
    assert partial.rest(JOB.model_copy(update={"models": named}), part).resume_from == 3


GONE = DeviceError("it went away", "bring it back")


SETTINGS = bench.Settings(20, processes=3, energy=False)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bench.Subject]:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    models = [artifact.load(GOLDEN / f"digits-{name}.tflite") for name in ("int8", "float32")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with bench.prepared(models, SETTINGS, None) as prepared:
            yield prepared


@pytest.fixture
def benched(subject: bench.Subject, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measurement]:
    """Measures three processes; in the last one `ends_by` is raised."""
    from edgebig.drivers.fake import FakeSession

    run = FakeSession.run

    def measured(ends_by: BaseException | None, earlier: Measurement | None = None) -> Measurement:
        def cut_off(self: FakeSession, job: Job, deadline_s: float) -> Any:
            for event in run(self, job, deadline_s):
                yield event
                if ends_by is not None and event.get("process") == 2:
                    raise ends_by

        with monkeypatch.context() as patched:
            patched.setattr(FakeSession, "run", cut_off)
            return bench.measure(subject, device.load("fake"), SETTINGS, earlier)

    return measured


@pytest.mark.parametrize(
    ("ends_by", "why", "before", "code"),
    [(GONE, "it went away", "bring it back; then ", 4), (KeyboardInterrupt(), "stopped", "", 130)],
    ids=["gone", "Ctrl-C"],
)
def test_the_part_is_a_record_that_is_gone_on_with(
    benched: Callable[..., Measurement],
    tmp_path: Path,
    ends_by: BaseException,
    why: str,
    before: str,
    code: int,
) -> None:
    with pytest.raises(partial.Unfinished, match=why) as caught:
        benched(ends_by)
    told = caught.value.keep(tmp_path / "part.json")
    assert told.problem == f"{why}\n2 of 3 processes are kept in {tmp_path}/part.json"
    assert told.hint == f"{before}go on with: edgebig bench --resume {tmp_path}/part.json"
    assert told.exit_code == code
    record, part = partial.load(tmp_path / "part.json")
    assert (part.processes, part.of, part.why) == (2, 3, why)
    assert [len(model.latency.processes) for model in record.models] == [2, 2]
    whole = benched(None, earlier=record)
    assert whole.incomplete is None
    assert [len(model.latency.processes) for model in whole.models] == [3, 3]
    assert whole.models[0].predictions == record.models[0].predictions
    measurement.save(whole, tmp_path / "whole.json")
    with pytest.raises(EdgebigError, match="it is complete, nothing is left to measure"):
        partial.load(tmp_path / "whole.json")


def test_another_machine_does_not_go_on(benched: Callable[..., Measurement]) -> None:
    with pytest.raises(partial.Unfinished) as caught:
        benched(GONE)
    other = caught.value.measurement.model_copy(
        update={"machine": measurement.Open.model_validate({"machine": "fake", "cpu": "another"})}
    )
    with pytest.raises(EdgebigError, match="on another machine: cpu was another, now none"):
        benched(None, earlier=other)
