"""What pruning and clustering made is held against the weights of the file that ships, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import convert
from edgebig.artifact import PassRecord
from edgebig.compress import prune, tied
from edgebig.compress.kernels import outputs_last
from edgebig.errors import EdgebigError
from edgebig.recipe import Compress


def facts(
    data: bytes, layers: Iterable[str], records: Sequence[PassRecord], spec: Compress
) -> dict[str, Any]:
    """What a record says of the weights in `data`: the share of zeros, and the different weights of an output.

    Rounding to int8 makes more zeros and fewer different weights. Raises EdgebigError where there are fewer zeros or
    whole groups of a pattern than `prune` made, or more different weights of an output than `cluster` left.
    """
    weights = convert.layer_weights(data, layers)
    made = {record.name: record.model_dump() for record in records}
    sparsity = {name: float(np.mean(values == 0)) for name, values in weights.items()}
    told: dict[str, Any] = {"shipped_sparsity": {name: round(share, 4) for name, share in sparsity.items()}}
    if "prune" in made and spec.prune:
        _check_kept(made["prune"]["sparsity_by_layer"], sparsity, "zeros that pruning made")
        if spec.prune.pattern != "any":
            _check_pattern(made["prune"]["pattern_by_layer"], weights, spec)
    if "cluster" in made:
        told["shipped_distinct"] = _check_clusters(made["cluster"], weights)
    return told


def _check_pattern(reached: dict[str, float], weights: dict[str, npt.NDArray[Any]], spec: Compress) -> None:
    assert spec.prune
    pattern = prune.pattern_of(spec.prune)
    shares = {name: pattern.share(weights[name]) for name in reached if name in weights}
    _check_kept(reached, shares, f"groups of pattern {pattern.kind}")


def _check_kept(reached: dict[str, float], shares: dict[str, float], what: str) -> None:
    lost = [
        f"{name} {share:.1%} became {shares.get(name, 0.0):.1%}"
        for name, share in reached.items()
        if round(shares.get(name, 0.0), 4) < share
    ]
    if lost:
        raise EdgebigError(
            f"the .tflite lost {what}: {', '.join(lost)}", "please report this; nothing was written"
        )


def _check_clusters(made: dict[str, Any], weights: dict[str, npt.NDArray[Any]]) -> dict[str, int]:
    """By the output: the scales of BatchNormalization and of int8 are each output's own."""
    found = {
        name: tied.distinct(outputs_last(weights[name]), per_channel=True)
        for name in made["distinct_by_channel"]
        if name in weights
    }
    lost = [
        f"{name} {count} became {found.get(name, 'unreadable')}"
        for name, count in made["distinct_by_channel"].items()
        if found.get(name, count + 1) > count
    ]
    if lost:
        raise EdgebigError(
            f"the .tflite lost clusters: different weights of an output in {', '.join(lost)}",
            "please report this; nothing was written",
        )
    return found
