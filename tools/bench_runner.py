"""What the runner adds to one invoke: its p50 against a bare loop over the same model, in the same run.

    python tools/bench_runner.py MODEL.tflite [--pairs 9] [--json OUT]

Fresh processes of both take turns (A B A B ...). The runner is started as `edgebig bench` starts it. The bare loop is
BARE below: an Interpreter with a fixed thread count, one input set once, half a second of warm-up, then perf_counter_ns
around batches of invoke. PASS: the runner's p50 is within 5 % or 2 us of it, on the average of the pairs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files, stats
from edgebig.drivers import local
from edgebig.drivers.protocol import Job, JobModel

SAMPLES = 400
WITHIN_SHARE, WITHIN_NS = 0.05, 2_000

BARE = """
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, batch, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
interpreter = Interpreter(model_path=path, num_threads=1)
interpreter.allocate_tensors()
(details,) = interpreter.get_input_details()
interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
warm = time.perf_counter() + 0.5
while time.perf_counter() < warm:
    interpreter.invoke()
for _ in range(samples):
    start = time.perf_counter_ns()
    for _ in range(batch):
        interpreter.invoke()
    print((time.perf_counter_ns() - start) / batch)
"""


def runner_ns(model: Path, store: Path) -> tuple[list[int], int]:
    """The runner's samples of one fresh process, and how many invokes it put in each."""
    sha256 = files.sha256_file(model)
    job = Job(
        models=(JobModel(sha256=sha256, name=str(model), preprocessing=None),),
        inputs=None, examples=0, runtime="ai-edge-litert", delegate="xnnpack", threads=1,
        processes=1, rounds=20, samples=SAMPLES // 20, warmup_s=2.0, want=("latency",),
    )  # fmt: skip
    events = list(local.run_ondevice([sys.executable], "run", job.to_json(), store, 120.0))
    samples = [time_ns for event in events if event["event"] == "sample" for time_ns in event["ns"]]
    return samples, next(event["batch"] for event in events if event["event"] == "warmup")


def bare_ns(model: Path, batch: int) -> list[float]:
    command = [sys.executable, "-c", BARE, str(model), str(batch), str(SAMPLES)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def compare(model: Path, pairs: int) -> dict[str, Any]:
    runner, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        (store / files.sha256_file(model)).write_bytes(model.read_bytes())
        _, batch = runner_ns(model, store)  # thrown away: it brings the files into the page cache
        for pair in range(pairs):
            samples, batch = runner_ns(model, store)
            runner.append(samples)
            bare.append(bare_ns(model, batch))
            a, b = np.median(runner[-1]), np.median(bare[-1])
            figures = f"runner {a / 1e3:9.2f} us   bare {b / 1e3:9.2f} us   {(a - b) / 1e3:+8.2f} us"
            print(f"  {pair + 1}: {figures}   in batches of {batch}", flush=True)
    ratio = stats.latency_ratio(runner, bare)
    a_ns, b_ns = (stats.latency_summary(processes).p50_ns for processes in (runner, bare))
    within = abs(ratio.value - 1) <= WITHIN_SHARE or abs(a_ns - b_ns) <= WITHIN_NS
    return {
        "model": str(model), "pairs": pairs, "samples": SAMPLES, "runner_p50_ns": a_ns, "bare_p50_ns": b_ns,
        "difference_ns": a_ns - b_ns, "ratio": ratio.value, "low": ratio.low, "high": ratio.high,
        "verdict": "PASS" if within else "FAIL",
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="the runner against a bare loop")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--pairs", type=int, default=9, help="fresh processes of each (default 9)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there")
    arguments = parser.parse_args()
    print("the bare loop:", *BARE.strip().splitlines(), sep="\n  | ")
    results = []
    for model in arguments.models:
        print(f"{model}: {arguments.pairs} pairs of fresh processes, in turns")
        found = compare(model, arguments.pairs)
        results.append(found)
        print(
            f"  p50 of the runner {found['runner_p50_ns'] / 1e3:.2f} us, bare {found['bare_p50_ns'] / 1e3:.2f} us: "
            f"{found['difference_ns'] / 1e3:+.2f} us, ratio {found['ratio']:.3f} "
            f"({found['low']:.3f} .. {found['high']:.3f}): {found['verdict']}"
        )
    if arguments.json:
        files.write_json(arguments.json, results)
    return 0 if all(found["verdict"] == "PASS" for found in results) else 3


if __name__ == "__main__":
    sys.exit(main())
