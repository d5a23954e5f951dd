"""The page in a host's bench: the real server, the real page in Chromium, LiteRT.js; over drops, sleep and reloads."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgebig import artifact, files, flatbuffer
from edgebig.check import tflite
from edgebig.data.examples import Examples
from edgebig.export import webmodel
from edgebig.export.webmodel import WebModel
from edgebig.ondevice import infer
from edgebig.phone import assets
from edgebig.phone.hub import Again, Handset, Hub
from edgebig.phone.runtime import Runtime
from edgebig.phone.server import Site
from edgebig.phone.serving import Served, serving

from .conftest import ZOO, Digits, Phone, embedded

pytestmark = pytest.mark.browser

ROUNDS, SAMPLES = 2, 5
AWAY = "Object.defineProperty(Document.prototype, 'hidden', { get: () => self.away === true });"
HIDE = "(away) => { self.away = away; document.dispatchEvent(new Event('visibilitychange')); }"


class Host:
    """A bench of models on the embedded test digits, for the first phone that comes."""

    def __init__(self, served: Served, hub: Hub, models: list[tuple[str, bytes]]) -> None:
        self.served, self.hub, self.models = served, hub, models
        self.digits: Digits = embedded(2)
        self.events: list[dict[str, Any]] = []
        self.again = 0

    def job(self, examples: int, **changes: Any) -> dict[str, Any]:
        pixels = np.ascontiguousarray(self.digits.images[:examples]).tobytes()
        inputs = files.sha256_bytes(pixels)
        self.hub.put(inputs, pixels)
        for _, data in self.models:
            self.hub.put(files.sha256_bytes(data), data)
        preprocessing = artifact.read_card(ZOO / "digits.json").preprocessing.model_dump(mode="json")
        rows = [
            {"sha256": files.sha256_bytes(data), "name": name, "preprocessing": preprocessing}
            for name, data in self.models
        ]
        return {
            "schema": 1, "models": rows, "inputs": inputs, "inputs_shape": [examples, 28, 28, 1], "examples": examples,
            "runtime": "litertjs", "delegate": "wasm", "threads": 1, "gpu_precision": "float32", "processes": 2,
            "rounds": ROUNDS, "samples": SAMPLES, "warmup_s": 1.0, "resume_from": 0,
            "want": ["latency", "predictions", "outputs"], **changes,
        }  # fmt: skip

    def give(self, phone: Handset, job: dict[str, Any]) -> None:
        tables = {}
        for row, (name, data) in zip(job["models"], self.models, strict=True):
            contract = flatbuffer.io_contract(data, name).inputs[0]
            tensor = infer.Tensor(
                "", contract.dtype, contract.shape, contract.scale or 0.0, contract.zero_point or 0
            )
            tables[row["sha256"]] = infer.input_table(tensor, row["preprocessing"]).tolist()
        self.hub.give(phone, job, tables, 1)

    def follow(self, phone: Handset, page: Any, to: str | None = None, limit_s: float = 90) -> None:
        """Takes the events to the last, or to the first of the name `to`, while the page's own are heard."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            page.wait_for_timeout(20)
            while not phone.answers.empty():
                answer = phone.answers.get()
                if isinstance(answer, Again):
                    assert to is None
                    self.again += 1
                    return
                self.events.append(answer)
                if answer["event"] in ((to,) if to else ("result", "error")):
                    return
        raise AssertionError(f"no end of it; the last was {self.events[-1:]}")

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def labels(self, number: int = 0) -> npt.NDArray[Any]:
        sha256 = files.sha256_bytes(self.models[number][1])
        return np.concatenate([one["labels"] for one in self.of("outputs") if one["model"] == sha256])


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> WebModel:
    return webmodel.prepare(artifact.load(ZOO / "digits.tflite"), tmp_path_factory.mktemp("browser"))


@contextmanager
def hosting(litertjs: Runtime, models: list[tuple[str, bytes]]) -> Iterator[Host]:
    hub = Hub("bench", 10)
    with serving(Site(assets.load(litertjs)), hub, "127.0.0.1", None) as served:
        yield Host(served, hub, models)


@pytest.fixture
def host(litertjs: Runtime, digits_model: WebModel) -> Iterator[Host]:
    with hosting(litertjs, [(digits_model.name, digits_model.data)]) as one:
        yield one


def arrive(host: Host, phone: Phone, job: dict[str, Any]) -> Handset:
    """Opens the address that was shown, and gives the job to the phone that comes."""
    phone.page.goto(host.served.url)
    handset = host.hub.arrival(20)
    assert handset is not None
    host.give(handset, job)
    return handset


def test_the_browser_s_predictions_are_python_s(
    host: Host, phone: Callable[..., Phone], digits_model: WebModel
) -> None:
    """1,000 digits, int8 inside and uint8 at the edges: label by label, and the outputs within a step or two."""
    here = phone()
    handset = arrive(host, here, host.job(1000))
    host.follow(handset, here.page)
    examples = Examples(host.digits.images[:1000], host.digits.labels[:1000])
    preprocessing = digits_model.card.preprocessing.model_dump()
    np.testing.assert_array_equal(host.labels(), tflite.labels(digits_model.data, examples, preprocessing))
    raw = b"".join(base64.b64decode(one["raw"]) for one in host.of("outputs"))
    browser = np.frombuffer(raw, np.uint8).reshape(1000, 10).astype(int)
    loaded = tflite.load(digits_model.data, "m", "reference")
    reference = infer.classify(loaded, examples.images, preprocessing).astype(int)
    assert np.abs(browser - reference).max() <= 5
    counted = Counter(one["event"] for one in host.events)
    assert counted["sample"] == 2 * ROUNDS
    assert counted["warmup"] == 2
    assert (counted["ready"], counted["result"], counted["loaded"], counted["memory"]) == (1, 1, 3, 1)
    first = host.of("loaded")[0]
    assert (first["delegated"]["delegate"], first["accelerator"]["actual"]) == ("wasm", "wasm")
    assert first["accelerator"]["variant"] == "simd"
    samples = host.of("sample")
    assert all(len(one["ns"]) == SAMPLES and len(one["frame_ns"]) == SAMPLES for one in samples)
    facts = handset.facts
    assert facts["isolated"] is True
    assert facts["automated"] is True
    # A sample lasts at least 20 steps of the clock, or it could not be told.
    shortest_ns = min(ns * one["batch"] for one in samples for ns in one["ns"])
    assert shortest_ns >= 0.5 * max(20 * facts["timer_ns"], 100_000)
    host.hub.finish(handset, "measured", accuracy=0.998)
    assert "measured" in here.reads("#bench-host", lambda text: "measured" in text)
    assert "1000" in here.text("#bench-rows")
    assert here.told == []


def test_over_a_dropped_connection(host: Host, phone: Callable[..., Phone]) -> None:
    """It goes on measuring without the host, and every event comes once."""
    here = phone()
    handset = arrive(host, here, host.job(200, processes=3))
    host.follow(handset, here.page, "outputs")
    here.context.set_offline(True)
    here.page.wait_for_timeout(2500)
    here.context.set_offline(False)
    host.follow(handset, here.page)
    assert len(host.labels()) == 200
    assert [one["process"] for one in host.of("sample")] == [0, 0, 1, 1, 2, 2]


def test_a_hidden_page_measures_nothing(host: Host, phone: Callable[..., Phone]) -> None:
    here = phone()
    here.page.add_init_script(AWAY)
    handset = arrive(host, here, host.job(50, processes=10))
    host.follow(handset, here.page, "warmup")
    here.page.evaluate(HIDE, True)
    here.page.wait_for_timeout(1000)
    while not handset.answers.empty():
        host.events.append(handset.answers.get())
    before = len(host.of("sample"))
    here.page.wait_for_timeout(1500)
    assert handset.answers.empty()
    here.page.evaluate(HIDE, False)
    host.follow(handset, here.page)
    assert before < 10 * ROUNDS == len(host.of("sample"))
    [paused] = [one for one in host.of("condition") if one["when"] == "paused"]
    assert 2 <= paused["hidden_s"] < 30


def test_a_soak_counts_the_time_in_front(host: Host, phone: Callable[..., Phone]) -> None:
    """About a point a second; of a page that was hidden nothing, and for how long that was."""
    here = phone()
    here.page.add_init_script(AWAY)
    handset = arrive(host, here, host.job(20, processes=1, warmup_s=0.2, soak_s=4.0))
    host.follow(handset, here.page, "soak")
    here.page.evaluate(HIDE, True)
    here.page.wait_for_timeout(2500)
    here.page.evaluate(HIDE, False)
    host.follow(handset, here.page)
    at_s = [one["at_s"] for one in host.of("soak")]
    assert at_s == sorted(at_s)
    assert 4 <= at_s[-1] < 20
    assert all(one["invokes"] > 0 and 0 < one["p50_ns"] <= one["p90_ns"] for one in host.of("soak"))
    hidden_s = [one["hidden_s"] for one in host.of("condition") if one["when"] == "paused"]
    assert 2 <= sum(hidden_s) < 60
    assert [one["at_s"] for one in host.of("condition") if one["when"] == "soak"] == at_s[:1]
    assert host.of("result") == [{"event": "result", "complete": True}]
    assert here.told == []


def test_a_page_that_is_loaded_anew_is_the_same_phone(host: Host, phone: Callable[..., Phone]) -> None:
    here = phone()
    job = host.job(100, processes=40)
    handset = arrive(host, here, job)
    host.follow(handset, here.page, "warmup")
    here.page.reload()
    host.follow(handset, here.page)
    assert host.again == 1
    host.events.clear()
    host.give(handset, {**job, "want": ["latency"], "resume_from": 38})
    host.follow(handset, here.page)
    assert {one["process"] for one in host.of("sample")} == {38, 39}
    assert len(host.hub.rows()) == 1


def test_it_can_be_stopped_on_the_phone(host: Host, phone: Callable[..., Phone]) -> None:
    """And nothing else runs there while it measures."""
    here = phone()
    handset = arrive(host, here, host.job(100, processes=200))
    host.follow(handset, here.page, "warmup")
    assert here.page.locator("#tab-camera").is_disabled()
    here.page.tap("#bench-stop")
    host.follow(handset, here.page)
    [error] = host.of("error")
    assert error["problem"] == "it was stopped on the phone"
    host.hub.finish(handset, error["problem"], failed=True)
    here.reads("#bench-host", lambda text: text == "The host says: it was stopped on the phone")
    assert here.page.locator("#tab-camera").is_enabled()


def test_a_phone_that_sleeps(host: Host, phone: Callable[..., Phone]) -> None:
    """Frozen by the browser, as one in a pocket is: nothing comes, and then the rest."""
    here = phone()
    handset = arrive(host, here, host.job(50, processes=10))
    host.follow(handset, here.page, "warmup")
    session = here.context.new_cdp_session(here.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    time.sleep(2)
    session.send("Page.setWebLifecycleState", {"state": "active"})
    host.follow(handset, here.page)
    assert [one["process"] for one in host.of("sample")] == sorted(list(range(10)) * ROUNDS)


def test_webgpu_tells_what_it_is(litertjs: Runtime, phone: Callable[..., Phone]) -> None:
    """By SwiftShader: software, and said to be."""
    data = flatbuffer.rewrite_io((ZOO / "digits-nano.tflite").read_bytes(), "float32", "digits-nano")
    with hosting(litertjs, [("digits-nano", data)]) as host:
        here = phone()
        handset = arrive(host, here, host.job(20, delegate="webgpu", processes=1, warmup_s=0.2))
        host.follow(handset, here.page)
        loaded = host.of("loaded")[0]
        assert (loaded["delegated"]["delegate"], loaded["adapter"]["kind"]) == ("webgpu", "software")
        assert loaded["accelerator"]["fully"] is True
        assert (host.labels() == host.digits.labels[:20]).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "problem", "hint"),
    [
        ({"delegate": "webnn"}, "webnn: this browser has none here", "use wasm"),
        ({"delegate": "npu"}, "no accelerator 'npu'", "use one of: wasm, webgpu, webnn"),
    ],
)
def test_what_is_not_there_is_said(
    host: Host, phone: Callable[..., Phone], change: dict[str, Any], problem: str, hint: str
) -> None:
    here = phone()
    handset = arrive(host, here, host.job(10, **change))
    host.follow(handset, here.page)
    [error] = host.of("error")
    assert error["problem"] == problem
    assert error["hint"].startswith(hint)
    here.reads("#bench-problem", lambda text: text.startswith(problem))


def test_int8_at_the_edges_is_refused_with_the_mend(litertjs: Runtime, phone: Callable[..., Phone]) -> None:
    with hosting(litertjs, [("digits-nano", (ZOO / "digits-nano.tflite").read_bytes())]) as host:
        here = phone()
        handset = arrive(host, here, {**host.job(10), "want": ["latency"]})
        host.follow(handset, here.page)
        [error] = host.of("error")
        assert error["code"] == "bad-model"
        assert "float32 or uint8" in error["problem"] + error["hint"]


def test_without_its_token_the_page_says_so(host: Host, phone: Callable[..., Phone]) -> None:
    here = phone()
    here.page.goto(host.served.origin)
    here.reads("#status", lambda text: "lacks its token" in text)
    here.page.goto(f"{host.served.origin}/dashboard.html#t=wrong")
    here.reads("#status", lambda text: "token" in text)


def test_the_dashboard_has_a_row_for_each(host: Host, phone: Callable[..., Phone]) -> None:
    """What a phone says of itself is text there."""
    dashboard, here = phone(), phone(user_agent="<b>Chrome/99</b>")
    dashboard.page.goto(host.served.dashboard)
    dashboard.reads("#status", lambda text: text == "No phone yet")
    handset = arrive(host, here, host.job(100))
    host.follow(handset, here.page)
    host.hub.finish(handset, "<i>measured</i>", accuracy=0.99)
    dashboard.reads("#rows", lambda text: "99.00 %" in text and "<i>measured</i>" in text)
    assert dashboard.page.locator("#rows tr").count() == 1
    assert dashboard.page.locator("#rows b, #rows i").count() == 0
    assert dashboard.told == []
