"""`edgebig bench --device phone` as a user types it, and Chromium as the phone that scanned the code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, lookup, measurement
from edgebig.data import source
from edgebig.data.examples import per_class
from edgebig.measurement import Measurement
from edgebig.ondevice import infer
from edgebig.phone.runtime import Runtime
from edgebig.phone.serving import Served
from edgebig.recipe import Data
from tests.phone.client import Phone

pytestmark = pytest.mark.browser
pytest.importorskip("uvicorn", reason="needs uvicorn")
pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 120.0
URL = re.compile(r"(https?://\S+/#t=\S+)")
HIDE = """(hidden) => {
  const state = hidden ? "hidden" : "visible";
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class Command:
    """`edgebig ARGUMENTS` in a folder: the address that it shows, and all that it says."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._printed = folder / "printed"
        with self._printed.open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgebig", *arguments], cwd=folder, stdin=subprocess.DEVNULL, text=True,
                stdout=printed, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        self.said: list[str] = []
        self.url = ""
        self._shown = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if not self.url and (match := URL.match(line)):
                self.url = match[1]
                self._shown.set()
        self._shown.set()

    def address(self) -> str:
        assert self._shown.wait(LIMIT_S)
        assert self.url, "".join(self.said)
        return self.url

    def wait_for(self, words: str, page: Any) -> None:
        for _ in range(int(LIMIT_S * 10)):
            if any(words in line for line in self.said):
                return
            assert self.process.poll() is None, "".join(self.said)
            page.wait_for_timeout(100)
        raise AssertionError(f"it never said {words!r}: {''.join(self.said)}")

    def end(self, page: Any) -> tuple[int, str]:
        """Its exit code and what it printed; the page lives on meanwhile."""
        for _ in range(int(LIMIT_S * 10)):
            if self.process.poll() is not None:
                break
            page.wait_for_timeout(100)
        self._reader.join(10)
        assert self.process.poll() is not None, "".join(self.said)
        return self.process.returncode, self._printed.read_text()


@contextlib.contextmanager
def command(folder: Path, *arguments: str) -> Iterator[Command]:
    running = Command(folder, *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def here(tmp_path: Path, litertjs: Runtime) -> Path:
    """A folder with the device `loop`, this machine's own browser, and LiteRT.js in the test's cache."""
    devices = tmp_path / "devices"
    devices.mkdir()
    (devices / "loop.toml").write_text('kind = "browser"\naddress = "127.0.0.1"\nwait_s = 60\n')
    cache = lookup.cache_dir()
    cache.mkdir(parents=True)
    (cache / "litertjs").symlink_to(litertjs["index.js"].gzipped.parents[1])
    return tmp_path


def predictions(record: Measurement, folder: Path, count: int) -> list[int]:
    """What this host makes of the same examples by the same file, by XNNPACK, which LiteRT.js has too."""
    item = artifact.load(folder / record.models[0].name)
    assert item.card is not None
    examples = source.load(Data(source="digits-5k")).test
    chosen = examples[per_class(examples.labels, count, seed=0)]
    model = infer.Model(str(item.path), "ai-edge-litert", "xnnpack", 1)
    raw = infer.classify(model, chosen.images, item.card.preprocessing.model_dump())
    return [int(label) for label in np.argmax(raw, axis=1)]


def test_a_bench_over_a_lost_line_and_a_hidden_page(here: Path, chromium: Any) -> None:
    arguments = (
        "bench",
        "digits-nano",
        "--device",
        "loop",
        "--examples",
        "100",
        "--processes",
        "3",
        "--rounds",
        "30",
    )
    with (
        command(here, *arguments, "--json") as running,
        contextlib.closing(
            chromium.new_context(ignore_https_errors=True, viewport={"width": 412, "height": 915})
        ) as context,
    ):
        page = context.new_page()
        # From its first moment on, so that nothing can be measured before.
        page.add_init_script(f"({HIDE})(true)")
        page.goto(running.address())
        running.wait_for("is here", page)
        page.wait_for_selector("#bench-rows .card")
        page.wait_for_timeout(1000)
        page.evaluate(HIDE, False)
        context.set_offline(True)
        page.wait_for_timeout(2000)
        context.set_offline(False)
        code, printed = running.end(page)
        assert code == 0, "".join(running.said)
        page.wait_for_selector("text=measured")
    (path,) = (here / "runs" / "zoo" / "bench").iterdir()
    record = measurement.load(path)
    assert json.loads(printed) == json.loads(path.read_text())
    (model,) = record.models
    assert record.provenance == "stand-in"  # nobody holds this Chromium
    assert model.name.endswith("digits-nano-for-browser.tflite")
    assert (model.io, model.verdict) == ("uint8", "OK")
    assert list(model.predictions or ()) == predictions(record, here, 100)
    assert [len(process) for process in model.latency.processes] == [600] * 3
    assert model.delegate.told is not None
    told = model.delegate.told.model_dump()
    assert (told["asked"], told["actual"]) == ("wasm", "wasm")
    machine = record.machine.model_dump()
    assert machine["isolated"] is True
    assert 1_000 <= machine["timer_ns"] <= 200_000
    # A sample lasts twenty steps of the clock at least.
    for batch, process in zip(model.latency.batch, model.latency.processes, strict=True):
        assert batch * float(np.median(process)) >= 10 * machine["timer_ns"]
    assert record.data.model_dump()["leak_check"] == "no test example was in a training set"
    assert any(reading.model_dump().get("when") == "paused" for reading in record.conditions)


def test_over_a_certificate_that_is_not_trusted_everything_large_comes_once(
    here: Path, chromium: Any
) -> None:
    """The browser's own cache holds nothing there. What was spoilt in the page's own is not believed."""
    with (
        command(here, "phone", "digits-nano", "--address", "127.0.0.1", "--json") as running,
        contextlib.closing(chromium.new_context(ignore_https_errors=True)) as context,
    ):
        address = running.address()
        assert address.startswith("https://")
        first = visit(context, address)
        again = visit(context, address)
        assert 3_200_000 > first > 2_500_000
        assert again < 20_000
        page = context.new_page()
        page.goto(address.partition("#")[0] + "app/style.css")
        # LiteRT.js and what loads it, the page's own script, the model.
        assert page.evaluate(SPOIL) == 4
        assert visit(context, address) > 2_500_000
        assert visit(context, address) < 20_000
        running.process.send_signal(signal.SIGINT)
        running.process.wait(30)


SPOIL = """async () => {
  const cache = await caches.open("edgebig");
  const urls = await cache.keys();
  for (const url of urls) {
    const { headers } = await cache.match(url);
    await cache.put(url, new Response("spoilt", { headers: { etag: headers.get("etag") } }));
  }
  return urls.length;
}"""


def visit(context: Any, address: str) -> int:
    """The bytes that the network brought until a model was there to be used."""
    page = context.new_page()
    network, brought = context.new_cdp_session(page), []
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda told: brought.append(told["encodedDataLength"]))
    page.goto(address)
    page.wait_for_selector("#status:has-text('compiled in')", timeout=LIMIT_S * 1000)
    page.wait_for_timeout(500)
    page.close()
    return int(sum(brought))


def test_the_page_is_open_until_ctrl_c(here: Path, chromium: Any) -> None:
    with (
        command(here, "phone", "digits-nano", "--address", "127.0.0.1", "--json") as running,
        contextlib.closing(chromium.new_context(ignore_https_errors=True)) as context,
    ):
        page = context.new_page()
        page.goto(running.address())
        page.wait_for_selector("#model option:has-text('digits-nano')", state="attached")
        running.process.send_signal(signal.SIGINT)
        code, printed = running.end(page)
    assert code == 130
    assert "Traceback" not in "".join(running.said)
    (serving,) = [json.loads(line) for line in printed.splitlines()]
    assert serving["url"] == running.url
    assert len(serving["fingerprint"].split(":")) == 32


def test_a_page_that_harms_leaves_the_others_alone(here: Path, chromium: Any) -> None:
    """One hand-written client that sends what it likes; beside it a browser is measured, to the end."""
    arguments = ("phone", "digits-nano", "--address", "127.0.0.1", "--http", "--json", "--examples", "50")
    with command(here, *arguments) as running, contextlib.closing(chromium.new_context()) as context:
        address, token = running.address().split("/#t=")
        hostile = Phone(Served(address, token, int(address.rpartition(":")[2])))
        identity = hostile.join(facts={"user_agent": "\x1b[2J<b>" * 90, "cores": {"a": [{"b": None}]}})
        number = hostile.job(identity)["number"]
        for event in (
            [],
            {},
            {"event": ["ready"]},
            {"event": "sample", "ns": 7},
            {"event": "outputs", "start": {}},
        ):
            assert hostile.send(identity, number, 0, [event]).status == 400
        page = context.new_page()
        page.goto(running.address())
        page.click("#tab-bench")
        page.click("#bench-start:enabled")
        running.wait_for("asks for a bench: Linux", page)
        claims = {"event": "error", "code": "x", "problem": "\x1b]0;evil\x07" * 40, "hint": "<script>"}
        assert hostile.send(identity, number, 0, [claims]).status == 200
        page.wait_for_selector("#bench-host:has-text('The host says: measured')", timeout=LIMIT_S * 1000)
        running.process.send_signal(signal.SIGINT)
        code, printed = running.end(page)
    assert code == 130
    said = "".join(running.said)
    assert "Traceback" not in said
    assert "\x1b]0" not in said
    told = {
        line["phone"]: line for line in map(json.loads, printed.splitlines()) if line["event"] == "measured"
    }
    assert told["phone-1"]["record"] is None
    assert measurement.load(Path(here, told["phone-2"]["record"])).models[0].verdict == "OK"


def test_ctrl_c_tells_the_phones_and_ends_at_once(here: Path) -> None:
    (here / "devices" / "loop.toml").write_text(
        'kind = "browser"\naddress = "127.0.0.1"\nplain_http = true\n'
    )
    with command(
        here, "bench", "digits-nano", "--device", "loop", "--phones", "2", "--examples", "20"
    ) as running:
        address, token = running.address().split("/#t=")
        phone = Phone(Served(address, token, int(address.rpartition(":")[2])))
        line = phone.line(phone.join())
        assert next(event for event, _ in line if event == "job")
        running.process.send_signal(signal.SIGINT)
        assert dict(line)["end"]["why"]
        assert running.process.wait(15) == 130
    assert "Traceback" not in "".join(running.said)
    assert "nothing else was recorded" in "".join(running.said)
