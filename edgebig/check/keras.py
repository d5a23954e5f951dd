"""The layers of a Keras model: which there are, as a converter would fuse them, and their numbers.

`python -m edgebig.check.keras` reads a task as JSON from stdin, {"model", "folder"}: what the model makes of the
pictures images.npy in the folder (made into numbers by table.npy) becomes outputs.npy, and each layer's numbers for
those of some.npy layer-<operator>.npy, float32 (n, ...). The last line on stdout is JSON: {"nodes": [...]}, or
{"problem", "hint"}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.check.matching import Node
from edgebig.errors import EdgebigError

_BATCH = 128
# The operator that a layer becomes; of several, the last.
_KINDS = {
    "Conv2D": "CONV_2D",
    "SeparableConv2D": "CONV_2D",
    "DepthwiseConv2D": "DEPTHWISE_CONV_2D",
    "Conv2DTranspose": "TRANSPOSE_CONV",
    "Dense": "FULLY_CONNECTED",
    "Add": "ADD",
    "Subtract": "SUB",
    "Multiply": "MUL",
    "Concatenate": "CONCATENATION",
    "MaxPooling2D": "MAX_POOL_2D",
    "AveragePooling2D": "AVERAGE_POOL_2D",
    "GlobalAveragePooling2D": "MEAN",
    "GlobalMaxPooling2D": "REDUCE_MAX",
    "Flatten": "RESHAPE",
    "Reshape": "RESHAPE",
    "ZeroPadding2D": "PAD",
    "Softmax": "SOFTMAX",
    "LeakyReLU": "LEAKY_RELU",
    "PReLU": "PRELU",
    "BatchNormalization": "ADD",
}
# What these do is done by the operator before them, or by none.
_FUSED = frozenset(
    {"BatchNormalization", "ReLU", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"}
)
_FUSED_ACTIVATIONS = frozenset({"linear", "relu", "relu6"})
_BY_ACTIVATION = {"softmax": "SOFTMAX", "sigmoid": "LOGISTIC", "tanh": "TANH", "swish": "MUL", "silu": "MUL"}
_WITH_WEIGHTS = frozenset({"Conv2D", "SeparableConv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense"})


def nodes(model: Any) -> list[Node]:
    """The layers of a functional or sequential model, in its order, each with what is fused behind it.

    Raises: EdgebigError where the model is neither.
    """
    if not getattr(model, "_is_graph_network", False):
        raise EdgebigError(
            f"{model.name}: a model of its own class, whose layers cannot be told from outside",
            "compare its .tflite, or build it as a functional model",
        )
    found: list[Node] = []
    fused: set[str] = set()
    for layer in model.layers:
        kind = _kind(layer)
        if layer.name in fused or kind is None or len(layer.inbound_nodes) != 1:
            continue
        chain = [layer]
        while (follower := _fused_behind(chain[-1], layer)) is not None:
            chain.append(follower)
            fused.add(follower.name)
        shape = tuple(int(size or 1) for size in chain[-1].output.shape[1:])
        names = frozenset(part.name for part in chain)
        found.append(Node(layer.name, kind, shape, names, chain[-1].name, len(found)))
    return found


def _kind(layer: Any) -> str | None:
    name = type(layer).__name__
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation in _BY_ACTIVATION:
        return _BY_ACTIVATION[activation]
    if name == "Activation" and activation not in _FUSED_ACTIVATIONS:
        return activation.upper()
    return _KINDS.get(name)


def _fused_behind(last: Any, first: Any) -> Any:
    """The one layer that takes what `last` gives, where a converter would make one operator of both."""
    if len(last.outbound_nodes) != 1:
        return None
    follower = last.outbound_nodes[0].outbound_layer
    name = type(follower).__name__
    if len(follower.inbound_nodes) != 1 or getattr(first, "activation", None) is None:
        fusible = name == "ReLU"
    else:
        fusible = name in _FUSED
    if name == "BatchNormalization":
        fusible = type(first).__name__ in _WITH_WEIGHTS and type(last).__name__ != "ReLU"
    if name == "Activation":
        fusible = follower.activation.__name__ in _FUSED_ACTIVATIONS
    return follower if fusible and len(follower.inbound_nodes) == 1 else None


def layer_outputs(
    model: Any, inputs: Iterator[npt.NDArray[np.float32]], names: list[str]
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """What the layers of `names` give for each batch of `inputs`, float32 (B, ...); [] for no names."""
    from edgebig.keras import keras

    if not names:
        return
    inside = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    for batch in inputs:
        made = inside(batch, training=False)
        yield [np.asarray(values) for values in (made if isinstance(made, list) else [made])]


def perform(task: dict[str, Any]) -> list[Node]:
    """One task; see the head of this file. Raises: EdgebigError where the model cannot be loaded or run."""
    from edgebig.keras import keras

    try:
        model = keras.models.load_model(task["model"], compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, ImportError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EdgebigError(
            f"tf_keras cannot load it: {reason}",
            "a model of Keras 3, or with code of its own: adopt it first",
        ) from error
    folder = Path(task["folder"])
    table = np.load(folder / "table.npy")
    all_u8, some_u8 = (np.load(folder / name, mmap_mode="r") for name in ("images.npy", "some.npy"))
    if tuple(model.input_shape[1:]) != all_u8.shape[1:]:
        raise EdgebigError(
            f"it takes {tuple(model.input_shape[1:])}, the pictures are {all_u8.shape[1:]}",
            "compare models that take the same pictures",
        )
    answers = [np.asarray(model(batch, training=False)) for batch in _batches(all_u8, table)]
    np.save(folder / "outputs.npy", np.concatenate(answers))
    found = nodes(model)
    files: list[Any] = []
    at = 0
    for made in layer_outputs(model, _batches(some_u8, table), [str(node.values) for node in found]):
        if not files:
            paths = [folder / f"layer-{node.operator}.npy" for node in found]
            shapes = [(len(some_u8), *values.shape[1:]) for values in made]
            files = [
                np.lib.format.open_memmap(path, "w+", np.float32, shape)
                for path, shape in zip(paths, shapes, strict=True)
            ]
        for file, values in zip(files, made, strict=True):
            file[at : at + len(values)] = values
        at += len(made[0])
    return found


def _batches(images_u8: Any, table: Any) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(images_u8), _BATCH):
        yield table[images_u8[start : start + _BATCH]]


def main() -> int:
    # Whatever TensorFlow prints is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        rows = [{**asdict(node), "names": sorted(node.names)} for node in perform(json.load(sys.stdin))]
    except EdgebigError as error:
        answers.write(json.dumps({"problem": error.problem, "hint": error.hint}) + "\n")
        return 0
    answers.write(json.dumps({"nodes": rows}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
