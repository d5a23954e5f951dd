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


def residual(padding: str = "same", activation: str = "relu") -> Any:
    """conv a (6) -> relu -> conv b (6); Add of both; Concatenate with conv c (4); depthwise; Flatten; dense."""
    from edgebig.keras import keras

    layers = keras.layers
    image = keras.Input((5, 5, 2), name="image")
    a = layers.Activation(activation, name="a_act")(layers.Conv2D(6, 3, padding="same", name="a")(image))
    b = layers.Conv2D(6, 3, padding="same", name="b")(a)
    both = layers.Add(name="add")([a, b])
    c = layers.Conv2D(4, 1, name="c")(image)
    x = layers.Concatenate(name="concat")([both, c])
    x = layers.DepthwiseConv2D(2, depth_multiplier=2, name="dw")(x)
    x = layers.Conv2D(3, 3, padding=padding, activation="relu", name="d")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(4, activation="softmax", name="head")(x))


def units_of(found: Any, name: str) -> list[int]:
    return next(use.output.tolist() for use in found.uses if use.layer.name == name)


def test_what_is_tied_and_where_it_goes() -> None:
    from edgebig.compress import channels

    found = channels.of(residual())
    a, b, c, d = (units_of(found, name) for name in "abcd")
    assert a == b == units_of(found, "add")
    assert units_of(found, "concat") == a + c
    assert units_of(found, "dw") == [unit for unit in a + c for _ in range(2)]
    assert units_of(found, "flatten") == d * 16  # all channels of each place
    assert [group.tolist() for group in found.groups] == [sorted(a), sorted(c), sorted(d)]
    assert found.fixed[units_of(found, "image")].all()
    assert found.fixed[units_of(found, "head")].all()


def test_flatten_loses_the_columns_of_each_place() -> None:
    from edgebig.compress import channels, cut

    model = residual("valid")
    found = channels.of(model)
    keep = found.everything()
    keep[units_of(found, "d")[1]] = False
    kernel = model.get_layer("head").kernel.numpy()
    smaller = cut.cut(model, found, keep)
    np.testing.assert_array_equal(
        smaller.get_layer("head").kernel.numpy(), kernel[[index for index in range(12) if index % 3 != 1]]
    )


def test_what_is_dead_and_what_only_looks_so() -> None:
    from edgebig.compress import channels, cut

    model = residual("valid")
    found = channels.of(model)
    assert not cut.dead(found).any()
    a, d = units_of(found, "a"), units_of(found, "d")
    for name in "ab":
        layer = model.get_layer(name)
        values = layer.kernel.numpy()
        values[..., :3] = 0
        layer.kernel.assign(values)
    # 0 after the ReLU and before the Add; constant in one of them alone; 0 after the ReLU, constant after the Add.
    model.get_layer("a").bias.assign([-1, 2, -1, 0, 0, 0])
    model.get_layer("b").bias.assign([0, 0, 0.5, 0, 0, 0])
    # b takes a's second channel at a border, where padding stands for it: no constant of b's says what it did.
    assert np.flatnonzero(cut.dead(found)).tolist() == sorted([a[0], a[2]])
    b = model.get_layer("b")
    values = b.kernel.numpy()
    values[:, :, 1] = 0
    b.kernel.assign(values)
    assert np.flatnonzero(cut.dead(found)).tolist() == sorted(a[:3])
    head = model.get_layer("head")
    values = head.kernel.numpy()
    values[2::3] = 0
    head.kernel.assign(values)
    assert np.flatnonzero(cut.dead(found)).tolist() == sorted([*a[:3], d[2]])
    smaller = cut.cut(model, found, ~cut.dead(found))
    assert smaller.get_layer("a").filters == 3
    np.testing.assert_allclose(outputs(smaller, 0)[0], outputs(model, 0)[0], rtol=1e-4, atol=1e-5)


def test_a_constant_is_dead_only_where_no_border_takes_its_place() -> None:
    from edgebig.compress import channels, cut
    from edgebig.keras import keras

    def net(padding: str) -> Any:
        image = keras.Input((5, 5, 1))
        x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(image)
        x = keras.layers.Conv2D(3, 3, padding=padding, use_bias=False, name="second")(x)
        model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
        first = model.get_layer("first")
        first.kernel.assign(first.kernel.numpy() * [1, 0, 1, 1])
        first.bias.assign([0, 0.7, 0, 0])
        return model

    assert not cut.dead(channels.of(net("same"))).any()
    model = net("valid")
    found = channels.of(model)
    assert cut.dead(found).sum() == 1
    smaller = cut.cut(model, found, ~cut.dead(found))
    assert smaller.get_layer("second").use_bias  # which takes what the constant added
    np.testing.assert_allclose(outputs(smaller, 1)[0], outputs(model, 1)[0], rtol=1e-4, atol=1e-6)


def test_what_cannot_be_followed_is_refused_by_name() -> None:
    from edgebig.compress import channels
    from edgebig.keras import keras, tf

    layers = keras.layers

    def squared(x: Any) -> Any:
        return x * x

    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    image = keras.Input((6, 6, 4), name="image")
    x = shared(shared(image))
    x = layers.Conv2D(4, 1, groups=2, name="grouped")(x)
    x = layers.Conv2D(4, 1, activation=squared, name="squares")(x)
    x = layers.Lambda(lambda y: y + 1, name="code")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.BatchNormalization(axis=1, name="rows")(x)
    x = keras.Sequential([keras.Input((6, 6, 4)), layers.ReLU()], name="inside")(x)
    x = tf.nn.relu(layers.Flatten()(x))
    with pytest.raises(EdgebigError) as caught:
        channels.check(keras.Model([image, keras.Input((1,))], [x, x], name="net"))
    told = caught.value.problem
    for name in ("shared (Conv2D): it is called 2 times", "grouped (Conv2D): its channels are in 2 groups",
                 "squares (Conv2D): activation 'squared'", "code (Lambda)", "norm (LayerNormalization)",
                 "rows (BatchNormalization): it is over axis [1]", "inside (Sequential): a model inside",
                 "(TFOpLambda): its channels cannot be followed; write it with layers"):  # fmt: skip
        assert name in told
    assert "2 inputs and 2 outputs" in told
    assert len(told.splitlines()) == 10


@pytest.mark.parametrize("shape", [(6, 12, 2), (4, 6, 6)])
def test_a_reshape_that_mixes_channels_is_refused(shape: tuple[int, ...]) -> None:
    from edgebig.compress import channels
    from edgebig.keras import keras

    image = keras.Input((6, 6, 1))
    x = keras.layers.Reshape(shape, name="odd")(keras.layers.Conv2D(4, 1)(image))
    with pytest.raises(EdgebigError, match=r"^odd \(Reshape\): makes [26] channels of 4"):
        channels.check(keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x))))


def test_a_model_without_anything_to_cut_is_refused() -> None:
    from edgebig.compress import channels
    from edgebig.keras import keras

    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")],
        name="logistic",
    )
    with pytest.raises(EdgebigError, match=r"^logistic: slim finds no channel"):
        channels.check(model)


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
