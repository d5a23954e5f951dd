"""Training that keeps zeros and clusters: exactly, in any layer, and in whatever the optimizer does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tf


def net() -> Any:
    from edgebig.keras import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.Conv2DTranspose(3, 2, name="up"),
            layers.SeparableConv2D(3, 2, name="separable"),
            layers.Flatten(),
            layers.Dense(2, name="dense"),
        ]
    )


def kernels(model: Any) -> dict[str, Any]:
    return {weight.name: weight.numpy() for weight in model.trainable_variables if "kernel" in weight.name}


def train(model: Any, optimizer: Any) -> None:
    rng = np.random.default_rng(0)
    model.compile(optimizer, "mse", steps_per_execution=3)
    model.fit(rng.normal(size=(48, 6, 6, 2)), rng.normal(size=(48, 2)), batch_size=8, epochs=2, verbose=0)


def prepared(change: Any) -> Any:
    model = net()
    for layer in model.layers:
        layer.set_weights([change(value) if value.ndim > 1 else value for value in layer.get_weights()])
    return model


def test_zeros_stay_and_the_rest_learns() -> None:
    from edgebig.compress import tied
    from edgebig.keras import keras

    model = prepared(lambda value: np.where(np.abs(value) < np.median(np.abs(value)), 0, value))
    before = kernels(model)
    assert set(tied.tie(model, zeros=True)) == set(before)
    train(model, keras.optimizers.AdamW(0.01))
    for name, after in kernels(model).items():
        assert ((after == 0) == (before[name] == 0)).all(), name
        assert not np.array_equal(after, before[name]), name


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_equal_weights_stay_equal(per_channel: bool, zeros: bool) -> None:
    from edgebig.compress import tied
    from edgebig.keras import keras

    def clustered(value: Any) -> Any:
        values = np.linspace(-0.5, 0.5, 5)
        near = values[np.abs(value[..., None] - values).argmin(axis=-1)]
        return near * (1 + 0.1 * np.arange(value.shape[-1])) if per_channel else near

    model = prepared(clustered)
    before = kernels(model)
    tied.tie(model, zeros=zeros, clusters=5, per_channel=per_channel)
    train(model, keras.optimizers.Adam(0.01))
    for name, after in kernels(model).items():
        assert tied.distinct(after, per_channel=per_channel) <= 5, name
        assert not np.array_equal(after, before[name]), name
        if zeros:
            assert (after[before[name] == 0] == 0).all(), name
        # Which weights are equal has not changed.
        channels = range(after.shape[-1]) if per_channel else [slice(None)]
        for channel in channels:
            old, new = before[name][..., channel], after[..., channel]
            assert all(len(np.unique(new[old == value])) == 1 for value in np.unique(old)), name


def test_a_kernel_of_many_values_is_left_alone() -> None:
    from edgebig.compress import tied

    model = net()
    assert tied.tie(model, zeros=False, clusters=4) == []
    assert tied.tie(model, zeros=True) == []  # it has no zero


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 6))
def test_a_step_is_projected_to_the_nearest_kernel_that_is_tied(
    seed: int, zeros: bool, clusters: int
) -> None:
    """The mean of each cluster, zero where it was zero: no other tied kernel is as near."""
    from edgebig.compress import tied

    rng = np.random.default_rng(seed)
    kernel = rng.choice(np.linspace(-1, 1, clusters if clusters % 2 else clusters + 1), size=(3, 2, 4))
    kernel = kernel.astype(np.float32)
    project = tied._projection(kernel, zeros=zeros, clusters=8, per_channel=False)
    moved = kernel + rng.normal(size=kernel.shape).astype(np.float32)
    given_back = np.asarray(project(moved))
    for value in np.unique(kernel):
        where = kernel == value
        expected = 0.0 if zeros and value == 0 else moved[where].mean()
        np.testing.assert_allclose(given_back[where], expected, rtol=1e-4, atol=1e-6)
