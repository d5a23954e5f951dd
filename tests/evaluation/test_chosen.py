"""Which examples are taken, and who may not be evaluated on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebig.artifact import Artifact
from edgebig.data.examples import Examples, Pictures, Splits
from edgebig.errors import EdgebigError
from edgebig.evaluation import chosen

Model = Callable[..., Artifact]


def test_each_split_and_all_of_them(model: Model, digits: Splits) -> None:
    item = model(hashes=np.array([1], np.uint64))
    for split, part in digits.parts().items():
        found = chosen.choose([item], digits, split, None, own=False)
        assert (len(found.examples), found.facts["of"], found.facts["split"]) == (len(part), len(part), split)
    every = chosen.choose([item], digits, "all", None, own=False)
    assert len(every.examples) == sum(map(len, digits.parts().values()))
    expected = np.concatenate([part.hashes for part in digits.parts().values()])
    np.testing.assert_array_equal(every.examples.hashes, expected)


def test_all_of_a_mapped_file_is_still_mapped(model: Model, digits: Splits) -> None:
    pictures = Pictures(np.asarray(digits.train.images), digits.train.hashes)
    parts = [
        Examples(pictures.choose(at), digits.train.labels[at])
        for at in (slice(0, 50), slice(90, 100), slice(50, 90))
    ]
    splits = Splits("mapped", digits.classes, *parts)
    every = chosen.choose([model(hashes=np.array([1], np.uint64))], splits, "all", None, own=False).examples
    assert isinstance(every.images, Pictures)
    assert every.images.mapped is pictures.mapped
    assert every.images.rows.tolist() == [*range(50), *range(90, 100), *range(50, 90)]
    np.testing.assert_array_equal(every.labels, digits.train.labels[every.images.rows])


def test_so_many_are_of_every_class_alike(model: Model, digits: Splits) -> None:
    found = chosen.choose([model()], digits, "test", 40, own=True)
    assert np.bincount(found.examples.labels).tolist() == [4] * 10
    assert (found.facts["n"], found.facts["of"]) == (40, 1000)
    assert len(chosen.choose([model()], digits, "test", 5000, own=True).examples) == 1000


@pytest.mark.parametrize("split", ["test", "validation"])
def test_who_was_trained_on_the_examples_is_refused(split: str, model: Model, digits: Splits) -> None:
    item = model(hashes=digits.parts()[split].hashes[:3])
    with pytest.raises(EdgebigError, match=f"3 of the [0-9]+ {split} examples were in its training set"):
        chosen.choose([item], digits, split, None, own=True)
    with pytest.raises(EdgebigError, match=r"3 of the 5000 examples were in its training set"):
        chosen.choose([item], digits, "all", None, own=False)


def test_the_train_split_may_be_looked_at_and_that_is_said(model: Model, digits: Splits) -> None:
    facts = chosen.choose([model()], digits, "train", None, own=True).facts
    assert facts["leak_check"] == "none: these are the examples of its training"
    with pytest.raises(EdgebigError, match="3500 of the 3500 train examples were in its training set"):
        chosen.choose([model()], digits, "train", None, own=False)


def test_a_leak_check_that_could_not_be_made_is_said(model: Model, digits: Splits) -> None:
    item = model()
    for path in item.path.parent.glob("examples-*.u64"):
        path.unlink()
    facts = chosen.choose([item], digits, "test", None, own=True).facts
    assert facts["leak_check"].startswith("not possible for digits-int8")


def test_data_that_changed_since_training_is_said(model: Model, digits: Splits) -> None:
    item = model()
    assert chosen.choose([item], digits, "test", 50, own=True).facts["changed_since_training"] == []
    other = replace(digits, test=digits.test[:-1])
    facts = chosen.choose([item], other, "test", 50, own=True).facts
    assert facts["changed_since_training"] == [str(item.path)]
    assert chosen.choose([item], other, "test", 50, own=False).facts["changed_since_training"] == []


def test_classes_that_the_model_does_not_know_are_refused_by_name(model: Model, digits: Splits) -> None:
    splits = replace(digits, classes=("zero", *digits.classes[1:-1], "nine"))
    with pytest.raises(
        EdgebigError, match=r"its classes are '0', .*; the examples have others: 'zero', 'nine'"
    ):
        chosen.choose([model()], splits, "test", None, own=False)
    # A class without an example disturbs nobody.
    labels = digits.test.labels
    some = replace(splits, test=digits.test[(labels > 0) & (labels < 9)])
    facts = chosen.choose([model()], some, "test", None, own=False).facts
    assert facts["absent_classes"] == ["0", "9"]


def test_pictures_of_another_shape_are_refused(colours: Artifact, digits: Splits) -> None:
    splits = replace(digits, classes=("red", "green", "blue", *digits.classes[3:]))
    splits = replace(splits, test=digits.test[digits.test.labels < 3])
    with pytest.raises(EdgebigError) as caught:
        chosen.choose([colours], splits, "test", None, own=False)
    assert "it takes pictures of 4 x 4 pixels, 3 channels, these are of 28 x 28 pixels, grey" in str(
        caught.value
    )


def test_an_empty_split_is_refused(model: Model, digits: Splits) -> None:
    splits = replace(digits, validation=digits.validation[:0])
    with pytest.raises(EdgebigError, match="digits-5k: no validation example in it"):
        chosen.choose([model()], splits, "validation", None, own=False)


# Where the examples come from


def test_the_models_own_data_or_another_source(model: Model, colours: Artifact) -> None:
    item = model()
    assert chosen.data_spec([item], None).source == "digits-5k"
    named = chosen.data_spec([item], "mnist")
    assert (named.source, named.size, named.colour) == ("mnist", None, None)
    pictures = chosen.data_spec([colours], "images:photos")
    assert pictures.source.startswith("images:/")
    assert (pictures.size, pictures.colour, pictures.fit) == ((4, 4), "rgb", "stretch")
    assert [chosen.usual_split(source) for source in (None, "mnist", "images:x")] == ["test", "test", "all"]
    with pytest.raises(EdgebigError, match="did you mean 'images'"):
        chosen.data_spec([item], "image:photos")


def test_models_of_different_data_go_together_on_one_source_alone(model: Model) -> None:
    mnist: dict[str, Any] = {"source": "mnist", "split": "test", "n": 10_000, "sha256": "0" * 64}
    models = [model(), model("digits-float32", test=mnist)]
    with pytest.raises(EdgebigError, match="tested on different data: digits-5k, mnist") as caught:
        chosen.data_spec(models, None)
    assert "--source digits-5k" in caught.value.hint
    assert chosen.data_spec(models, "digits-5k").source == "digits-5k"


def test_a_model_without_a_card_or_named_twice_is_refused(model: Model) -> None:
    item = model()
    with pytest.raises(EdgebigError, match="are the same file"):
        chosen.cards_of([item, item])
    with pytest.raises(EdgebigError, match="no card beside it"):
        chosen.cards_of([replace(item, card=None)])
