"""What a pass would refuse or silently skip, told before minutes of training are spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgebig import models
from edgebig.compress.qat import apply_qat
from edgebig.errors import EdgebigError
from edgebig.keras import keras, load_tfmot
from edgebig.recipe import Recipe

# tensorflow-model-optimization takes these by rewriting, so that its registry does not list them.
_REWRITTEN = ("SeparableConv2D", "InputLayer")
_FOLDED_INTO = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense")


def check_recipe(spec: Recipe, input_shape: tuple[int, int, int], classes: int) -> None:
    """Holds the model of a recipe, still untrained, against the passes that the recipe asks for."""
    wanted = [name for name, settings in spec.compress if settings is not None]
    if wanted:
        check(models.build(spec.model, input_shape, classes), wanted)


def check(model: Any, passes: Sequence[str]) -> None:
    """Raises EdgebigError that names every layer which one of `passes` cannot take."""
    if not isinstance(model, (keras.Sequential, keras.Model)) or not getattr(
        model, "_is_graph_network", False
    ):
        raise EdgebigError(
            f"{model.name}: a subclassed model, which no pass can look into",
            "write it as a Sequential or functional model",
        )
    if "prune" in passes and not prunable(model):
        raise EdgebigError(
            f"{model.name}: it has no layer that can be pruned", "prune takes Conv2D, Dense and their like"
        )
    if "qat" not in passes:
        return
    faults = qat_faults(model)
    if faults:
        raise EdgebigError(
            f"{model.name}: quantization-aware training refuses {len(faults)} of its layers\n"
            + "\n".join(faults),
            "change these layers; nothing was trained",
        )
    # The list above is ours; this is the judge itself, on a copy.
    apply_qat(keras.models.clone_model(model), preserve_sparsity="prune" in passes)


def prunable(model: Any) -> list[str]:
    """The layers whose weights pruning takes. DepthwiseConv2D is none of them: tfmot passes it over in silence."""
    registry = load_tfmot("sparsity.keras.prune_registry").PruneRegistry
    return [
        layer.name for layer in model.layers if registry.supports(layer) and registry._weight_names(layer)
    ]


def qat_faults(model: Any) -> list[str]:
    """A line for each layer that quantization-aware training refuses: its name, its class and why."""
    module = "quantization.keras.default_8bit.default_8bit_quantize_registry"
    registry = load_tfmot(module).Default8BitQuantizeRegistry()
    faults = []
    for layer in model.layers:
        kind = type(layer).__name__
        if isinstance(layer, keras.Model):
            faults.append(f"  {layer.name} ({kind}): a model inside the model; put its layers in directly")
        elif isinstance(layer, keras.layers.BatchNormalization):
            faults += _batch_norm_fault(layer)
        elif kind not in _REWRITTEN and not registry._is_supported_layer(type(layer)):
            faults.append(f"  {layer.name} ({kind}): there is no int8 form of it{_mend(kind)}")
    return faults


def _batch_norm_fault(layer: Any) -> list[str]:
    before = layer.inbound_nodes[0].inbound_layers
    kind = type(before).__name__
    if kind not in _FOLDED_INTO:
        return [
            f"  {layer.name} (BatchNormalization): after {kind}; it folds only into {', '.join(_FOLDED_INTO)}"
        ]
    activation = getattr(before, "activation", None)
    if activation is not None and activation is not keras.activations.linear:
        return [
            f"  {before.name} ({kind}): activation '{activation.__name__}' before {layer.name}; "
            f"put it after, as a layer: {kind} -> BatchNormalization -> ReLU"
        ]
    return []


def _mend(kind: str) -> str:
    mends = {
        "Rescaling": "; edgebig scales pixels to [0, 1] already, leave it out",
        "Conv1D": "; write it as a Conv2D of height 1",
        "Lambda": "; a Lambda's code does not travel with a model, write it with layers",
    }
    if kind.startswith("Random"):
        return "; augmentation belongs in [data] augment of the recipe"
    return mends.get(kind, "")
