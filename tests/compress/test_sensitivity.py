"""What int8 costs layer by layer: a layer that int8 hurts comes first, and the numbers are those of real rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.tf


def net(bad: str = "") -> Any:
    """A net whose layer `bad` has one weight a thousand times the others', so that a scale for all loses them."""
    from edgebig.keras import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, use_bias=False, name="first")(image)
    x = layers.BatchNormalization(name="first_bn")(x)
    x = layers.ReLU(name="first_relu")(x)
    x = layers.DepthwiseConv2D(3, name="second")(x)
    x = layers.SeparableConv2D(4, 2, name="third", activation="relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(8, activation="relu", name="fourth")(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="last")(x))
    if bad:
        kernel, *others = model.get_layer(bad).get_weights()
        kernel = kernel.copy()
        kernel[(0,) * kernel.ndim] = 1000 * np.abs(kernel).max()
        model.get_layer(bad).set_weights([kernel, *others])
    return model


def images(n: int = 40) -> Any:
    return np.random.default_rng(0).random((n, 8, 8, 1), np.float32)


def test_every_layer_with_weights_has_a_row_and_the_model_is_as_it_was() -> None:
    from edgebig.compress import sensitivity

    model = net()
    before = [value.copy() for value in model.get_weights()]
    rows = sensitivity.table(model, images())
    assert {row.layer for row in rows} == {"first", "second", "third", "fourth", "last"}
    assert [row.kl for row in rows] == sorted((row.kl for row in rows), reverse=True)
    for row in rows:
        assert 0 < row.kl < 1e-3
        assert 20 < row.sqnr_db < 100
        assert row.n == 40
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert sensitivity.text(rows).splitlines()[1].split()[0] == rows[0].layer


@pytest.mark.parametrize("bad", ["fourth", "last"])
def test_the_layer_that_int8_hurts_comes_first(bad: str) -> None:
    from edgebig.compress import sensitivity

    rows = sensitivity.table(net(bad), images())
    assert rows[0].layer == bad
    assert sensitivity.worst(rows, 2) == [rows[0].layer, rows[1].layer]
    assert sensitivity.worst(rows, 1, without=[bad]) == [rows[1].layer]


def test_a_row_is_what_rounding_that_layer_by_hand_gives() -> None:
    from edgebig.compress import sensitivity
    from edgebig.keras import keras

    model, pictures = net(), images()
    (row,) = (row for row in sensitivity.table(model, pictures) if row.layer == "last")
    hidden = keras.Model(model.inputs, model.get_layer("fourth").output)
    kernel, bias = model.get_layer("last").get_weights()
    scale = np.abs(kernel).max() / 127
    logits = np.asarray(hidden(pictures)) @ (np.round(kernel / scale) * scale) + bias
    plain = np.asarray(hidden(pictures)) @ kernel + bias
    low, high = min(plain.min(), 0.0), max(plain.max(), 0.0)
    step = (high - low) / 255
    logits = np.clip(np.round((logits - low) / step), 0, 255) * step + low
    exact, given_ = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (plain, logits))
    expected = np.mean(np.sum(exact * np.log(exact / given_), axis=1))
    assert row.kl == pytest.approx(expected, rel=0.5)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(), (1,), (2, 3)]),
    st.floats(1e-6, 1e6, allow_subnormal=False),
)
def test_a_rounded_kernel_is_within_half_a_step_and_has_255_values(
    seed: int, axes: tuple[int, ...], size: float
) -> None:
    from edgebig.compress.sensitivity import rounded

    shape = (2, 3) if axes == (1,) else (2, 3, 2, 2)
    kernel = (np.random.default_rng(seed).normal(size=shape) * size).astype(np.float32)
    kernel.ravel()[0] = 0
    given_back = rounded(kernel, axes)
    others = tuple(axis for axis in range(kernel.ndim) if axis not in axes)
    step = np.abs(kernel).max(axis=others, keepdims=True) / 127
    assert (np.abs(given_back - kernel) <= 0.501 * step + 1e-12).all()
    assert given_back.ravel()[0] == 0
    assert np.array_equal(rounded(np.zeros_like(kernel), axes), np.zeros_like(kernel))
