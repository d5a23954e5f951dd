"""A channel that nobody misses can go from any model; any other cut gives a model of the shapes and costs foretold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgebig.errors import EdgebigError

pytestmark = pytest.mark.tf
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def outputs(model: Any, seed: int) -> Any:
    """The logits too: behind a softmax a difference hides."""
    from edgebig.keras import keras

    images = np.random.default_rng(seed).normal(0, 1, (8, *model.input_shape[1:])).astype(np.float32)
    last = model.layers[-1]
    logits = keras.Model(model.input, last.input)(images) @ last.kernel + last.bias
    return np.asarray(logits), np.asarray(model(images, training=False))


def traced(model: Any) -> Any:
    from edgebig.compress import channels

    try:
        channels.check(model)
    except EdgebigError as error:
        assume("no channel in it" not in error.problem)
        raise
    return channels.of(model)


@pytest.mark.slow
@FEW
@given(SEEDS, st.integers(2, 12))
def test_cutting_dead_channels_changes_no_output(seed: int, steps: int) -> None:
    from edgebig.compress import cut

    model = a_model(seed, steps)
    found = traced(model)
    plant_dead(found, np.random.default_rng(seed))
    keep = feasible(found, ~cut.dead(found))
    assume(not keep.all())
    smaller = cut.cut(model, found, keep)
    for before, after in zip(outputs(model, seed), outputs(smaller, seed), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(before).max()))


@pytest.mark.slow
@FEW
@given(SEEDS, st.integers(2, 12), st.floats(0.1, 0.9))
def test_any_cut_gives_an_ordinary_model_of_the_costs_foretold(seed: int, steps: int, share: float) -> None:
    from edgebig import cost
    from edgebig.compress import choice, cut
    from edgebig.keras import keras

    model = a_model(seed, steps)
    found = traced(model)
    costs = choice.costs(model, found)
    assert costs.macs(found.everything()) == cost.macs(model)
    assert costs.parameters(found.everything()) == model.count_params()
    draw = np.random.default_rng(seed)
    keep = feasible(found, draw.random(found.units) < share)
    smaller = cut.cut(model, found, keep)
    assert type(smaller) is type(model)
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    assert costs.macs(keep) == cost.macs(smaller)
    assert smaller.count_params() == costs.parameters(keep)
    assert found.counts(keep) == {
        use.layer.name: smaller.get_layer(use.layer.name).output_shape[-1] for use in found.consumers()
    }
    assert smaller.output_shape == model.output_shape
    before = [weight.numpy() for weight in model.weights]
    logits, probabilities = outputs(smaller, seed)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    again = keras.Model.from_config(smaller.get_config())
    again.set_weights(smaller.get_weights())
    np.testing.assert_array_equal(outputs(again, seed)[0], logits)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


# Random functional models: every layer that slim follows, tied and joined in random ways.
_ACTIVATIONS = ("relu", "linear", "relu6", "tanh", "swish", "sigmoid")


def a_model(seed: int, steps: int) -> Any:
    """A model of about `steps` layers from 6x6x2 to 3 probabilities, with random weights and statistics."""
    from edgebig.keras import keras

    draw = np.random.default_rng(seed)
    keras.backend.clear_session()
    image = keras.Input((6, 6, 2), name="image")
    made = [image]
    for _ in range(steps):
        step = _STEPS[draw.integers(len(_STEPS))]
        taken = made[-1] if draw.random() < 0.7 else made[draw.integers(len(made))]
        made.append(step(keras.layers, draw, taken, made))
    x = made[-1]
    # What nothing took would be no part of the model: half of it is joined in.
    for other in made[1:-1]:
        if other.shape[1:3] == x.shape[1:3] and draw.random() < 0.5:
            x = keras.layers.Concatenate()([x, other])
    tails = (keras.layers.Flatten, keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    x = tails[draw.integers(3)]()(x)
    if draw.random() < 0.7:
        x = keras.layers.Dense(int(draw.integers(2, 7)), activation=str(draw.choice(_ACTIVATIONS)))(x)
    if draw.random() < 0.3:
        x = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(x))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    randomize(model, draw)
    return model


def randomize(model: Any, draw: Any) -> None:
    for layer in model.layers:
        for variable in layer.weights:
            value = draw.normal(0, 0.5, variable.shape)
            variable.assign(np.abs(value) + 0.3 if "variance" in variable.name else value)


def plant_dead(channels: Any, draw: Any) -> None:
    """Makes random channels useless: without weights of their own, below a ReLU or above it, or not looked at."""
    for use in channels.uses:
        layer, kind = use.layer, use.kind
        if kind == "InputLayer" or draw.random() < 0.4:
            continue
        if kind == "BatchNormalization" and layer.scale and layer.center:
            some = draw.random(layer.gamma.shape) < 0.4
            layer.gamma.assign(np.where(some, 0, layer.gamma.numpy()))
            layer.beta.assign(np.where(some, _constants(draw, some.shape), layer.beta.numpy()))
        elif kind in ("Conv2D", "Dense", "SeparableConv2D", "Conv2DTranspose"):
            kernel = getattr(layer, "pointwise_kernel", None)
            kernel = layer.kernel if kernel is None else kernel
            out_axis = 2 if kind == "Conv2DTranspose" else -1
            values = np.moveaxis(kernel.numpy(), out_axis, -1).copy()
            some = draw.random(values.shape[-1]) < 0.4
            if draw.random() < 0.7:
                values[..., some] = 0
                if layer.use_bias:
                    layer.bias.assign(np.where(some, _constants(draw, some.shape), layer.bias.numpy()))
            else:
                some = draw.random(values.shape[-2]) < 0.4
                values[..., some, :] = 0
            kernel.assign(np.moveaxis(values, -1, out_axis))


def feasible(channels: Any, keep: Any) -> Any:
    """`keep` with what is fixed, and with the first unit of each layer that would lose all."""
    keep = keep | channels.fixed
    for use in channels.uses:
        if not keep[use.output].any():
            keep[use.output[0]] = True
    return keep


def _constants(draw: Any, shape: Any) -> Any:
    return draw.choice([0.0, 0.0, -0.7, 0.4], shape)


def _conv(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    kernel = int(draw.integers(1, 4))
    return layers.Conv2D(
        int(draw.integers(2, 6)), kernel,
        padding="same" if min(x.shape[1:3]) < kernel or draw.random() < 0.5 else "valid",
        use_bias=bool(draw.random() < 0.7), activation=str(draw.choice(_ACTIVATIONS)),
    )(x)  # fmt: skip


def _depthwise(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    return layers.DepthwiseConv2D(
        int(draw.integers(1, 4)), padding="same", depth_multiplier=int(draw.integers(1, 3)),
        use_bias=bool(draw.random() < 0.7), activation=str(draw.choice(_ACTIVATIONS)),
    )(x)  # fmt: skip


def _separable(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    return layers.SeparableConv2D(
        int(draw.integers(2, 6)), int(draw.integers(1, 4)), padding="same",
        depth_multiplier=int(draw.integers(1, 3)), use_bias=bool(draw.random() < 0.7),
    )(x)  # fmt: skip


def _transposed(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    if max(x.shape[1:3]) > 8:
        return x
    return layers.Conv2DTranspose(int(draw.integers(2, 5)), 2, strides=int(draw.integers(1, 3)))(x)


def _normalized(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    return layers.BatchNormalization(scale=bool(draw.random() < 0.8), center=bool(draw.random() < 0.8))(x)


def _activated(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    kinds = [
        layers.ReLU, layers.LeakyReLU, layers.ELU, lambda: layers.PReLU(shared_axes=[1, 2]), layers.PReLU,
        lambda: layers.ReLU(6.0), lambda: layers.Activation("hard_sigmoid"), lambda: layers.Dropout(0.2),
        lambda: layers.ReLU(threshold=0.3),
    ]  # fmt: skip
    return kinds[draw.integers(len(kinds))]()(x)


def _placed(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    small, large = min(x.shape[1:3]) < 2, max(x.shape[1:3]) > 8
    kinds = [layers.ZeroPadding2D] if not large else []
    kinds += [lambda: layers.UpSampling2D(2)] if not large else []
    kinds += [layers.MaxPooling2D, lambda: layers.AveragePooling2D(2, 1, "same")] if not small else []
    return kinds[draw.integers(len(kinds))]()(x) if kinds else x


def _merged(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    alike = [other for other in made[1:] if other.shape == x.shape and other is not x]
    kinds = (layers.Add, layers.Multiply, layers.Maximum, layers.Subtract, layers.Average)
    if alike:
        return kinds[draw.integers(len(kinds))]()([x, alike[draw.integers(len(alike))]])
    return layers.Add()([x, layers.Conv2D(x.shape[-1], 3, padding="same")(x)])


def _concatenated(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    beside = [other for other in made if other.shape[1:3] == x.shape[1:3]]
    return layers.Concatenate()([x, beside[draw.integers(len(beside))]])


def _squeezed(layers: Any, draw: Any, x: Any, made: list[Any]) -> Any:
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(3, activation="relu")(gate)
    gate = layers.Dense(channels, activation="sigmoid")(gate)
    return layers.Multiply()([x, layers.Reshape((1, 1, channels))(gate)])


_STEPS: tuple[Callable[..., Any], ...] = (
    _conv, _conv, _conv, _depthwise, _separable, _transposed, _normalized, _normalized, _activated, _activated,
    _placed, _merged, _merged, _concatenated, _squeezed,
)  # fmt: skip
