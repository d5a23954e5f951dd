"""Phones by their browsers: simulated ones speak the page's interface over real sockets and really run the model."""

from __future__ import annotations

import base64
import queue
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgebig import artifact, bench, comparing, delegation, device, drivers, measurement, phonepage, phones
from edgebig.bench import Settings, Subject
from edgebig.campaign import Found, Row
from edgebig.comparing.speed import Limits
from edgebig.data import source
from edgebig.device import BrowserDevice
from edgebig.drivers import browser, reception
from edgebig.errors import EXIT_BUG, DeviceError, EdgebigError
from edgebig.measurement import Measurement
from edgebig.ondevice import infer
from edgebig.phone import handset, server
from edgebig.phone.serving import Served
from edgebig.recipe import Data
from edgebig.report import several, table
from tests.phone import client
from tests.phone.client import PIXEL, Phone, events_of

pytest.importorskip("uvicorn", reason="needs uvicorn")
pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
QUICK = Settings(processes=3, rounds=2, samples=3, deadline_s=60.0)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A float net on 60 digits, with what the reference kernels make of them."""
    folder = tmp_path_factory.mktemp("subject")
    test = source.load(Data(source="digits-5k")).test[np.arange(60)]
    test.write_npy(folder / "inputs.npy")
    item = artifact.load(GOLDEN / "digits-float32.tflite")
    assert item.card is not None
    model = infer.Model(str(item.path), "ai-edge-litert", "reference", 1)
    outputs = infer.classify(model, test.images, item.card.preprocessing.model_dump())
    told = {"source": "digits-5k", "split": "test", "n": 60, "of": 1000, "leak_check": "in the test"}
    return Subject((item,), folder / "inputs.npy", test.labels, told, {item.sha256: outputs})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Served]:
    """What the next page that is served is; no LiteRT.js in it, which these phones do not need."""
    (tmp_path / "runtime").mkdir()
    packed = client.no_runtime(tmp_path / "runtime")
    box: queue.Queue[Served] = queue.Queue()
    monkeypatch.setattr(reception, "_show", lambda served, secured: box.put(served))
    monkeypatch.setattr(reception.runtime, "ready", lambda cache, given: packed)
    for module in (server, reception, browser):
        monkeypatch.setattr(module, "_LOOK_S", 0.01)
    return lambda: box.get(timeout=LIMIT_S)


def target(**keys: Any) -> BrowserDevice:
    return BrowserDevice(
        **{"name": "phone", "address": "127.0.0.1", "plain_http": True, "wait_s": LIMIT_S, **keys}
    )


class Measuring:
    """phones.measure in a thread, so that the test can be the phones."""

    def __init__(
        self, subject: Subject, wanted: BrowserDevice, settings: Settings, folder: Path, **more: Any
    ):
        def call() -> None:
            try:
                self.found = phones.measure(
                    subject, wanted, settings, lambda name: folder / f"{name}.json", **more
                )
            except EdgebigError as error:
                self.error = error

        self.found: phones.Phones | None = None
        self.error: EdgebigError | None = None
        self._thread = threading.Thread(target=call, daemon=True)
        self._thread.start()

    def end(self) -> EdgebigError | None:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        return self.error

    def result(self) -> tuple[phones.Phone, ...]:
        self._thread.join(LIMIT_S)
        assert self.error is None, self.error
        assert self.found is not None
        return self.found.phones

    def failure(self) -> EdgebigError:
        self._thread.join(LIMIT_S)
        assert self.error is not None
        return self.error


@pytest.fixture
def measuring(subject: Subject, opened: Any, tmp_path: Path) -> Callable[..., tuple[Measuring, Served]]:
    def start(wanted: BrowserDevice, settings: Settings = QUICK, **more: Any) -> tuple[Measuring, Served]:
        return Measuring(subject, wanted, settings, tmp_path, **more), opened()

    return start


def record_of(phone: phones.Phone) -> Measurement:
    assert phone.failure is None, phone.failure
    assert phone.path is not None
    assert phone.measurement == measurement.load(phone.path)
    assert phone.measurement is not None
    return phone.measurement


def predicted(subject: Subject) -> tuple[int, ...]:
    return tuple(int(label) for label in np.argmax(subject.reference[subject.artifacts[0].sha256], axis=1))


# ---------------------------------------------------------------- what is measured


def test_twenty_phones_side_by_side(
    subject: Subject, measuring: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running, served = measuring(target(phones=20))
    told: list[str] = []
    lives = [
        threading.Thread(
            target=lambda n=number: told.append(Phone(served, {**PIXEL, "model": f"Pixel {n}"}).live())
        )
        for number in range(20)
    ]
    for life in lives:
        life.start()
    found = running.result()
    for life in lives:
        life.join(LIMIT_S)
    assert told == ["measured"] * 20
    assert sorted(phone.name for phone in found) == sorted(f"phone-{n}" for n in range(1, 21))
    assert {phone.about for phone in found} == {f"Pixel {n}, Android 15, Chrome 143" for n in range(20)}
    for phone in found:
        record = record_of(phone)
        assert record.provenance == "real"
        assert record.device.model_dump()["kind"] == "browser"
        (model,) = record.models
        assert model.verdict == "OK"
        assert model.predictions == predicted(subject)
        assert [len(process) for process in model.latency.processes] == [6, 6, 6]
        assert (model.delegate.asked, model.delegate.actual, model.delegate.whole) == ("wasm", "wasm", True)
    said = capsys.readouterr().err
    assert said.count("is here: Pixel") == 20
    assert said.count("digits-float32") == 20


def test_what_the_record_says_of_the_phone(measuring: Any) -> None:
    running, served = measuring(target())
    Phone(served).live()
    record = record_of(running.result()[0])
    machine = record.machine.model_dump()
    assert (machine["machine"], machine["system"], machine["browser"]) == (
        "Pixel 8",
        "Android 15",
        "Chrome 143",
    )
    assert (machine["cores"], machine["timer_ns"], machine["isolated"]) == (9, 5000, True)
    assert machine["runtimes"] == {"litert.js": "2.5.3"}
    before = record.conditions[0].model_dump()
    assert before["battery"] == {"level": 0.8, "charging": True}
    notes = table.notes(record)
    assert any(line.startswith("in a browser: Chrome 143 on Android 15") and "5 us" in line for line in notes)


@pytest.mark.parametrize("drops", [2, 5, 9, 15])
@pytest.mark.parametrize("anew", [False, True], ids=["line lost", "page loaded anew"])
def test_a_phone_that_drops_out_goes_on_where_it_was(
    subject: Subject, measuring: Any, drops: int, anew: bool
) -> None:
    running, served = measuring(target())
    phone = Phone(served, drops=drops, anew=anew)
    assert phone.live() == "measured"
    (model,) = record_of(running.result()[0]).models
    assert model.predictions == predicted(subject)
    assert [len(process) for process in model.latency.processes] == [6, 6, 6]
    assert len(phone.jobs) == 2
    # What was whole is not asked for again: all answers, and the first process.
    left = {2: (True, 0), 5: (True, 0), 9: (False, 0), 15: (False, 1)}[drops] if anew else (True, 0)
    assert ("predictions" in phone.jobs[1]["want"], phone.jobs[1]["resume_from"]) == left


def test_wrong_answers_have_no_time(
    subject: Subject, measuring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = client._outputs
    monkeypatch.setattr(
        client, "_outputs", lambda sha, data, levels, images: honest(sha, data, levels[::-1], images)
    )
    running, served = measuring(target())
    Phone(served).live()
    record = record_of(running.result()[0])
    assert record.models[0].verdict == "WRONG"
    assert table.figures(record.models[0])[2:] == ["WRONG"] * 3


def lies(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Each event of simulated phones goes through `change`, which may take it away."""
    honest = client.events_of
    monkeypatch.setattr(
        client,
        "events_of",
        lambda *told: [new for event in honest(*told) if (new := change(event)) is not None],
    )


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda event: None if event["event"] == name else event


def loaded_by(delegate: str, nodes: int, **more: Any) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Each load says that `delegate` took so many of the one node."""
    taken = {"delegate": delegate, "nodes": nodes, "of": 1, "partitions": 1, "left": []}
    return lambda event: event | {"delegated": taken, **more} if event["event"] == "loaded" else event


def with_raw(values: Any, dtype: str = "float32") -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Outputs that are `values` for each picture."""

    def change(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] != "outputs":
            return event
        rows = np.tile(np.array(values, dtype), (len(event["labels"]), 1))
        return event | {"raw": base64.b64encode(rows.tobytes()).decode(), "dtype": dtype}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("outputs"), "left out something"),
        (without("loaded"), "left out something"),
        (with_raw([0.5] * 9), "outputs are not the model's"),
        (with_raw([1] * 10, "uint8"), "outputs are not the model's"),
        (lambda event: {k: v for k, v in event.items() if k != "raw"}, "outputs are not the model's"),
    ],
    ids=["no outputs", "no loaded", "nine classes", "bytes", "labels alone"],
)
def test_a_page_that_lies_has_no_record(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, change: Any, words: str
) -> None:
    lies(monkeypatch, change)
    running, served = measuring(target())
    assert words in Phone(served).live()
    error = running.failure()
    assert isinstance(error, DeviceError)
    assert words in error.problem


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_outputs_that_are_no_scores_are_wrong(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    lies(monkeypatch, with_raw([value] * 10))
    running, served = measuring(target())
    Phone(served).live()
    assert record_of(running.result()[0]).models[0].verdict == "WRONG"


@pytest.mark.parametrize(
    "facts", [{"user_agent": "HeadlessChrome/143"}, {"user_agent": "Chrome/1", "automated": True}]
)
def test_a_browser_that_a_program_drives_is_a_stand_in(measuring: Any, facts: dict[str, Any]) -> None:
    running, served = measuring(target())
    Phone(served, facts).live()
    assert record_of(running.result()[0]).provenance == "stand-in"


def test_what_a_browser_is_called_is_text_wherever_it_stands(
    measuring: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running, served = measuring(target())
    evil = {"user_agent": "\x1b]0;evil\x07<script>alert(1)</script> Chrome/143", "model": "\x1b[31m[red]<b>x"}
    Phone(served, evil).live()
    record = record_of(running.result()[0])
    assert "\x1b" not in capsys.readouterr().err
    table.show(record, Console(width=100))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]<b>x" in shown


# ---------------------------------------------------------------- what goes wrong


def test_where_nobody_comes(measuring: Any) -> None:
    running, _ = measuring(target(wait_s=0.3))
    error = running.failure()
    assert isinstance(error, DeviceError)
    assert "no phone opened the page within 0 s" in error.problem
    assert "phone-usb" in error.hint


@pytest.mark.slow
def test_where_fewer_come(measuring: Any) -> None:
    running, served = measuring(target(phones=3, wait_s=4.0))
    assert Phone(served).live() == "measured"
    assert [phone.name for phone in running.result()] == ["phone-1"]


def test_one_too_many_is_sent_away(measuring: Any) -> None:
    running, served = measuring(target())
    first = Phone(served)
    identity = first.join()
    line = first.line(identity)
    job = next(data for event, data in line if event == "job")
    other = Phone(served).request("POST", "/api/join", {"facts": PIXEL})
    assert other.status == 503
    assert other.json()["problem"].startswith("this bench has all the phones that it waits for")
    # Who is known is let in again all the same.
    assert first.join(phone=identity) == identity
    assert first._work(identity, job) is False
    line.close()
    record_of(running.result()[0])


def test_who_scans_the_code_twice_is_measured_by_the_second_page(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(handset, "LOST_S", 0.0)
    running, served = measuring(target())
    first = Phone(served)
    first.job(first.join())  # and its page is closed
    end_s = time.monotonic() + LIMIT_S
    while (answer := first.request("POST", "/api/join", {"facts": PIXEL})).status == 503:
        assert time.monotonic() < end_s  # the server has not seen yet that it is gone
        time.sleep(0.02)
    second = Phone(served, {**PIXEL, "model": "Pixel 9"})
    assert second.live() == "measured"
    (phone,) = running.result()
    assert phone.about.startswith("Pixel 9")
    assert record_of(phone).machine.model_dump()["machine"] == "Pixel 9"
    assert "phone-1 closed its page" in capsys.readouterr().err
    assert answer.status == 200


@pytest.mark.slow
def test_a_phone_that_stays_away_leaves_what_it_measured(
    subject: Subject, measuring: Any, tmp_path: Path
) -> None:
    running, served = measuring(target(), Settings(processes=3, rounds=2, samples=3, deadline_s=8.0))
    phone = Phone(served)
    identity = phone.join()
    task = phone.job(identity)
    events = list(events_of(task["job"], task["tables"], phone))
    second = next(at for at, event in enumerate(events) if event.get("process") == 2)
    assert phone.send(identity, task["number"], 0, events[:second]).status == 200
    error = running.failure()
    assert "not done after" in error.problem
    kept = measurement.load(tmp_path / "phone-1.json")
    assert kept.incomplete is not None
    assert kept.incomplete.processes == 1
    # The phone comes back another day, and measures what is missing.
    running, served = measuring(target(), QUICK, earlier=kept)
    again = Phone(served)
    assert again.live() == "measured"
    (model,) = record_of(running.result()[0]).models
    assert (again.jobs[0]["resume_from"], again.jobs[0]["want"]) == (1, ["latency", "energy"])
    assert model.predictions == predicted(subject)
    assert [len(process) for process in model.latency.processes] == [6, 6, 6]


def test_one_that_fails_does_not_take_the_others_along(measuring: Any) -> None:
    running, served = measuring(target(phones=2))
    good, bad = Phone(served), Phone(served)
    identity = bad.join()
    line = bad.line(identity)
    life = threading.Thread(target=good.live)
    life.start()
    job = next(data for event, data in line if event == "job")
    fault = {
        "event": "error",
        "code": "no-accelerator",
        "problem": "webgpu: none \x1b[2J",
        "hint": "use wasm",
    }
    assert bad.send(identity, job["number"], 0, [fault]).status == 200
    assert dict(line)["end"]["why"].startswith("webgpu: none")
    life.join(LIMIT_S)
    found = {phone.name: phone for phone in running.result()}
    failure = found["phone-1"].failure
    assert isinstance(failure, DeviceError)
    assert failure.hint == "use wasm"
    assert record_of(found["phone-2"]).models[0].verdict == "OK"


def broken_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that meets the phone of that name as it is measured, and no other."""
    measure_in = bench.measure_in

    def measured(session: Any, *more: Any, **named: Any) -> Measurement:
        if session.name == name:
            return {"p50": 1}["p60"]  # type: ignore[return-value]
        return measure_in(session, *more, **named)

    monkeypatch.setattr(bench, "measure_in", measured)


def test_a_bug_ends_the_phone_that_it_meets_and_no_other(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_for("phone-1", monkeypatch)
    running, served = measuring(target(phones=2))
    unlucky = Phone(served)
    assert dict(unlucky.line(unlucky.join()))["end"]["why"] == "a bug of the host's; its terminal tells more"
    assert Phone(served).live() == "measured"
    found = {phone.name: phone for phone in running.result()}
    assert record_of(found["phone-2"]).models[0].verdict == "OK"
    failure = found["phone-1"].failure
    assert failure is not None
    assert (failure.exit_code, failure.problem) == (EXIT_BUG, "a bug of edgebig's: KeyError: 'p60'")
    assert 'return {"p50": 1}["p60"]' in capsys.readouterr().err


def test_a_bug_does_not_close_the_page_that_is_open_to_all(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    broken_for("phone-1", monkeypatch)
    for part in GOLDEN.glob("digits-float32.*"):  # its record will lie beside it
        shutil.copy(part, tmp_path)
    offered = phonepage.offered([str(tmp_path / "digits-float32.tflite")])
    held: list[reception.Reception] = []
    told: queue.Queue[phones.Phone] = queue.Queue()
    settings = replace(QUICK, examples=20)
    serving = threading.Thread(
        target=phonepage.serve, args=(target(), offered, settings, None, held.append, told.put), daemon=True
    )
    serving.start()
    served = opened()
    unlucky = Phone(served)
    assert "a bug" in dict(unlucky.line(unlucky.join()))["end"]["why"]
    assert isinstance(told.get(timeout=LIMIT_S).failure, phones.Bug)
    assert Phone(served).live() == "measured"
    assert told.get(timeout=LIMIT_S).path in (tmp_path / "bench").iterdir()
    # Its owner may ask again, who met the bug.
    held[0].stop()
    serving.join(LIMIT_S)
    assert not serving.is_alive()


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    1e300,
    10**13,
    2**63,
    "",
    "\ud800",
    "x" * 9000,
    [],
    {},
    [[]],
    {"a": [1]},
)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_page_says_is_a_record_or_a_failure_and_never_a_bug(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Its events with odd values in odd places, left out, in another order, or said twice."""
    draw = random.Random(seed)

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict) and value:
            key = draw.choice(sorted(value))
            rest = {other: kept for other, kept in value.items() if other != key}
            return rest if draw.random() < 0.2 else {**rest, key: spoilt(value[key])}
        if isinstance(value, list) and value and draw.random() < 0.7:
            place = draw.randrange(len(value))
            return [*value[:place], spoilt(value[place]), *value[place + 1 :]]
        return draw.choice(ODD)

    running, served = measuring(target(phones=1), QUICK)
    phone = Phone(served)
    identity = phone.join()
    task = phone.job(identity)
    sent, events = 0, list(events_of(task["job"], task["tables"], phone))
    for event in events:
        # What is refused is said rightly then, until the host has all that it asked for, or has enough of it.
        for told in (*(spoilt(event) for _ in range(4)), draw.choice(events), event):
            try:
                answer = phone.send(identity, task["number"], sent, [told])
            except OSError:  # the host has ended
                break
            assert answer.status in (200, 400, 409), answer
            if answer.status == 200:
                sent = answer.json()["next"]
                break
    error = running.end()
    assert not isinstance(error, phones.Bug), error
    if error is None:
        record_of(running.result()[0])


def test_a_session_ends_with_whoever_holds_it(subject: Subject, opened: Any) -> None:
    """As other drivers' are used: the iterator is forgotten once it has given its first session."""
    box: list[Any] = []

    def hold() -> None:
        with next(iter(drivers.connect(target()).sessions())) as session:
            box.append(
                bench.measure_in(session, subject, target(), QUICK, shown=lambda steps=1, note="": None)
            )

    holder = threading.Thread(target=hold)
    holder.start()
    served = opened()
    assert Phone(served).live() == "measured"
    holder.join(LIMIT_S)
    assert box[0].models[0].verdict == "OK"
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        try:
            socket.create_connection(("127.0.0.1", served.port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("the server outlives its last session")


def test_what_no_browser_gives_is_refused_before_a_phone_is_asked_to_come(
    subject: Subject, tmp_path: Path
) -> None:
    settings = Settings(cores="0", priority=5, cool_down_c=40.0, profile=True)
    error = Measuring(subject, target(), settings, tmp_path).end()
    assert error is not None
    assert "--cores, --priority, --cool-down, --profile" in error.problem
    assert "--soak" in error.hint


SOAKED = replace(QUICK, soak_s=6.0)


def slower(second: int) -> int:
    """p50 in ns of a phone that becomes warm."""
    return 50_000 + 1_000 * second


def test_a_soak(measuring: Any) -> None:
    running, served = measuring(target(), SOAKED)
    assert Phone(served).live() == "measured"
    record = record_of(running.result()[0])
    soak = record.models[0].soak
    assert soak is not None
    assert [point[2] for point in soak.points] == [slower(second) for second in range(1, 7)]
    assert "soak of 6 s" in "\n".join(table.notes(record))
    assert any(one.model_dump().get("at_s") == 1.0 for one in record.conditions)


@pytest.mark.parametrize("drops", [19, 22, 25])
def test_a_soak_that_was_cut_off_is_done_again(measuring: Any, drops: int) -> None:
    """By a page that is loaded anew: nobody knows how long it was away, and it has cooled."""
    running, served = measuring(target(), SOAKED)
    phone = Phone(served, drops=drops, anew=True)
    assert phone.live() == "measured"
    assert [job["resume_from"] for job in phone.jobs] == [0, 2 if drops == 19 else 3]
    (model,) = record_of(running.result()[0]).models
    assert model.soak is not None
    assert len(model.soak.points) == 6
    assert [len(process) for process in model.latency.processes] == [6, 6, 6]


def test_a_soak_that_is_short_is_none(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lies(monkeypatch, lambda event: None if event.get("at_s") == 6.0 else event)
    running, served = measuring(target(), SOAKED)
    assert "left out something" in Phone(served).live()
    assert "left out something" in running.failure().problem


def test_inputs_that_no_browser_takes_are_refused(subject: Subject, opened: Any, tmp_path: Path) -> None:
    item = artifact.load(GOLDEN / "digits-int8.tflite")
    running = Measuring(
        Subject((item,), subject.inputs, subject.labels, subject.data), target(), QUICK, tmp_path
    )
    Phone(opened()).live()
    error = running.failure()
    assert "LiteRT.js takes float32 or uint8" in error.problem
    assert "--for browser" in error.hint


# ---------------------------------------------------------------- beside others


def test_a_browsers_times_are_held_against_no_others(measuring: Any) -> None:
    running, served = measuring(target())
    Phone(served).live()
    phone = record_of(running.result()[0])
    native = phone.model_copy(
        update={"device": measurement.Open.model_validate({**phone.device.model_dump(), "kind": "local"})}
    )
    for a, b in ((phone, native), (native, phone)):
        (pair,) = comparing.records(a, b, Limits(), ("a", "b")).pairs
        assert pair.speed.verdict == "INCONCLUSIVE"
        assert pair.speed.ratio is None
        assert "in a browser" in pair.speed.why
    (pair,) = comparing.records(phone, phone.model_copy(), Limits(), ("a", "b")).pairs
    assert pair.speed.ratio is not None


def test_the_files_of_devices_say_what_they_are() -> None:
    assert device.load("phone").kind == device.load("phone-usb").kind == "browser"
    assert device.load("phone-usb").model_dump()["usb"] is True
    with pytest.raises(EdgebigError, match="delegate"):
        device.of_facts({"name": "x", "kind": "browser", "delegate": "xnnpack"}, "x.toml")


def test_no_native_figure_is_read_beside_a_browsers(
    measuring: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running, served = measuring(target())
    Phone(served).live()
    phone = record_of(running.result()[0])
    native = phone.model_copy(
        update={"device": measurement.Open.model_validate({"name": "pi", "kind": "ssh"})}
    )
    rows = [Row("phone", "", phone, Path("a.json")), Row("pi", "", native, Path("b.json"))]
    several.show(Found(rows), Console(width=100))
    shown = capsys.readouterr().out
    first, second = shown.split("(browser)")
    assert "pi " in first
    assert "phone " not in first
    assert "phone " in second.split("all:")[0]


def test_a_delegate_that_fell_back_is_told(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"asked": "webgpu", "actual": "wasm", "fully": False, "variant": "simd"}
    lies(monkeypatch, loaded_by("wasm", 0, accelerator=told))
    running, served = measuring(target(delegate="webgpu"))
    Phone(served).live()
    record = record_of(running.result()[0])
    (model,) = record.models
    assert (model.verdict, model.cause) == ("PARTIAL", "webgpu was asked for, and wasm ran it")
    assert model.delegate.told is not None
    assert model.delegate.told.model_dump() == told
    assert delegation.shortfalls(record)


def test_a_gpu_that_a_processor_plays_is_software(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = {"name": "SwiftShader", "kind": "software"}
    lies(monkeypatch, loaded_by("webgpu", 1, adapter=adapter))
    running, served = measuring(target(delegate="webgpu"))
    Phone(served).live()
    record = record_of(running.result()[0])
    assert (record.provenance, record.models[0].verdict) == ("software", "OK")


def test_a_phone_that_falls_asleep_is_told_of_and_waited_for(
    measuring: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(handset, "AWAY_S", 0.2)
    running, served = measuring(target())
    phone = Phone(served)
    identity = phone.join()
    task = phone.job(identity)
    said, end_s = "", time.monotonic() + LIMIT_S
    while "asleep or out of reach" not in said and time.monotonic() < end_s:
        said += capsys.readouterr().err
        time.sleep(0.05)
    assert "phone-1 is asleep or out of reach; it goes on when its page is in front again" in said
    again = next(data for event, data in phone.line(identity, has=task["number"]) if event == "job")
    assert again["number"] == task["number"]
    phone._work(identity, again)
    record_of(running.result()[0])
