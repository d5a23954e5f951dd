"""Model files of any Keras -> tf_keras, which alone can be pruned, quantized and cut here.

A file of Keras 3 is brought over layer by layer, its weights are read by Keras 3 itself, and both models must
say the same of the same inputs, to 1e-5. What is not known is refused by name.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf
from edgebig.keras3 import archive, examine, graph, oracle
from edgebig.progress import quiet, say

TOLERANCE = 1e-5
_OF_EACH_KIND = 4
_UNKNOWN_SIZE = 32
# Where tf_keras calls a weight otherwise than Keras 3.
_WEIGHT_NAMES = {"DepthwiseConv2D": {"depthwise_kernel": "kernel"}}


def is_keras3(path: Path) -> bool:
    """Whether Keras 3 wrote the .keras or .h5 at `path`. Raises EdgebigError where it is no model file of Keras."""
    return archive.header(path).is_keras3


def load(path: Path) -> Any:
    """The uncompiled tf_keras model in a .keras or .h5 of Keras 2 or 3.

    Raises EdgebigError where the file is damaged, holds code or another's classes, has a layer or an operation that
    tf_keras has not, each by name, or where the model that was brought over gives other outputs.
    """
    header = archive.header(path)
    if not header.is_keras3:
        return _of_keras2(path)
    if not header.hdf5:
        return _of_keras3(path, header)
    # The layers are looked at before Keras 3 makes any of them.
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        copy = Path(folder) / "model.keras"
        oracle.resave(path, copy)
        return _of_keras3(copy, archive.header(copy), str(path))


def _of_keras2(path: Path) -> Any:
    try:
        with quiet():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, IndexError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise EdgebigError(
            f"{path}: tf_keras cannot read it ({said})", "is it whole, and of the layers of Keras alone?"
        ) from error


def _of_keras3(path: Path, header: archive.Header, shown: str = "") -> Any:
    shown = shown or str(path)
    built = graph.build(header.config, shown)
    config, policies = examine.in_float32(header.config)
    inputs = _inputs(built.model)
    answer = oracle.ask(path, config, inputs)
    _set_weights(built, answer.weights, shown)
    worst = _compare(built.model, inputs, answer.outputs, shown)
    say(f"{shown}: of Keras {header.keras}, brought over to tf_keras; outputs equal to {worst:.0e}")
    if policies:
        say(f"  its {', '.join(sorted(policies))} became float32")
    if built.left_out:
        say(f"  left out, since they do nothing outside training: {', '.join(built.left_out)}")
    frozen = [layer.name for layer in built.model.layers if layer.weights and not layer.trainable]
    if frozen:
        say(f"  {len(frozen)} of its layers are frozen (trainable = False), and stay so")
    return built.model


def _inputs(model: Any) -> list[npt.NDArray[np.float32]]:
    """For each input: numbers from 0 to 1, from 0 to 255, and around 0, in one batch."""
    draw = np.random.default_rng(0)
    made = []
    for tensor in model.inputs:
        shape = (_OF_EACH_KIND, *(size or _UNKNOWN_SIZE for size in tensor.shape[1:]))
        parts = [draw.random(shape), 255.0 * draw.random(shape), draw.normal(size=shape)]
        made.append(np.concatenate(parts).astype(np.float32))
    return made


def _set_weights(built: graph.Built, weights: dict[str, npt.NDArray[np.float32]], shown: str) -> None:
    left = dict(weights)
    for path, layer in built.layers.items():
        names = _WEIGHT_NAMES.get(type(layer).__name__, {})
        for weight in layer.weights:
            own = weight.name.rpartition("/")[2].partition(":")[0]
            value = left.pop(f"{path}:{names.get(own, own)}", None)
            if value is None or value.shape != tuple(weight.shape):
                found = "missing" if value is None else f"of shape {value.shape}, not {tuple(weight.shape)}"
                raise EdgebigError(f"{shown}: {path}: its weight {own} is {found}", "please report this")
            weight.assign(value)
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()  # Normalization computes with what it made of its weights.
    if left:
        raise EdgebigError(f"{shown}: no place for the weights {', '.join(left)}", "please report this")


def _compare(
    model: Any, inputs: list[npt.NDArray[np.float32]], expected: list[npt.NDArray[np.float32]], shown: str
) -> float:
    """The largest difference of outputs, as a share of the example's largest output where that is over 1."""
    with tf.device("/CPU:0"):
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    worst = 0.0
    for found, wanted in zip(outputs if isinstance(outputs, list) else [outputs], expected, strict=True):
        if not np.isfinite(wanted).all():
            raise EdgebigError(
                f"{shown}: gives what are no numbers (NaN or infinity)", "its training went wrong"
            )
        rows = wanted.reshape(len(wanted), -1)
        scale = np.maximum(1.0, np.abs(rows).max(axis=1, initial=0.0, keepdims=True))
        difference = np.abs(np.asarray(found).reshape(rows.shape) - rows) / scale
        worst = max(worst, float(difference.max(initial=0.0)))
    if not worst <= TOLERANCE:
        layers = sorted({type(layer).__name__ for layer in model.layers})
        raise EdgebigError(
            f"{shown}: brought over to tf_keras its outputs differ by {worst:.1e}, more than {TOLERANCE:g}",
            f"please report this, with its layers: {', '.join(layers)}",
        )
    return worst
