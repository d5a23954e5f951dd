"""What reaching a board over ssh costs: all that `bench` takes on it but invoke, for 10,000 digits.

    python tools/bench_ssh.py MODEL.tflite [--data FOLDER] [--runs 5] [--json OUT]

A real sshd on 127.0.0.1 with throw-away keys is the board, and the Python that runs this is its Python. A run is one
session: connecting, the lock, the files that are not there yet, and a job that reads every test picture (predictions
and outputs) in one process. Off it goes what a bare loop over the same pictures spends in invoke, in the same minute.
The first run sends all files; later ones must send none, which the board's files tell by their times. Runs over ssh and
runs of the local driver take turns, so that what ssh itself adds is told too.
PASS: the median of the later runs is under 3 s, and nothing was sent twice.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgebig import artifact, bench, drivers, files
from edgebig.artifact import Artifact
from edgebig.device import Device, LocalDevice
from edgebig.drivers.protocol import Job, JobModel
from edgebig.drivers.ssh import COMMAND_VARIABLE
from edgebig.ondevice import infer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.drivers import sshd

LIMIT_S = 3.0


def session_s(target: Device, item: Artifact, inputs: Path, count: int) -> float:
    """Seconds of one session, from connecting to letting the board go."""
    assert item.card is not None
    started_s = time.perf_counter()
    with next(iter(drivers.connect(target).sessions())) as session:
        model = JobModel(
            sha256=session.put(item.path),
            name=str(item.path),
            preprocessing=item.card.preprocessing.model_dump(),
        )
        job = Job(
            models=(model,), inputs=session.put(inputs), examples=count, runtime="ai-edge-litert", delegate="xnnpack",
            threads=1, processes=1, rounds=1, samples=1, warmup_s=0.1, want=("predictions", "outputs"),
        )  # fmt: skip
        labels = [
            label
            for event in session.run(job, 300)
            if event["event"] == "outputs"
            for label in event["labels"]
        ]
    assert len(labels) == count
    return time.perf_counter() - started_s


def invoke_s(item: Artifact, images_u8: Any) -> float:
    """Seconds in invoke alone, over the same pictures in this process."""
    assert item.card is not None
    model = infer.Model(str(item.path), "ai-edge-litert", "xnnpack", 1)
    table = infer.input_table(model.input, item.card.preprocessing.model_dump())
    spent_ns = 0
    for image in images_u8:
        model.set_input(table[image])
        start_ns = time.perf_counter_ns()
        model.invoke()
        spent_ns += time.perf_counter_ns() - start_ns
    return spent_ns / 1e9


def compare(path: Path, data: Path | None, runs: int) -> dict[str, Any]:
    item = artifact.load(path)
    examples, _ = bench.test_examples([item], None, data, None)
    if examples is None:
        raise SystemExit(f"{path}: no card beside it")
    with tempfile.TemporaryDirectory() as scratch, sshd.board() as board:
        os.environ["XDG_CACHE_HOME"] = scratch
        os.environ[COMMAND_VARIABLE] = board.ssh()
        inputs = Path(scratch) / "inputs.npy"
        examples.write_npy(inputs)
        ssh: list[float] = []
        local: list[float] = []
        invoke: list[float] = []
        sent: dict[str, int] = {}
        again = 0
        for run in range(runs + 1):
            ssh.append(session_s(board.device(), item, inputs, len(examples)))
            there = {
                file.name: file.stat().st_mtime_ns for file in board.store.iterdir() if file.suffix != ".lock"
            }
            again += sum(written != there[name] for name, written in sent.items())
            sent = there
            invoke.append(invoke_s(item, examples.images))
            local.append(session_s(LocalDevice(name="local"), item, inputs, len(examples)))
            over = [whole - bare for whole, bare in ((ssh[-1], invoke[-1]), (local[-1], invoke[-1]))]
            what = "all files sent" if run == 0 else "none sent"
            print(
                f"  {run}: ssh {over[0]:.2f} s, local {over[1]:.2f} s besides {invoke[-1]:.2f} s in invoke ({what})"
            )
    over_ssh = [whole - bare for whole, bare in zip(ssh, invoke, strict=True)]
    over_local = [whole - bare for whole, bare in zip(local, invoke, strict=True)]
    median_s = statistics.median(over_ssh[1:])
    return {
        "model": path.name, "sha256": item.sha256, "examples": len(examples), "runs": runs,
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)), "load_1min": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"), "invoke_s": invoke, "first_run_s": over_ssh[0], "later_runs_s": over_ssh[1:],
        "local_s": over_local, "median_s": median_s, "limit_s": LIMIT_S, "files_sent_again": again,
        "verdict": "PASS" if median_s < LIMIT_S and not again else "FAIL",
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="what a board over ssh costs besides invoke")
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where its test split is")
    parser.add_argument("--runs", type=int, default=5, help="runs behind the first (default 5)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there")
    arguments = parser.parse_args()
    found = compare(arguments.model, arguments.data, arguments.runs)
    print(
        f"{found['model']}, {found['examples']:,} pictures: {found['first_run_s']:.2f} s where all is sent, median "
        f"{found['median_s']:.2f} s in {found['runs']} later runs (limit {LIMIT_S:g} s), "
        f"{found['files_sent_again']} files sent again: {found['verdict']}"
    )
    if arguments.json:
        files.write_json(arguments.json, found)
    return 0 if found["verdict"] == "PASS" else 3


if __name__ == "__main__":
    sys.exit(main())
