"""What a pass would refuse or silently skip, told before minutes of training are spent.

The lists below are ours, so that `edgebig train` need not load tensorflow-model-optimization. Tests hold them
against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgebig import models
from edgebig.compress.qat import apply_qat
from edgebig.errors import EdgebigError
from edgebig.keras import keras, load_tfmot
from edgebig.models import head
from edgebig.recipe import Recipe

# Layers with an int8 form. BatchNormalization is apart: it has one where it folds into the layer before it.
INT8_LAYERS = frozenset({
    "Activation", "ActivityRegularization", "Add", "AveragePooling1D", "AveragePooling2D", "Concatenate",
    "Conv2D", "Conv2DTranspose", "Cropping1D", "Cropping2D", "Cropping3D", "Dense", "DepthwiseConv2D",
    "Dropout", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "InputLayer", "LeakyReLU",
    "MaxPooling2D", "Permute", "ReLU", "Reshape", "SeparableConv1D", "SeparableConv2D", "Softmax",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "UpSampling2D", "ZeroPadding1D",
    "ZeroPadding2D",
})  # fmt: skip
# The scheme that keeps zeros knows fewer layers.
NOT_AFTER_PRUNING = frozenset({"Conv2DTranspose"})
INT8_ACTIVATIONS = frozenset({"linear", "relu", "sigmoid", "tanh", "gelu", "softmax"})
# As layers of their own; inside a convolution tfmot refuses relu6, and swish stays in float.
INT8_ACTIVATION_LAYERS = INT8_ACTIVATIONS | {"relu6", "swish"}
# tfmot lets BatchNormalization follow Dense and Conv2DTranspose too, and they come out in float.
FOLDED_INTO = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
# DepthwiseConv2D is none of them: tfmot passes it over in silence. Of separable ones it prunes the pointwise kernel.
PRUNED_LAYERS = frozenset({
    "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Dense", "Embedding",
    "LocallyConnected1D", "LocallyConnected2D", "SeparableConv1D", "SeparableConv2D",
})  # fmt: skip


def check_recipe(spec: Recipe, input_shape: tuple[int, int, int], classes: int) -> None:
    """Holds the model of a recipe, still untrained, against the passes that the recipe asks for."""
    wanted = [name for name, settings in spec.compress if settings is not None]
    if wanted:
        check_layers(head.two_outputs(models.build(spec.model, input_shape, classes)), wanted)


def check(model: Any, passes: Sequence[str]) -> None:
    """`check_layers`, and then tensorflow-model-optimization itself is asked. Raises EdgebigError."""
    check_layers(model, passes)
    if "prune" not in passes:
        return  # the first thing that qat does is to ask it
    registry = load_tfmot("sparsity.keras.prune_registry").PruneRegistry
    inputs = keras.layers.InputLayer
    refused = [
        layer for layer in model.layers if not isinstance(layer, inputs) and not registry.supports(layer)
    ]
    if refused:
        raise EdgebigError(
            f"{model.name}: pruning refuses {len(refused)} of its layers\n"
            + "\n".join(f"  {layer.name} ({type(layer).__name__})" for layer in refused),
            "change these layers; nothing was trained",
        )
    if "qat" in passes:
        apply_qat(keras.models.clone_model(model), preserve_sparsity=True)


def check_layers(model: Any, passes: Sequence[str]) -> None:
    """Raises EdgebigError that names every layer which one of `passes` cannot take."""
    if not getattr(model, "_is_graph_network", False):
        if isinstance(model, keras.Sequential):
            raise EdgebigError(
                f"{model.name}: does not know its input's shape", "let it begin with Input(shape)"
            )
        raise EdgebigError(
            f"{model.name}: a subclassed model, which no pass can look into",
            "write it as a Sequential or functional model",
        )
    if "prune" in passes and not prunable(model):
        raise EdgebigError(
            f"{model.name}: it has no layer that can be pruned", "prune takes Conv2D, Dense and their like"
        )
    faults = qat_faults(model, after_pruning="prune" in passes) if "qat" in passes else []
    if faults:
        raise EdgebigError(
            f"{model.name}: quantization-aware training refuses {len(faults)} of its layers\n"
            + "\n".join(faults),
            "change these layers; nothing was trained",
        )


def prunable(model: Any) -> list[str]:
    """The names of the layers whose weights pruning takes."""
    return [layer.name for layer in model.layers if type(layer).__name__ in PRUNED_LAYERS]


def qat_faults(model: Any, *, after_pruning: bool) -> list[str]:
    """A line for each layer that has no int8 form: its name, its class and why."""
    faults = (_qat_fault(layer, after_pruning) for layer in model.layers)
    return [f"  {fault}" for fault in faults if fault]


def _qat_fault(layer: Any, after_pruning: bool) -> str:
    kind = type(layer).__name__
    name = f"{layer.name} ({kind})"
    if isinstance(layer, keras.Model):
        return f"{name}: a model inside the model; put its layers in directly"
    # A class of the user's own may have a built-in's name.
    built_in = type(layer).__module__.startswith("tf_keras.")
    if built_in and kind == "BatchNormalization":
        return _batch_norm_fault(layer)
    if not built_in or kind not in INT8_LAYERS:
        return f"{name}: there is no int8 form of it{_mend(kind)}"
    if after_pruning and kind in NOT_AFTER_PRUNING:
        return f"{name}: there is no int8 form of it that keeps pruned weights at zero"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation not in (INT8_ACTIVATION_LAYERS if kind == "Activation" else INT8_ACTIVATIONS):
        return f"{name}: there is no int8 form of activation '{activation}'; use relu"
    return ""


def _batch_norm_fault(layer: Any) -> str:
    name = f"{layer.name} (BatchNormalization)"
    before = layer.inbound_nodes[0].inbound_layers
    kind = type(before).__name__
    if kind not in FOLDED_INTO:
        return f"{name}: after {kind}; it folds only into {', '.join(FOLDED_INTO)}"
    if len(before.outbound_nodes) > 1:
        return f"{name}: {before.name} before it is used elsewhere too, so that it cannot fold into it"
    if before.activation is not keras.activations.linear:
        return (
            f"{name}: after {before.name} with activation '{before.activation.__name__}'; put that after it, "
            f"as a layer: {kind} -> BatchNormalization -> ReLU"
        )
    return ""


def _mend(kind: str) -> str:
    mends = {
        "Rescaling": "; edgebig scales pixels to [0, 1] already, leave it out",
        "Conv1D": "; write it as a Conv2D of height 1",
        "Lambda": "; a Lambda's code does not travel with a model, write it with layers",
    }
    if kind.startswith("Random"):
        return "; augmentation belongs in [data] augment of the recipe"
    return mends.get(kind, "")
