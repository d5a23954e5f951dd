"""Batches for training: shuffling and augmentation, every draw a function of (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.data.augment import augmenter, unit
from edgebig.data.examples import Examples, Pictures
from edgebig.data.taught import NOTHING, VIEWS_SEED, Taught
from edgebig.keras import tf
from edgebig.recipe import Augment

# Of pictures as floats: made before they are asked for, and evaluated at once.
_AHEAD_BATCHES, _AHEAD_BYTES = 8, 1 << 28
_AT_ONCE, _AT_ONCE_BYTES = 512, 1 << 26


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Whole batches in an epoch; the rest of a shuffle waits for another epoch. At least 1."""
    return max(1, len(examples) // batch_size)


def training_batches(
    examples: Examples,
    classes: int,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
    augment: Augment,
    teacher: Taught | None = None,
) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], one-hot float32 (B, classes)) from `first_epoch` on.

    Epoch e is the same whether or not the training was interrupted before it. With a teacher the pictures are those
    that it read, the order of the batches alone is drawn by `seed`, and the labels are (B, 2 * classes): the one-hot
    ones, then the teacher's probabilities. Raises EdgebigError where the user's own augmentation does not do.
    """
    if teacher is not None:
        return _taught_batches(
            teacher, classes, seed=seed, first_epoch=first_epoch, epochs=epochs, augment=augment
        )
    read = _reader(examples, classes)
    change = augmenter(augment, examples.shape)
    steps = steps_per_epoch(examples, batch_size)
    batch_size = min(batch_size, len(examples))

    def epoch_steps(epoch: Any) -> Any:
        # A batch of indices is an element: making one of each example costs more than reading the pictures.
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.fill([steps], epoch),
                tf.range(steps, dtype=tf.int64),
                _order(examples, steps, batch_size, seed, epoch),
            )
        )

    def load(epoch: Any, step: Any, chosen: Any) -> Any:
        return change(*read(chosen), _draw_seed(seed, epoch, step))

    orders = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_steps)
    return _ahead(orders, load, examples, batch_size)


def _order(examples: Examples, steps: int, batch_size: int, seed: int, epoch: Any) -> Any:
    """(steps, batch_size) indices: the examples of each batch of an epoch."""
    order = tf.random.experimental.stateless_shuffle(
        tf.range(len(examples)), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
    )
    return tf.reshape(order[: steps * batch_size], [steps, batch_size])


def _draw_seed(seed: int, epoch: Any, step: Any) -> Any:
    return tf.stack([tf.cast(seed, tf.int64) + (epoch + 1) * 2**31, step])


def _ahead(orders: Any, load: Callable[..., Any], examples: Examples, batch_size: int) -> Any:
    ahead = max(2, min(_AHEAD_BATCHES, _AHEAD_BYTES // (batch_size * _picture_bytes(examples))))
    return _untuned(orders.map(load, num_parallel_calls=ahead, deterministic=True).prefetch(2))


def view_batches(examples: Examples, classes: int, *, batch_size: int, views: int, augment: Augment) -> Any:
    """The batches that a teacher reads, in order: those of `views` epochs of `VIEWS_SEED`. As `training_batches`."""
    return training_batches(
        examples,
        classes,
        batch_size=batch_size,
        seed=VIEWS_SEED,
        first_epoch=0,
        epochs=views,
        augment=augment,
    )


def _taught_batches(
    teacher: Taught, classes: int, *, seed: int, first_epoch: int, epochs: int, augment: Augment
) -> Any:
    examples = teacher.examples
    read = _reader(examples, classes)
    change = augmenter(augment, examples.shape)
    views, steps, batch_size = teacher.probabilities.shape[:3]
    with tf.device("CPU"):
        # Kernels for float16 are rare on CPUs.
        said = tf.constant(teacher.probabilities.astype(np.float32))

    def epoch_steps(epoch: Any) -> Any:
        turn = tf.random.experimental.stateless_shuffle(
            tf.range(steps, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        view = epoch % views
        chosen = _order(examples, steps, batch_size, VIEWS_SEED, view)
        return tf.data.Dataset.from_tensor_slices((tf.fill([steps], view), turn, tf.gather(chosen, turn)))

    def load(view: Any, step: Any, chosen: Any) -> Any:
        images, labels = change(*read(chosen), _draw_seed(VIEWS_SEED, view, step))
        return images, tf.concat([labels, said[view, step]], axis=-1)

    orders = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_steps)
    return _ahead(orders, load, examples, batch_size)


def evaluation_batches(examples: Examples, classes: int) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], one-hot float32 (B, classes)), in order, all of them."""
    read, total = _reader(examples, classes), len(examples)
    batch_size = max(1, min(_AT_ONCE, _AT_ONCE_BYTES // _picture_bytes(examples)))

    def load(first: Any) -> Any:
        images, labels = read(tf.range(first, tf.minimum(first + batch_size, total)))
        return unit(images), labels

    return _untuned(tf.data.Dataset.range(0, total, batch_size).map(load).prefetch(1))


def _untuned(batches: Any) -> Any:
    """Without the thread that tunes a pipeline: between two looks it sleeps, longer and longer, and the end of an
    iterator may wait for it. An evaluation of 0.2 s then took up to 0.5 s more.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def _picture_bytes(examples: Examples) -> int:
    """Of one picture as floats."""
    return 4 * int(np.prod(examples.shape))


def _reader(examples: Examples, classes: int) -> Callable[[Any], tuple[Any, Any]]:
    """A function of indices (B,) that gives uint8 (B, H, W, C) and one-hot float32 (B, classes).

    Of NOTHING every class is as likely. It is TensorFlow alone where all pictures are in memory.
    """
    images = examples.images
    with tf.device("CPU"):
        labels = tf.constant(examples.labels)
        in_memory = None if isinstance(images, Pictures) else tf.constant(images)

    def from_file(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return images[chosen]

    def read(chosen: Any) -> tuple[Any, Any]:
        if in_memory is not None:
            found = tf.gather(in_memory, chosen)
        else:
            found = tf.ensure_shape(
                tf.numpy_function(from_file, [chosen], tf.uint8, stateful=False),
                [*chosen.shape, *examples.shape],
            )
        of_chosen = tf.gather(labels, chosen)
        spread = tf.where(of_chosen == NOTHING, 1.0 / classes, 0.0)
        return found, tf.one_hot(of_chosen, classes) + spread[:, tf.newaxis]

    return read
