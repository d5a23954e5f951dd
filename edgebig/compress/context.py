"""What every pass is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebig.data.examples import Splits
from edgebig.recipe import Recipe


@dataclass(frozen=True)
class Context:
    """The data, the recipe, the names of all passes of this compression in order, and their seed."""

    splits: Splits
    recipe: Recipe
    passes: tuple[str, ...]
    seed: int


def kernel_sparsity(model: Any) -> Mapping[str, float]:
    """The share of zeros in the kernel of each layer that has one, by the layer's name without a wrapper's prefix."""
    shares = {}
    for layer in model.layers:
        for weight in layer.trainable_weights:
            if "kernel" in weight.name:
                name = getattr(layer, "layer", layer).name
                shares[name] = float(np.mean(weight.numpy() == 0.0))
    return shares
