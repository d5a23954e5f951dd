"""Batches for training: shuffling and augmentation, every draw a function of (seed, epoch, step)."""

from __future__ import annotations

import math
from typing import Any

from edgebig.data.source import Examples
from edgebig.keras import tf
from edgebig.recipe import Augment


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Whole batches in an epoch; the rest of a shuffle waits for another epoch. At least 1."""
    return max(1, len(examples) // batch_size)


def training_batches(
    examples: Examples, *, batch_size: int, seed: int, first_epoch: int, epochs: int, augment: Augment
) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], int64 (B,)) over epochs first_epoch .. epochs - 1.

    Epoch e is the same whether or not the training was interrupted before it.
    """
    images, labels = tf.constant(examples.images), tf.constant(examples.labels)
    batch_size = min(batch_size, len(examples))

    def epoch_order(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(examples)), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=True)
        return batches.enumerate().map(lambda step, chosen: (epoch, step, chosen))

    def load(epoch: Any, step: Any, chosen: Any) -> Any:
        batch = tf.cast(tf.gather(images, chosen), tf.float32) / 255.0
        draw_seed = tf.stack([tf.cast(seed, tf.int64) + (epoch + 1) * 2**31, step])
        return affine(batch, augment, draw_seed), tf.gather(labels, chosen)

    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_order)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(8)
    )


def affine(batch: Any, augment: Augment, seed: Any) -> Any:
    """float32 (B, H, W, C): each picture turned, scaled, slanted and shifted by its own draw, about its centre."""
    if augment == Augment():
        return batch
    count, height, width = tf.shape(batch)[0], batch.shape[1], batch.shape[2]
    draws = tf.random.stateless_uniform([5, count], seed, -1.0, 1.0)
    angle = draws[0] * math.radians(augment.rotate_deg)
    scale = 1.0 / (1.0 + draws[1] * augment.zoom)
    slant = draws[2] * augment.shear
    shift_x, shift_y = draws[3] * augment.shift_px, draws[4] * augment.shift_px
    # Rows of the map from output pixels to input pixels, as ImageProjectiveTransformV3 takes it.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    x_x, x_y, y_x, y_y = cos, slant * scale - sin, sin, cos
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x_0 = centre_x - x_x * centre_x - x_y * centre_y + shift_x
    y_0 = centre_y - y_x * centre_x - y_y * centre_y + shift_y
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=batch,
        transforms=tf.stack([x_x, x_y, x_0, y_x, y_y, y_0, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def evaluation_batches(examples: Examples, batch_size: int = 512) -> Any:
    """A tf.data.Dataset of (float32 (B, H, W, C) in [0, 1], int64 (B,)), in order, nothing left out."""
    dataset = tf.data.Dataset.from_tensor_slices((examples.images, examples.labels)).batch(batch_size)
    return dataset.map(lambda images, labels: (tf.cast(images, tf.float32) / 255.0, labels))
