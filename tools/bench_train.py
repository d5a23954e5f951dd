"""How fast edgebig trains against plain Keras loops: examples a second on the same net, in turns.

    python tools/bench_train.py [--models digit-cnn mlp] [--rounds 9] [--out OUT.json]

Each contender is a process of its own, which trains two epochs when it is told to and then waits. A round is a turn of
each, in an order that is turned about every other round. What slows the machine slows all of them, and a ratio is taken
within a round; what is told is the median over the rounds, with an interval of 95 %. A turn is timed from the end of
its first epoch to the end of its second: all that a user waits for, with validation on the same 500 digits, no start.

The pictures are digits-5k's 3,500 for training, repeated: an epoch of 14,336 for digit-cnn and 53,504 for mlp,
in batches of 128. The Keras loops get float32 arrays that were scaled beforehand:

    none   model.fit(x, y, batch_size=128)
    map    the layers RandomTranslation, RandomRotation and RandomZoom in dataset.batch(128).map(..., AUTOTUNE).prefetch
    model  the same layers before the net, in model.fit(x, y, batch_size=128)

edgebig's `affine` is the augmentation of recipes/digits.toml less what those layers lack (shear, elastic); `recipe` is
all of it. tf_keras is what edgebig itself trains with; keras is Keras 3, whose digit-cnn is made of the same layers.
PASS: over affine, by at least 1.5 times the examples a second, whole interval; without augmentation, by at least 1.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files, recipe
from edgebig.data import source
from edgebig.data.examples import Examples, Splits
from edgebig.recipe import Augment, Data

BATCH = 128
EXAMPLES = {"digit-cnn": 112 * BATCH, "mlp": 418 * BATCH}
TIMED_EPOCHS = 1
KERAS = ("tf_keras", "keras")
CONTENDERS = (
    "edgebig-none", "edgebig-affine", "edgebig-recipe",
    *(f"{keras}-{form}" for keras in KERAS for form in ("none", "map", "model")),
)  # fmt: skip
# edgebig's contender, which Keras form it is held against, and the least ratio of their examples a second.
TARGETS = (("edgebig-none", "none", 1.0), ("edgebig-affine", "map", 1.5), ("edgebig-affine", "model", 1.5))


def splits(model: str) -> Splits:
    """digits-5k with its training digits repeated to an epoch of `model`."""
    embedded = source.load(Data(source="digits-5k"))
    rows = np.arange(EXAMPLES[model]) % len(embedded.train)
    train = Examples(np.asarray(embedded.train.images)[rows], embedded.train.labels[rows])
    return Splits("digits-5k", embedded.classes, train, embedded.validation, embedded.test)


def spec_of(model: str) -> recipe.Recipe:
    digits = recipe.load("digits")
    return digits if model == "digit-cnn" else digits.model_copy(update={"model": recipe.Mlp(name="mlp")})


def turns(keras: Any) -> Any:
    """A callback that takes a turn for each line on stdin, and tells its seconds: of the clock and of processors."""

    class Turns(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch % (1 + TIMED_EPOCHS) == 0 and not sys.stdin.readline():
                os._exit(0)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            match epoch % (1 + TIMED_EPOCHS):
                case 0:
                    self.wall_s, self.cpu_s = wall_s, cpu_s
                case last if last == TIMED_EPOCHS:
                    print(
                        json.dumps({"wall_s": wall_s - self.wall_s, "cpu_s": cpu_s - self.cpu_s}), flush=True
                    )

    return Turns()


def contend(contender: str, model: str) -> None:
    """The child: trains until its stdin ends."""
    import edgebig.keras  # noqa: F401  # It has a say in how TensorFlow is imported, by Keras 3 too.

    kind, form = contender.split("-")
    if kind == "edgebig":
        train_edgebig(model, form)
    else:
        train_keras(importlib.import_module(kind), model, form)


def train_edgebig(model: str, form: str) -> None:
    from edgebig import train
    from edgebig.keras import keras

    spec, data = spec_of(model), splits(model)
    whole = spec.data.augment
    augment = {"none": Augment(), "affine": whole.model_copy(update={"shear": 0.0, "elastic_px": 0.0})}
    train.fit(
        train.build(spec, data), data, spec.train.model_copy(update={"epochs": 1000}), augment=augment.get(form, whole),
        seed=0, what="train", callbacks=[turns(keras)],
    )  # fmt: skip


def train_keras(keras: Any, model: str, form: str) -> None:
    from edgebig.keras import tf
    from edgebig.models import digit_cnn, head, mlp

    spec, data = spec_of(model), splits(model)
    x, y = np.asarray(data.train.images) / np.float32(255), data.train.labels
    validation = np.asarray(data.validation.images) / np.float32(255), data.validation.labels
    for module in (digit_cnn, head, mlp):
        module.keras = keras  # type: ignore[attr-defined]  # The same layers, of this Keras.
    net = {"digit-cnn": digit_cnn, "mlp": mlp}[model].build(spec.model, data.train.shape, len(data.classes))
    augmentation = keras.Sequential(augmenting_layers(keras, spec.data.augment, data.train.shape))
    if form == "model":
        net = keras.Sequential([keras.Input(data.train.shape), augmentation, net])
    net.compile(
        optimizer=keras.optimizers.Adam(0.001), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    fed: dict[str, Any] = {"x": x, "y": y, "batch_size": BATCH}
    if form == "map":
        batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH)
        changed = batches.map(
            lambda images, labels: (augmentation(images, training=True), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        fed = {"x": changed.prefetch(tf.data.AUTOTUNE)}
    taker = turns(keras)
    # A fit for each turn: an iterator that waited for its turn would end only when its tuning thread wakes.
    while True:
        net.fit(
            **fed, epochs=1 + TIMED_EPOCHS, verbose=0, callbacks=[taker],
            validation_data=validation, validation_batch_size=500,
        )  # fmt: skip


def augmenting_layers(keras: Any, augment: Augment, shape: tuple[int, int, int]) -> list[Any]:
    layers = keras.layers
    shift = augment.shift_px / shape[0], augment.shift_px / shape[1]
    return [
        layers.RandomTranslation(*shift, fill_mode="constant"),
        layers.RandomRotation(augment.rotate_deg / 360, fill_mode="constant"),
        layers.RandomZoom((-augment.zoom, augment.zoom), fill_mode="constant"),
    ]


class Child:
    """A contender's process."""

    def __init__(self, contender: str, model: str) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # It is as long-lived as the child.
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--contend", contender, "--models", model],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
        )  # fmt: skip

    def turn(self) -> dict[str, float]:
        assert self.process.stdin
        assert self.process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            raise SystemExit(
                f"{self.process.args} ended with {self.process.wait()}:\n{self.said.read()[-2000:]}"
            )
        took: dict[str, float] = json.loads(line)
        return took

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(model: str, rounds: int) -> dict[str, Any]:
    children = {}
    took: dict[str, list[dict[str, float]]] = {contender: [] for contender in CONTENDERS}
    for contender in CONTENDERS:
        children[contender] = Child(contender, model)
        first_s = children[contender].turn()["wall_s"]
        print(f"  {contender}: first turn {first_s:.1f} s", file=sys.stderr, flush=True)
    for number in range(rounds):
        order = CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]
        for contender in order:
            took[contender].append(children[contender].turn())
        figures = "  ".join(f"{contender} {took[contender][-1]['wall_s']:.2f}" for contender in CONTENDERS)
        print(f"  round {number + 1}: {figures}", file=sys.stderr, flush=True)
    for child in children.values():
        child.end()
    return {
        "model": model,
        "examples": EXAMPLES[model],
        "timed_epochs": TIMED_EPOCHS,
        "turns": took,
        "ratios": ratios(took),
    }


def ratios(took: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    found = []
    for contender, form, at_least in TARGETS:
        for keras in KERAS:
            over = f"{keras}-{form}"
            wall, cpu = (
                [other[clock] / own[clock] for own, other in zip(took[contender], took[over], strict=True)]
                for clock in ("wall_s", "cpu_s")
            )
            low, high = median_interval(wall)
            verdict = "PASS" if low >= at_least else "FAIL" if high < at_least else "INCONCLUSIVE"
            found.append(
                {
                    "of": contender, "over": over, "ratio": round(float(np.median(wall)), 3),
                    "low": round(low, 3), "high": round(high, 3),
                    "processor_ratio": round(float(np.median(cpu)), 3), "at_least": at_least, "verdict": verdict,
                }
            )  # fmt: skip
    return found


def median_interval(values: list[float], level: float = 0.95) -> tuple[float, float]:
    """The order statistics between which the median lies, at `level` or more, whatever the distribution.

    On a machine that others use, a turn is a multiple of its neighbours now and then: no logarithm there is normal.
    """
    n, outside, left_out = len(values), 0.0, 0
    while (outside := outside + 2 * math.comb(n, left_out) / 2**n) <= 1 - level:
        left_out += 1
    return sorted(values)[left_out - 1], sorted(values)[n - left_out]


def table(found: dict[str, Any]) -> str:
    examples = found["examples"] * TIMED_EPOCHS
    lines = [f"{found['model']}, {found['examples']} examples an epoch, batches of {BATCH}, medians"]
    for contender, turns_taken in found["turns"].items():
        wall_s, cpu_s = (
            float(np.median([turn[clock] for turn in turns_taken])) for clock in ("wall_s", "cpu_s")
        )
        lines.append(
            f"  {contender:15} {examples / wall_s:8.0f} examples/s   "
            f"{cpu_s * BATCH / examples * 1e3:6.2f} ms of processors a step"
        )
    for ratio in found["ratios"]:
        lines.append(
            f"  {ratio['of']} over {ratio['over']}: {ratio['ratio']:.2f} ({ratio['low']:.2f} .. {ratio['high']:.2f}), "
            f"by processor time {ratio['processor_ratio']:.2f}; at least {ratio['at_least']:g}: {ratio['verdict']}"
        )
    return "\n".join(lines)


def conditions() -> dict[str, Any]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )  # fmt: skip
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", *KERAS)}
    return {
        "date": dt.date.today().isoformat(), "cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "python": platform.python_version(), **versions,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="edgebig's training against plain Keras loops")
    parser.add_argument("--models", nargs="+", choices=EXAMPLES, default=list(EXAMPLES))
    parser.add_argument(
        "--rounds", type=int, default=9, help="turns of each contender (default 9, at least 6)"
    )
    parser.add_argument("--out", type=Path, metavar="OUT.json", help="write the figures there")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contend:
        contend(arguments.contend, arguments.models[0])
        return 0
    if arguments.rounds < 6:
        parser.error("an interval of 95 % needs 6 rounds")
    about, results = conditions(), []
    for model in arguments.models:
        print(f"{model}:", file=sys.stderr, flush=True)
        results.append(compare(model, arguments.rounds))
        print(table(results[-1]), flush=True)
    if arguments.out:
        files.write_json(arguments.out, {**about, "batch_size": BATCH, "results": results})
    return 0 if all(ratio["verdict"] == "PASS" for found in results for ratio in found["ratios"]) else 3


if __name__ == "__main__":
    sys.exit(main())
