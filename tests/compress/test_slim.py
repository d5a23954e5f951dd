"""Slim meets its target with an ordinary smaller model, ranks by what the loss really does, and refuses in time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig import artifact, recipe
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Slim

pytestmark = pytest.mark.tf
SHORT = {"batch_size": 32, "epochs": 2, "sparsify_epochs": 1, "learning_rate": 0.01}


def slimmed(
    trained: Any, passes: tuple[str, ...] = ("slim",), measure: Any = None, **asked: Any
) -> tuple[Any, dict[str, Any]]:
    from edgebig import train
    from edgebig.compress import slim
    from edgebig.compress.context import Context

    splits: Splits = trained.splits
    few = Splits(splits.source, splits.classes, splits.train[:256], splits.validation, splits.test)
    spec = Slim(**{**SHORT, **asked})
    tables = {name: {} for name in passes} | {"slim": spec.model_dump(exclude_none=True)}
    whole = recipe.with_passes(trained.spec, tables)
    model = train.load_model(trained.run)
    smaller, record = slim.slim(Context(few, whole, passes, 0, measure=measure), model, spec)
    return smaller, record.model_dump()


@pytest.mark.slow
@pytest.mark.parametrize("importance", ["bn-scale", "taylor"])
def test_a_share_of_multiplications_is_met_and_told(trained: Any, importance: str) -> None:
    from edgebig import cost, train

    smaller, record = slimmed(trained, macs=0.7, importance=importance)
    before = train.load_model(trained.run)
    assert (record["macs_before"], record["macs"]) == (cost.macs(before), cost.macs(smaller))
    assert record["reached"] == cost.macs(smaller) / cost.macs(before) <= 0.7
    assert record["asked"] == {"macs": 0.7}
    assert record["parameters_before"] == before.count_params() > smaller.count_params()
    for name, (count, left) in record["channels"].items():
        assert (before.get_layer(name).filters, smaller.get_layer(name).filters) == (count, left)
    # Whatever is tied by a residual goes together.
    assert record["channels"]["down1"] == record["channels"]["stage1_1"]
    assert set(record["channels"]) == {"down1", "stage1_1", "down2", "stage2_1"}
    # Trained on: far from chance.
    assert record["validation_accuracy"] > 0.3
    stages = record["validation_correct_by_stage"]
    assert stages["before the cut"] > stages["after the cut"]
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in before.layers]
    assert not smaller.losses  # The penalty on scales was the other model's.


@pytest.mark.slow
def test_the_penalty_takes_scales_down_and_leaves_no_trace(trained: Any) -> None:
    from edgebig import train
    from edgebig.compress import channels, importance, slim
    from edgebig.compress.context import Context

    def scales(l1: float) -> float:
        model = train.load_model(trained.run)
        found = channels.of(model)
        spec = Slim(macs=0.7, l1=l1, **{**SHORT, "sparsify_epochs": 3})
        slim._sparsify(Context(trained.splits, trained.spec, ("slim",), 0), model, found, spec)
        penalised = importance.scaled(found)
        assert "head_bn" in [layer.name for layer in penalised]
        return float(sum(np.abs(layer.gamma.numpy()).sum() for layer in penalised))

    assert scales(1.0) < 0.8 * scales(0.0)


@pytest.mark.slow
def test_the_file_of_the_last_pass_is_as_small_as_was_asked(a_copy: Callable[[], Any]) -> None:
    from edgebig import compress

    copied = a_copy()
    plain = recipe.with_passes(copied.spec, {"qat": {"epochs": 1}})
    whole = compress.compress(copied.run, plain, copied.splits).artifact.path.stat().st_size
    asked = {"slim": {"size_bytes": whole - 200, **SHORT}, "qat": {"epochs": 1}}
    made = compress.compress(copied.run, recipe.with_passes(copied.spec, asked), copied.splits).artifact
    assert made.path.name == "slim-int8.tflite"
    assert made.path.stat().st_size <= whole - 200
    card = artifact.require_card(made, "")
    record = next(one for one in card.passes if one.name == "slim").model_dump()
    # Not a byte more was taken than blocks of channels and names are.
    assert abs(record["reached"] - card.size_bytes) <= 64
    assert card.parameters == record["parameters"] < record["parameters_before"]


@pytest.mark.slow
def test_few_measurements_choose_what_is_fast_enough(trained: Any) -> None:
    asked: list[float] = []

    def by_bytes(before: bytes, after: bytes, device: str) -> float:
        assert device == "a-board"
        assert b"TFL3" in before[:8]
        asked.append(len(after) / len(before))
        return asked[-1]

    _, record = slimmed(trained, measure=by_bytes, latency=0.9, device="a-board", importance="taylor")
    assert record["reached"] in asked
    assert record["reached"] <= 0.9
    assert len(asked) <= 2 + math.log2(16)
    assert record["asked"] == {"latency": 0.9}


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"macs": 0.01}, r"1.0% of the multiplications cannot be reached: with as few .* it is \d+\.\d%"),
        ({"size_bytes": 900}, r"900 bytes cannot be reached: .* it is \d,\d+ bytes"),
        ({"size_bytes": 1 << 20}, r"1,048,576 bytes, and before any cut it is \d+,\d+ bytes"),
        ({"latency": 0.5}, "latency: nothing here measures"),
        (
            {"latency": 0.5, "measure": lambda *_: 0.93},
            "cannot be reached: .* it is 0.930 of the time on local",
        ),
    ],
)
def test_a_target_out_of_reach_is_told_before_any_training(
    trained: Any, asked: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.compress.context import Context

    monkeypatch.setattr(Context, "fit", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(EdgebigError, match=problem):
        slimmed(trained, **asked)


def test_scales_that_are_not_there_rank_nothing() -> None:
    from edgebig import models
    from edgebig.compress import slim
    from edgebig.recipe import KerasConvnet

    model = models.build(KerasConvnet(name="keras-convnet"), (28, 28, 1), 10)
    with pytest.raises(EdgebigError, match="no BatchNormalization whose scale") as caught:
        slim.check_model(model, Slim(macs=0.5))
    assert caught.value.hint == "rank them by the loss: --set compress.slim.importance=taylor"
    slim.check_model(model, Slim(macs=0.5, importance="taylor"))
    with pytest.raises(EdgebigError, match=r"1\.0% of the multiplications cannot be reached"):
        slim.check_model(model, Slim(macs=0.01, importance="taylor"))


def test_the_importance_by_loss_is_the_slope_of_the_loss_as_a_channel_fades() -> None:
    from edgebig.compress import channels, importance
    from edgebig.keras import keras, tf

    layers = keras.layers
    keras.utils.set_random_seed(1)
    image = keras.Input((6, 6, 1))
    a = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="a")(image))
    # Smooth ones: a kink would have another slope on either side.
    b = layers.Conv2D(4, 3, padding="same", activation="tanh")(a)
    b = layers.Add()([layers.Activation("sigmoid")(a), b])
    c = layers.SeparableConv2D(3, 3, depth_multiplier=2, activation="tanh", name="c")(b)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(b), layers.Flatten()(c)])
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    found = channels.of(model)
    draw = np.random.default_rng(0)
    batches = [
        (tf.constant(draw.normal(size=(5, 6, 6, 1)), tf.float32), tf.one_hot(draw.integers(0, 3, 5), 3))
        for _ in range(3)
    ]
    loss = keras.losses.categorical_crossentropy
    scores = importance.by_loss(model, found, loss, batches)

    def faded(unit: int, by: float) -> list[float]:
        """The loss of each batch when all that takes the unit takes (1 - by) of it."""
        kept = model.get_weights()
        for use in found.consumers():
            kernel = use.layer.depthwise_kernel if use.kind == "SeparableConv2D" else use.layer.kernel
            axis = 0 if use.kind == "Dense" else 2
            factor = np.where(use.inputs[0] == unit, 1 - by, 1.0)
            kernel.assign(kernel * factor.reshape([-1 if i == axis else 1 for i in range(kernel.shape.rank)]))
        losses = [float(tf.reduce_mean(loss(labels, model(images)))) for images, labels in batches]
        model.set_weights(kept)
        return losses

    for unit in np.flatnonzero(~found.fixed):
        slopes = (np.array(faded(unit, 0.01)) - faded(unit, -0.01)) / 0.02
        assert scores[unit] == pytest.approx(np.mean(slopes**2), rel=0.01, abs=1e-8)


def test_importance_by_scale_compares_layers_by_shares() -> None:
    from edgebig.compress import channels, importance
    from edgebig.keras import keras

    layers = keras.layers
    image = keras.Input((4, 4, 1))
    x = layers.BatchNormalization(name="a_bn")(layers.Conv2D(3, 3, padding="same", name="a")(image))
    y = layers.BatchNormalization(name="b_bn")(layers.Conv2D(3, 3, padding="same", name="b")(x))
    x = layers.Flatten()(layers.Add()([x, y]))
    x = layers.Dense(2, name="hidden")(x)
    model = keras.Model(image, layers.Dense(2)(x))
    model.get_layer("a_bn").gamma.assign([-6.0, 1, 1])
    model.get_layer("b_bn").gamma.assign([0.5, 0, 0.5])
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(np.tile([3.0, 1.0], (48, 1)))
    found = channels.of(model)
    scores = importance.by_scale(found)
    first, second = found.groups
    np.testing.assert_allclose(scores[first], [(0.75 + 0.5) / 2, 0.125 / 2, (0.125 + 0.5) / 2])
    np.testing.assert_allclose(scores[second], [0.75, 0.25])


@settings(max_examples=200)
@given(st.integers(1, 300), st.sampled_from([1, 2, 4, 8, 16, 64]))
def test_blocks_leave_multiples_and_one_of_them(count: int, multiple: int) -> None:
    from edgebig.compress import choice

    units = np.arange(count) + 7
    blocks = list(choice.blocks_of(units, multiple))
    tile = min(multiple, 2 ** int(math.log2(max(1, count // 2))))
    left = count
    for block in blocks:
        left -= len(block)
        assert left % tile == 0
    assert left == (tile if blocks else count)
    np.testing.assert_array_equal(np.concatenate([*blocks, units[count - left :]]), units)


@settings(max_examples=100)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.data())
def test_halving_finds_the_fewest_blocks_with_few_questions(sizes: list[int], data: Any) -> None:
    from edgebig.compress import choice

    ends = np.cumsum(sizes)
    blocks = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    everything = np.ones(int(ends[-1]), bool)
    wanted = data.draw(st.integers(0, len(blocks)))
    questions = []

    def enough(keep: Any) -> bool:
        questions.append(keep)
        return bool((~keep).sum() >= sum(sizes[:wanted]))

    keep = choice.first_that(blocks, enough, everything)
    assert (~keep).sum() == sum(sizes[:wanted])
    assert len(questions) <= math.ceil(math.log2(len(blocks) + 1))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.25, 0.95), st.sampled_from([1, 4, 8]))
def test_what_is_chosen_is_enough_and_nothing_more_could_stay(seed: int, share: float, multiple: int) -> None:
    from edgebig import models
    from edgebig.compress import channels, choice
    from edgebig.keras import keras
    from edgebig.recipe import DigitCnn

    global _MODEL
    if _MODEL is None:
        keras.backend.clear_session()
        _MODEL = models.build(DigitCnn(name="digit-cnn", channels=(16, 24), blocks=(1, 1)), (28, 28, 1), 10)
    found = channels.of(_MODEL)
    costs = choice.costs(_MODEL, found)
    scores = np.random.default_rng(seed).random(found.units)
    limit = share * costs.macs(found.everything())

    def enough(keep: Any) -> bool:
        return costs.macs(keep) <= limit

    blocks = choice.order(found, scores, costs.macs, multiple)
    first = choice.first_that(blocks, enough, found.everything())
    keep = choice.refined(found, scores, first, blocks, enough)
    assert enough(keep)
    assert scores[~keep].sum() <= scores[~first].sum() + 1e-9
    for group in found.groups:
        assert keep[group].sum() % multiple == 0
        # The least important of a layer are those that went.
        if (~keep[group]).any():
            assert scores[group][~keep[group]].max() <= scores[group][keep[group]].min()
            last = group[~keep[group]][np.argsort(scores[group][~keep[group]])[-multiple:]]
            assert not enough(keep | np.isin(np.arange(found.units), last))


_MODEL: Any = None
