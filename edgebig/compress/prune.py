"""Magnitude pruning: while the model trains on, its smallest weights become zero and stay it.

Zhu and Gupta, "To prune, or not to prune" (2017): the share of zeros climbs along a cubic curve, fitted here to the
steps there really are. The masks are ours (`patterns`): tensorflow-model-optimization has neither a threshold over
all layers nor blocks in convolutions, and cuts to 2:4 at one blow before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig.artifact import PassRecord
from edgebig.compress import kernels
from edgebig.compress.context import Context
from edgebig.compress.patterns import Pattern, global_masks, layer_mask
from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf
from edgebig.recipe import Prune

# Masks are taken anew so often on the way up.
_CUTS = 50


class Plan(NamedTuple):
    """What is pruned, and by the layer's name why the others are not."""

    layers: tuple[str, ...]
    left: dict[str, str]
    pattern: Pattern


def prune(context: Context, model: Any, spec: Prune) -> tuple[Any, PassRecord]:
    """Trains on while the smallest weights become zero; `model` itself gets the weights, and stays an ordinary one.

    The share of zeros climbs over the first half of the epochs, the rest recovers. Raises EdgebigError where no layer
    can be pruned as asked, before any training.
    """
    made = plan(model, spec)
    steps = context.steps_per_epoch(spec)
    ramp_epochs = spec.epochs // 2
    ramp = _Ramp(model, made, spec, steps, ramp_epochs * steps or max(1, steps * 2 // 3))
    fitted = context.fit(
        ramp.held,
        spec,
        "prune",
        callbacks=[ramp],
        # An earlier epoch is the better one only because it is not pruned yet.
        first_eligible_epoch=ramp_epochs,
    )
    model.set_weights(ramp.held.get_weights())
    reached = {name: stored(model)[name] for name in made.layers}
    _check_reached(reached, spec, made.pattern)
    zeros = sum(np.sum(weights == 0) for weights in reached.values())
    record = {
        "name": "prune",
        "asked": spec.sparsity,
        "sparsity": round(float(zeros) / sum(weights.size for weights in reached.values()), 4),
        "sparsity_by_layer": {name: round(float(np.mean(w == 0)), 4) for name, w in reached.items()},
        # Of groups, as the pattern wants them; the same as above where the pattern is any.
        "pattern_by_layer": {name: round(made.pattern.share(w), 4) for name, w in reached.items()},
        "not_pruned": made.left,
        **({"least_kept": round(_least_kept(spec), 4)} if spec.scope == "global" else {}),
        **fitted.facts(),
    }
    return model, PassRecord.model_validate(record)


def pattern_of(spec: Prune) -> Pattern:
    return Pattern(spec.pattern, spec.block if spec.pattern == "block" else (1, 1))


def plan(model: Any, spec: Prune) -> Plan:
    """What would be pruned. Raises EdgebigError where nothing would be."""
    pattern, layers = pattern_of(spec), []
    left = kernels.others(model)
    for name, kernel in kernels.find(model).items():
        kind = type(model.get_layer(name)).__name__
        if pattern.kind != "any" and kind not in kernels.INPUTS_THEN_OUTPUTS:
            left[name] = f"{kind} has no inputs that a pattern could lie along"
        elif why_not := pattern.why_not(outputs=kernel.shape[-1], inputs=kernel.shape[-2]):
            left[name] = why_not
        else:
            layers.append(name)
    if not layers:
        shape = f"pattern {spec.pattern}" + (f" {spec.block}" if spec.pattern == "block" else "")
        why = "\n".join(f"  {name}: {reason}" for name, reason in left.items())
        raise EdgebigError(
            f"{model.name}: no layer can be pruned in {shape}\n{why}"
            if left
            else f"{model.name}: it has no layer that can be pruned",
            "leave the pattern out (--set compress.prune.pattern=any); nothing was trained"
            if spec.pattern != "any"
            else "prune takes Conv2D, Dense and their like",
        )
    return Plan(tuple(layers), left, pattern)


def stored(model: Any) -> dict[str, npt.NDArray[Any]]:
    """The kernels as a .tflite stores them, outputs first, by the layer's name."""
    return {name: kernels.outputs_first(kernel.numpy()) for name, kernel in kernels.find(model).items()}


def _least_kept(spec: Prune) -> float:
    """Of every layer, so that a threshold over all of them closes none."""
    return min(0.05, (1 - spec.sparsity) / 2)


def masks(layers: Mapping[str, npt.NDArray[Any]], spec: Prune, share: float) -> dict[str, npt.NDArray[Any]]:
    """A mask a layer, for this share of zeros on the way to the one that `spec` asks for; weights outputs first."""
    pattern = pattern_of(spec)
    if spec.scope == "layer":
        return {name: layer_mask(weights, share, pattern) for name, weights in layers.items()}
    found = global_masks(list(layers.values()), share, pattern, least_kept=_least_kept(spec))
    return dict(zip(layers, found, strict=True))


class _Ramp(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
    """Takes the masks anew on the way up; between two of them the model in training multiplies by them every step."""

    def __init__(self, model: Any, made: Plan, spec: Prune, steps: int, ramp_steps: int) -> None:
        super().__init__()
        self.spec, self.steps, self.ramp_steps = spec, steps, ramp_steps
        found = kernels.find(model)
        self.masks = {name: tf.Variable(tf.ones(found[name].shape), trainable=False) for name in made.layers}
        self.held = kernels.held(model, {name: _times(mask) for name, mask in self.masks.items()})
        self.every = max(1, ramp_steps // _CUTS)
        self.epoch, self.next_step, self.done = 0, self.every, False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Steps that run in a loop are told of once, so that one of ours may have gone by.
        step = min(self.epoch * self.steps + batch + 1, self.ramp_steps)
        if self.done or step < min(self.next_step, self.ramp_steps):
            return
        self.done, self.next_step = step == self.ramp_steps, step + self.every
        share = self.spec.sparsity * (1 - (1 - step / self.ramp_steps) ** 3)
        layers, found = stored(self.held), kernels.find(self.held)
        for name, mask in masks({name: layers[name] for name in self.masks}, self.spec, share).items():
            self.masks[name].assign(kernels.outputs_last(mask).astype(np.float32))
            found[name].assign(found[name] * self.masks[name])


def _times(mask: Any) -> Any:
    return lambda kernel: kernel * mask


def _check_reached(reached: Mapping[str, npt.NDArray[Any]], spec: Prune, pattern: Pattern) -> None:
    """Raises EdgebigError where the weights (O, ..., I) are not as asked, to one group of rounding a layer."""
    short = []
    groups = {name: len(pattern.groups(weights)) for name, weights in reached.items()}
    asked = 1.0 if spec.pattern == "2:4" else spec.sparsity
    shares = {name: pattern.share(weights) for name, weights in reached.items()}
    if spec.scope == "global":
        total = sum(groups.values())
        share = sum(shares[name] * count for name, count in groups.items()) / total
        if share < asked - len(groups) / total:
            short.append(f"all together {share:.1%}")
        short += [f"{name} 100.0%" for name, weights in reached.items() if not weights.any()]
    else:
        slack = 0 if spec.pattern == "2:4" else 1
        short = [
            f"{name} {share:.1%}" for name, share in shares.items() if share < asked - slack / groups[name]
        ]
    if short:
        raise EdgebigError(
            f"pruning did not reach {spec.sparsity:.0%}: {', '.join(short)}", "please report this"
        )
