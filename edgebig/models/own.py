"""The user's own model, from python:FILE:FUNCTION."""

from __future__ import annotations

from typing import Any

from edgebig import usercode
from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.recipe import PythonModel


def build(spec: PythonModel, input_shape: tuple[int, int, int], classes: int) -> Any:
    """What the function gives for (input_shape, classes, **options), held to what a classifier must be.

    Raises EdgebigError where it fails, gives no model of tf_keras, or one of another input or head.
    """
    function = usercode.load(spec.name)
    path, name = usercode.split(spec.name)
    try:
        model = function(input_shape, classes, **spec.options)
    except Exception as error:  # The user's code may raise anything; it is told as theirs.
        raise usercode.fault(error, path.resolve(), f"{name}(input_shape, classes) fails") from error
    where = f"{path}: {name}"
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        keras_3 = kind.startswith("keras.")
        raise EdgebigError(
            f"{where} gave a {kind}, not a model of tf_keras" + (", but one of Keras 3" if keras_3 else ""),
            "write 'import tf_keras as keras': what compresses a model knows Keras 2 alone",
        )
    if not model.built:
        model.build((None, *input_shape))
    if len(model.inputs or []) != 1 or tuple(model.inputs[0].shape[1:]) != tuple(input_shape):
        raise EdgebigError(
            f"{where} gave a model that takes {_shapes(model.inputs)}, the pictures are {input_shape}",
            "let it begin with keras.Input(input_shape)",
        )
    head = tuple(model.outputs[0].shape[1:])
    if len(model.outputs) != 1 or not (head == (classes,) or (head == (1,) and classes == 2)):
        raise EdgebigError(
            f"{where} gave a model whose head is {_shapes(model.outputs)}; the data has {classes} classes",
            f'let it end in Dense({classes}, activation="softmax")',
        )
    return model


def _shapes(tensors: Any) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors or []) or "nothing"
