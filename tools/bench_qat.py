"""What quantization-aware training costs: epochs of the recipe `digits`, float : QAT : QAT that keeps zeros, in turns.

    python tools/bench_qat.py [--rounds 9] [--steps 100] [--out docs/measurements/qat-cost.json]

One process, one net, one optimizer. A round is a stretch of training steps of each contender, in an order that is
turned about every other round, on batches as the recipe makes them, with its augmentation, which all pay alike. What
slows the machine slows all of them: a ratio is taken within a round, and what is told is the median over the rounds
with an interval of 95 % (order statistics). `tfmot` and `tfmot, zeros` are the schemes of
tensorflow-model-optimization as they are, for comparison.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_train import median_interval

from edgebig import files, models, objective, recipe
from edgebig.compress import qat, tied
from edgebig.data import pipeline
from edgebig.data.examples import Examples
from edgebig.keras import keras, load_tfmot

AT_MOST = {"qat": 1.6, "qat, zeros": 2.5}
STEPS_IN_A_LOOP = 16  # as training has it


def contenders(model: Any) -> dict[str, Callable[[], Any]]:
    tfmot = load_tfmot()

    def ours_zeros() -> Any:
        quantized = qat.apply_qat(model)
        tied.tie(quantized, zeros=True)
        return quantized

    def theirs_zeros() -> Any:
        annotated = tfmot.quantization.keras.quantize_annotate_model(model)
        scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
        return tfmot.quantization.keras.quantize_apply(annotated, scheme)

    def copied() -> Any:
        return keras.models.clone_model(model)

    return {
        "float": copied,
        "qat": lambda: qat.apply_qat(model),
        "qat, zeros": ours_zeros,
        "tfmot": lambda: tfmot.quantization.keras.quantize_model(model),
        "tfmot, zeros": theirs_zeros,
    }


def half_zero(model: Any) -> Any:
    for layer in model.layers:
        if type(layer).__name__ in ("Conv2D", "Dense"):
            kernel, *others = layer.get_weights()
            kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
            layer.set_weights([kernel, *others])
    return model


def stretch(model: Any, batches: Any, steps: int) -> tuple[float, float]:
    """Wall and processor seconds of so many training steps."""
    function = model.make_train_function()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(steps // STEPS_IN_A_LOOP):
        function(batches)
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def measure(rounds: int, steps: int) -> dict[str, list[tuple[float, float]]]:
    spec = recipe.load("digits")
    assert spec.compress.qat
    keras.utils.set_random_seed(0)
    made = contenders(half_zero(models.build(spec.model, (28, 28, 1), 10)))
    rng = np.random.default_rng(0)
    digits = Examples(rng.integers(0, 256, (4096, 28, 28, 1), np.uint8), rng.integers(0, 10, 4096))
    trained, batches = {}, {}
    for name, make in made.items():
        trained[name] = make()
        trained[name].compile(
            objective.optimizer(spec.compress.qat, 400),
            objective.loss(spec.compress.qat, 10),
            steps_per_execution=STEPS_IN_A_LOOP,
        )
        batches[name] = iter(
            pipeline.training_batches(
                digits, 10, batch_size=spec.compress.qat.batch_size, seed=0, first_epoch=0, epochs=10_000,
                augment=spec.data.augment,
            )
        )  # fmt: skip
        stretch(trained[name], batches[name], STEPS_IN_A_LOOP)  # the trace
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    for number in range(rounds):
        for name in list(made) if number % 2 == 0 else reversed(list(made)):
            took[name].append(stretch(trained[name], batches[name], steps))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return took


def ratios(took: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    found = []
    for name, turns in took.items():
        wall, cpu = (
            [own[clock] / exact[clock] for own, exact in zip(turns, took["float"], strict=True)]
            for clock in (0, 1)
        )
        low, high = median_interval(wall)
        row = {
            "of": name, "over": "float", "ratio": round(float(np.median(wall)), 3), "low": round(low, 3),
            "high": round(high, 3), "processor_ratio": round(float(np.median(cpu)), 3),
        }  # fmt: skip
        if at_most := AT_MOST.get(name):
            verdict = "PASS" if high <= at_most else "FAIL" if low > at_most else "INCONCLUSIVE"
            row |= {"at_most": at_most, "verdict": verdict}
        found.append(row)
    return found[1:]


def conditions() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    versions = ("tensorflow", "tf_keras", "tensorflow-model-optimization")
    return {
        "date": dt.date.today().isoformat(), "cpu": cpu, "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2), "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in versions},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="the cost of quantization-aware training")
    parser.add_argument("--rounds", type=int, default=9, help="of each contender (default 9, at least 6)")
    parser.add_argument("--steps", type=int, default=96, help="in a turn (default 96)")
    parser.add_argument("--out", type=Path, metavar="OUT.json", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.rounds < 6:
        parser.error("an interval of 95 % needs 6 rounds")
    if arguments.steps < STEPS_IN_A_LOOP:
        parser.error(f"a turn has {STEPS_IN_A_LOOP} steps or more")
    about = conditions()
    took = measure(arguments.rounds, arguments.steps)
    found = ratios(took)
    for row in found:
        judged = f"; at most {row['at_most']:g}: {row['verdict']}" if "at_most" in row else ""
        print(
            f"{row['of']} over float: {row['ratio']:.2f} ({row['low']:.2f} .. {row['high']:.2f}), "
            f"by processor time {row['processor_ratio']:.2f}{judged}"
        )
    if arguments.out:
        command = f"python tools/bench_qat.py --rounds {arguments.rounds} --steps {arguments.steps}"
        turns = {name: [[round(s, 4) for s in turn] for turn in turns] for name, turns in took.items()}
        files.write_json(
            arguments.out,
            {"schema": 1, "command": command, **about, "recipe": "digits", "batch_size": 128,
             "steps": arguments.steps, "n": arguments.rounds, "wall_and_processor_s": turns, "ratios": found},
        )  # fmt: skip
    return 0 if all(row.get("verdict", "PASS") == "PASS" for row in found) else 3


if __name__ == "__main__":
    sys.exit(main())
