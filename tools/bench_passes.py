#!/usr/bin/env python3
"""What an epoch of pruning, clustering or quantization-aware training costs, as a ratio to an epoch of plain training.

    .venv/bin/python tools/bench_passes.py [--recipe digits-small] [--rounds 5]

Each round trains the recipe's net, untrained, for four epochs of digits-5k without augmentation by each contender in
turn, in an order that is turned about every other round. Told is the ratio to `float` within a round, by epochs 2 to 4
(the first one traces; the masks of a pruning are taken in 1 and 2): the median of the rounds, the least and the most.
What slows the machine slows all contenders; no absolute time is told.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from edgebig import recipe, train
from edgebig.compress.cluster import cluster
from edgebig.compress.context import Context
from edgebig.compress.prune import prune
from edgebig.compress.qat import qat
from edgebig.data import source
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


class Timed(Context):
    """Remembers how long the epochs of the last phase took."""

    def fit(self, *arguments: Any, **settings: Any) -> Any:
        progress = super().fit(*arguments, **settings)
        object.__setattr__(self, "seconds", [row["seconds"] for row in progress.history])
        return progress


def seconds(spec: recipe.Recipe, splits: Any, settings: Any) -> float:
    """Of epochs 2 to 4."""
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
    return float(sum(context.seconds[1:]))  # type: ignore[attr-defined]  # set above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="digits-small")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    spec = recipe.load(arguments.recipe, ["data.augment={}", "data.source=digits-5k"])
    spec = spec.model_copy(update={"compress": Compress()})
    splits = source.load(Data(source="digits-5k"))
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
