"""Clustering leaves as many different weights as was asked for, in the model and in the file that ships."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebig.artifact import PassRecord
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Cluster, Compress, Prune, Qat

pytestmark = pytest.mark.tf
KERNELS = {"down1": 50, "stage1_1": 36, "down2": 72, "stage2_1": 144, "probabilities": 40}


def clustered(
    trained: Any, passes: tuple[str, ...] = ("cluster",), examples: int = 200, **settings: Any
) -> tuple[Any, dict[str, Any], Any]:
    """The model, the record, and the model as it was before."""
    from edgebig import train
    from edgebig.compress.cluster import cluster
    from edgebig.compress.context import Context

    model = train.load_model(trained.run)
    if "prune" in passes:
        for name in KERNELS:
            kernel, *others = model.get_layer(name).get_weights()
            model.get_layer(name).set_weights(
                [kernel * (np.abs(kernel) > np.median(np.abs(kernel))), *others]
            )
    before = {name: model.get_layer(name).get_weights()[0] for name in KERNELS}
    spec = Cluster(**{"epochs": 2, "batch_size": 32, **settings})
    splits: Splits = trained.splits
    few = Splits(splits.source, splits.classes, splits.train[:examples], splits.validation, splits.test)
    model, record = cluster(Context(few, trained.spec, passes, 0), model, spec)
    return model, record.model_dump(), before


def kernel(model: Any, name: str) -> Any:
    return model.get_layer(name).get_weights()[0]


@pytest.mark.parametrize(
    "settings", [{}, {"ema": 0.9}, {"epochs": 8, "batch_size": 3}]
)  # 536 steps, in loops
def test_a_layer_keeps_so_many_different_weights_and_they_train_on(
    trained: Any, settings: dict[str, Any]
) -> None:
    from edgebig.compress.cluster import means

    model, record, before = clustered(trained, clusters=6, **settings)
    for name in KERNELS:
        values = kernel(model, name)
        assert np.unique(values).size <= 6
        assert record["distinct_by_layer"][name] == np.unique(values).size
        begun = means(before[name], Cluster(clusters=6))
        assert not np.array_equal(values, begun)
        # A weight stays in its cluster.
        for value in np.unique(begun):
            assert np.unique(values[begun == value]).size == 1
    assert list(record["not_clustered"]) == ["head"]
    assert all(variable.constraint is None for variable in model.trainable_variables)
    assert type(model.layers[1]).__name__ == "Conv2D"


def test_a_channel_keeps_so_many_where_it_has_more(trained: Any) -> None:
    model, record, _ = clustered(trained, clusters=10, per_channel=True)
    assert list(record["not_clustered"]) == ["head"]
    for name in ("down1", "stage1_1", "down2", "stage2_1"):
        by_channel = [np.unique(channel).size for channel in np.moveaxis(kernel(model, name), -1, 0)]
        assert max(by_channel) <= 10
        assert record["distinct_by_channel"][name] == max(by_channel)
        assert np.unique(kernel(model, name)).size > 10
    assert np.unique(kernel(model, "probabilities")).size <= 10  # a Dense layer's is one for all its outputs
    record = clustered(trained, clusters=20, per_channel=True)[1]
    assert record["not_clustered"]["down2"] == "18 weights a channel, which 20 clusters would not make fewer"
    assert list(record["not_clustered"]) == ["head", "stage1_1", "down2"]


@pytest.mark.parametrize("per_channel", [False, True])
def test_pruned_weights_stay_zero_and_are_one_of_the_clusters(trained: Any, per_channel: bool) -> None:
    model, _, before = clustered(trained, ("prune", "cluster"), clusters=5, per_channel=per_channel)
    for name in KERNELS:
        values = kernel(model, name)
        assert np.all(values[before[name] == 0] == 0)
        assert np.mean(values == 0) >= 0.5
        per_output = [np.unique(channel).size for channel in np.moveaxis(values, -1, 0)]
        assert max(per_output) <= 5
        if not per_channel:
            assert np.unique(values).size <= 5


@pytest.mark.parametrize("before", ["", "prune"])
def test_the_int8_file_has_no_more_different_weights_of_an_output(trained: Any, before: str) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgebig import convert
    from edgebig.compress import shipped, sizes
    from edgebig.compress.context import Context
    from edgebig.compress.qat import qat

    settings = {"clusters": 6, "per_channel": False}
    passes = ("prune", "cluster", "qat") if before else ("cluster", "qat")
    model, record, _ = clustered(trained, passes, **settings)
    spec = Compress(cluster=Cluster(**settings), prune=Prune() if before else None, qat=Qat())
    recipe = trained.spec.model_copy(update={"compress": spec})
    quantized, _ = qat(
        Context(trained.splits, recipe, passes, 0), model, Qat(epochs=1, batch_size=32, learning_rate=0.01)
    )
    data = convert.to_tflite(quantized, int8=True)
    records = [PassRecord.model_validate(record)]
    told = shipped.facts(data, [*KERNELS, "head"], records, spec)
    # Not by the package's own reader: the runtime's tensors, found by shape.
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    found = {
        tuple(tensor["shape"]): interpreter.get_tensor(tensor["index"])
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.int8 and tuple(tensor["shape"]) in {(2, 5, 5, 1), (4, 3, 3, 4), (10, 4)}
    }
    names = {(2, 5, 5, 1): "down1", (4, 3, 3, 4): "stage2_1", (10, 4): "probabilities"}
    assert set(found) == set(names)
    for shape, weights in found.items():
        most = max(np.unique(output).size for output in weights)
        assert most <= 6
        assert told["shipped_distinct"][names[shape]] == most
        if before:
            assert np.mean(weights == 0) >= 0.5
    assert sizes.bytes_of(quantized, data, int8=True)["raw"] == len(data)


def test_lost_clusters_are_an_error(trained: Any) -> None:
    from edgebig import convert
    from edgebig.compress import shipped

    model, record, _ = clustered(trained, clusters=4)
    spec = Compress(cluster=Cluster(clusters=4))
    records = [PassRecord.model_validate(record)]
    told = shipped.facts(convert.to_tflite(model, int8=False), KERNELS, records, spec)
    assert told["shipped_distinct"].keys() == KERNELS.keys()
    values, *others = model.get_layer("down2").get_weights()
    model.get_layer("down2").set_weights(
        [values + np.linspace(0, 1, values.size).reshape(values.shape), *others]
    )
    with pytest.raises(
        EdgebigError, match=r"lost clusters: different weights of an output in down2 4 became 1\d"
    ):
        shipped.facts(convert.to_tflite(model, int8=False), KERNELS, records, spec)


def test_what_cannot_be_clustered_is_refused_before_training(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.keras import keras

    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(EdgebigError) as caught:
        clustered(trained, clusters=144)
    assert caught.value.problem.splitlines()[0] == "digit_cnn: it has no layer that can be clustered"
    assert (
        "  stage2_1: 144 weights, which 144 clusters would not make fewer"
        in caught.value.problem.splitlines()
    )
    assert "fewer clusters" in caught.value.hint
    with pytest.raises(EdgebigError, match="2 after pruning are zero and one other number"):
        clustered(trained, ("prune", "cluster"), clusters=2)
