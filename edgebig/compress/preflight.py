"""What a pass would refuse or silently skip, told before minutes of training are spent.

The lists below are ours, so that `edgebig train` need not load tensorflow-model-optimization. Tests hold them
against it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgebig import models
from edgebig.compress import cluster, fused, prune, rewrite, slim
from edgebig.compress.qat import apply_qat, named_layers
from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.models import head
from edgebig.recipe import Compress, Recipe

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
INT8_ACTIVATIONS = frozenset({"linear", "relu", "sigmoid", "tanh", "gelu", "softmax"})
# As layers of their own; inside a convolution tfmot refuses relu6, and swish stays in float.
INT8_ACTIVATION_LAYERS = INT8_ACTIVATIONS | {"relu6", "swish"}


def check_recipe(spec: Recipe, input_shape: tuple[int, int, int], classes: int) -> None:
    """Holds the model of a recipe, still untrained, against the passes that the recipe asks for."""
    if asked(spec.compress):
        model = head.two_outputs(models.build(spec.model, input_shape, classes))
        check_layers(ready(model, spec.compress)[0], spec.compress)


def ready(model: Any, spec: Compress) -> tuple[Any, list[str]]:
    """The model as the passes get it: the same function, where qat or slim is asked for in the forms that they take.

    And what was done for that, a line each.
    """
    return rewrite.rewrite(model) if spec.qat or spec.slim else (model, [])


def check(model: Any, spec: Compress) -> None:
    """`check_layers`, and then tensorflow-model-optimization itself is asked. Raises EdgebigError."""
    check_layers(model, spec)
    # Where nothing comes before, the first thing that qat does is to ask it.
    if spec.qat and asked(spec)[0] != "qat":
        apply_qat(keras.models.clone_model(model), named_layers(model, spec.qat))


def asked(spec: Compress) -> list[str]:
    """The passes that are asked for, in order."""
    return [name for name, settings in spec if settings is not None]


def check_layers(model: Any, spec: Compress) -> None:
    """Raises EdgebigError that names every layer which one of the passes cannot take."""
    _check_kind(model)
    if spec.slim:
        slim.check_model(model, spec.slim)
    if spec.prune:
        prune.plan(model, spec.prune)
    if spec.cluster:
        cluster.plan(model, spec.cluster, tuple(asked(spec)))
    if not spec.qat:
        return
    if faults := qat_faults(model, named_layers(model, spec.qat)):
        raise EdgebigError(
            f"{model.name}: quantization-aware training refuses {len(faults)} of its layers\n"
            + "\n".join(faults),
            "change these layers, or name them in [compress.qat] float_layers; nothing was trained",
        )


def _check_kind(model: Any) -> None:
    if not getattr(model, "_is_graph_network", False):
        if isinstance(model, keras.Sequential):
            raise EdgebigError(
                f"{model.name}: does not know its input's shape", "let it begin with Input(shape)"
            )
        raise EdgebigError(
            f"{model.name}: a subclassed model, which no pass can look into",
            "write it as a Sequential or functional model",
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EdgebigError(
            f"{model.name}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs "
            f"({', '.join([*model.input_names, *model.output_names])})",
            "a model that is compressed takes one picture and gives one row of probabilities",
        )


def qat_faults(model: Any, float_layers: Collection[str] = ()) -> list[str]:
    """A line for each layer, but `float_layers`, that has no int8 form: its name, its class and why."""
    faults = (_qat_fault(layer) for layer in model.layers if layer.name not in float_layers)
    return [f"  {fault}" for fault in faults if fault]


def _qat_fault(layer: Any) -> str:
    kind = type(layer).__name__
    name = f"{layer.name} ({kind})"
    if isinstance(layer, keras.Model):
        return f"{name}: a model inside the model; put its layers in directly"
    if len(layer.inbound_nodes) > 1:
        return f"{name}: is used {len(layer.inbound_nodes)} times; give each place a layer of its own"
    # A class of the user's own may have a built-in's name.
    built_in = type(layer).__module__.startswith("tf_keras.")
    if built_in and kind == "BatchNormalization":
        return _batch_norm_fault(layer)
    if not built_in or kind not in INT8_LAYERS:
        return f"{name}: there is no int8 form of it{_mend(kind, built_in)}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation not in (INT8_ACTIVATION_LAYERS if kind == "Activation" else INT8_ACTIVATIONS):
        return f"{name}: there is no int8 form of activation '{activation}'; use relu"
    return ""


def _batch_norm_fault(layer: Any) -> str:
    name = f"{layer.name} (BatchNormalization)"
    before = layer.inbound_nodes[0].inbound_layers
    kind = type(before).__name__
    if kind not in fused.FOLDED_INTO:
        return f"{name}: after {kind}; it folds only into {', '.join(fused.FOLDED_INTO)}"
    if len(before.outbound_nodes) > 1:
        return f"{name}: {before.name} before it is used elsewhere too, so that it cannot fold into it"
    if before.activation is not keras.activations.linear:
        return (
            f"{name}: after {before.name} with activation '{before.activation.__name__}'; put that after it, "
            f"as a layer: {kind} -> BatchNormalization -> ReLU"
        )
    return ""


def _mend(kind: str, built_in: bool) -> str:
    if kind.startswith("Random") and built_in:
        return "; augmentation belongs in [data] augment of the recipe"
    return (
        _MENDS.get(kind, "; let it stay in float, or write it with other layers")
        if built_in
        else "; write it with the layers of Keras"
    )


_RECURRENT = "; a convolution over the rows does as well here, or export the float model: edgebig convert"
_MENDS = {
    "Rescaling": "; edgebig scales pixels to [0, 1] already, leave it out",
    "Conv1D": "; write it as a Conv2D of height 1",
    "MaxPooling1D": "; write it as a MaxPooling2D of height 1",
    "Conv3D": "; write it as Conv2D layers, one for each depth, or as one with more channels",
    "Lambda": "; a Lambda's code does not travel with a model, write it with layers",
    "TFOpLambda": "; arithmetic on tensors: write it with layers (Add, Rescaling, ReLU)",
    "SlicingOpLambda": "; slicing: write it as a Cropping2D",
    "LayerNormalization": "; use BatchNormalization behind a convolution",
    "GroupNormalization": "; use BatchNormalization behind a convolution",
    "UnitNormalization": "; use BatchNormalization behind a convolution",
    "PReLU": "; use LeakyReLU",
    "ELU": "; use ReLU or LeakyReLU",
    "ThresholdedReLU": "; use ReLU",
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "SimpleRNN": _RECURRENT,
}
