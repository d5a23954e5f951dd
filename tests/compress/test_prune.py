"""Pruning reaches what was asked for, layer by layer, on runs of any length."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Prune

pytestmark = pytest.mark.tf
KERNELS = {"down1": 50, "stage1_1": 36, "down2": 72, "stage2_1": 144, "probabilities": 40}


def prune(trained: Any, examples: int, **settings: Any) -> tuple[Any, dict[str, Any]]:
    from edgebig import train
    from edgebig.compress.context import Context
    from edgebig.compress.prune import prune

    splits: Splits = trained.splits
    few = Splits(splits.source, splits.classes, splits.train[:examples], splits.validation, splits.test)
    model = train.load_model(trained.run)
    pruned, record = prune(Context(few, trained.spec, ("prune",), 0), model, Prune(**settings))
    return pruned, record.model_dump()


def zeros(model: Any) -> dict[str, int]:
    return {name: int(np.sum(model.get_layer(name).get_weights()[0] == 0)) for name in (*KERNELS, "head")}


@pytest.mark.parametrize(
    ("examples", "settings"),
    [
        (
            700,
            {"epochs": 4, "batch_size": 64, "sparsity": 0.5},
        ),  # 44 steps: fewer than tfmot's own frequency of 100
        (700, {"epochs": 1, "batch_size": 16, "sparsity": 0.8}),
        (128, {"epochs": 1, "batch_size": 64, "sparsity": 0.3}),  # two steps
        (200, {"epochs": 3, "batch_size": 200, "sparsity": 0.5}),  # one step an epoch
        (64, {"epochs": 1, "batch_size": 64, "sparsity": 0.5}),  # one step in all
    ],
)
def test_every_layer_reaches_the_sparsity_that_was_asked_for(
    trained: Any, examples: int, settings: dict[str, Any]
) -> None:
    model, record = prune(trained, examples, **settings)
    asked = settings["sparsity"]
    for name, size in KERNELS.items():
        assert abs(zeros(model)[name] - asked * size) <= 1, name
        assert record["sparsity_by_layer"][name] == round(zeros(model)[name] / size, 4)
    assert record["asked"] == asked
    # tfmot passes depthwise kernels over, and the record says so.
    assert record["not_pruned"] == ["head"]
    assert zeros(model)["head"] == 0
    assert record["best_epoch"] > settings["epochs"] // 2
    assert type(model.layers[1]).__name__ == "Conv2D"  # an ordinary model again


def test_nearly_everything_can_be_pruned_and_one_weight_is_kept(trained: Any) -> None:
    model, record = prune(trained, 256, epochs=2, batch_size=32, sparsity=0.9999999)
    for name, size in KERNELS.items():
        assert zeros(model)[name] == size - 1
    assert record["sparsity_by_layer"]["stage2_1"] == round(143 / 144, 4)


def test_a_layer_that_fell_short_is_named(trained: Any) -> None:
    from edgebig import train
    from edgebig.compress.prune import prune

    check_reached = sys.modules[prune.__module__]._check_reached
    model = train.load_model(trained.run)
    check_reached(model, {"down1": 0.49, "stage2_1": 0.4931}, 0.5)  # one weight of rounding, of 50 and of 144
    with pytest.raises(EdgebigError) as caught:
        check_reached(model, {"down1": 0.47, "stage2_1": 0.4929, "down2": 0.5}, 0.5)
    assert caught.value.problem == "pruning did not reach 50%: down1 47.0%, stage2_1 49.3%"
    assert caught.value.hint == "give it more epochs (--set compress.prune.epochs=4)"
    with pytest.raises(EdgebigError, match="no layer was pruned"):
        check_reached(model, {}, 0.5)
