"""What gradient descent goes down, and how: loss, accuracy, optimizer and learning rate of a `Fit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgebig import usercode
from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf
from edgebig.recipe import Fit

# As PyTorch's one-cycle: up over this share of the steps, from and to these shares of the highest rate.
_CYCLE_UP = 0.3
_CYCLE_FIRST = 1 / 25
_CYCLE_LAST = 1e-5
# Decay shrinks what multiplies its input; a bias or a scale that is drawn to 0 does not make a smoother function.
# Patterns of whole names: a layer that somebody calls `beta` has a kernel too.
_NOT_DECAYED = [r"(^|/)(bias|gamma|beta)(:|$)"]


def rows(outputs: Any) -> Any:
    """(B, classes) as they are; (B, 1), the p of the second of two classes, as (1 - p, p). float32."""
    outputs = tf.cast(outputs, tf.float32)
    return outputs if outputs.shape[-1] != 1 else tf.concat([1.0 - outputs, outputs], axis=-1)


def accuracy(labels: Any, outputs: Any) -> Any:
    """(B,): 1 where the likeliest class is the label's; of a mixed label, its larger part's."""
    return tf.cast(tf.argmax(labels, axis=-1) == tf.argmax(rows(outputs), axis=-1), tf.float32)


def loss(spec: Fit, classes: int) -> Callable[[Any, Any], Any]:
    """A function of one-hot labels (B, classes) and outputs (B, classes) or (B, 1) -> (B,), all of them floats.

    Mean squared error is the mean over the classes; for one unit p that is (p - y) ** 2. Label smoothing moves that
    share of each label to all classes alike. Raises EdgebigError where the user's own loss fails, or is none.
    """
    own = _own(spec.loss, classes) if spec.loss.startswith(usercode.PREFIX) else None

    def of(labels: Any, outputs: Any) -> Any:
        # Under mixed precision Keras has brought the labels to the outputs' float16.
        labels, outputs = tf.cast(labels, tf.float32), tf.cast(outputs, tf.float32)
        smooth = labels * (1.0 - spec.label_smoothing) + spec.label_smoothing / classes
        if own is not None:
            return own(smooth, rows(outputs))
        if spec.loss == "mean-squared-error":
            return keras.losses.mean_squared_error(smooth, rows(outputs))
        # Of what comes straight from a softmax or a sigmoid, Keras takes the logits: a p that is 0 still has a slope.
        if outputs.shape[-1] == 1:
            return keras.losses.binary_crossentropy(smooth[:, 1:], outputs)
        return keras.losses.categorical_crossentropy(smooth, outputs)

    return of


def _own(reference: str, classes: int) -> Callable[[Any, Any], Any]:
    """The user's loss, tried on two pictures: Keras would tell its faults by a page of its own code."""
    function = usercode.load(reference)
    labels, outputs = tf.one_hot([0, 1], classes), tf.fill([2, classes], 1.0 / classes)
    try:
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = tf.convert_to_tensor(function(labels, outputs))
        shape = tf.TensorSpec([None, classes], tf.float32)
        tf.function(function).get_concrete_function(shape, shape)
    except Exception as error:  # The user's code may raise anything; it is told as theirs.
        path, name = usercode.split(reference)
        raise usercode.fault(error, path.resolve(), f"{name}(labels, outputs) fails") from error
    if value.shape not in ([], [2]) or not value.dtype.is_floating:
        raise EdgebigError(
            f"{reference} gave {value.dtype.name} {tuple(value.shape)} for 2 pictures",
            "a loss takes one-hot labels and outputs (B, classes) and gives one float for each picture",
        )
    if tape.gradient(value, outputs) is None:
        raise EdgebigError(
            f"{reference} gave a loss without a slope: it does not change with the outputs",
            "compute it from the outputs by TensorFlow's operations; argmax and round have no slope",
        )
    return function


def optimizer(spec: Fit, steps_per_epoch: int) -> Any:
    """The optimizer of a phase. Weight decay is decoupled, and spares biases and the scales of normalisation."""
    common = {
        "learning_rate": LearningRate(spec, steps_per_epoch),
        "weight_decay": spec.weight_decay or None,
        "global_clipnorm": spec.clip_norm or None,
        "use_ema": spec.ema > 0,
        "ema_momentum": spec.ema,
    }
    optimizers = keras.optimizers
    match spec.optimizer:
        case "sgd":
            made = optimizers.SGD(**common)
        case "momentum" | "nesterov":
            made = optimizers.SGD(momentum=spec.momentum, nesterov=spec.optimizer == "nesterov", **common)
        case "adam" | "adamw":  # With decoupled decay they are one.
            made = optimizers.Adam(**common)
        case "rmsprop":
            made = optimizers.RMSprop(**common)
    if spec.weight_decay:
        made.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return made


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types.
    """The learning rate of each step, from 0, over the steps of a whole phase."""

    def __init__(self, spec: Fit, steps_per_epoch: int) -> None:
        super().__init__()
        self.spec = spec
        self.steps_per_epoch = steps_per_epoch
        self.total = spec.epochs * steps_per_epoch

    def __call__(self, step: Any) -> Any:
        spec = self.spec
        step = tf.cast(step, tf.float32)
        if spec.schedule == "one-cycle":
            return spec.learning_rate * self._one_cycle(step)
        warmup = min(spec.warmup_steps, self.total - 1)
        match spec.schedule:
            case "constant":
                share = tf.ones_like(step)
            case "step":
                cuts = tf.floor(step / (spec.step_epochs * self.steps_per_epoch))
                share = tf.pow(spec.step_factor, cuts)
            case "cosine":
                share = _cosine(tf.clip_by_value((step - warmup) / (self.total - warmup), 0.0, 1.0))
        climb = tf.minimum((step + 1.0) / warmup, 1.0) if warmup else 1.0
        return spec.learning_rate * share * climb

    def _one_cycle(self, step: Any) -> Any:
        top = max(1.0, _CYCLE_UP * self.total)
        up = 1.0 - (1.0 - _CYCLE_FIRST) * _cosine(tf.clip_by_value(step / top, 0.0, 1.0))
        fall = tf.clip_by_value((step - top) / max(1.0, self.total - top), 0.0, 1.0)
        down = _CYCLE_LAST + (1.0 - _CYCLE_LAST) * _cosine(fall)
        return tf.where(step < top, up, down)

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump(), "steps_per_epoch": self.steps_per_epoch}


def _cosine(share: Any) -> Any:
    """1 at 0, 0 at 1, by half a cosine."""
    return 0.5 * (1.0 + tf.cos(math.pi * share))
