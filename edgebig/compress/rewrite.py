"""A model in the forms that int8 takes, where that is the same function: told, and verified before it is handed on.

- A model inside the model: its layers stand in the outer one.
- Layers that change nothing at inference, augmentation and noise, are taken out.
- An activation that tensorflow-model-optimization refuses inside a layer stands behind it as a layer.
- Rescaling, Normalization, and a BatchNormalization that does not fold into the convolution before it multiply each
  channel and add to it. They go into the weights of the layer before or behind them; where that is not exact (what is
  added, before a padding with zeros, would be padded too), they become a depthwise 1x1 convolution, which int8 has.

What cannot be had that way stays, and the pre-flight refuses it by name.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig.compress import fused
from edgebig.compress.graph import Graph, Node, NotATable, same
from edgebig.errors import EdgebigError
from edgebig.keras import keras

_NOTHING_AT_INFERENCE = frozenset({
    "AlphaDropout", "GaussianDropout", "GaussianNoise", "RandomBrightness", "RandomContrast", "RandomFlip",
    "RandomRotation", "RandomTranslation", "RandomZoom",
})  # fmt: skip
# A number for each channel passes through these; of Flatten it comes once for each place.
_TRANSPARENT = frozenset({"Dropout", "SpatialDropout2D", "Flatten"})
_CONVOLUTIONS = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D"})
_BACKWARD = frozenset({"Dense", "Conv2DTranspose"})

Channels = npt.NDArray[np.float64]


class _Affine(NamedTuple):
    """scale * x + offset, (C,) each."""

    scale: Channels
    offset: Channels


def rewrite(model: Any) -> tuple[Any, list[str]]:
    """The same function in other layers, and what was done, a line each; `model` itself where that is nothing.

    Raises EdgebigError where the outputs for noise are not the same to 1e-5: a bug, and nothing is trained on it.
    """
    try:
        graph = Graph(model)
    except NotATable:
        return model, []
    done = [f"{name}: a model inside the model; its layers are put in directly" for name in graph.opened]
    for step in (_take_out, _split_activations, _settle_affine):
        done += step(graph)
    if not done:
        return model, []
    rewritten = graph.build()
    if not same(model, rewritten):
        raise EdgebigError(
            f"{model.name}: rewritten, it gives other outputs ({'; '.join(done)})",
            "please report this; nothing was trained",
        )
    return rewritten, done


def _take_out(graph: Graph) -> list[str]:
    found = [name for name, node in graph.nodes.items() if node.class_name in _NOTHING_AT_INFERENCE]
    lines = [
        f"{name} ({graph.nodes[name].class_name}): taken out, at inference it changes nothing"
        for name in found
    ]
    for name in found:
        graph.remove(name)
    return lines


def _split_activations(graph: Graph) -> list[str]:
    lines = []
    for name, node in list(graph.nodes.items()):
        if node.class_name in ("", "Activation") or node.activation not in ("relu6", "swish", "silu"):
            continue
        new = graph.free(f"{name}_{node.activation}")
        if node.activation == "relu6":
            graph.insert_after(name, new, keras.layers.ReLU, max_value=6.0)
        else:
            graph.insert_after(name, new, keras.layers.Activation, activation="swish")
        lines.append(f"{name} ({node.class_name}): its activation {node.activation} is the layer {new} now")
        node.config["activation"] = "linear"
    return lines


def _settle_affine(graph: Graph) -> list[str]:
    lines = []
    for name, node in list(graph.nodes.items()):
        affine = _affine(node)
        if affine is None or _folds_in_training(graph, name, node):
            continue
        where = _into_source(graph, name, affine) or _into_taker(graph, name, affine)
        if where:
            lines.append(f"{name} ({node.class_name}): folded into the weights of {where}")
            graph.remove(name)
        elif len(node.shape) == 3:
            lines.append(f"{name} ({node.class_name}): is a depthwise 1x1 convolution now")
            settings = keras.layers.DepthwiseConv2D(1, name=name).get_config()
            kernel, bias = affine.scale.reshape(1, 1, -1, 1), affine.offset
            graph.nodes[name] = Node(
                keras.layers.DepthwiseConv2D, settings, [kernel, bias], node.sources, shape=node.shape
            )
    return lines


def _folds_in_training(graph: Graph, name: str, node: Node) -> bool:
    """Whether tfmot folds it by itself: better, since its statistics then still learn."""
    before = graph.nodes[node.sources[0]]
    return (
        node.class_name == "BatchNormalization"
        and before.class_name in fused.FOLDED_INTO
        and before.activation == "linear"
        and graph.only_taker(node.sources[0]) == name
    )


def _affine(node: Node) -> _Affine | None:
    """What the layer does to each channel at inference; None where it does something else."""
    if not node.shape or node.shape[-1] is None:
        return None
    channels, config = node.shape[-1], node.config
    match node.class_name:
        case "Rescaling":
            scale, offset = (np.asarray(config[key], np.float64) for key in ("scale", "offset"))
        case "Normalization":
            mean, deviation = _moments(node)
            scale = 1.0 / np.maximum(deviation, keras.backend.epsilon())
            scale, offset = (deviation, mean) if config.get("invert") else (scale, -mean * scale)
        case "BatchNormalization" if config["axis"] in (-1, len(node.shape), [len(node.shape)], [-1]):
            weights = [np.asarray(weight, np.float64) for weight in node.weights]
            gamma = weights.pop(0) if config["scale"] else np.float64(1.0)
            beta = weights.pop(0) if config["center"] else np.float64(0.0)
            scale = gamma / np.sqrt(weights[1] + config["epsilon"])
            offset = beta - weights[0] * scale
        case _:
            return None
    try:
        # (1, 1, 1, C) and (C,) are the same; what differs from place to place is not meant here.
        return _Affine(*(np.broadcast_to(np.squeeze(part), (channels,)) for part in (scale, offset)))
    except ValueError:
        return None


def _moments(node: Node) -> tuple[Channels, Channels]:
    """Mean and deviation of a Normalization, given to it or learnt by `adapt`, which puts them into its weights."""
    if node.config.get("mean") is not None:
        mean, variance = node.config["mean"], node.config["variance"]
    else:
        mean, variance = node.weights[:2]
    return np.asarray(mean, np.float64), np.sqrt(np.asarray(variance, np.float64))


def _into_source(graph: Graph, name: str, affine: _Affine) -> str:
    """Puts it into the layer before, where that is linear and gives to nothing else. Its name, or ""."""
    source = graph.nodes[name].sources[0]
    node = graph.nodes[source]
    linear = node.class_name in _BACKWARD | _CONVOLUTIONS and node.activation == "linear"
    if not linear or graph.only_taker(source) != name:
        return ""
    bias = node.weights.pop() if node.config["use_bias"] else 0.0
    last = node.weights[-1]
    scale = affine.scale
    if node.class_name == "Conv2DTranspose":  # (height, width, out, in)
        scale = scale[:, None]
    elif node.class_name == "DepthwiseConv2D":
        scale = scale.reshape(last.shape[-2:])
    node.weights[-1] = last * scale
    node.weights.append(bias * affine.scale + affine.offset)
    node.config["use_bias"] = True
    return source


def _into_taker(graph: Graph, name: str, affine: _Affine) -> str:
    """Puts it into the one layer that takes it, past what changes nothing at inference. Its name, or ""."""
    before, at = name, graph.only_taker(name)
    while at is not None and graph.nodes[at].class_name in _TRANSPARENT:
        if graph.nodes[at].class_name == "Flatten":
            places = math.prod(size or 1 for size in graph.nodes[at].shape[:-1])
            affine = _Affine(*(np.tile(part, places) for part in affine))
        before, at = at, graph.only_taker(at)
    if at is None or graph.nodes[at].sources != [before]:
        return ""
    node = graph.nodes[at]
    convolves = node.class_name in _CONVOLUTIONS and node.config["data_format"] == "channels_last"
    if convolves:
        pads = node.config["padding"] != "valid" and max(node.config["kernel_size"]) > 1
        if node.config.get("groups", 1) != 1 or (pads and np.any(affine.offset != 0)):
            return ""
    elif node.class_name != "Dense":
        return ""
    _fold_forward(node, affine)
    return at


def _fold_forward(node: Node, affine: _Affine) -> None:
    bias = node.weights.pop() if node.config["use_bias"] else 0.0
    first = np.asarray(
        node.weights[0], np.float64
    )  # (..., in, out), of a depthwise one (height, width, in, multiplier)
    added = first * affine.offset[:, None]
    node.weights[0] = first * affine.scale[:, None]
    if node.class_name in ("DepthwiseConv2D", "SeparableConv2D"):
        added = added.sum(axis=(0, 1)).reshape(-1)  # channels that come out of the depthwise part
        if node.class_name == "SeparableConv2D":
            added = added @ np.asarray(node.weights[1], np.float64)[0, 0]
    else:
        added = added.sum(axis=tuple(range(first.ndim - 1)))
    if np.any(added != 0) or node.config["use_bias"]:
        node.config["use_bias"] = True
        node.weights.append(bias + added)
