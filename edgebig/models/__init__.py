"""A model's name -> an uncompiled Keras model; one file a family."""

from __future__ import annotations

from typing import Any

from edgebig import recipe
from edgebig.errors import EdgebigError


def build(spec: recipe.Model, input_shape: tuple[int, int, int], classes: int) -> Any:
    """An uncompiled model: float32 (N, H, W, C) in [0, 1] -> float32 (N, classes) probabilities.

    With a sigmoid head, for two classes, (N, 1): the probability of the second. Raises EdgebigError where the spec
    and the data do not go together, or the user's function fails.
    """
    from edgebig.models import head

    model = _build(spec, input_shape, classes)
    head.check(model, classes)
    return model


def _build(spec: recipe.Model, input_shape: tuple[int, int, int], classes: int) -> Any:
    from edgebig.models import digit_cnn, keras_convnet, mlp, own, picture_cnn

    match spec:
        case recipe.DigitCnn():
            return digit_cnn.build(spec, input_shape, classes)
        case recipe.KerasConvnet():
            return keras_convnet.build(spec, input_shape, classes)
        case recipe.PictureCnn():
            return picture_cnn.build(spec, input_shape, classes)
        case recipe.Mlp():
            return mlp.build(spec, input_shape, classes)
        case recipe.PythonModel():
            return own.build(spec, input_shape, classes)
        case recipe.Adopted():
            raise EdgebigError(
                f"[model] {spec.file} was trained elsewhere and adopted; there is no recipe to train it by",
                "compress and bench take its run; to train, name a model in the recipe",
            )
