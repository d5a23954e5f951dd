"""A layer of Keras 3 -> the same layer of tf_keras, or the reason why there is none.

What is not in these lists is refused by name. Tests hold each class in them against Keras 3 itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebig.keras import keras

_TRAINED = "activity_regularizer use_bias bias_regularizer bias_constraint activation"
_KERNEL = f"kernel_regularizer kernel_constraint {_TRAINED}"
_DEPTHWISE = f"depth_multiplier depthwise_regularizer depthwise_constraint {_TRAINED}"
_WINDOW = "kernel_size strides padding dilation_rate"
_POOL = "pool_size strides padding"
_SCALED = "axis epsilon center scale beta_regularizer gamma_regularizer beta_constraint gamma_constraint"
# The options that mean the same in both, by class.
OPTIONS: dict[str, frozenset[str]] = {
    kind: frozenset(options.split())
    for kind, options in {
        "Activation": "activation",
        "ActivityRegularization": "l1 l2",
        "Add": "",
        "AlphaDropout": "rate noise_shape",
        "Average": "",
        "AveragePooling1D": _POOL,
        "AveragePooling2D": _POOL,
        "BatchNormalization": f"{_SCALED} momentum synchronized",
        "CenterCrop": "height width",
        "Concatenate": "axis",
        "Conv1D": f"filters groups {_WINDOW} {_KERNEL}",
        "Conv2D": f"filters groups {_WINDOW} {_KERNEL}",
        "Conv2DTranspose": f"filters output_padding {_WINDOW} {_KERNEL}",
        "Cropping1D": "cropping",
        "Cropping2D": "cropping",
        "Dense": f"units {_KERNEL}",
        "DepthwiseConv2D": f"{_WINDOW} {_DEPTHWISE}",
        "Dot": "axes normalize",
        "Dropout": "rate noise_shape",
        "ELU": "alpha",
        "Flatten": "",
        "GaussianDropout": "rate",
        "GaussianNoise": "stddev",
        "GlobalAveragePooling1D": "keepdims",
        "GlobalAveragePooling2D": "keepdims",
        "GlobalMaxPooling1D": "keepdims",
        "GlobalMaxPooling2D": "keepdims",
        "GroupNormalization": f"groups {_SCALED}",
        "LayerNormalization": _SCALED,
        "LeakyReLU": "negative_slope",
        "MaxPooling1D": _POOL,
        "MaxPooling2D": _POOL,
        "Maximum": "",
        "Minimum": "",
        "Multiply": "",
        "Normalization": "axis invert mean variance",
        "PReLU": "alpha_regularizer alpha_constraint shared_axes",
        "Permute": "dims",
        "ReLU": "max_value negative_slope threshold",
        "RepeatVector": "n",
        "Rescaling": "scale offset",
        "Reshape": "target_shape",
        "Resizing": "height width interpolation crop_to_aspect_ratio",
        "SeparableConv1D": f"filters pointwise_regularizer pointwise_constraint {_WINDOW} {_DEPTHWISE}",
        "SeparableConv2D": f"filters pointwise_regularizer pointwise_constraint {_WINDOW} {_DEPTHWISE}",
        "Softmax": "axis",
        "SpatialDropout1D": "rate",
        "SpatialDropout2D": "rate",
        "Subtract": "",
        "UnitNormalization": "axis",
        "UpSampling1D": "size",
        "UpSampling2D": "size interpolation",
        "ZeroPadding1D": "padding",
        "ZeroPadding2D": "padding",
    }.items()
}
# Outside training they hand on what they get. Augmentation belongs in [data] augment of the recipe.
LEFT_OUT = frozenset({
    "AugMix", "CutMix", "Identity", "MixUp", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
    "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness",
    "RandomShear", "RandomTranslation", "RandomZoom",
})  # fmt: skip
_RENAMED = {"LeakyReLU.negative_slope": "alpha"}
# Options of Keras 3 that tf_keras has not, with the value by which both do the same.
_ONLY = {
    "autocast": True, "data_format": "channels_last", "optional": False, "ragged": False,
    "sparse": False, "lora_alpha": None, "lora_rank": None, "quantization_config": None, "quantization_mode": None,
    "renorm": False, "rms_scaling": False, "antialias": False, "pad_to_aspect_ratio": False,
}  # fmt: skip
# They say how weights begin, how chance is drawn, or how an option is meant that is off.
_WITHOUT_EFFECT = frozenset({
    "name", "trainable", "dtype", "seed", "fill_mode", "fill_value", "renorm_clipping", "renorm_momentum",
})  # fmt: skip
# By their names in Keras 3. Inside a layer tf_keras's is the same function.
_SAME_ACTIVATIONS = {
    **dict.fromkeys(("silu", "swish"), "swish"),
    **{
        name: name
        for name in (
            "elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "softmax", "softplus",
            "softsign", "tanh",
        )
    },
}  # fmt: skip
_LAYERED_ACTIVATIONS = frozenset({"hard_sigmoid", "hard_silu", "hard_swish", "leaky_relu", "relu6"})
_REGULARIZERS = frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"})
_CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})


class RefusedError(Exception):
    """Why a layer has no equal in tf_keras; the caller knows its name."""


@dataclass(frozen=True)
class Plan:
    """A layer of tf_keras: its class and arguments, and the activation, if any, that stands behind it as layers."""

    kind: str
    options: dict[str, Any]
    activation: str | Plan = "linear"


def plan(config: dict[str, Any]) -> Plan:
    """How the layer of a Keras 3 config is made. Raises RefusedError."""
    kind, given = str(config["class_name"]), config.get("config")
    taken = OPTIONS.get(kind)
    if taken is None or not isinstance(given, dict):
        raise RefusedError("there is no form of it in tf_keras that was held against Keras 3")
    options: dict[str, Any] = {"trainable": given.get("trainable", True) is not False}
    behind: str | Plan = "linear"
    for key, value in given.items():
        if key in _WITHOUT_EFFECT or key.endswith("_initializer"):
            continue
        if key == "activation" and key in taken:
            options[key], behind = _activation(value)
        elif key in taken:
            options[_RENAMED.get(f"{kind}.{key}", str(key))] = _value(key, value)
        elif key not in _ONLY or value != _ONLY[key]:
            raise RefusedError(f"with {key} = {value!r:.60} there is no form of it in tf_keras")
    return Plan(kind, options, behind)


def _activation(value: Any) -> tuple[str, str | Plan]:
    """The activation inside of the layer, and the one behind it."""
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, dict):
        return "linear", plan(value)
    name = str(value or "linear")
    if name in _SAME_ACTIVATIONS:
        return _SAME_ACTIVATIONS[name], "linear"
    if name in _LAYERED_ACTIVATIONS:
        return "linear", name
    raise RefusedError(f"there is no form of activation '{name:.60}' in tf_keras")


def _value(key: str, value: Any) -> Any:
    for end, known, module in (
        ("_regularizer", _REGULARIZERS, keras.regularizers),
        ("_constraint", _CONSTRAINTS, keras.constraints),
    ):
        if key.endswith(end) and value is not None:
            name = str(value.get("class_name") if isinstance(value, dict) else value)
            if name not in known:
                raise RefusedError(f"there is no form of {key} '{name:.60}' in tf_keras")
            return getattr(module, name)(**value["config"])
    return (
        tuple(value)
        if isinstance(value, list) and key not in ("mean", "variance", "scale", "offset")
        else value
    )
