"""edgebig blame: by real runs of real models, and by devices that are wrong in one known way."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import artifact, blame, device, drivers, files, metadata, runs, stats
from edgebig.artifact import Artifact
from edgebig.blame import Asked, Blame, chain, running
from edgebig.blame.chain import Answers, Step
from edgebig.data import source
from edgebig.device import Device, FakeDevice, LocalDevice
from edgebig.drivers.protocol import DeviceFacts, Event, Job, Session
from edgebig.errors import EdgebigError
from edgebig.recipe import Data
from edgebig.report import blame as report
from tests.commandline import exit_code

GOLDEN = Path(__file__).resolve().parent / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def model(folder: Path, name: str = "digits-int8", **changes: Any) -> Artifact:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(GOLDEN / f"{name}.tflite", folder / f"{name}.tflite")
    card = {**json.loads((GOLDEN / f"{name}.json").read_text()), **changes}
    (folder / f"{name}.json").write_text(json.dumps(card))
    artifact.write_hashes(folder, source.load(Data(source="digits-5k")).train.hashes)
    return artifact.load(folder / f"{name}.tflite")


# ---------------------------------------------------------------- who is to blame, as such


def answers(labels: list[int], inputs: list[str] | None = None, **step: str) -> Answers:
    values = {"where": "x", "machine": "m", "runtime": "r", "kernels": "k", **step}
    return Answers(Step(**values), np.array(labels, np.int64), None, tuple(inputs) if inputs else None)


def blamed(*steps: Answers) -> list[tuple[str, int, tuple[int, ...]]]:
    found = chain.changes(steps, None)
    return [(one.what, one.change, one.examples) for one in chain.blamed(steps, found)]


SAME = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"runtime": "s"}, "runtime"), ({"machine": "n"}, "machine"), ({"kernels": "l"}, "kernels"),
     ({"runtime": "s", "kernels": "l"}, "unknown"), ({}, "chance")],
)  # fmt: skip
def test_what_alone_was_changed_is_to_blame(changed: dict[str, str], what: str) -> None:
    assert blamed(answers([1, 2, 3], SAME), answers([1, 9, 3], SAME, **changed)) == [(what, 0, (1,))]


def test_another_input_is_to_blame_before_all_else() -> None:
    before, after = answers([1, 2, 3], SAME), answers([1, 9, 8], ["a", "b", "z"], machine="n")
    # Of the second picture the same input was made: there it is the machine.
    assert sorted(blamed(before, after)) == [("machine", 0, (1,)), ("preprocessing", 0, (2,))]


def test_a_machine_that_does_not_tell_its_input_is_not_told_from_its_preprocessing() -> None:
    before, after = answers([1, 2, 3], SAME), answers([1, 2, 8], machine="n")
    assert blamed(before, after) == [("unknown", 0, (2,))]
    # What is changed on that machine later is told all the same.
    assert blamed(before, answers([1, 2, 3], machine="n"), answers([1, 2, 8], machine="n", kernels="l")) == [
        ("kernels", 1, (2,))
    ]


def test_what_was_undone_is_nobodys() -> None:
    there_and_back = [
        answers([1, 2, 3], SAME),
        answers([1, 9, 3], SAME, kernels="l"),
        answers([1, 2, 3], SAME),
    ]
    assert blamed(*there_and_back) == []
    assert [change.labels for change in chain.changes(there_and_back, None)] == [(1,), (1,)]


@given(st.integers(2, 6).flatmap(lambda k: st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5),
                                                   min_size=k, max_size=k)))  # fmt: skip
def test_each_example_that_differs_is_laid_to_one_change(labels: list[list[int]]) -> None:
    steps = [answers(row, ["i"] * 5, kernels=str(place)) for place, row in enumerate(labels)]
    found = blamed(*steps)
    laid = sorted(example for _, _, examples in found for example in examples)
    assert laid == [place for place in range(5) if labels[0][place] != labels[-1][place]]
    for what, place, examples in found:
        assert what == "kernels"
        for example in examples:
            assert labels[place][example] != labels[place + 1][example]
            assert len({row[example] for row in labels[place + 1 :]}) == 1


# ---------------------------------------------------------------- real kernels


@pytest.mark.slow
def test_xnnpack_is_to_blame_where_the_reference_kernels_say_something_else() -> None:
    item, target = artifact.load(runs.zoo()["digits-nano"]), device.load("reference")
    found = blame.blame(item, target, Asked(source="digits-5k"))
    assert [(step.where, step.kernels) for step in found.steps] == [
        ("here", "xnnpack"), ("here", "reference"), ("reference", "reference"),
    ]  # fmt: skip
    assert found.changes[1].factors == ()
    assert found.changes[1].parity is not None
    assert found.changes[1].parity.largest_difference == 0
    told = report.lines(found)
    if not found.examples:  # Of which digits the kernels differ is another thing on every processor.
        assert any(line.startswith("Nothing to blame") for line in told)
        return
    (one,) = found.blamed
    assert (one.what, one.change) == ("kernels", 0)
    assert [example.index for example in found.examples] == list(one.examples)
    assert any(line.startswith("To blame: xnnpack in ai-edge-litert") for line in told)


def test_this_machine_agrees_with_itself(tmp_path: Path) -> None:
    found = blame.blame(model(tmp_path), device.load("local"), Asked(count=200))
    assert [step.kernels for step in found.steps] == ["xnnpack", "reference", "reference", "none", "xnnpack"]
    assert (found.blamed, found.examples, found.skipped, found.doubts) == ((), (), (), ())
    assert all(not change.inputs for change in found.changes)
    assert "Nothing to blame" in report.lines(found)[-1]


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="needs Python 3.11 or older")
def test_another_runtime_is_a_step_of_its_own(tmp_path: Path, environments: Callable[[str], Path]) -> None:
    environments("tflite-runtime")
    item = artifact.load(runs.zoo()["digits-nano"])
    found = blame.blame(item, device.load("tflite-runtime"), Asked(source="digits-5k"))
    assert [step.runtime.split()[0] for step in found.steps] == ["ai-edge-litert"] * 2 + [
        "tflite-runtime"
    ] * 3
    assert found.changes[1].factors == ("runtime",)
    # The reference kernels of both give the same numbers, from the same inputs.
    assert found.changes[1].parity is not None
    assert found.changes[1].parity.largest_difference == 0
    assert all(one.what == "kernels" for one in found.blamed)


@pytest.mark.parametrize(
    ("target", "kernels", "bridge"),
    [
        (LocalDevice(name="x"), ["reference", "none", "xnnpack"], "reference"),
        (LocalDevice(name="x", delegate="reference"), ["reference"], "reference"),
        (LocalDevice(name="x", delegate="none"), ["reference", "none"], "reference"),
        (LocalDevice(name="x", runtime="tensorflow", delegate="gpu"), ["none", "gpu"], "reference"),
        (device.McuDevice(name="x"), ["none"], "reference"),
        (device.McuDevice(name="x", delegate="ethos-u55-64"), ["ethos-u55-64"], "reference"),
        (device.AdbDevice(name="x", delegate="gpu"), ["none", "gpu"], "none"),
        (device.AdbDevice(name="x", runtime="ai-edge-litert"), ["reference", "none", "xnnpack"], "reference"),
        (FakeDevice(name="x"), ["xnnpack"], "reference"),
    ],
)
def test_each_device_by_what_it_has(target: Device, kernels: list[str], bridge: str) -> None:
    assert running.kernels_of(target) == kernels
    assert running.bridge_to(target) == bridge


# ---------------------------------------------------------------- devices that are wrong in one known way


class Altered:
    """This machine under another name, with jobs and events altered; `facts` may be another machine's."""

    def __init__(
        self, session: Session, job: Callable[[Job], Job], event: Callable[[Job, Event], Event], machine: str
    ) -> None:
        self.put, self.clean, self._session, self._job, self._event = (
            session.put, session.clean, session, job, event
        )  # fmt: skip
        facts = session.facts
        self.facts = DeviceFacts(facts.provenance, {**facts.machine, "cpu": machine}, facts.capabilities)

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        for event in self._session.run(self._job(job), deadline_s):
            yield self._event(job, event)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Device]:
    """Makes a board that ssh would reach, played by this machine, which alters what goes in and out."""
    connect = drivers.connect

    def make(
        job: Callable[[Job], Job] = lambda job: job,
        event: Callable[[Job, Event], Event] = lambda job, event: event,
        delegate: str = "xnnpack",
    ) -> Device:
        class Driver:
            def sessions(self) -> Iterator[contextlib.AbstractContextManager[Any]]:
                yield self.session()

            @contextlib.contextmanager
            def session(self) -> Iterator[Any]:
                with next(iter(connect(LocalDevice(name="played")).sessions())) as session:
                    yield Altered(session, job, event, "Cortex-A72")

        def connected(target: Device) -> Any:
            return Driver() if target.name == "board" else connect(target)

        monkeypatch.setattr(drivers, "connect", connected)
        return device.SshDevice(name="board", address="nowhere", delegate=delegate)

    return make


def shifted(event: Event, places: int = 1) -> Event:
    """An `outputs` event with every label another one, and raw outputs that say so."""
    raw = np.frombuffer(base64.b64decode(event["raw"]), event["dtype"]).reshape(len(event["labels"]), -1)
    raw = np.roll(raw, places, axis=1)
    labels = [int(label) for label in np.argmax(raw, axis=1)]
    return {**event, "raw": base64.b64encode(raw.tobytes()).decode(), "labels": labels}


@pytest.mark.slow
def test_a_wrong_delegate_is_blamed(tmp_path: Path, board: Callable[..., Device]) -> None:
    def wrong(job: Job, event: Event) -> Event:
        return shifted(event) if event["event"] == "outputs" and job.delegate == "xnnpack" else event

    found = blame.blame(model(tmp_path), board(event=wrong), Asked(count=50))
    assert len(found.examples) == 50
    (one,) = found.blamed
    assert (one.what, one.factors) == ("kernels", ("kernels",))
    assert found.changes[one.change].after == found.steps[-1]
    told = "\n".join(report.lines(found))
    assert "To blame: xnnpack in ai-edge-litert" in told
    assert "on board, against 'none' (50 of 50, step 4)" in told
    assert "and 30 more: --json names them all" in told


@pytest.mark.slow
def test_a_wrong_machine_is_blamed(tmp_path: Path, board: Callable[..., Device]) -> None:
    def wrong(job: Job, event: Event) -> Event:
        return shifted(event) if event["event"] == "outputs" else event

    found = blame.blame(model(tmp_path), board(event=wrong), Asked(count=20))
    assert [(one.what, len(one.examples)) for one in found.blamed] == [("machine", 20)]


@pytest.mark.slow
def test_other_preprocessing_on_the_device_is_blamed(tmp_path: Path, board: Callable[..., Device]) -> None:
    def inverted(job: Job) -> Job:
        models = [
            one.model_copy(update={"preprocessing": {**(one.preprocessing or {}), "ink_is_high": False}})
            for one in job.models
        ]
        return job.model_copy(update={"models": tuple(models)})

    found = blame.blame(model(tmp_path), board(job=inverted), Asked(count=50))
    assert found.blamed
    assert {one.what for one in found.blamed} == {"preprocessing"}
    assert len(found.changes[1].inputs) == 50
    assert any("board makes another input of them than here" in line for line in report.lines(found))


@pytest.mark.slow
def test_a_device_that_tells_no_input_leaves_two_suspects(
    tmp_path: Path, board: Callable[..., Device]
) -> None:
    def silent(job: Job, event: Event) -> Event:
        if event["event"] != "outputs":
            return event
        return shifted({name: value for name, value in event.items() if name != "inputs"})

    found = blame.blame(model(tmp_path), board(event=silent), Asked(count=20))
    assert [(one.what, one.factors) for one in found.blamed] == [("unknown", ("preprocessing", "machine"))]
    assert any(
        "cannot be told: preprocessing, machine changed at once" in line for line in report.lines(found)
    )


@pytest.mark.slow
def test_another_version_that_is_not_here_leaves_two_suspects(
    tmp_path: Path, board: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = running.Place.runtime.fget
    assert real is not None

    def version(place: running.Place) -> str:
        return "ai-edge-litert 2.1.0" if place.where == "board" else real(place)

    monkeypatch.setattr(running.Place, "runtime", property(version))

    def wrong(job: Job, event: Event) -> Event:
        return shifted(event) if event["event"] == "outputs" else event

    found = blame.blame(model(tmp_path), board(event=wrong), Asked(count=20))
    assert found.skipped == ("here, ai-edge-litert 2.1.0: this machine has no environment of that version",)
    assert [(one.what, one.factors) for one in found.blamed] == [("unknown", ("runtime", "machine"))]


@pytest.mark.slow
def test_kernels_that_a_device_has_not_are_left_out(tmp_path: Path, board: Callable[..., Device]) -> None:
    def refuse(job: Job) -> Job:
        if job.delegate == "none":
            raise EdgebigError("board: no plain kernels", "")
        return job

    found = blame.blame(model(tmp_path), board(job=refuse), Asked(count=20))
    assert [step.kernels for step in found.steps] == ["xnnpack", "reference", "reference", "xnnpack"]
    assert found.skipped[0].endswith("none: board: no plain kernels")

    def fail(job: Job) -> Job:
        raise EdgebigError("board: nothing runs", "")

    with pytest.raises(EdgebigError, match="board: nothing runs"):
        blame.blame(model(tmp_path), board(job=fail), Asked(count=20))


def test_the_fake_device_is_stamped(tmp_path: Path) -> None:
    found = blame.blame(model(tmp_path), FakeDevice(name="fake"), Asked(count=20))
    assert report.lines(found)[0].startswith("MADE UP")
    assert {one.what for one in found.blamed} == {"unknown"}


# ---------------------------------------------------------------- a card that was altered


@pytest.mark.slow
def test_a_card_that_contradicts_the_files_metadata_is_blamed(tmp_path: Path) -> None:
    said = metadata.attach_metadata(
        (GOLDEN / "digits-int8.tflite").read_bytes(),
        name="digits", description="", labels=list("0123456789"), mean=0.0, std=255.0,
    )  # fmt: skip
    item = model(tmp_path)
    item.path.write_bytes(said)
    card = json.loads((GOLDEN / "digits-int8.json").read_text())
    doubts = {}
    for high in (1.0, 255.0):
        card |= {"sha256": files.sha256_bytes(said), "preprocessing": {**card["preprocessing"], "high": high}}
        item.path.with_suffix(".json").write_text(json.dumps(card))
        found = blame.blame(artifact.load(item.path), device.load("reference"), Asked(count=50))
        doubts[high] = found.doubts
    assert doubts[1.0] == ()
    assert doubts[255.0] == (
        "the file's own metadata says that its input's std is 255, the card's low and high make it 1",
    )
    assert any(line.startswith("To blame: preprocessing: the card") for line in report.lines(found))


@pytest.mark.slow
def test_a_card_under_which_the_model_reads_much_worse_is_blamed(tmp_path: Path) -> None:
    right = stats.accuracy_interval(911, 1000)
    measured = {"split": "test", "runtime": "ai-edge-litert 2.3.0", **vars(right)}
    good = blame.blame(model(tmp_path / "a", host_accuracy=measured), device.load("reference"), Asked())
    assert good.doubts == ()
    as_it_was = json.loads((GOLDEN / "digits-int8.json").read_text())["preprocessing"]
    altered = model(tmp_path / "b", host_accuracy=measured, preprocessing={**as_it_was, "ink_is_high": False})
    (doubt,) = blame.blame(altered, device.load("reference"), Asked()).doubts
    assert "its card says 91.10%" in doubt


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_all_of_it_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(model(tmp_path).path)
    assert exit_code("blame", path, "--device", "fake", "--examples", "20", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert next(iter(found)) == "schema"
    assert set(found) == {"schema", *Blame.__dataclass_fields__}
    assert {one["picture"] for one in found["examples"]}
    assert exit_code("blame", path, "--device", "fake", "--examples", "20") == 0
    assert "MADE UP" in capsys.readouterr().out


def test_a_model_without_a_card_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(GOLDEN / "digits-int8.tflite", tmp_path / "stray.tflite")
    assert exit_code("blame", str(tmp_path / "stray.tflite")) == 1
    assert "no card beside it" in capsys.readouterr().err
