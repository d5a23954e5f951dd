"""Pruning reaches what was asked for, layer by layer, on runs of any length, and the file that ships still has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebig.artifact import PassRecord
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Compress, Prune

pytestmark = pytest.mark.tf
KERNELS = {"down1": 50, "stage1_1": 36, "down2": 72, "stage2_1": 144, "probabilities": 40}
DEPTHWISE = "DepthwiseConv2D has few weights, and each channel hangs on its own"


def prune(trained: Any, examples: int, **settings: Any) -> tuple[Any, dict[str, Any]]:
    from edgebig import train

    return prune_model(trained, train.load_model(trained.run), examples, **settings)


def prune_model(trained: Any, model: Any, examples: int, **settings: Any) -> tuple[Any, dict[str, Any]]:
    from edgebig.compress.context import Context
    from edgebig.compress.prune import prune

    splits: Splits = trained.splits
    few = Splits(splits.source, splits.classes, splits.train[:examples], splits.validation, splits.test)
    pruned, record = prune(Context(few, trained.spec, ("prune",), 0), model, Prune(**settings))
    return pruned, record.model_dump()


def zeros(model: Any) -> dict[str, int]:
    return {name: int(np.sum(model.get_layer(name).get_weights()[0] == 0)) for name in (*KERNELS, "head")}


def net(*layers: Any, shape: tuple[int, ...] = (28, 28, 1)) -> Any:
    from edgebig.keras import keras

    end = [keras.layers.Flatten(name="flat"), keras.layers.Dense(10, activation="softmax", name="end")]
    return keras.Sequential([keras.Input(shape, name="image"), *layers, *end], name="net")


@pytest.mark.parametrize(
    ("examples", "settings"),
    [
        (700, {"epochs": 4, "batch_size": 64, "sparsity": 0.5}),
        (700, {"epochs": 1, "batch_size": 16, "sparsity": 0.8}),
        (128, {"epochs": 1, "batch_size": 64, "sparsity": 0.3}),  # two steps
        (200, {"epochs": 3, "batch_size": 200, "sparsity": 0.5}),  # one step an epoch
        (64, {"epochs": 1, "batch_size": 64, "sparsity": 0.5}),  # one step in all
        # Steps run 16 at a time in a loop, and masks must hold inside it.
        (128, {"epochs": 8, "batch_size": 2, "sparsity": 0.7}),
        # The average of the weights remembers what they were.
        (128, {"epochs": 2, "batch_size": 32, "sparsity": 0.6, "ema": 0.9}),
        (128, {"epochs": 2, "batch_size": 32, "sparsity": 0.6, "optimizer": "adamw", "weight_decay": 0.01}),
    ],
)
def test_every_layer_reaches_the_sparsity_that_was_asked_for(
    trained: Any, examples: int, settings: dict[str, Any]
) -> None:
    model, record = prune(trained, examples, **settings)
    asked = settings["sparsity"]
    for name, size in KERNELS.items():
        assert abs(zeros(model)[name] - asked * size) <= 1, name
        assert record["sparsity_by_layer"][name] == round(zeros(model)[name] / size, 4)
    assert record["asked"] == asked
    assert record["not_pruned"] == {"head": DEPTHWISE}
    assert zeros(model)["head"] == 0
    assert record["best_epoch"] > settings["epochs"] // 2
    # An ordinary model, that may train on without a mask.
    assert type(model.layers[1]).__name__ == "Conv2D"
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_the_record_tells_what_validation_says_of_the_pruned_weights(trained: Any) -> None:
    from edgebig.data import pipeline

    model, record = prune(trained, 256, epochs=2, batch_size=32, sparsity=0.6, ema=0.9)
    model.compile(metrics=["accuracy"], loss="categorical_crossentropy")
    batches = pipeline.evaluation_batches(trained.splits.validation, 10)
    assert record["validation_accuracy"] == pytest.approx(model.evaluate(batches, verbose=0)[1], abs=1e-6)


def test_nearly_everything_can_be_pruned_and_one_weight_is_kept(trained: Any) -> None:
    model, record = prune(trained, 256, epochs=2, batch_size=32, sparsity=0.9999999)
    for name, size in KERNELS.items():
        assert zeros(model)[name] == size - 1
    assert record["sparsity_by_layer"]["stage2_1"] == round(143 / 144, 4)


def test_one_threshold_over_all_layers_leaves_some_of_each(trained: Any) -> None:
    from edgebig import train

    model = train.load_model(trained.run)
    kernel, *others = model.get_layer("down2").get_weights()
    model.get_layer("down2").set_weights([kernel / 1000, *others])  # all of it under any threshold
    model, record = prune_model(
        trained, model, 256, epochs=2, batch_size=32, sparsity=0.7, scope="global", learning_rate=1e-6
    )
    found = zeros(model)
    assert sum(found[name] for name in KERNELS) == round(0.7 * sum(KERNELS.values()))
    assert record["sparsity"] == round(239 / 342, 4)
    assert found["down2"] == 72 - 4  # at least 5 % stay
    assert found["stage1_1"] < 0.7 * 36
    assert record["least_kept"] == 0.05


@pytest.mark.parametrize("block", [(1, 2), (2, 2), (2, 1)])
def test_blocks_become_zero_together(trained: Any, block: tuple[int, int]) -> None:
    settings = {"pattern": "block", "block": block, "sparsity": 0.5, "batch_size": 32, "epochs": 2}
    model, record = prune(trained, 256, **settings)
    left = {"head": DEPTHWISE} | ({"down1": "1 input, not a multiple of 2"} if block[1] == 2 else {})
    assert record["not_pruned"] == left
    high, wide = block
    for name in ("stage1_1", "down2", "stage2_1", "probabilities"):
        kernel = model.get_layer(name).get_weights()[0]
        kernel = kernel.reshape(-1, *kernel.shape[-2:])  # (places, inputs, outputs)
        blocks = [
            kernel[place, i : i + wide, o : o + high] != 0
            for place in range(kernel.shape[0])
            for i in range(0, kernel.shape[1], wide)
            for o in range(0, kernel.shape[2], high)
        ]
        assert all(alive.all() or not alive.any() for alive in blocks), name
        dead = sum(not alive.any() for alive in blocks)
        assert abs(dead - len(blocks) / 2) <= 1
        assert record["pattern_by_layer"][name] == round(dead / len(blocks), 4)


def test_two_of_four_along_the_inputs_and_who_cannot_is_told(trained: Any) -> None:
    from edgebig.compress.patterns import Pattern

    model, record = prune(trained, 256, pattern="2:4", batch_size=32, epochs=2)
    assert record["not_pruned"] == {
        "head": DEPTHWISE,
        "down1": "1 input, not a multiple of 4",
        "stage1_1": "2 inputs, not a multiple of 4",
        "down2": "2 inputs, not a multiple of 4",
    }
    for name in ("stage2_1", "probabilities"):
        kernel = model.get_layer(name).get_weights()[0]
        quads = np.moveaxis(kernel, -2, -1).reshape(-1, 4)  # four neighbours along the inputs
        assert np.all(np.sum(quads == 0, axis=1) == 2), name
        assert record["pattern_by_layer"][name] == 1.0
        # The tool that the pattern is known from agrees.
        from edgebig.keras import load_tfmot, tf

        assert load_tfmot("sparsity.keras.pruning_utils").is_pruned_m_by_n(tf.constant(kernel), (2, 4))
    assert record["sparsity"] == 0.5
    assert (
        Pattern("2:4").share(
            np.moveaxis(model.get_layer("down2").get_weights()[0], -1, 0).reshape(4, 18)[:, :16]
        )
        < 1
    )


def test_every_layer_class_that_tfmot_prunes_is_pruned(trained: Any) -> None:
    from edgebig.compress import kernels
    from edgebig.keras import keras, load_tfmot

    known = load_tfmot("sparsity.keras.prune_registry").PruneRegistry._LAYERS_WEIGHTS_MAP
    for kind, (weight, _) in kernels._WEIGHT_OF.items():
        assert known[getattr(keras.layers, kind)] == [weight]
    layers = keras.layers
    model = net(
        layers.Conv2D(2, 5, strides=4, name="own", kernel_constraint=keras.constraints.MaxNorm(0.5)),
        layers.SeparableConv2D(4, 3, name="separable"),
        layers.Conv2DTranspose(2, 2, name="up"),
        layers.LocallyConnected2D(2, 2, strides=2, name="local"),
        layers.Reshape((2, 4), name="steps"),
        layers.Conv1D(4, 2, name="one"),
    )
    model, record = prune_model(trained, model, 64, epochs=2, batch_size=32, sparsity=0.5)
    assert set(record["sparsity_by_layer"]) == {"own", "separable", "up", "local", "one", "end"}
    assert record["not_pruned"] == {}
    for name, kernel in kernels.find(model).items():
        assert abs(np.sum(kernel.numpy() == 0) - kernel.numpy().size / 2) <= 1, name
    # A constraint of the layer's own holds too.
    own = model.get_layer("own").get_weights()[0]
    assert np.all(np.sqrt(np.sum(own**2, axis=0)) <= 0.5 + 1e-6)
    # Which of a transposed kernel's sides are inputs is not what a pattern is told.
    with pytest.raises(
        EdgebigError, match="up: Conv2DTranspose has no inputs that a pattern could lie along"
    ):
        prune_model(trained, net(layers.Conv2DTranspose(2, 2, name="up")), 64, pattern="2:4", block=(1, 4))


def test_the_shipped_file_has_zeros_and_pattern_or_it_is_an_error(trained: Any) -> None:
    from edgebig import convert
    from edgebig.compress import shipped, sizes

    settings = {"pattern": "block", "block": (2, 2), "sparsity": 0.5, "batch_size": 32, "epochs": 2}
    model, record = prune(trained, 256, **settings)
    spec = Compress(prune=Prune(**settings))
    data = convert.to_tflite(model, int8=False)
    records = [PassRecord.model_validate(record)]
    told = shipped.facts(data, [*KERNELS, "head"], records, spec)
    for name, share in record["sparsity_by_layer"].items():
        assert told["shipped_sparsity"][name] == share
    weighed = sizes.bytes_of(model, data, int8=False)
    assert weighed["raw"] == len(data)
    assert weighed["deflated"] < len(data)
    # Each small layer costs the sparse format an operator and an index that are more than its zeros give.
    assert weighed["sparse_format"] > len(data)

    # As many zeros, but not in blocks.
    kernel, *others = model.get_layer("stage2_1").get_weights()
    model.get_layer("stage2_1").set_weights([np.roll(kernel, 1, axis=2), *others])
    with pytest.raises(EdgebigError, match=r"lost groups of pattern block: stage2_1 50\.0% became"):
        shipped.facts(convert.to_tflite(model, int8=False), KERNELS, records, spec)
    model.get_layer("stage2_1").set_weights([kernel + 1, *others])
    with pytest.raises(EdgebigError, match=r"lost zeros that pruning made: stage2_1 50\.0% became 0\.0%"):
        shipped.facts(convert.to_tflite(model, int8=False), KERNELS, records, spec)


def test_what_cannot_be_pruned_is_refused_before_training(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.keras import keras

    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(EdgebigError) as caught:
        prune(trained, 64, pattern="block", block=(3, 7))
    assert caught.value.problem.splitlines() == [
        "digit_cnn: no layer can be pruned in pattern block (3, 7)",
        f"  head: {DEPTHWISE}",
        "  down1: 2 outputs, not a multiple of 3",
        "  stage1_1: 2 outputs, not a multiple of 3",
        "  down2: 4 outputs, not a multiple of 3",
        "  stage2_1: 4 outputs, not a multiple of 3",
        "  probabilities: 10 outputs, not a multiple of 3",
    ]
    bare = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.DepthwiseConv2D(3)], name="bare")
    with pytest.raises(EdgebigError, match="bare: no layer can be pruned"):
        prune_model(trained, bare, 64)


def test_a_layer_that_fell_short_is_named() -> None:
    from edgebig.compress.patterns import Pattern
    from edgebig.compress.prune import _check_reached

    def with_zeros(count: int, of: int) -> Any:
        return np.array([[0.0] * count + [1.0] * (of - count)])

    spec = Prune(sparsity=0.5)
    _check_reached({"a": with_zeros(24, 50), "b": with_zeros(71, 144)}, spec, Pattern())  # one of rounding
    with pytest.raises(EdgebigError) as caught:
        _check_reached({"a": with_zeros(23, 50), "b": with_zeros(72, 144)}, spec, Pattern())
    assert caught.value.problem == "pruning did not reach 50%: a 46.0%"
    spec = Prune(sparsity=0.5, scope="global")
    _check_reached({"a": with_zeros(10, 50), "b": with_zeros(40, 50)}, spec, Pattern())
    with pytest.raises(EdgebigError, match=r"all together 40.0%, b 100.0%"):
        _check_reached(
            {"a": with_zeros(30, 100), "b": with_zeros(20, 20)} | {"c": with_zeros(0, 5)}, spec, Pattern()
        )
    spec = Prune(pattern="2:4")
    with pytest.raises(EdgebigError, match=r"a 50.0%"):
        _check_reached({"a": np.array([[0, 0, 1, 1, 0, 1, 1, 1]])}, spec, Pattern("2:4"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sparsity": 1.0}, "less than 1"),
        ({"pattern": "2:4", "sparsity": 0.7}, "is a sparsity of 0.5 in every layer, not 0.7"),
        ({"pattern": "2:4", "scope": "global"}, "leave scope out"),
        ({"pattern": "block", "block": [0, 4]}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Prune(**settings)
