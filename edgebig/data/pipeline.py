"""Batches for training: shuffling and augmentation, every draw a function of (seed, epoch, step)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.data.augment import augmenter
from edgebig.data.examples import Examples, Pictures
from edgebig.keras import tf
from edgebig.recipe import Augment


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
) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], one-hot float32 (B, classes)) from `first_epoch` on.

    Epoch e is the same whether or not the training was interrupted before it.
    """
    read, labels = _reader(examples), tf.constant(examples.labels)
    change = augmenter(augment, examples.shape)
    batch_size = min(batch_size, len(examples))

    def epoch_order(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(examples)), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=True)
        return batches.enumerate().map(lambda step, chosen: (epoch, step, chosen))

    def load(epoch: Any, step: Any, chosen: Any) -> Any:
        draw_seed = tf.stack([tf.cast(seed, tf.int64) + (epoch + 1) * 2**31, step])
        return change(_unit(read(chosen)), tf.one_hot(tf.gather(labels, chosen), classes), draw_seed)

    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_order)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(8)
    )


def evaluation_batches(examples: Examples, classes: int, batch_size: int = 512) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], one-hot float32 (B, classes)), in order, all of them."""
    read, labels = _reader(examples), tf.constant(examples.labels)

    def load(chosen: Any) -> Any:
        return _unit(read(chosen)), tf.one_hot(tf.gather(labels, chosen), classes)

    return tf.data.Dataset.range(len(examples)).batch(batch_size).map(load).prefetch(1)


def _unit(images_u8: Any) -> Any:
    return tf.cast(images_u8, tf.float32) / 255.0


def _reader(examples: Examples) -> Any:
    """A function of indices (B,) that gives uint8 (B, H, W, C): by TensorFlow alone where all is in memory."""
    images = examples.images
    if not isinstance(images, Pictures):
        constant = tf.constant(images)
        return lambda chosen: tf.gather(constant, chosen)

    def read(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return images[chosen]

    def from_file(chosen: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(read, [chosen], tf.uint8), [None, *examples.shape])

    return from_file
