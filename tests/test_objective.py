"""Losses, optimizers and schedules against plain numpy, written down from their papers and not from Keras."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import EdgebigError
from edgebig.recipe import Fit, Train

pytestmark = pytest.mark.tf

Floats = npt.NDArray[np.float64]
STEPS = 25


def fit(**changed: Any) -> Fit:
    return Fit(**{"epochs": 4, "learning_rate": 0.1} | changed)


# ---- schedules


def rates(**changed: Any) -> Floats:
    """The learning rate before each of 100 steps, and once after the last."""
    from edgebig import objective
    from edgebig.keras import tf

    rate = objective.LearningRate(fit(**changed), STEPS)
    return np.array([float(rate(tf.constant(step))) for step in range(101)])


def half_cosine(steps: int) -> Floats:
    return np.array([0.05 * (1 + math.cos(math.pi * step / steps)) for step in range(steps + 1)])


def test_constant() -> None:
    np.testing.assert_allclose(rates(schedule="constant"), [0.1] * 101, rtol=1e-6)


def test_cosine_falls_to_zero_at_the_last_step() -> None:
    np.testing.assert_allclose(rates(), half_cosine(100), atol=1e-6)


def test_a_warm_up_climbs_in_a_line_and_then_cosine_falls() -> None:
    # The first step is already one: a rate of 0 would waste it.
    climb = [0.1 * (step + 1) / 20 for step in range(20)]
    np.testing.assert_allclose(rates(warmup_steps=20), [*climb, *half_cosine(80)], atol=1e-6)


@pytest.mark.parametrize(("schedule", "after"), [("constant", 0.1), ("step", 0.05)])
def test_a_warm_up_to_other_schedules(schedule: str, after: float) -> None:
    found = rates(schedule=schedule, warmup_steps=20, step_epochs=2, step_factor=0.5)
    np.testing.assert_allclose(found[:20], np.linspace(0.005, 0.1, 20), atol=1e-6)
    np.testing.assert_allclose(found[20:50], 0.1, atol=1e-6)
    np.testing.assert_allclose(found[50:100], after, atol=1e-6)


def test_a_warm_up_longer_than_the_training_ends_with_it() -> None:
    found = rates(warmup_steps=5000)
    assert found.max() == pytest.approx(0.1, rel=0.02)
    assert np.argmax(found) >= 98


def test_step_cuts_at_the_first_step_of_an_epoch() -> None:
    found = rates(schedule="step", step_epochs=1, step_factor=0.1)
    for step, expected in ((0, 0.1), (24, 0.1), (25, 0.01), (49, 0.01), (50, 0.001), (75, 1e-4), (99, 1e-4)):
        assert found[step] == pytest.approx(expected, rel=1e-5), step
    assert set(np.round(rates(schedule="step", step_epochs=3, step_factor=0.5)[:100], 6)) == {0.1, 0.05}


def test_one_cycle_climbs_for_three_tenths_and_falls_to_nothing() -> None:
    found = rates(schedule="one-cycle")
    assert found[0] == pytest.approx(0.1 / 25, rel=1e-5)
    assert found[30] == pytest.approx(0.1, rel=1e-5)
    assert found[100] == pytest.approx(0.1e-5, rel=1e-2)
    assert found[99] < 1e-4
    # Half-way up and half-way down a half cosine is the mean of its ends.
    assert found[15] == pytest.approx((0.1 + 0.1 / 25) / 2, rel=1e-5)
    assert found[65] == pytest.approx((0.1 + 0.1e-5) / 2, rel=1e-5)
    assert (np.diff(found[:31]) > 0).all()
    assert (np.diff(found[30:]) < 0).all()


@given(
    schedule=st.sampled_from(["constant", "step", "cosine", "one-cycle"]),
    epochs=st.integers(1, 30),
    steps=st.integers(1, 40),
    warmup=st.integers(0, 200),
    rate=st.floats(1e-6, 10),
)
@settings(max_examples=40)
def test_every_rate_of_any_training_is_a_rate(
    schedule: str, epochs: int, steps: int, warmup: int, rate: float
) -> None:
    from edgebig import objective
    from edgebig.keras import tf

    warmup = 0 if schedule == "one-cycle" else warmup
    spec = fit(schedule=schedule, epochs=epochs, learning_rate=rate, warmup_steps=warmup)
    found = objective.LearningRate(spec, steps)(tf.range(epochs * steps)).numpy()
    assert np.isfinite(found).all()
    assert (found > 0).all()
    assert found.max() <= rate * (1 + 1e-5)
    # What was asked for is reached, but for a cut before the warm-up ends and a cycle of few steps that misses its top.
    if schedule in ("constant", "cosine"):
        assert found.max() == pytest.approx(rate, rel=1e-5)
    elif warmup <= 10 * steps and epochs * steps > 10:
        assert found.max() >= 0.8 * rate


# ---- losses and accuracy


def distributions(rows: int, classes: int) -> st.SearchStrategy[Floats]:
    weights = st.lists(st.floats(0.01, 1), min_size=classes, max_size=classes).map(np.array)
    return st.lists(weights.map(lambda row: row / row.sum()), min_size=rows, max_size=rows).map(np.stack)


def loss_of(labels: Floats, outputs: Floats, **changed: Any) -> Floats:
    from edgebig import objective
    from edgebig.keras import tf

    function = objective.loss(fit(**changed), labels.shape[1])
    found = function(tf.constant(labels, tf.float32), tf.constant(outputs, tf.float32))
    return np.asarray(found, np.float64)


@given(outputs=distributions(3, 4), mixed=distributions(3, 4), smoothing=st.sampled_from([0.0, 0.1, 0.9]))
@settings(max_examples=30)
def test_losses_are_their_formulas(outputs: Floats, mixed: Floats, smoothing: float) -> None:
    for labels in (mixed, np.eye(4)[[2, 0, 3]]):
        smooth = labels * (1 - smoothing) + smoothing / 4
        entropy = -(smooth * np.log(outputs)).sum(axis=1)
        squares = ((smooth - outputs) ** 2).mean(axis=1)
        found = loss_of(labels, outputs, label_smoothing=smoothing)
        np.testing.assert_allclose(found, entropy, rtol=1e-4, atol=1e-6)
        found = loss_of(labels, outputs, loss="mean-squared-error", label_smoothing=smoothing)
        np.testing.assert_allclose(found, squares, rtol=1e-4, atol=1e-6)


@given(p=st.lists(st.floats(0.001, 0.999), min_size=3, max_size=3), smoothing=st.sampled_from([0.0, 0.2]))
@settings(max_examples=30)
def test_losses_of_one_unit(p: list[float], smoothing: float) -> None:
    unit = np.array(p)
    y = np.array([0.0, 1.0, 0.25])  # the last one mixed
    labels = np.stack([1 - y, y], axis=1)
    y = y * (1 - smoothing) + smoothing / 2
    found = loss_of(labels, unit[:, None], loss="mean-squared-error", label_smoothing=smoothing)
    np.testing.assert_allclose(found, (unit - y) ** 2, rtol=1e-4, atol=1e-6)
    found = loss_of(labels, unit[:, None], label_smoothing=smoothing)
    entropy = -(y * np.log(unit) + (1 - y) * np.log(1 - unit))
    np.testing.assert_allclose(found, entropy, rtol=1e-4, atol=1e-6)
    # The head with two outputs is the same function, and so is its loss.
    for loss in ("cross-entropy", "mean-squared-error"):
        one, two = (
            loss_of(labels, outputs, loss=loss, label_smoothing=smoothing)
            for outputs in (unit[:, None], np.stack([1 - unit, unit], axis=1))
        )
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("head", "units"), [("sigmoid", 1), ("softmax", 2)])
def test_what_is_surely_wrong_still_has_a_slope(head: str, units: int) -> None:
    from edgebig import objective
    from edgebig.keras import keras, tf

    # z = 40: in float32 p is 1, and 1 - p is 0.
    picture = keras.Input((1,))
    model = keras.Model(picture, keras.layers.Dense(units, activation=head, use_bias=False)(picture))
    before = np.array([[0.0, 40.0]][:1])[:, -units:]
    model.set_weights([before])
    model.compile(keras.optimizers.SGD(1.0), objective.loss(fit(), 2))
    model.fit(tf.ones((1, 1)), tf.one_hot([0], 2), verbose=0)
    change = model.get_weights()[0] - before
    np.testing.assert_allclose(change, np.array([[1.0, -1.0]])[:, -units:], atol=1e-6)


def test_losses_in_float16_are_float32() -> None:
    from edgebig import objective
    from edgebig.keras import tf

    for loss in ("cross-entropy", "mean-squared-error"):
        found = objective.loss(fit(loss=loss), 2)(
            tf.constant([[0, 1]], tf.float16), tf.constant([[0.7]], tf.float16)
        )
        assert found.dtype == tf.float32


def test_accuracy_of_many_classes_and_of_one_unit() -> None:
    from edgebig import objective
    from edgebig.keras import tf

    def found(labels: list[list[float]], outputs: list[list[float]]) -> list[float]:
        made = objective.accuracy(tf.constant(labels, tf.float32), tf.constant(outputs, tf.float32))
        assert made.dtype == tf.float32
        return list(made.numpy())

    assert found([[0, 0, 1], [1, 0, 0]], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]) == [1, 0]
    # Of no class: right is to hold none for likelier than the others together.
    assert found([[0.25] * 4] * 2, [[0.49, 0.3, 0.2, 0.01], [0.6, 0.4, 0.0, 0.0]]) == [1, 0]
    # A mixed label is its larger part.
    assert found([[0.4, 0.6], [0.6, 0.4], [0.1, 0.9]], [[0.2, 0.8], [0.2, 0.8], [0.9, 0.1]]) == [1, 0, 0]
    assert found([[1, 0], [1, 0], [0, 1], [0, 1], [0.3, 0.7]], [[0.4], [0.6], [0.4], [0.6], [0.51]]) == [
        1,
        0,
        0,
        1,
        1,
    ]


# ---- the user's own loss

FILES = itertools.count()


def own_loss(folder: Path, body: str) -> str:
    path = folder / f"own{next(FILES)}.py"
    path.write_text(
        "import tensorflow as tf\ndef loss(labels, outputs):\n    " + body.replace("\n", "\n    ")
    )
    return f"python:{path}:loss"


def test_an_own_loss_sees_smooth_labels_and_a_row_for_each_picture(tmp_path: Path) -> None:
    reference = own_loss(tmp_path, "return tf.reduce_sum(labels * [10.0, 1.0], -1) + outputs[:, 0]")
    labels = np.array([[1.0, 0.0], [0.0, 1.0]])
    expected = [9.1 + 0.75, 1.9 + 0.25]
    for outputs in ([[0.75, 0.25], [0.25, 0.75]], [[0.25], [0.75]]):
        found = loss_of(labels, np.array(outputs), loss=reference, label_smoothing=0.2)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "body", ["return tf.reduce_mean((labels - outputs) ** 2)", "return tf.abs(labels - outputs)[:, 0]"]
)
def test_forms_of_an_own_loss(body: str, tmp_path: Path) -> None:
    assert loss_of(np.eye(3), np.eye(3)[::-1], loss=own_loss(tmp_path, body)).shape in ((), (3,))


REFUSED = {
    "raises": ("x = 1\nraise ValueError('why')", r"own\d+\.py:4: loss\(labels, outputs\) fails: ValueError: why"),
    "takes other arguments": ("return loss(labels)", r"own\d+\.py:3: .* fails: TypeError: .*'outputs'"),
    "another shape": ("return tf.matmul(labels, outputs)", r"own\d+\.py:3: .* fails: InvalidArgumentError"),
    "none": ("pass", r"fails: ValueError: .*None"),
    "a number for each class": ("return tf.abs(labels - outputs)", r":loss gave float32 \(2, 3\) for 2 pictures"),
    "integers": ("return tf.argmax(outputs, axis=1)", r":loss gave int64 \(2,\) for 2 pictures"),
    "no slope": (
        "return tf.cast(tf.argmax(labels, 1) != tf.argmax(outputs, 1), tf.float32)",
        ":loss gave a loss without a slope",
    ),
    "numpy": (
        "return tf.constant(outputs.numpy().sum(axis=1))",
        r"own\d+\.py:3: loss\(labels, outputs\) fails: AttributeError: '.*' object has no attribute 'numpy'$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_loss_is_refused(name: str, tmp_path: Path) -> None:
    from edgebig import objective

    body, problem = REFUSED[name]
    with pytest.raises(EdgebigError, match=problem) as caught:
        objective.loss(fit(loss=own_loss(tmp_path, body)), 3)
    assert caught.value.hint


# ---- optimizers


def sgd(spec: Fit, state: dict[str, Floats], g: Floats, rate: float, t: int) -> Floats:
    return -rate * g


def momentum(spec: Fit, state: dict[str, Floats], g: Floats, rate: float, t: int) -> Floats:
    state["m"] = spec.momentum * state.get("m", np.zeros_like(g)) - rate * g
    return state["m"]


def nesterov(spec: Fit, state: dict[str, Floats], g: Floats, rate: float, t: int) -> Floats:
    return spec.momentum * momentum(spec, state, g, rate, t) - rate * g


def adam(spec: Fit, state: dict[str, Floats], g: Floats, rate: float, t: int) -> Floats:
    """Kingma and Ba 2015, by the form before their section 2.1's end, with epsilon outside of the corrected root."""
    state["m"] = 0.9 * state.get("m", np.zeros_like(g)) + 0.1 * g
    state["v"] = 0.999 * state.get("v", np.zeros_like(g)) + 0.001 * g**2
    corrected = rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return -corrected * state["m"] / (np.sqrt(state["v"]) + 1e-7)


def rmsprop(spec: Fit, state: dict[str, Floats], g: Floats, rate: float, t: int) -> Floats:
    state["v"] = 0.9 * state.get("v", np.zeros_like(g)) + 0.1 * g**2
    return -rate * g / np.sqrt(state["v"] + 1e-7)


REFERENCES = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam, "adamw": adam, "rmsprop": rmsprop,
}  # fmt: skip
SHAPES = {
    "one/kernel": (3, 2),
    "one/bias": (2,),
    "norm/gamma": (4,),
    "norm/beta": (4,),
    "beta/kernel": (2, 2),
}
DECAYED = {"one/kernel", "beta/kernel"}
TEN_STEPS = Train(epochs=2, learning_rate=0.05, schedule="cosine", warmup_steps=3)


def by_keras(spec: Fit, start: dict[str, Floats], gradients: list[dict[str, Floats]]) -> tuple[Any, Any]:
    """The weights after these gradients, and their moving averages."""
    from edgebig import objective
    from edgebig.keras import tf

    variables = {name: tf.Variable(value, name=name, dtype=tf.float32) for name, value in start.items()}
    optimizer = objective.optimizer(spec, 5)
    optimizer.build(list(variables.values()))
    for step in gradients:
        optimizer.apply_gradients([(tf.constant(g, tf.float32), variables[name]) for name, g in step.items()])
    averages = getattr(optimizer, "_model_variables_moving_average", [])
    return [value.numpy() for value in variables.values()], [value.numpy() for value in averages]


def by_numpy(spec: Fit, start: dict[str, Floats], gradients: list[dict[str, Floats]]) -> tuple[Any, Any]:
    weights = {name: value.copy() for name, value in start.items()}
    averages = {name: value.copy() for name, value in start.items()}
    states: dict[str, dict[str, Floats]] = {name: {} for name in start}
    for t, step in enumerate(gradients, start=1):
        fall = 0.5 * (1 + math.cos(math.pi * max(0, t - 1 - spec.warmup_steps) / (10 - spec.warmup_steps)))
        rate = spec.learning_rate * fall * min(1, t / spec.warmup_steps)
        length = math.sqrt(sum(float((g**2).sum()) for g in step.values()))
        scale = min(1, spec.clip_norm / length) if spec.clip_norm else 1
        for name, g in step.items():
            if name in DECAYED:
                weights[name] -= rate * spec.weight_decay * weights[name]
            weights[name] += REFERENCES[spec.optimizer](spec, states[name], scale * g, rate, t)
            averages[name] = spec.ema * averages[name] + (1 - spec.ema) * weights[name]
    return list(weights.values()), list(averages.values())


@pytest.mark.parametrize(
    "changed",
    [
        *({"optimizer": name} for name in ("sgd", "momentum", "nesterov", "adam", "rmsprop")),
        {"optimizer": "momentum", "momentum": 0.5},
        *(
            {"optimizer": name, "weight_decay": 0.3}
            for name in ("sgd", "nesterov", "adam", "adamw", "rmsprop")
        ),
        {"optimizer": "sgd", "clip_norm": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.3, "clip_norm": 2.0, "ema": 0.7},
        {"optimizer": "momentum", "ema": 0.9},
    ],
    ids=lambda changed: "-".join(str(value) for value in changed.values()),
)
def test_ten_steps_are_those_of_the_formulas(changed: dict[str, Any]) -> None:
    chance = np.random.default_rng(3)
    start = {name: chance.normal(size=shape) for name, shape in SHAPES.items()}
    # Of different lengths, so that some are clipped and some are not.
    gradients = [
        {name: 3.0 ** (t % 4 - 3) * chance.normal(size=shape) for name, shape in SHAPES.items()}
        for t in range(10)
    ]
    spec = TEN_STEPS.model_copy(update=changed)
    found, averages = by_keras(spec, start, gradients)
    expected, expected_averages = by_numpy(spec, start, gradients)
    for name, one, other in zip(SHAPES, found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6, err_msg=name)
    assert len(averages) == (len(SHAPES) if spec.ema else 0)
    if spec.ema:
        for one, other in zip(averages, expected_averages, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
