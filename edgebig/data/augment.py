"""Random changes to training batches, in TensorFlow, every draw a function of the seed that a batch is given.

The geometric ones (shift, turn, scale, slant, elastic) are one resampling of the picture, so that it is blurred once.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import usercode
from edgebig.errors import EdgebigError
from edgebig.keras import tf
from edgebig.recipe import Augment

# What float32 arithmetic may be off by, of values in [0, 1].
_ROUNDING = 1e-5


def augmenter(spec: Augment, shape: tuple[int, int, int]) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """A function of (uint8 (B, *shape), labels (B, classes), int64 seed (2,)) -> float32 (B, *shape) in [0, 1], labels.

    Raises EdgebigError where the user's own function cannot be loaded, fails, or gives what are no such pictures.
    """
    changes = [(kind, change) for kind, wanted, change in _changes(spec) if wanted]
    moved = spec.shift_px or spec.rotate_deg or spec.zoom or spec.shear or spec.elastic_px
    own = _own(spec.function, shape) if spec.function else None

    def augment(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        if spec.flip:
            images = flip(images, _fold(seed, "flip"))
        batch = warp(images, spec, _fold(seed, "warp")) if moved else unit(images)
        for kind, change in changes:
            batch = change(batch, _fold(seed, kind))
        if own is not None:
            batch = own(batch, _fold(seed, "function"))
        if spec.mixup:
            batch, labels = mixup(batch, labels, spec.mixup, _fold(seed, "mixup"))
        return batch, labels

    return augment


def _fold(seed: Any, kind: str) -> Any:
    """A seed for each kind of draw, by its name: what is switched on beside it does not change its draws."""
    number = zlib.crc32(kind.encode()) >> 1
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(number, seed.dtype))


def _changes(spec: Augment) -> list[tuple[str, float | bool, Callable[[Any, Any], Any]]]:
    """What follows the place of the thing, in the order of a camera: the optics, the light, the sensor."""
    return [
        ("stroke", spec.stroke_px, lambda batch, seed: stroke_width(batch, spec.stroke_px, seed)),
        ("blur", spec.blur_px, lambda batch, seed: blur(batch, spec.blur_px, seed)),
        (
            "light",
            spec.brightness or spec.contrast,
            lambda batch, seed: light(batch, spec.brightness, spec.contrast, seed),
        ),
        ("noise", spec.noise, lambda batch, seed: noise(batch, spec.noise, seed)),
        ("cutout", spec.cutout_px, lambda batch, seed: cutout(batch, spec.cutout_px, seed)),
    ]


def _per_picture(batch: Any, seed: Any, low: float, high: float) -> Any:
    """A draw for each picture, (B, 1, 1, 1)."""
    return tf.random.stateless_uniform([tf.shape(batch)[0], 1, 1, 1], seed, low, high)


def unit(images: Any) -> Any:
    """uint8 -> float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def flip(images: Any, seed: Any) -> Any:
    """Half of the pictures (B, H, W, C), of any type, as a mirror shows them."""
    # A slice with a step of -1 takes five times as long as `reverse`.
    return tf.where(_per_picture(images, seed, 0.0, 1.0) < 0.5, tf.reverse(images, [2]), images)


def warp(images: Any, spec: Augment, seed: Any) -> Any:
    """Each picture turned, scaled, slanted and shifted by its own draw about its centre, and bent by `elastic_px`.

    uint8 (B, H, W, C) -> float32 in [0, 1].
    """
    rows = _affine_rows(images, spec, seed)
    if not spec.elastic_px:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=unit(images),
            transforms=tf.concat([rows, tf.zeros_like(rows[:, :2])], axis=1),
            output_shape=images.shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST" if spec.fill == "edge" else "CONSTANT",
        )
    height, width = images.shape[1:3]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, np.newaxis]
    rows = tf.reshape(rows, [-1, 2, 3, 1, 1])
    bend = elastic_field(tf.shape(images)[0], height, width, spec, _fold(seed, "elastic"))
    places = (rows[:, :, 0] * x + rows[:, :, 2]) + rows[:, :, 1] * y + bend
    return _sample(images, places, edge=spec.fill == "edge")


def _affine_rows(images: Any, spec: Augment, seed: Any) -> Any:
    """(B, 6): the two rows of the map from output pixels (x, y, 1) to input pixels."""
    height, width = images.shape[1:3]
    draws = tf.random.stateless_uniform([5, tf.shape(images)[0]], seed, -1.0, 1.0)
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
    """(B, 2, H, W) pixels, x then y: normal displacements of standard deviation `elastic_px`.

    They are smooth over `elastic_scale_px`. Source: Simard et al. 2003 smooth white noise with a Gaussian; here a cubic
    B-spline over random control points, which is the same to the eye and costs two small matrix products.
    """
    rows, columns = _spline(height, spec.elastic_scale_px), _spline(width, spec.elastic_scale_px)
    control = tf.random.stateless_normal([rows.shape[1], count, 2, columns.shape[1]], seed)
    field = _both_ways(rows, control, columns.T * np.float32(spec.elastic_px))
    return tf.transpose(field, [1, 2, 0, 3])


def _both_ways(left: Any, stack: Any, right: Any) -> Any:
    """(h, H), (H, B, C, W), (W, w) -> (h, B, C, w): each picture between two matrices.

    TensorFlow 2.21's product of a stack with a matrix corrupts memory: tensorflow/tensorflow#117700.
    """
    across = tf.matmul(left, tf.reshape(stack, [left.shape[1], -1]))
    down = tf.matmul(tf.reshape(across, [-1, right.shape[0]]), right)
    return tf.reshape(down, [left.shape[0], -1, stack.shape[2], right.shape[1]])


def _spline(size: int, spacing: float) -> npt.NDArray[np.float32]:
    """(size, control points): cubic B-spline weights, each row of norm 1, so that white noise keeps its variance."""
    points = math.ceil((size - 1) / spacing) + 3
    t = np.abs(np.arange(size)[:, None] / spacing - (np.arange(points) - 1))
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), np.float32)


def _sample(images: Any, places: Any, *, edge: bool) -> Any:
    """Bilinear samples of uint8 (B, H, W, C) at real places (B, 2, H, W), x then y: float32 (B, H, W, C) in [0, 1].

    Outside is 0, or the nearest pixel.
    """
    height, width = images.shape[1:3]
    rim = 0.0 if edge else 1.0
    # From the corner of the border that `_neighbours` puts around a picture. A place on it is 0, however far it was.
    x, y = (place + 1.0 for place in tf.unstack(places, axis=1))
    x, y = tf.clip_by_value(x, 1.0 - rim, width + rim), tf.clip_by_value(y, 1.0 - rim, height + rim)
    left, top = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    picture = tf.range(tf.shape(images)[0])[:, tf.newaxis, tf.newaxis] * ((height + 2) * (width + 1))
    found = tf.gather(_neighbours(images), picture + top * (width + 1) + left)
    # A plane a channel: TensorFlow is slow at what it must spread over the last axis.
    planes = found[:, tf.newaxis] if found.shape.rank == 3 else tf.transpose(found, [0, 3, 1, 2])
    a, b, c, d = (tf.cast(part, tf.float32) for part in tf.unstack(tf.bitcast(planes, tf.uint8), axis=-1))
    right, down = ((place - tf.floor(place))[:, tf.newaxis] for place in (x, y))
    above, below = a + (b - a) * right, c + (d - c) * right
    return tf.transpose((above + (below - above) * down) / 255.0, [0, 2, 3, 1])


def _neighbours(images: Any) -> Any:
    """Each pixel of uint8 (B, H, W, C) and those to its right, below, and below to the right: the bytes of a float32.

    A gather costs by the element, not by the byte: this is one instead of four. Pictures have a border of zeros, where
    a row's right one is the next row's left one: (pictures * (H + 2) * (W + 1), C), without the C where it is 1.
    """
    width, channels = images.shape[2:]
    padded = tf.cast(tf.pad(images, [[0, 1], [1, 1], [1, 0], [0, 0]]), tf.uint32)
    row = tf.reshape(padded, [-1] if channels == 1 else [-1, channels])
    pairs = row[:-1] + row[1:] * tf.constant(1 << 8, tf.uint32)
    fours = pairs[: -(width + 1)] + pairs[width + 1 :] * tf.constant(1 << 16, tf.uint32)
    # oneDNN prints an error where integers are transposed.
    return tf.bitcast(fours, tf.float32)


def stroke_width(batch: Any, most_px: float, seed: Any) -> Any:
    """Bright strokes up to `most_px` wider or thinner at each edge: a share of a dilation or an erosion by a pixel."""
    change = _per_picture(batch, seed, -most_px, most_px)
    # An erosion is a dilation of the negative.
    sign = tf.sign(change)
    for step in range(math.ceil(most_px)):
        share = tf.clip_by_value(tf.abs(change) - step, 0.0, 1.0)
        batch += share * (sign * tf.nn.max_pool2d(sign * batch, 3, 1, "SAME") - batch)
    return batch


def blur(batch: Any, most_px: float, seed: Any) -> Any:
    """Gaussian blur with a standard deviation of up to `most_px`, its own for each picture; edges mirror.

    By the picture's cosine spectrum, of which a blur takes a share of each wave: two matrix products there and two
    back, whatever the width. Source: the discrete Gaussian of Lindeberg 1990, whose variance is exact and which keeps
    the sum of the pixels; exp(variance * (cos(w) - 1)) is what it leaves of a wave of w radians a pixel.
    """
    height, width = batch.shape[1:3]
    variance = tf.square(_per_picture(batch, seed, 0.0, most_px))
    rows, columns = _cosines(height), _cosines(width)
    speed = [np.cos(np.pi * np.arange(size) / size, dtype=np.float32) - 1.0 for size in (height, width)]
    waves = _both_ways(rows, tf.transpose(batch, [1, 0, 3, 2]), columns.T)
    waves *= tf.exp(tf.reshape(variance, [1, -1, 1, 1]) * (speed[0][:, None, None, None] + speed[1]))
    return tf.clip_by_value(tf.transpose(_both_ways(rows.T, waves, columns), [1, 0, 3, 2]), 0.0, 1.0)


def _cosines(size: int) -> npt.NDArray[np.float32]:
    """(waves, size): the orthonormal DCT-II."""
    waves = np.cos(np.pi / size * np.arange(size)[:, np.newaxis] * (np.arange(size) + 0.5))
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True), np.float32)


def light(batch: Any, brightness: float, contrast: float, seed: Any) -> Any:
    """Each picture's contrast about its mean times 1 +- `contrast`, then up to `brightness` added or taken."""
    mean = tf.reduce_mean(batch, axis=[1, 2, 3], keepdims=True)
    gain = 1.0 + _per_picture(batch, _fold(seed, "contrast"), -contrast, contrast)
    added = _per_picture(batch, _fold(seed, "brightness"), -brightness, brightness)
    return tf.clip_by_value(mean + (batch - mean) * gain + added, 0.0, 1.0)


def noise(batch: Any, most: float, seed: Any) -> Any:
    """Normal noise with a standard deviation of up to `most`, its own for each picture."""
    deviation = _per_picture(batch, _fold(seed, "deviation"), 0.0, most)
    grain = tf.random.stateless_normal(tf.shape(batch), _fold(seed, "grain"))
    return tf.clip_by_value(batch + deviation * grain, 0.0, 1.0)


def cutout(batch: Any, side_px: int, seed: Any) -> Any:
    """A square of `side_px` of each picture set to 0. Source: DeVries and Taylor 2017.

    Its place is any that covers a pixel at least, so that pixels at the edge are covered as often as those within.
    """

    def covered(size: int, kind: str) -> Any:
        first = tf.random.stateless_uniform(
            [tf.shape(batch)[0], 1], _fold(seed, kind), 1 - side_px, size, tf.int32
        )
        place = np.arange(size, dtype=np.int32)
        return (place >= first) & (place < first + side_px)

    height, width = batch.shape[1:3]
    rows = covered(height, "top")[:, :, tf.newaxis, tf.newaxis]
    columns = covered(width, "left")[:, tf.newaxis, :, tf.newaxis]
    return tf.where(rows & columns, 0.0, batch)


def mixup(batch: Any, labels: Any, alpha: float, seed: Any) -> tuple[Any, Any]:
    """Each picture and its label mixed with another of the batch, by a share of at least half from Beta(alpha, alpha).

    Source: Zhang et al. 2018. A Beta is one of two Gammas over their sum. With a small alpha both are mostly too small
    for a float, so that they are drawn as logarithms: G(alpha) = G(alpha + 1) * U ** (1 / alpha).
    """
    alpha = max(alpha, 1e-6)  # Below, the logarithms overflow; a share is 1 here already.
    count = tf.shape(batch)[0]
    gamma = tf.random.stateless_gamma([2, count], _fold(seed, "gamma"), alpha + 1.0)
    even = tf.random.stateless_uniform([2, count], _fold(seed, "even"), np.finfo(np.float32).tiny, 1.0)
    logarithms = tf.math.log(gamma) + tf.math.log(even) / alpha
    share = tf.sigmoid(tf.abs(logarithms[0] - logarithms[1]))
    other = tf.random.experimental.stateless_shuffle(tf.range(count), _fold(seed, "other"))

    def mixed(part: Any) -> Any:
        own = tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        return part * own + tf.gather(part, other) * (1.0 - own)

    return mixed(batch), mixed(labels)


def _own(reference: str, shape: tuple[int, int, int]) -> Callable[[Any, Any], Any]:
    """The user's function of (float32 (B, *shape) in [0, 1], seed), which gives the same kind of pictures.

    It is tried before the first step, on a black, a white and some random pictures; what it makes later is kept in
    [0, 1]. Raises EdgebigError where it fails or gives something else.
    """
    function = usercode.load(reference)
    path, name = usercode.split(reference)
    path = path.resolve()

    def changed(batch: Any, seed: Any) -> Any:
        try:
            made = tf.convert_to_tensor(function(batch, seed))
        except Exception as error:  # The user's code may raise anything; it is told as theirs.
            raise usercode.fault(error, path, f"{name}(pictures, seed) fails") from error
        _check(
            made.dtype == tf.float32 and made.shape.is_compatible_with(batch.shape), path, name, made, shape
        )
        return made

    with tf.device("CPU"):
        pictures = np.random.default_rng(0).random((8, *shape), np.float32)
        pictures[0], pictures[1] = 0.0, 1.0
        try:
            # Without AutoGraph a line of an error is a line of the user's file.
            made = tf.function(changed, autograph=False)(pictures, tf.constant([0, 0], tf.int64)).numpy()
        except tf.errors.OpError as error:
            raise _while_running(error, path, name) from error
    _check(made.shape == pictures.shape, path, name, made, shape)
    low, high = float(made.min()), float(made.max())
    if not (-_ROUNDING <= low <= high <= 1.0 + _ROUNDING):
        raise EdgebigError(
            f"{path}: {name}(pictures, seed) gave values from {low:g} to {high:g} for pictures in [0, 1]",
            "let it end in tf.clip_by_value(pictures, 0.0, 1.0), and divide by no 0: a picture may be all black",
        )
    return lambda batch, seed: tf.clip_by_value(tf.ensure_shape(changed(batch, seed), batch.shape), 0.0, 1.0)


def _check(is_right: bool, path: Path, name: str, made: Any, shape: tuple[int, int, int]) -> None:
    if not is_right:
        kind = getattr(made.dtype, "name", made.dtype)
        raise EdgebigError(
            f"{path}: {name}(pictures, seed) gave {kind} {tuple(made.shape)}",
            f"let it give as many pictures as it got, as float32 (B, {', '.join(map(str, shape))})",
        )


def _while_running(error: Exception, path: Path, name: str) -> EdgebigError:
    """What TensorFlow tells on a page: the first line that is no traceback, and the last place in the user's file."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    traceback = (" ", "\t", "Graph execution error", "Detected at node")
    reason = next((line for line in lines if not line.startswith(traceback)), type(error).__name__)
    numbers = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', str(error))
    where = f"{path}:{numbers[-1]}" if numbers else str(path)
    return EdgebigError(f"{where}: {name}(pictures, seed) fails: {reason}", "mend your file")
