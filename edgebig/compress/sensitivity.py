"""What int8 costs layer by layer: each operator alone is rounded, the rest stays in float, and the outputs compared.

Simulated in Keras, without any training: the kernel to int8 with a scale for each channel, what the operator gives to
int8 over the range that it has on the same pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig.compress import fused
from edgebig.data.examples import Splits, per_class
from edgebig.keras import keras, tf

_PICTURES = 500
_AT_ONCE = 256
_LEAST = 1e-9
# What these give is rounded before them: in the .tflite they have a fixed range of their own.
_ROUNDED_BEFORE = ("softmax", "sigmoid", "tanh")


class Row(NamedTuple):
    """What is lost where the operator of `layer` alone is int8, as mean over the pictures.

    `kl`: of the class probabilities from the float model's, in nats. `sqnr_db`: of the probabilities, 200 at most.
    `labels_differ`: of `n` pictures.
    """

    layer: str
    kl: float
    sqnr_db: float
    labels_differ: int
    n: int


def pictures(splits: Splits) -> npt.NDArray[np.float32]:
    """(N <= 500, H, W, C) in [0, 1]: validation pictures, of each class alike. Choices are made on validation."""
    labels = splits.validation.labels
    chosen = splits.validation[np.flatnonzero(per_class(labels, min(_PICTURES, len(labels)), seed=0))]
    images = chosen.images[np.arange(len(chosen))]
    return np.asarray(images, np.float32) / np.float32(255)


def weighted(model: Any) -> list[tuple[str, ...]]:
    """The operators of `model` that have a kernel, each as the names of its layers."""
    return [group for group in fused.groups(model) if _kernels(model.get_layer(group[0]))]


def table(model: Any, images: npt.NDArray[np.float32]) -> list[Row]:
    """A row for each operator with weights, the most sensitive one first. `images`: float32 (N, H, W, C) in [0, 1]."""
    assert len(images)
    probe = _probe(model)
    read = tf.function(lambda batch: probe(batch, training=False), reduce_retracing=True)

    def outputs() -> npt.NDArray[np.float64]:
        parts = [images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE)]
        return np.concatenate([np.asarray(read(tf.constant(part)), np.float64) for part in parts])

    exact, rows = outputs(), []  # From here on the ranges are known.
    for group in weighted(model):
        kernels = _kernels(probe.get_layer(group[0]))
        before = [kernel.numpy() for kernel in kernels]
        _assign(
            kernels, [rounded(value, _channel_axes(model.get_layer(group[0]), value)) for value in before]
        )
        rounding = probe.get_layer(group[-1]).rounding
        rounding.assign(True)
        rows.append(_row(group[0], exact, outputs()))
        rounding.assign(False)
        _assign(kernels, before)
    return sorted(rows, key=lambda row: -row.kl)


def worst(found: Sequence[Row], count: int, without: Collection[str] = ()) -> list[str]:
    """The `count` most sensitive layers that are not among `without`."""
    return [row.layer for row in found if row.layer not in without][:count]


def text(found: Sequence[Row]) -> str:
    """For the person who waits."""
    lines = [f"sensitivity: one layer alone in int8, on {found[0].n} validation pictures"]
    for row in found:
        differ = f"{row.labels_differ} labels differ"
        lines.append(f"  {row.layer:20} KL {row.kl:.2e}  SQNR {row.sqnr_db:6.1f} dB  {differ}")
    return "\n".join(lines)


def rounded(kernel: npt.NDArray[np.float32], channel_axes: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The kernel as int8 -127 .. 127 gives it back, with a symmetric scale for each channel, or one for all of ()."""
    others = tuple(axis for axis in range(kernel.ndim) if axis not in channel_axes)
    scale = np.max(np.abs(kernel), axis=others, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(np.round(kernel / scale) * scale, np.float32)


def _channel_axes(layer: Any, kernel: npt.NDArray[Any]) -> tuple[int, ...]:
    kind = type(layer).__name__
    if kind in ("Dense", "Conv2DTranspose"):
        return ()  # as in training
    separable = kind.startswith("Separable") and kernel.shape[-1] != layer.filters
    return (2, 3) if kind.startswith("Depthwise") or separable else (kernel.ndim - 1,)


class _Rounded(keras.layers.Wrapper):  # type: ignore[misc]  # Keras has no types.
    """The layer, what it gives rounded to int8 while `rounding`; else its range grows over all that it gives."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer, name=layer.name)
        activation = getattr(layer, "activation", None)
        self.then = None
        if getattr(activation, "__name__", "") in _ROUNDED_BEFORE:
            self.then, layer.activation = activation, keras.activations.linear
        self.rounding = tf.Variable(False, trainable=False)
        self.low, self.high = (tf.Variable(0.0, trainable=False) for _ in range(2))

    def call(self, inputs: Any, training: Any = None) -> Any:
        takes_training = self.layer._expects_training_arg
        given = self.layer(inputs, training=training) if takes_training else self.layer(inputs)
        rounded_ = tf.cond(self.rounding, lambda: self._round(given), lambda: self._watch(given))
        rounded_ = tf.ensure_shape(rounded_, given.shape)
        return rounded_ if self.then is None else self.then(rounded_)

    def _round(self, given: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_vars(given, self.low, self.high)

    def _watch(self, given: Any) -> Any:
        self.low.assign(tf.minimum(self.low, tf.reduce_min(given)))
        self.high.assign(tf.maximum(self.high, tf.reduce_max(given)))
        return tf.identity(given)


def _probe(model: Any) -> Any:
    """A copy of `model` with a `_Rounded` around the last layer of each operator that has weights."""
    last = {group[-1] for group in weighted(model)}

    def copy(layer: Any) -> Any:
        made = type(layer).from_config(layer.get_config())
        return _Rounded(made) if layer.name in last else made

    probe = keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        made = probe.get_layer(layer.name)
        (made.layer if isinstance(made, _Rounded) else made).set_weights(layer.get_weights())
    return probe


def _kernels(layer: Any) -> list[Any]:
    return [weight for weight in layer.weights if "kernel" in weight.name]


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _row(name: str, exact: npt.NDArray[np.float64], given: npt.NDArray[np.float64]) -> Row:
    p, q = (np.maximum(outputs, _LEAST) for outputs in (exact, given))
    noise, signal = np.sum(np.square(exact - given)), np.sum(np.square(exact))
    ratio = 10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300))
    differ = int(np.sum(exact.argmax(axis=-1) != given.argmax(axis=-1)))
    kl = float(np.mean(np.sum(p * np.log(p / q), axis=-1)))
    return Row(name, max(kl, 0.0), float(np.clip(ratio, -200, 200)), differ, len(exact))
