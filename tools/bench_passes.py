#!/usr/bin/env python3
"""What an epoch of pruning, clustering or quantization-aware training costs, as a ratio to an epoch of plain training.

    .venv/bin/python tools/bench_passes.py [--recipe digits-small] [--rounds 5]

Each round trains the recipe's net, untrained, for four epochs of 14,000 digits (those of digits-5k, four times) without
augmentation by each contender in turn, in an order that is turned about every other round. Told is the ratio to `float`
within a round, by the processor's time in epochs 2 to 4 (the first one traces; the masks of a pruning are taken in 1
and 2): the median of the rounds, the least and the most. The processor's time and not the clock's, which other
programs slow; no absolute time is told.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any, ClassVar

import numpy as np

from edgebig import recipe, train
from edgebig.compress.cluster import cluster
from edgebig.compress.context import Context
from edgebig.compress.prune import prune
from edgebig.compress.qat import qat
from edgebig.data import source
from edgebig.data.examples import Splits
from edgebig.keras import keras
from edgebig.recipe import Cluster, Compress, Data, Prune, Qat, Train

FOUR_EPOCHS: dict[str, Any] = {"epochs": 4, "keep": "last"}
CONTENDERS: dict[str, Any] = {
    "float": Train(**FOUR_EPOCHS),
    "prune": Prune(**FOUR_EPOCHS),
    "prune, global": Prune(scope="global", **FOUR_EPOCHS),
    "prune, 2:4": Prune(pattern="2:4", **FOUR_EPOCHS),
    "cluster": Cluster(**FOUR_EPOCHS),
    "cluster, per channel": Cluster(per_channel=True, clusters=8, **FOUR_EPOCHS),
    "qat": Qat(**FOUR_EPOCHS),
}


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
    """The processor's time at the end of each epoch of the last phase."""

    ends: ClassVar[list[float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.ends.clear()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ends.append(time.process_time())


class Timed(Context):
    def fit(self, model: Any, spec: Any, what: str, *, callbacks: Any = (), **settings: Any) -> Any:
        return super().fit(model, spec, what, callbacks=[*callbacks, Clock()], **settings)


def seconds(spec: recipe.Recipe, splits: Splits, settings: Any) -> float:
    """Of the processor in epochs 2 to 4."""
    model = train.build(spec, splits)
    context = Timed(splits, spec, (), spec.train.seed)
    if isinstance(settings, Prune):
        prune(context, model, settings)
    elif isinstance(settings, Cluster):
        cluster(context, model, settings)
    elif isinstance(settings, Qat):
        qat(context, model, settings)
    else:
        context.fit(model, settings, "prune")
    return Clock.ends[-1] - Clock.ends[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="digits-small")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    spec = recipe.load(arguments.recipe, ["data.augment={}", "data.source=digits-5k"])
    spec = spec.model_copy(update={"compress": Compress()})
    once = source.load(Data(source="digits-5k"))
    four_times = once.train[np.tile(np.arange(len(once.train)), 4)]
    splits = Splits(once.source, once.classes, four_times, once.validation, once.test)
    ratios: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for turn in range(arguments.rounds):
        order = list(CONTENDERS)[:: -1 if turn % 2 else 1]
        took = {name: seconds(spec, splits, CONTENDERS[name]) for name in order}
        for name, value in took.items():
            ratios[name].append(value / took["float"])
    print(f"{arguments.recipe}, {arguments.rounds} rounds: epochs 2 to 4 as a ratio to float's")
    for name, found in ratios.items():
        print(f"  {name:22} {statistics.median(found):.2f}  ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
