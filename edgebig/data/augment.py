"""Random changes to training batches, in TensorFlow, every draw a function of the seed that a batch is given.

The geometric ones (shift, turn, scale, slant, elastic) are one resampling of the picture, so that it is blurred once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import usercode
from edgebig.keras import tf
from edgebig.recipe import Augment

# The taps of the widest blur reach so many standard deviations to each side.
_BLUR_REACH = 2.5


def augmenter(spec: Augment, shape: tuple[int, int, int]) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """A function of (float32 (B, *shape) in [0, 1], float32 (B, classes), int64 (2,) seed) -> pictures and labels.

    Raises EdgebigError where the user's own function cannot be loaded.
    """
    changes = [change for change, wanted in _changes(spec, shape) if wanted]
    own = usercode.load(spec.function) if spec.function else None

    def augment(batch: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        for index, change in enumerate(changes):
            batch = change(batch, _fold(seed, index))
        if own is not None:
            batch = tf.ensure_shape(own(batch, _fold(seed, 100)), [None, *shape])
        if spec.mixup:
            batch, labels = mixup(batch, labels, spec.mixup, _fold(seed, 101))
        return batch, labels

    return augment


def _fold(seed: Any, index: int) -> Any:
    """A seed for each kind of draw: two that share one would turn all the pictures that they blur."""
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(index, seed.dtype))


def _changes(
    spec: Augment, shape: tuple[int, int, int]
) -> list[tuple[Callable[[Any, Any], Any], float | bool]]:
    """In the order in which a camera would make them: the thing, its place, the optics, the light, the sensor."""
    moved = spec.shift_px or spec.rotate_deg or spec.zoom or spec.shear or spec.elastic_px
    lit = spec.brightness or spec.contrast
    return [
        (flip, spec.flip),
        (lambda batch, seed: warp(batch, spec, seed), moved),
        (lambda batch, seed: stroke_width(batch, spec.stroke_px, seed), spec.stroke_px),
        (lambda batch, seed: blur(batch, spec.blur_px, seed), spec.blur_px),
        (lambda batch, seed: light(batch, spec.brightness, spec.contrast, seed), lit),
        (lambda batch, seed: noise(batch, spec.noise, seed), spec.noise),
        (lambda batch, seed: cutout(batch, spec.cutout_px, seed), spec.cutout_px),
    ]


def _per_picture(batch: Any, seed: Any, low: float, high: float) -> Any:
    """A draw for each picture, (B, 1, 1, 1)."""
    return tf.random.stateless_uniform([tf.shape(batch)[0], 1, 1, 1], seed, low, high)


def flip(batch: Any, seed: Any) -> Any:
    """Half of the pictures as a mirror shows them."""
    return tf.where(_per_picture(batch, seed, 0.0, 1.0) < 0.5, batch[:, :, ::-1], batch)


def warp(batch: Any, spec: Augment, seed: Any) -> Any:
    """Each picture turned, scaled, slanted and shifted by its own draw about its centre, and bent by `elastic_px`."""
    rows = _affine_rows(batch, spec, seed)
    if not spec.elastic_px:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=batch,
            transforms=tf.concat([rows, tf.zeros_like(rows[:, :2])], axis=1),
            output_shape=batch.shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST" if spec.fill == "edge" else "CONSTANT",
        )
    height, width = batch.shape[1:3]
    y, x = (axis.astype(np.float32) for axis in np.mgrid[:height, :width])
    bend = elastic_field(tf.shape(batch)[0], height, width, spec, _fold(seed, 1))
    rows = rows[:, :, tf.newaxis, tf.newaxis]
    return _sample(
        batch,
        rows[:, 0] * x + rows[:, 1] * y + rows[:, 2] + bend[..., 0],
        rows[:, 3] * x + rows[:, 4] * y + rows[:, 5] + bend[..., 1],
        edge=spec.fill == "edge",
    )


def _affine_rows(batch: Any, spec: Augment, seed: Any) -> Any:
    """(B, 6): the two rows of the map from output pixels (x, y, 1) to input pixels."""
    height, width = batch.shape[1:3]
    draws = tf.random.stateless_uniform([5, tf.shape(batch)[0]], seed, -1.0, 1.0)
    angle = draws[0] * math.radians(spec.rotate_deg)
    scale = 1.0 / (1.0 + draws[1] * spec.zoom)
    slant = draws[2] * spec.shear
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    x_x, x_y, y_x, y_y = cos, slant * scale - sin, sin, cos
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x_0 = centre_x - x_x * centre_x - x_y * centre_y + draws[3] * spec.shift_px
    y_0 = centre_y - y_x * centre_x - y_y * centre_y + draws[4] * spec.shift_px
    return tf.stack([x_x, x_y, x_0, y_x, y_y, y_0], axis=1)


def elastic_field(count: Any, height: int, width: int, spec: Augment, seed: Any) -> Any:
    """(B, H, W, 2) pixels: normal displacements of standard deviation `elastic_px`, smooth over `elastic_scale_px`.

    Source: Simard et al. 2003 smooth white noise with a Gaussian; here a cubic B-spline over random control points,
    which is the same to the eye and costs two small matrix products.
    """
    rows, columns = _spline(height, spec.elastic_scale_px), _spline(width, spec.elastic_scale_px)
    control = tf.random.stateless_normal([count, 2, rows.shape[1], columns.shape[1]], seed)
    field = tf.matmul(rows, tf.matmul(control, columns, transpose_b=True)) * spec.elastic_px
    return tf.transpose(field, [0, 2, 3, 1])


def _spline(size: int, spacing: float) -> npt.NDArray[np.float32]:
    """(size, control points): cubic B-spline weights, each row of norm 1, so that white noise keeps its variance."""
    points = math.ceil((size - 1) / spacing) + 3
    t = np.abs(np.arange(size)[:, None] / spacing - (np.arange(points) - 1))
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), np.float32)


def _sample(batch: Any, x: Any, y: Any, *, edge: bool) -> Any:
    """Bilinear samples of (B, H, W, C) at real (B, H, W) places; outside is 0, or the nearest pixel."""
    count, channels = tf.shape(batch)[0], batch.shape[3]
    height, width = batch.shape[1:3]
    if edge:
        x, y = tf.clip_by_value(x, 0.0, width - 1.0), tf.clip_by_value(y, 0.0, height - 1.0)
    # A border of two zeros makes every place outside, clipped to it, a place between zeros.
    x, y = tf.clip_by_value(x + 2.0, 0.0, width + 2.0), tf.clip_by_value(y + 2.0, 0.0, height + 2.0)
    padded = tf.pad(batch, [[0, 0], [2, 2], [2, 2], [0, 0]], "SYMMETRIC" if edge else "CONSTANT")
    flat = tf.reshape(padded, [-1, channels])
    left, top = tf.floor(x), tf.floor(y)
    right, down = (x - left)[..., tf.newaxis], (y - top)[..., tf.newaxis]
    stride = width + 4
    first = tf.range(count)[:, tf.newaxis, tf.newaxis] * ((height + 4) * stride)
    corner = first + tf.cast(top, tf.int32) * stride + tf.cast(left, tf.int32)

    def at(offset: int) -> Any:
        return tf.gather(flat, corner + offset)

    above = at(0) * (1.0 - right) + at(1) * right
    below = at(stride) * (1.0 - right) + at(stride + 1) * right
    return above * (1.0 - down) + below * down


def stroke_width(batch: Any, most_px: float, seed: Any) -> Any:
    """Bright strokes up to `most_px` wider or thinner at each edge: a share of a dilation or an erosion by a pixel."""
    change = _per_picture(batch, seed, -most_px, most_px)
    for _ in range(math.ceil(most_px)):
        step = tf.clip_by_value(change, -1.0, 1.0)
        wider = tf.nn.max_pool2d(batch, 3, 1, "SAME")
        thinner = -tf.nn.max_pool2d(-batch, 3, 1, "SAME")
        batch += tf.maximum(step, 0.0) * (wider - batch) + tf.maximum(-step, 0.0) * (thinner - batch)
        change -= step
    return batch


def blur(batch: Any, most_px: float, seed: Any) -> Any:
    """Gaussian blur with a standard deviation of up to `most_px`, its own for each picture."""
    sigma = tf.maximum(_per_picture(batch, seed, 0.0, most_px), 1e-3)
    reach = max(1, math.ceil(_BLUR_REACH * most_px))
    taps = [tf.exp(-0.5 * tf.square(k / sigma)) for k in range(reach + 1)]
    total = taps[0] + 2.0 * sum(taps[1:])
    height, width = batch.shape[1:3]
    for axis, size in ((1, height), (2, width)):
        pad = [[0, 0], [0, 0], [0, 0], [0, 0]]
        pad[axis] = [reach, reach]
        padded = tf.pad(batch, pad, "SYMMETRIC" if reach <= size else "CONSTANT")
        slices = [tf.gather(padded, tf.range(k, k + size), axis=axis) for k in range(2 * reach + 1)]
        batch = sum(part * taps[abs(k - reach)] for k, part in enumerate(slices)) / total
    return batch


def light(batch: Any, brightness: float, contrast: float, seed: Any) -> Any:
    """Each picture's contrast about its mean times 1 +- `contrast`, then up to `brightness` added or taken."""
    mean = tf.reduce_mean(batch, axis=[1, 2, 3], keepdims=True)
    gain = 1.0 + _per_picture(batch, seed, -contrast, contrast)
    added = _per_picture(batch, _fold(seed, 1), -brightness, brightness)
    return tf.clip_by_value(mean + (batch - mean) * gain + added, 0.0, 1.0)


def noise(batch: Any, most: float, seed: Any) -> Any:
    """Normal noise with a standard deviation of up to `most`, its own for each picture."""
    deviation = _per_picture(batch, seed, 0.0, most)
    grain = tf.random.stateless_normal(tf.shape(batch), _fold(seed, 1))
    return tf.clip_by_value(batch + deviation * grain, 0.0, 1.0)


def cutout(batch: Any, side_px: int, seed: Any) -> Any:
    """A square of `side_px` at a random place of each picture set to 0. Source: DeVries and Taylor 2017."""
    height, width = batch.shape[1:3]
    top = tf.floor(_per_picture(batch, seed, 0.0, 1.0) * (height + side_px)) - side_px
    left = tf.floor(_per_picture(batch, _fold(seed, 1), 0.0, 1.0) * (width + side_px)) - side_px
    y = np.arange(height, dtype=np.float32).reshape(1, -1, 1, 1)
    x = np.arange(width, dtype=np.float32).reshape(1, 1, -1, 1)
    inside = (y >= top) & (y < top + side_px) & (x >= left) & (x < left + side_px)
    return tf.where(inside, 0.0, batch)


def mixup(batch: Any, labels: Any, alpha: float, seed: Any) -> tuple[Any, Any]:
    """Each picture and its label mixed with another of the batch, by a share from Beta(alpha, alpha).

    Source: Zhang et al. 2018.
    """
    count = tf.shape(batch)[0]
    first, second = (
        tf.random.stateless_gamma([count], _fold(seed, index), alpha) + 1e-9 for index in range(2)
    )
    share = first / (first + second)
    share = tf.maximum(share, 1.0 - share)
    other = tf.random.experimental.stateless_shuffle(tf.range(count), _fold(seed, 2))
    mixed = [
        part * tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        + tf.gather(part, other) * tf.reshape(1.0 - share, [-1] + [1] * (part.shape.rank - 1))
        for part in (batch, labels)
    ]
    return mixed[0], mixed[1]
