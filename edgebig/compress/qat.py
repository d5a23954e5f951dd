"""Quantization-aware training to int8 by tensorflow-model-optimization, of the whole model or with islands of float."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from edgebig.artifact import PassRecord
from edgebig.compress import fused, sensitivity, tied
from edgebig.compress.context import Context
from edgebig.errors import EdgebigError
from edgebig.keras import keras, load_tfmot
from edgebig.progress import say
from edgebig.recipe import Cluster, Qat


def qat(context: Context, model: Any, spec: Qat) -> tuple[Any, PassRecord]:
    """Trains on with int8 rounding in the graph. What `prune` and `cluster` made of kernels stays."""
    chosen: dict[str, Any] = {}
    float_layers = named_layers(model, spec)
    if spec.keep_float:
        table = sensitivity.table(model, sensitivity.pictures(context.splits))
        say(sensitivity.text(table))
        float_layers |= fused.with_groups(model, sensitivity.worst(table, spec.keep_float, float_layers))
        chosen["sensitivity"] = [row._asdict() for row in table]
    if float_layers:
        say(f"qat: in float stay {', '.join(name for name in names(model) if name in float_layers)}")
    quantized = apply_qat(model, float_layers)
    cluster = context.recipe.compress.cluster if "cluster" in context.passes else None
    kept = _keep(quantized, zeros="prune" in context.passes, cluster=cluster)
    fitted = context.fit(quantized, spec, "qat")
    record: dict[str, Any] = {
        "name": "qat",
        "scheme": "int8" if not float_layers else "int8 with float layers",
        "keeps": kept,
        "float_layers": [name for name in names(model) if name in float_layers],
        **chosen,
        **fitted.facts(),
    }
    return quantized, PassRecord.model_validate(record)


def names(model: Any) -> list[str]:
    """Of the layers of `model` but its inputs."""
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def named_layers(model: Any, spec: Qat) -> frozenset[str]:
    """The layers that `spec` names as float, with those that are one operator with them.

    Raises EdgebigError where the model has no such layer, or too few for `keep_float`.
    """
    known = names(model)
    faults = []
    for name in spec.float_layers:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            faults.append(f"no layer '{name}'" + (f" (did you mean '{close[0]}'?)" if close else ""))
    if faults:
        raise EdgebigError(
            f"[compress.qat] float_layers: {model.name} has {', '.join(faults)}",
            f"its layers are {', '.join(known)}",
        )
    float_layers = fused.with_groups(model, spec.float_layers)
    left = [group for group in sensitivity.weighted(model) if not float_layers & set(group)]
    if spec.keep_float and spec.keep_float >= len(left):
        raise EdgebigError(
            f"[compress.qat] keep_float = {spec.keep_float}: {model.name} has {len(left)} layers with weights"
            " to choose from, and one must be int8",
            "lower it, or leave int8 out: edgebig convert makes a float .tflite",
        )
    return float_layers


def apply_qat(model: Any, float_layers: Collection[str] = ()) -> Any:
    """A copy of the model with fake quantization in it, but for `float_layers`, whole operators (`fused.groups`).

    Raises EdgebigError with tfmot's own reason where it cannot be done.
    """
    tfmot = load_tfmot()
    from edgebig.compress import scheme

    def annotate(layer: Any) -> Any:
        if layer.name not in float_layers:
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        # An int8 layer that takes it, or the end of the model, whose type is the recipe's.
        takers = {taker.name for taker in fused.consumers(model.get_layer(layer.name))}
        config = scheme.FloatConfig(rounds_output=not takers or not takers <= set(float_layers))
        return tfmot.quantization.keras.quantize_annotate_layer(layer, config)

    try:
        with scheme.scope():
            if not float_layers:
                annotated = tfmot.quantization.keras.quantize_annotate_model(model)
            else:
                annotated = keras.models.clone_model(model, clone_function=annotate)
                annotated.set_weights(model.get_weights())
            return tfmot.quantization.keras.quantize_apply(annotated, scheme.Scheme())
    except (ValueError, RuntimeError) as error:
        raise EdgebigError(
            f"{model.name}: quantization-aware training refuses it: {str(error).splitlines()[0]}",
            "nothing was trained; 'edgebig compress' without --int8 still prunes",
        ) from error


def _keep(quantized: Any, *, zeros: bool, cluster: Cluster | None) -> list[str]:
    """Ties what passes before this one made; gives the words for it."""
    if not zeros and cluster is None:
        return []
    tied.tie(
        quantized,
        zeros=zeros,
        clusters=cluster.clusters if cluster else 0,
        per_channel=cluster.per_channel if cluster else False,
    )
    return [*(["zeros"] if zeros else []), *(["clusters"] if cluster else [])]
