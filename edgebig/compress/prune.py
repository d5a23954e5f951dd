"""Magnitude pruning by tensorflow-model-optimization, with a schedule that fits the steps there really are."""

from __future__ import annotations

from typing import Any

from edgebig.artifact import PassRecord
from edgebig.compress.context import Context, kernel_sparsity
from edgebig.errors import EdgebigError
from edgebig.keras import load_tfmot
from edgebig.recipe import Prune


def prune(context: Context, model: Any, spec: Prune) -> tuple[Any, PassRecord]:
    """Trains on while the smallest weights of each layer become zero; the model that comes back is an ordinary one.

    The share of zeros climbs over the first half of the epochs, the rest recovers. Raises EdgebigError where a
    layer did not reach the sparsity that was asked for: on short runs tfmot's own schedules silently do nothing.
    """
    tfmot = load_tfmot()
    steps = context.steps_per_epoch(spec)
    ramp_epochs = spec.epochs // 2
    ramp_steps = ramp_epochs * steps if ramp_epochs else max(1, steps * 2 // 3)
    frequency = max(1, ramp_steps // 50)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=spec.sparsity,
        begin_step=0,
        end_step=ramp_steps // frequency * frequency,
        frequency=frequency,
    )
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    fitted = context.fit(
        pruned,
        spec,
        "prune",
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
        # An earlier epoch is the better one only because it is not pruned yet.
        first_eligible_epoch=ramp_epochs,
    )
    stripped = tfmot.sparsity.keras.strip_pruning(pruned)
    asked = {
        layer.layer.name for layer in pruned.layers if hasattr(layer, "pruning_obj") and layer.pruning_vars
    }
    reached = {name: share for name, share in kernel_sparsity(stripped).items() if name in asked}
    _check_reached(stripped, reached, spec.sparsity)
    record = {
        "name": "prune",
        "asked": spec.sparsity,
        "sparsity_by_layer": {name: round(share, 4) for name, share in reached.items()},
        "not_pruned": sorted(set(kernel_sparsity(stripped)) - asked),
        **fitted.facts(),
    }
    return stripped, PassRecord.model_validate(record)


def _check_reached(model: Any, reached: dict[str, float], asked: float) -> None:
    short = []
    for name, share in reached.items():
        size = int(model.get_layer(name).get_weights()[0].size)
        # tfmot keeps round(size * (1 - sparsity)) weights: one weight of rounding, no more.
        if share < asked - 1.0 / size:
            short.append(f"{name} {share:.1%}")
    if short or not reached:
        raise EdgebigError(
            f"pruning did not reach {asked:.0%}: {', '.join(short) or 'no layer was pruned'}",
            "give it more epochs (--set compress.prune.epochs=4)",
        )
