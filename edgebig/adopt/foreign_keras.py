"""A Keras model or SavedModel from elsewhere -> a model as edgebig's own are: pixels from 0 to 1, probabilities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import flatbuffer, keras3
from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf
from edgebig.models import head
from edgebig.progress import quiet, say

_ROUNDING = 0.01
_SAME = 1e-6


def load(path: Path) -> Any:
    """The tf_keras model in a .keras or .h5, in float32. Raises EdgebigError."""
    model = keras3.load(path)
    if not getattr(model, "_is_graph_network", False):
        raise EdgebigError(
            f"{path}: a subclassed model, or one that does not know its input's shape; no pass can look into it",
            "write it as a Sequential or functional model that begins with Input(shape)",
        )
    return _in_float32(model)


def _in_float32(model: Any) -> Any:
    """The same where all is float32 already: under mixed precision weights are float32, and only arithmetic is not."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model

    def rewrite(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == "Policy":
                return "float32"
            return {
                key: "float32" if key == "dtype" and isinstance(item, str) else rewrite(item)
                for key, item in value.items()
            }
        return [rewrite(item) for item in value] if isinstance(value, list | tuple) else value

    say("its layers compute in float32 now, not in mixed precision")
    plain = type(model).from_config(rewrite(model.get_config()))
    plain.set_weights(model.get_weights())
    return plain


def of_saved_model(path: Path) -> Any:
    """The Keras 2 model that a SavedModel was made of, or None where it holds none that can be restored."""
    kept = path / "keras_metadata.pb"
    if not kept.is_file():
        return None
    # What Keras wrote there is JSON inside; a Lambda's code would run.
    data = kept.read_bytes()
    if b'"Lambda"' in data or b"lambda" in data:
        say(f"{path}: its Keras model holds code (Lambda), which is not run; its graph is taken as a .tflite")
        return None
    try:
        with quiet():
            model = keras.models.load_model(str(path), compile=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"{path}: its Keras model cannot be restored ({said}); its graph is taken as a .tflite")
        return None
    if not getattr(model, "_is_graph_network", False):
        say(f"{path}: its Keras model is a subclassed one; its graph is taken as a .tflite")
        return None
    return _in_float32(model)


def saved_model_to_tflite(path: Path, picture: tuple[int, int, int]) -> bytes:
    """The signature `serving_default` for one picture (H, W, C). Raises EdgebigError where it has none such."""
    with quiet():
        loaded = tf.saved_model.load(str(path))
    found = dict(loaded.signatures)
    if "serving_default" not in found:
        raise EdgebigError(
            f"{path}: no signature 'serving_default' ({', '.join(found) or 'none at all'})",
            "save it by model.export(FOLDER), or tf.saved_model.save with signatures",
        )
    signature = found["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], list(signature.structured_outputs)
    shapes = [tuple(tensor.shape) for tensor in inputs.values()]
    if (
        len(inputs) != 1
        or len(outputs) != 1
        or not inputs[next(iter(inputs))].shape.is_compatible_with((1, *picture))
    ):
        raise EdgebigError(
            f"{path}: takes {' and '.join(map(str, shapes))} and gives {len(outputs)} outputs; a picture is (1, "
            f"{', '.join(map(str, picture))})",
            "save a signature that takes one picture of that size and gives one row of scores",
        )
    (key,) = inputs
    function = tf.function(lambda image: signature(**{key: image})[outputs[0]])
    concrete = function.get_concrete_function(tf.TensorSpec((1, *picture), inputs[key].dtype, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], loaded)
    with quiet():
        data, refusal = _converted(converter)
    if data is None:
        raise EdgebigError(
            f"{path}: cannot be converted to .tflite ({refusal})",
            "save a model without them (augmentation stays out of it), or convert it elsewhere and adopt the .tflite",
        )
    return flatbuffer.name_edges(data, "image", "probabilities")


def _converted(converter: Any) -> tuple[bytes | None, str]:
    """The .tflite, or None and why there is none."""
    try:
        return bytes(converter.convert()), ""
    except Exception as error:
        if type(error).__name__ != "ConverterError":
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        # Pages of places in a graph, and in them the line that names the operators.
        operators = [line.split(":", 1)[1].strip() for line in lines if line.startswith("TF Select ops:")]
        return None, f"TFLite has no {operators[0]}" if operators else lines[0]


def fitted(
    model: Any,
    where: str,
    picture: tuple[int, int, int],
    classes: int,
    pixels: tuple[float, float],
    few: npt.NDArray[np.float32],
) -> Any:
    """The same function of pictures (H, W, C) in [0, 1], with one probability for each class.

    `pixels`: what the model takes a pixel of 0 and one of 255 as. `few`: float32 (N, H, W, C) pictures in [0, 1], to
    see what its outputs are. Raises EdgebigError where its input or its outputs are others.
    """
    for what, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            raise EdgebigError(
                f"{where}: has {len(tensors)} {what}, not one", "save the model of one picture alone"
            )
    taken = tuple(model.inputs[0].shape[1:])
    if None in taken or math.prod(taken) != math.prod(picture) or (len(taken) == 3 and taken != picture):
        raise EdgebigError(
            f"{where}: takes {_shown(taken)}, the pictures are {_shown(picture)}",
            "bring the pictures to its size: --set 'data.size=[H, W]', --set data.colour=grey or rgb"
            if None not in taken
            else f"let it begin with Input({_shown(picture)})",
        )
    model = _one_unit(model, where, classes)
    given = tuple(model.outputs[0].shape[1:])
    if given != (classes,):
        raise EdgebigError(
            f"{where}: gives {_shown(given)}, the data has {classes} classes",
            "use the data that it was trained for, or choose its classes by [data] classes",
        )
    low, high = pixels
    said = np.asarray(model((low + (high - low) * few).reshape(-1, *taken), training=False), np.float64)
    behind = _behind(said, where)
    rest, front = _front(model, picture, pixels, where)
    return _between(rest, picture, front, behind) if front or behind or rest is not model else model


def _shown(shape: tuple[int | None, ...]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)


def _one_unit(model: Any, where: str, classes: int) -> Any:
    if model.output_shape[-1] != 1 or classes != 2:
        return model
    head.check(model, classes)
    say(f"{where}: its one sigmoid unit p became the two outputs (1 - p, p)")
    return head.two_outputs(model)


def _front(
    model: Any, picture: tuple[int, int, int], pixels: tuple[float, float], where: str
) -> tuple[Any, list[Any]]:
    """What stands in front of the model, and the model without a scaling of its own that goes into that."""
    front = []
    taken = tuple(model.inputs[0].shape[1:])
    low, high = pixels
    if pixels != (0.0, 1.0):
        scaling = _own_scaling(model)
        scale, offset = (float(scaling.scale), float(scaling.offset)) if scaling else (1.0, 0.0)
        scale, offset = scale * (high - low), scale * low + offset
        if scaling:
            model = keras.Model(scaling.output, model.output, name=model.name)
        said = f"{where}: takes pixels as {low:g}..{high:g}, a model of a run takes 0..1:"
        if abs(scale - 1.0) < _SAME and abs(offset) < _SAME:
            say(f"{said} the Rescaling that it begins with is left out")
        else:
            say(f"{said} {'its own Rescaling is another now' if scaling else 'a Rescaling stands in front'}")
            front.append(keras.layers.Rescaling(scale, offset, name="pixels"))
    if taken != picture:
        say(f"{where}: takes {_shown(taken)}: a Reshape stands in front")
        front.append(keras.layers.Reshape(taken, name="as_taken"))
    return model, front


def _own_scaling(model: Any) -> Any:
    """The Rescaling by one number that alone takes the model's input, or None."""
    entry = model.inputs[0].node.layer
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    takers = [node.layer for node in nodes if entry in np.atleast_1d(node.inbound_layers)]
    if len(takers) != 1 or type(takers[0]) is not keras.layers.Rescaling or len(takers[0].inbound_nodes) != 1:
        return None
    scaling = takers[0]
    return scaling if np.ndim(scaling.scale) == np.ndim(scaling.offset) == 0 else None


def _behind(said: npt.NDArray[np.float64], where: str) -> list[Any]:
    """A softmax where the outputs are logits. Raises EdgebigError where they are neither those nor probabilities."""
    if not np.isfinite(said).all():
        raise EdgebigError(f"{where}: gives what are no numbers (NaN or infinity)", "its training went wrong")
    if said.min() >= -1e-6 and (abs(said.sum(axis=1) - 1) < _ROUNDING).all():
        return []
    if said.min() >= 0 and said.max() <= 1:
        raise EdgebigError(
            f"{where}: its outputs go from 0 to 1 and do not sum to 1, as of a sigmoid for each class by itself",
            'let it end in Dense(classes, activation="softmax"), or in the logits',
        )
    say(f"{where}: its outputs are logits: a Softmax stands behind")
    return [keras.layers.Softmax(name="probabilities")]


def _between(model: Any, picture: tuple[int, int, int], front: list[Any], behind: list[Any]) -> Any:
    """One flat model: the layers in front, those of `model`, and those behind."""
    taken = {layer.name for layer in model.layers}
    for layer in (*front, *behind):
        while layer.name in taken:
            layer._name += "_"
    x = image = keras.Input(picture, name="image" if "image" not in taken else "picture")
    for layer in front:
        x = layer(x)
    # `call`, not the model as a layer: its layers are then the new model's own.
    x = model.call(x)
    for layer in behind:
        x = layer(x)
    whole = keras.Model(image, x, name=model.name)
    # Through its config, so that no layer remembers the model that it was in.
    plain = keras.Model.from_config(whole.get_config())
    plain.set_weights(whole.get_weights())
    return plain
