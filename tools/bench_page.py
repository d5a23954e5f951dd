"""The phone's page in headless Chromium on this machine: its weight over the wire, the time to its first inference,
and whether its predictions are Python's.

    python tools/bench_page.py [MODEL.tflite] [--visits 7] [--json docs/measurements/phone-page.json]

The page comes from the real server, over http on localhost (as with --usb) and over https with a certificate that the
browser does not trust (as in a network), through a relay that counts what really passes, headers and handshakes too.
Each first visit is one of a fresh profile; at the second the browser was closed and started again. The time runs from
the opening of the address (what the QR code holds) to the first inference of the model on the page.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Page, Playwright, sync_playwright

from edgebig import artifact, files, lookup
from edgebig.artifact import Artifact
from edgebig.check import tflite
from edgebig.data.examples import Examples
from edgebig.export import webmodel
from edgebig.export.webmodel import WebModel
from edgebig.phone import assets, certificate, runtime, server
from edgebig.phone.certificate import Certificate
from edgebig.phone.hub import Hub

TOKEN = "a-token-of-the-bench"
ZOO = Path(artifact.__file__).parent / "zoo"
SWITCHES = [
    "--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
N = 1000
AGENT = "navigator.userAgentData.brands.map(({ brand, version }) => `${brand} ${version}`).join(', ')"
# The model on all examples by the page's own modules, as a host's job would have it.
PREDICT = """async ({ row, inputs }) => {
  const { run } = await import("/app/runner.js");
  const { Attention } = await import("/app/attention.js");
  const { inputTable } = await import("/app/levels.js");
  const { Link } = await import("/app/link.js");
  const link = new Link(location.hash.slice(3));
  const data = await link.bytes(`api/blob/${inputs}`);
  const examples = data.length / 784;
  const job = { models: [row], examples, delegate: "wasm", threads: 1, want: ["predictions"], processes: 0 };
  const tables = { [row.sha256]: inputTable(row.input, row.preprocessing) };
  const models = { [row.sha256]: await link.bytes(row.file) };
  const labels = [];
  const images = { data, count: examples, size: 784 };
  for await (const event of run({ job, tables, models, images, facts: {} }, new Attention())) {
    if (event.event === "error") throw new Error(event.problem);
    if (event.event === "outputs") labels.push(...event.labels);
  }
  return labels;
}"""


class Relay:
    """Between the browser and the server, byte for byte. `passed`: how many went "down" to the browser, and "up"."""

    def __init__(self, to: int) -> None:
        self.passed: Counter[str] = Counter()
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            behind = socket.create_connection(("127.0.0.1", self._to))
            for source, target, way in ((client, behind, "up"), (behind, client, "down")):
                threading.Thread(target=self._pass, args=(source, target, way), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, way: str) -> None:
        try:
            while part := source.recv(65536):
                self.passed[way] += len(part)
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The browser or the server has closed it.

    def taken(self) -> dict[str, int]:
        """What has passed since the last time."""
        passed, self.passed = self.passed, Counter()
        return dict(passed)


@contextmanager
def serving(site: server.Site, hub: Hub, secured: Certificate | None) -> Iterator[tuple[Relay, str]]:
    """The server behind a relay, which is what it takes itself for, and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener.getsockname()[1])
    origin = f"{'https' if secured else 'http'}://127.0.0.1:{relay.port}"
    app = server.app(site, hub, TOKEN, frozenset({origin}))
    keys = {"ssl_certfile": str(secured.certificate), "ssl_keyfile": str(secured.key)} if secured else {}
    config = uvicorn.Config(app, log_level="critical", lifespan="off", server_header=False, **keys)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield relay, f"{origin}/#t={TOKEN}"
    finally:
        running.should_exit = True
        thread.join(5)


@contextmanager
def opened(driver: Playwright, profile: Path) -> Iterator[Page]:
    """An empty page of a browser that has this profile, and closes behind it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    context = driver.chromium.launch_persistent_context(
        profile, executable_path=program, args=SWITCHES, ignore_https_errors=True,
        viewport={"width": 412, "height": 915},
    )  # fmt: skip
    try:
        yield context.new_page()
    finally:
        context.close()


def visit(page: Page, url: str) -> float:
    """Seconds from the opening of `url` to the first inference."""
    started = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("html[data-reader=ready]", timeout=60_000)
    took = time.perf_counter() - started
    page.wait_for_timeout(1000)  # what it fetches after that counts as weight too
    return took


def visits(driver: Playwright, relay: Relay, url: str, count: int) -> dict[str, Any]:
    """`count` pairs of a first and a second visit."""
    took: dict[str, list[float]] = {"first": [], "second": []}
    passed: dict[str, list[dict[str, int]]] = {"first": [], "second": []}
    for _ in range(count):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            for which in ("first", "second"):
                with opened(driver, Path(profile)) as page:
                    relay.taken()
                    took[which].append(visit(page, url))
                    passed[which].append(relay.taken())
    return {
        "visits": count,
        "first_visit_bytes": max(one["down"] for one in passed["first"]),
        "second_visit_bytes": max(one["down"] for one in passed["second"]),
        "sent_bytes": {which: max(one["up"] for one in passed[which]) for which in passed},
        "to_first_inference_s": {
            "median": round(statistics.median(took["first"]), 3), "worst": round(max(took["first"]), 3),
            "second_visit_median": round(statistics.median(took["second"]), 3),
        },
    }  # fmt: skip


def measure(model: WebModel, count: int, cache: Path, folder: Path) -> dict[str, Any]:
    row = webmodel.row(model)
    site = server.Site(assets.load(runtime.ready(cache)), [row], {model.card.sha256: model.data})
    digits = np.load(ZOO / "digits-5k.npz")
    test = digits["split"] == 2
    images, labels = digits["images"][test][:N, ..., np.newaxis], digits["labels"][test][:N]
    hub = Hub("page", 64)
    pixels = np.ascontiguousarray(images).tobytes()
    hub.put(files.sha256_bytes(pixels), pixels)
    found: dict[str, Any] = {}
    with sync_playwright() as driver:
        for name, secured in (
            ("http on localhost", None),
            ("https, certificate not trusted", certificate.ready(folder / "certificate", ["127.0.0.1"])),
        ):
            with serving(site, hub, secured) as (relay, url):
                found[name] = visits(driver, relay, url, count)
                with opened(driver, folder / name) as page:
                    visit(page, url)
                    told = page.evaluate(PREDICT, {"row": row, "inputs": files.sha256_bytes(pixels)})
                    version = page.context.browser.version if page.context.browser else page.evaluate(AGENT)
        expected = tflite.labels(model.data, Examples(images, labels), model.card.preprocessing.model_dump())
    return {
        "model": model.name,
        "sha256": model.card.sha256,
        "browser": f"headless {version}",
        "machine": f"{platform.machine()}, {platform.system()}",
        **found,
        "predictions": {"n": len(expected), "differ_from_python": int(np.sum(np.array(told) != expected))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path, default=ZOO / "digits.tflite")
    parser.add_argument("--visits", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    item: Artifact = artifact.load(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        result = measure(webmodel.prepare(item, place), arguments.visits, lookup.cache_dir(), place)
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
