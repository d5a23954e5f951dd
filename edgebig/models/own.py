"""The user's own model, from python:FILE:FUNCTION."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from edgebig import usercode
from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.recipe import PythonModel

# Under mixed precision a sum of float16 numbers is off by less.
_ROUNDING = 0.01


def build(spec: PythonModel, input_shape: tuple[int, int, int], classes: int) -> Any:
    """What the function gives for (input_shape, classes, **options), held to what a classifier must be.

    Raises EdgebigError where it fails, gives no model of tf_keras, or one of another input or head.
    """
    function = usercode.load(spec.name)
    path, name = usercode.split(spec.name)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # model.summary() is no result of a command.
            model = function(input_shape, classes, **spec.options)
        if isinstance(model, keras.Sequential) and not model.built:
            model.build((None, *input_shape))
    except Exception as error:  # The user's code may raise anything; it is told as theirs.
        raise usercode.fault(error, path.resolve(), f"{name}(input_shape, classes) fails") from error
    _check(model, f"{path}: {name}", input_shape, classes)
    return model


def _check(model: Any, where: str, input_shape: tuple[int, int, int], classes: int) -> None:
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        keras_3 = any(base.__module__.startswith("keras.") for base in type(model).__mro__)
        raise EdgebigError(
            f"{where} gave a {kind}, not a model of tf_keras" + (", but one of Keras 3" if keras_3 else ""),
            "write 'import tf_keras as keras': what compresses a model knows Keras 2 alone",
        )
    if not model._is_graph_network:
        raise EdgebigError(
            f"{where} gave a subclassed model, which no pass can look into",
            "write it as a Sequential or functional model",
        )
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != tuple(input_shape):
        raise EdgebigError(
            f"{where} gave a model that takes {_shapes(model.inputs)}, the pictures are {input_shape}",
            "let it begin with keras.Input(input_shape)",
        )
    mend = f'let it end in Dense({classes}, activation="softmax")'
    head = tuple(model.outputs[0].shape[1:])
    if len(model.outputs) != 1 or not (head == (classes,) or (head == (1,) and classes == 2)):
        raise EdgebigError(
            f"{where} gave a model whose head is {_shapes(model.outputs)}; the data has {classes} classes",
            mend,
        )
    if not model.trainable_weights:
        raise EdgebigError(f"{where} gave a model without a weight to train", "set trainable = True")
    if head == (classes,):  # One unit is held to more than this, in models/head.py.
        _check_probabilities(model, where, mend)


def _check_probabilities(model: Any, where: str, mend: str) -> None:
    """Logits would be taken for probabilities, and train to something, without a word."""
    noise = np.random.default_rng(0).random((4, *model.inputs[0].shape[1:]), np.float32)
    outputs = np.asarray(model(noise, training=False), np.float64)
    sums = outputs.sum(axis=1)
    if not ((outputs >= 0).all() and (abs(sums - 1) < _ROUNDING).all()):
        raise EdgebigError(
            f"{where} gave a model whose outputs are no probabilities: of a picture of noise they are "
            f"{outputs.min():.3g} .. {outputs.max():.3g} and sum to {sums[0]:.3g}",
            mend,
        )


def _shapes(tensors: Any) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "nothing"
