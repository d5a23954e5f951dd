"""What gradient descent goes down, and how: loss, accuracy, optimizer and learning rate of a `Fit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgebig import usercode
from edgebig.data.taught import Taught
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
    """(B,): 1 where the likeliest class is the label's; of a mixed label, its larger part's.

    Where labels are (B, 2 * classes), the second half is a teacher's, and stands for a label that is not known. Where
    every class is as likely, right is to hold none for likelier than the others together.
    """
    outputs = rows(outputs)
    if labels.shape[-1] != outputs.shape[-1]:
        labels, said = tf.split(labels, 2, axis=-1)
        labels = tf.where(tf.reduce_any(labels > 0, axis=-1, keepdims=True), labels, said)
    of_none = tf.reduce_all(labels == labels[:, :1], axis=-1)
    right = tf.argmax(labels, axis=-1) == tf.argmax(outputs, axis=-1)
    return tf.cast(tf.where(of_none, tf.reduce_max(outputs, axis=-1) < 0.5, right), tf.float32)


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


def distillation(spec: Fit, teacher: Taught) -> Callable[[Any, Any], Any]:
    """A function of labels (B, 2 * classes), one-hot ones and the teacher's, and outputs (B, classes) -> (B,).

    hard * cross-entropy with the label + (1 - hard) * T^2 * KL(teacher || model), both softened by the temperature T:
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015). T^2 keeps the slopes of the two
    parts alike; KL, whose least value is 0, and not cross-entropy, so that the loss says how far the model is from the
    teacher. Labels (B, classes), those of validation, have the plain loss. A label of zeros (unknown) adds 0.
    """
    plain = loss(spec, teacher.probabilities.shape[-1])

    def of(labels: Any, outputs: Any) -> Any:
        if labels.shape[-1] == outputs.shape[-1]:
            return plain(labels, outputs)
        labels, said = tf.split(tf.cast(labels, tf.float32), 2, axis=-1)
        softened = tf.nn.log_softmax(_logits(outputs) / teacher.temperature)
        away = tf.reduce_sum(tf.math.xlogy(said, said) - said * softened, axis=-1)
        # TensorFlow's cross-entropy has a slope for a label of zeros, since it takes labels to add up to 1.
        hard = plain(labels, outputs) * tf.reduce_sum(labels, axis=-1)
        return teacher.hard * hard + (1.0 - teacher.hard) * teacher.temperature**2 * away

    return of


# What may stand between a softmax and the outputs: quantization-aware training rounds probabilities to 1/256, whose
# logarithm would say nothing of the small ones.
_PASSED_THROUGH = ("FakeQuant", "Identity", "Reshape", "Cast")


def _logits(outputs: Any) -> Any:
    """What the softmax was taken of, found in the graph of the step; else its logarithm, up to a constant a row."""
    if not tf.executing_eagerly():
        operation = outputs.op
        while operation.type.startswith(_PASSED_THROUGH):
            operation = operation.inputs[0].op
        if operation.type == "Softmax":
            return tf.cast(operation.inputs[0], tf.float32)
    return tf.math.log(tf.maximum(tf.cast(outputs, tf.float32), 1e-9))


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
