"""Structured pruning: whole channels go, and an ordinary smaller model is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebig import convert, objective
from edgebig.artifact import PassRecord
from edgebig.compress import channels as tracing
from edgebig.compress import choice, cut, importance, ptq, qat
from edgebig.compress.channels import Channels, Ids, Keep
from edgebig.compress.context import Context
from edgebig.data import pipeline
from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf
from edgebig.progress import say
from edgebig.recipe import SLIM_TARGETS, Qat, Slim

# What the loss says of a channel is squared before its mean over batches is taken: small ones, or their examples
# cancel out.
_TAYLOR_BATCH, _TAYLOR_BATCHES = 32, 100
# Trained weights have fewer equal numbers that a file says once than those that the size was foretold by.
_RESERVE_BYTES = 64


@dataclass(frozen=True)
class _Target:
    """`value` of what is kept is to be `limit` at most. `spent`: what counts as the price of a channel."""

    limit: float
    value: Callable[[Keep], float]
    spent: Callable[[Keep], int]
    words: Callable[[float], str]

    def met(self, keep: Keep) -> bool:
        return self.value(keep) <= self.limit


def slim(context: Context, model: Any, spec: Slim) -> tuple[Any, PassRecord]:
    """Cuts the channels that matter least until the target is met, and trains the rest.

    Raises EdgebigError before any training where the target cannot be reached, is met already, or cannot be measured.
    """
    traced = tracing.of(model)
    costs = choice.costs(model, traced)
    check_ranking(traced, spec)
    target = _target(context, model, traced, costs, spec)
    _check_reachable(target, traced, spec)
    if spec.importance == "bn-scale" and spec.sparsify_epochs:
        _sparsify(context, model, traced, spec)
    before = _correct(context, model)
    nobody_misses = cut.dead(traced)
    scores = np.where(nobody_misses, 0.0, _scores(context, model, traced, spec))
    keep = _kept(target, traced, scores, spec)
    smaller = cut.cut(model, traced, keep)
    everything = traced.everything()
    macs, left_macs = costs.macs(everything), costs.macs(keep)
    channels = {
        name: (count, left)
        for (name, count), left in zip(
            traced.counts(everything).items(), traced.counts(keep).values(), strict=True
        )
        if not traced.fixed[_output(traced, name)].all()
    }
    say(
        f"slim: {left_macs / macs:.1%} of the multiplications, channels "
        + ", ".join(f"{name} {count} -> {left}" for name, (count, left) in channels.items())
    )
    after_cut = _correct(context, smaller)
    fitted = context.fit(smaller, spec, "slim: fine-tune")
    record = {
        "name": "slim",
        "asked": {name: getattr(spec, name) for name in SLIM_TARGETS if getattr(spec, name) is not None},
        "reached": target.value(keep),
        "macs_before": macs,
        "macs": left_macs,
        "parameters_before": int(model.count_params()),
        "channels": channels,
        "dead_channels": int(nobody_misses.sum()),
        "validation_correct_by_stage": {"before the cut": before, "after the cut": after_cut},
        **fitted.facts(),
    }
    return smaller, PassRecord.model_validate(record)


def check_model(model: Any, spec: Slim) -> None:
    """What can be known of a model, still untrained. Raises EdgebigError where slim cannot do what is asked of it."""
    tracing.check(model)
    traced = tracing.of(model)
    check_ranking(traced, spec)
    if spec.macs is not None:
        _check_reachable(_of_macs(choice.costs(model, traced), traced, spec.macs), traced, spec)


def check_ranking(traced: Channels, spec: Slim) -> None:
    """Raises EdgebigError where channels are to be ranked by BatchNorm scales, and there is none."""
    if spec.importance == "bn-scale" and not importance.scaled(traced):
        raise EdgebigError(
            "[compress.slim] importance: the model has no BatchNormalization whose scale could rank its channels",
            "rank them by the loss: --set compress.slim.importance=taylor",
        )


def _output(traced: Channels, name: str) -> Ids:
    return next(use.output for use in traced.uses if use.layer.name == name)


def _target(context: Context, model: Any, traced: Channels, costs: choice.Costs, spec: Slim) -> _Target:
    if spec.macs is not None:
        return _of_macs(costs, traced, spec.macs)
    if spec.size_bytes is not None:
        return _Target(
            spec.size_bytes,
            lambda keep: len(_shipped(context, cut.cut(model, traced, keep))) + _RESERVE_BYTES,
            costs.parameters,
            lambda value: f"{value:,.0f} bytes",
        )
    assert spec.latency is not None
    measure = context.measure
    if measure is None:
        raise EdgebigError(
            "[compress.slim] latency: nothing here measures",
            "use edgebig compress, which measures, or ask for a share of macs",
        )
    whole = _shipped(context, model)
    # A measurement is dear, and the record tells the one that decided.
    measured: dict[bytes, float] = {}

    def ratio(keep: Keep) -> float:
        if keep.all():
            return 1.0
        if keep.tobytes() not in measured:
            share = measure(whole, _shipped(context, cut.cut(model, traced, keep)), spec.device)
            say(f"slim: {costs.macs(keep) / costs.macs(traced.everything()):.1%} of the multiplications take "
                f"{share:.3f} of the time on {spec.device}")  # fmt: skip
            measured[keep.tobytes()] = share
        return measured[keep.tobytes()]

    return _Target(spec.latency, ratio, costs.macs, lambda value: f"{value:.3f} of the time on {spec.device}")


def _of_macs(costs: choice.Costs, traced: Channels, share: float) -> _Target:
    whole = costs.macs(traced.everything())
    return _Target(
        share,
        lambda keep: costs.macs(keep) / whole,
        costs.macs,
        lambda value: f"{value:.1%} of the multiplications",
    )


def _check_reachable(target: _Target, traced: Channels, spec: Slim) -> None:
    least = target.value(choice.least(traced, spec.multiple))
    if least > target.limit:
        smaller = (
            f"or keep channels in smaller multiples: --set compress.slim.multiple={spec.multiple // 2}"
            if spec.multiple > 1
            else "or start from a smaller model"
        )
        raise EdgebigError(
            f"[compress.slim] {target.words(target.limit)} cannot be reached: with as few channels as can be it is "
            f"{target.words(least)}",
            f"ask for more than that, {smaller}; nothing was trained",
        )
    if target.met(traced.everything()):
        raise EdgebigError(
            f"[compress.slim] asks for {target.words(target.limit)}, and before any cut it is "
            f"{target.words(target.value(traced.everything()))}",
            "ask for less, or leave slim out",
        )


def _sparsify(context: Context, model: Any, traced: Channels, spec: Slim) -> None:
    """Trains on with a penalty on the scales. It is part of this model's loss alone: the cut makes another model."""
    for layer in importance.scaled(traced):
        layer.add_loss(lambda layer=layer: spec.l1 * tf.reduce_sum(tf.abs(layer.gamma)))
    # The best epoch would be the one with the least of what this is for.
    settings = spec.model_copy(update={"epochs": spec.sparsify_epochs, "keep": "last", "patience": 0})
    context.fit(model, settings, "slim: sparsify")


def _scores(context: Context, model: Any, traced: Channels, spec: Slim) -> importance.Scores:
    if spec.importance == "bn-scale":
        return importance.by_scale(traced)
    classes = len(context.splits.classes)
    teacher = context.teacher
    loss = objective.distillation(spec, teacher) if teacher else objective.loss(spec, classes)
    batches = pipeline.training_batches(
        context.splits.train, classes, batch_size=_TAYLOR_BATCH, seed=context.seed, first_epoch=0, epochs=1,
        augment=context.recipe.data.augment, teacher=teacher,
    )  # fmt: skip
    return importance.by_loss(model, traced, loss, batches.take(_TAYLOR_BATCHES))


def _kept(target: _Target, traced: Channels, scores: importance.Scores, spec: Slim) -> Keep:
    blocks = choice.order(traced, scores, target.spent, spec.multiple)
    keep = choice.first_that(blocks, target.met, traced.everything())
    if spec.macs is None:
        return keep
    # Of multiplications alone any question is free.
    return choice.refined(traced, scores, keep, blocks, target.met)


def _shipped(context: Context, model: Any) -> bytes:
    """The .tflite that `model` would become after all passes: of that type and size, with other numbers in it."""
    settings, int8 = context.recipe.compress, "qat" in context.passes
    if settings.ptq and "ptq" in context.passes:
        data, _ = ptq.ptq(context, model, settings.ptq)
    else:
        if settings.qat and int8:
            model = _as_after_qat(context, model, settings.qat)
        data = convert.to_tflite(model, int8=int8, io=context.recipe.convert.io)
    return convert.as_shipped(
        data, "-".join(context.passes), context.recipe, context.splits,
        stripped=context.recipe.convert.strip,
    )  # fmt: skip


def _as_after_qat(context: Context, model: Any, spec: Qat) -> Any:
    """With fake quantization that has seen a batch: where all ranges are alike, a file says them once and is small."""
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    quantized = qat.apply_qat(copied, qat.named_layers(model, spec))
    images, _ = next(
        iter(pipeline.evaluation_batches(context.splits.validation, len(context.splits.classes)))
    )
    quantized(images, training=True)
    return quantized


def _correct(context: Context, model: Any) -> int:
    """How many validation examples it reads right."""
    correct = 0
    for images, labels in pipeline.evaluation_batches(context.splits.validation, len(context.splits.classes)):
        said = np.argmax(model(images, training=False), axis=-1)
        correct += int(np.sum(said == np.argmax(labels, axis=-1)))
    return correct
