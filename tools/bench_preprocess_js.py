#!/usr/bin/env python3
"""What the page's preprocessing costs of a frame: in Chromium, as a Worker of the page runs it, and in Node.js.

    .venv/bin/python tools/bench_preprocess_js.py [--frames 300] [--json docs/measurements/preprocess-browser.json]

The frame is that of tools/bench_preprocess.py: 640x480, five digits. Told are the median and the tenths of `--frames`
frames after 100 to warm up, of grey -> digits (`find_ms`) and of RGBA -> grey (`grey_ms`), with SIMD and without
(`plain`), and the processor's time for a frame (`find_cpu_ms`), which other work on the machine hardly changes; for
the ratio the same of Python. Rounds of all of them take turns. Needs Chromium and Node.js.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import synthetic_pages
from playwright.sync_api import Browser, sync_playwright

from edgebig import phone
from edgebig.ondevice import preprocess

MODULES = Path(phone.__file__).parent / "static" / "preprocess"
WARM_UP = 100
ROUNDS = 3
SWITCHES = ["--no-sandbox", "--disable-background-networking"]

# Runs in a Worker and in Node.js.
MEASURE = """\
let steps = null;

async function prepare(grey, plain) {
  if (plain) delete globalThis.WebAssembly;
  const { findDigits, greyOf } = await import("./preprocess/index.js");
  const rgba = new Uint8ClampedArray(4 * grey.length);
  for (let at = 0; at < rgba.length; at++) rgba[at] = at % 4 === 3 ? 255 : grey[at >> 2];
  const into = new Uint8Array(grey.length);
  steps = {
    find: () => findDigits({ width: 640, height: 480, data: grey }),
    grey: () => greyOf(rgba, 640, 480, into),
  };
}

export async function measure({ grey, plain, step, frames }) {
  if (steps === null) await prepare(grey, plain);
  const times = [];
  for (let n = 0; n < frames; n++) {
    const started = performance.now();
    steps[step]();
    times.push(performance.now() - started);
  }
  return { times, digits: steps.find().length };
}
"""
WORKER = """\
import { measure } from "./measure.js";
self.onmessage = async ({ data }) => self.postMessage(await measure(data));
"""
NODE = """\
import { readFileSync } from "node:fs";
import { measure } from "./measure.js";
const [file, plain, warmUp, frames] = process.argv.slice(2);
const ask = { grey: new Uint8Array(readFileSync(file)), plain: plain === "1" };
await measure({ ...ask, step: "find", frames: +warmUp });
const before = process.cpuUsage();
const { times: find, digits } = await measure({ ...ask, step: "find", frames: +frames });
const used = process.cpuUsage(before);
await measure({ ...ask, step: "grey", frames: +warmUp });
const { times: grey } = await measure({ ...ask, step: "grey", frames: +frames });
console.log(JSON.stringify({ find, grey, digits, cpu: (used.user + used.system) / 1000 / frames }));
"""
START = """async () => {
  globalThis.grey = new Uint8Array(await (await fetch("frame.raw")).arrayBuffer());
  globalThis.worker = new Worker("worker.js", { type: "module" });
}"""
ASK = """([plain, step, frames]) => new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage({ grey, plain, step, frames });
})"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def laid_out(folder: Path, frame: Any) -> None:
    shutil.copytree(MODULES, folder / "preprocess")
    (folder / "frame.raw").write_bytes(frame.tobytes())
    files = {
        "package.json": '{"type": "module"}',
        "index.html": "<!doctype html><title>bench</title>",
        "measure.js": MEASURE,
        "worker.js": WORKER,
        "node.js": NODE,
    }
    for name, text in files.items():
        (folder / name).write_text(text)


def in_node(folder: Path, plain: bool, frames: int) -> dict[str, Any]:
    command = ["node", "node.js", "frame.raw", str(int(plain)), str(WARM_UP), str(frames)]
    ran = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def in_chromium(browser: Browser, address: str, plain: bool, frames: int) -> dict[str, Any]:
    page = browser.new_page()
    page.goto(address)
    page.evaluate(START)
    page.evaluate(ASK, [plain, "find", WARM_UP])
    devtools = browser.new_browser_cdp_session()

    def used_s() -> float:
        processes = devtools.send("SystemInfo.getProcessInfo")["processInfo"]
        return float(sum(process["cpuTime"] for process in processes if process["type"] == "renderer"))

    before = used_s()
    find = page.evaluate(ASK, [plain, "find", frames])
    cpu = (used_s() - before) * 1000 / frames
    page.evaluate(ASK, [plain, "grey", WARM_UP])
    grey = page.evaluate(ASK, [plain, "grey", frames])
    page.close()
    return {"find": find["times"], "grey": grey["times"], "cpu": cpu, "digits": find["digits"]}


def in_python(frame: Any, frames: int) -> dict[str, Any]:
    times = []
    for n in range(frames // 3 + 5):
        start = time.perf_counter(), time.process_time()
        digits = len(preprocess.find_digits(frame))
        if n >= 5:
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    cpu = statistics.median(cpu for _, cpu in times) * 1000
    return {"find": [wall * 1000 for wall, _ in times], "grey": [], "cpu": cpu, "digits": digits}


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"digits": rounds[0]["digits"]}
    for name in ("find", "grey"):
        times = [ms for one in rounds for ms in one[name]]
        if times:
            tenths = statistics.quantiles(times, n=10)
            told[f"{name}_ms"] = {
                "n": len(times),
                **{key: round(tenths[at], 2) for key, at in (("p10", 0), ("p50", 4), ("p90", 8))},
            }
    if rounds[0].get("cpu"):
        told["find_cpu_ms"] = round(statistics.median(one["cpu"] for one in rounds), 2)
    return told


def measured(frames: int) -> dict[str, dict[str, Any]]:
    frame = synthetic_pages.page("five", 1).grey_u8
    rounds: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        laid_out(folder, frame)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        with served(folder) as address:
            for _ in range(ROUNDS):
                for plain, kind in ((False, "simd"), (True, "plain")):
                    told = in_chromium(browser, address, plain, frames // ROUNDS)
                    rounds.setdefault(f"chromium {kind}", []).append(told)
                    told = in_node(folder, plain, frames // ROUNDS)
                    rounds.setdefault(f"node {kind}", []).append(told)
                rounds.setdefault("python", []).append(in_python(frame, frames // ROUNDS))
            version = browser.version
        browser.close()
    print(f"Chromium {version}")
    return {
        **{name: summary(told) for name, told in rounds.items()},
        "versions": {"chromium": version, "node": _output("node", "--version")},
    }


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=300, help="of each kind, after those to warm up")
    parser.add_argument("--json", type=Path, help="where to keep the record")
    args = parser.parse_args()
    load = Path("/proc/loadavg").read_text().split()[0]
    told = measured(args.frames)
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"
    for name, row in told.items():
        print(f"{name:15} {json.dumps(row)}")
    if args.json:
        record = {
            "schema": 1,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine,
            "load_before": load,
            **told,
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
