"""Sources: what is in them, that their parts share nothing, and what no model can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig import files
from edgebig.data import mnist as known
from edgebig.data import source
from edgebig.data.examples import Examples, Found, Splits, hash_images
from edgebig.errors import EdgebigError
from edgebig.recipe import Data


def assert_disjoint(splits: Splits) -> None:
    everything = np.concatenate([np.unique(part.hashes) for part in splits.parts().values()])
    assert len(np.unique(everything)) == len(everything)


def assert_digits(splits: Splits) -> None:
    for part in splits.parts().values():
        assert part.images.dtype == np.uint8
        assert part.images.shape[1:] == (28, 28, 1)
        assert part.labels.dtype == np.int64
        assert set(part.labels.tolist()) == set(range(10))
        assert len(np.unique(part.hashes)) == len(part)
    assert_disjoint(splits)
    assert splits.classes == tuple("0123456789")
    assert splits.framing == "ink"
    assert splits.notes == ()


def sizes(splits: Splits) -> list[int]:
    return [len(part) for part in splits.parts().values()]


def test_digits_5k() -> None:
    splits = source.load(Data(source="digits-5k", validation=5000))
    assert sizes(splits) == [3500, 500, 1000]
    for part, each in zip(splits.parts().values(), (350, 50, 100), strict=True):
        assert np.bincount(part.labels).tolist() == [each] * 10
    assert_digits(splits)


@pytest.fixture(scope="session")
def mnist_files(shared: Path) -> tuple[Examples, Examples]:
    return known.load(known.MNIST, shared / "data")


@pytest.fixture
def read_once(mnist_files: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST is read from its files once in a session: that is half a second."""
    monkeypatch.setattr(known, "load", lambda *_: mnist_files)


@pytest.fixture(scope="session")
def mnist(mnist_files: tuple[Examples, Examples]) -> Splits:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "load", lambda *_: mnist_files)
        return source.load(Data(source="mnist", validation=5000))


def test_mnist(mnist: Splits) -> None:
    assert sizes(mnist) == [53_500, 5_000, 10_000]
    assert np.bincount(mnist.validation.labels).tolist() == [500] * 10
    assert_digits(mnist)
    # Ink is high: paper is black.
    assert np.median(mnist.train.images[:100]) == 0


def test_mnist_is_not_trained_on_what_the_embedded_digits_test(mnist: Splits) -> None:
    embedded = source.load(Data(source="digits-5k"))
    held_out = np.concatenate([embedded.validation.hashes, embedded.test.hashes])
    assert not np.isin(mnist.train.hashes, held_out).any()
    assert not np.isin(mnist.validation.hashes, held_out).any()
    assert not np.isin(mnist.test.hashes, embedded.train.hashes).any()


def test_the_choice_of_mnist_s_validation_is_fixed(mnist: Splits) -> None:
    """By numpy's Generator, whose stream may change with a version: figures before and after could not be compared."""
    chosen = files.sha256_bytes(np.sort(mnist.validation.hashes).tobytes())
    assert chosen == "91a8b2416512565b8e74df2feabc8ec8cc4cb29fb8d41d0c1e371d3ad302cd8b"


@pytest.mark.usefixtures("read_once")
def test_mnist_validated_by_the_embedded_digits(mnist: Splits) -> None:
    splits = source.load(Data(source="mnist", validation=5000, embedded="validate"))
    assert sizes(splits) == [55_000, 5_000, 10_000]
    assert_digits(splits)
    embedded = source.load(Data(source="digits-5k"))
    assert np.isin(embedded.test.hashes, splits.validation.hashes).all()
    assert np.isin(mnist.train.hashes, np.concatenate([splits.train.hashes, splits.validation.hashes])).all()


@pytest.mark.usefixtures("read_once")
def test_two_digits_of_mnist(mnist: Splits) -> None:
    splits = source.load(Data(source="mnist", validation=1000, classes=("1", "0")))
    assert splits.classes == ("1", "0")
    assert sizes(splits)[1:] == [1000, 2115]
    assert np.bincount(splits.validation.labels).tolist() == [500, 500]
    ones = np.isin(splits.test.hashes, mnist.test.hashes[mnist.test.labels == 1])
    assert np.array_equal(splits.test.labels == 0, ones)


# Made-up sources, by way of npz


def made_up(labels: Any, seed: int = 0) -> np.ndarray:
    """A picture for each label, none like another."""
    return np.random.default_rng(seed).integers(0, 256, (len(labels), 4, 5), np.uint8)


def npz(tmp_path: Path, **members: Any) -> str:
    np.savez(tmp_path / "x.npz", **members)
    return f"npz:{tmp_path / 'x.npz'}"


def load(tmp_path: Path, members: dict[str, Any], *, check: bool = True, **keys: Any) -> Splits:
    return source.load(Data(source=npz(tmp_path, **members), **keys), check=check)


def problem(tmp_path: Path, members: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(EdgebigError) as caught:
        load(tmp_path, members, **keys)
    assert caught.value.hint
    return caught.value.problem.removeprefix(f"npz:{tmp_path / 'x.npz'}: ")


LABELS = np.arange(200) % 4
PLAIN = {"images": made_up(LABELS), "labels": LABELS}


def test_what_is_lacking_is_cut_from_train(tmp_path: Path) -> None:
    splits = load(tmp_path, PLAIN)
    assert sizes(splits) == [160, 20, 20]
    for part in splits.parts().values():
        assert len(set(np.bincount(part.labels).tolist())) == 1
    assert_disjoint(splits)
    assert splits.framing == "whole"
    assert splits.notes == ()
    assert splits.source == f"npz:{tmp_path / 'x.npz'}"
    again = load(tmp_path, PLAIN)
    for name, part in splits.parts().items():
        assert np.array_equal(part.hashes, again.parts()[name].hashes)


def test_the_test_set_is_the_same_with_any_validation(tmp_path: Path) -> None:
    few, many = load(tmp_path, PLAIN, validation=4), load(tmp_path, PLAIN, validation=0.3)
    assert (sizes(few), sizes(many)) == ([176, 4, 20], [120, 60, 20])
    assert np.array_equal(few.test.hashes, many.test.hashes)


def test_the_cut_is_fixed(tmp_path: Path) -> None:
    """By numpy's Generator, as the choice of MNIST's validation is."""
    splits = load(tmp_path, PLAIN)
    order = {picture.tobytes(): number for number, picture in enumerate(PLAIN["images"])}
    for part, first in ((splits.validation, [0, 5, 11, 14, 44]), (splits.test, [7, 20, 22, 29, 31])):
        assert [order[picture.tobytes()] for picture in part.images[:5]] == first


def test_what_is_there_stays(tmp_path: Path) -> None:
    members = {**PLAIN, "x_test": made_up(LABELS[:8], 1), "y_test": LABELS[:8]}
    splits = load(tmp_path, members, test=50)
    assert sizes(splits) == [180, 20, 8]
    members |= {"x_val": made_up(LABELS[:4], 2), "y_val": LABELS[:4]}
    splits = load(tmp_path, members, validation=50)
    assert sizes(splits) == [200, 4, 8]
    assert np.array_equal(splits.train.images[..., 0], PLAIN["images"])
    without_test = {name: array for name, array in members.items() if not name.endswith("_test")}
    assert sizes(load(tmp_path, without_test)) == [180, 4, 20]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"validation": 91}, "[data] validation = 91: leaves too few of the 200 training examples"),
        ({"validation": 0.6}, "[data] validation = 0.6: leaves too few"),
        ({"test": 101}, "[data] test = 101: leaves too few"),
        (
            {"test": 0.001},
            "[data] test = 0.001: leaves too few of the 200 training examples, or holds none out",
        ),
    ],
)
def test_a_cut_leaves_half_of_each_class(tmp_path: Path, keys: dict[str, Any], fault: str) -> None:
    assert problem(tmp_path, PLAIN, **keys).startswith(fault)
    assert min(np.bincount(load(tmp_path, PLAIN, validation=80, test=40).train.labels)) == 20


@pytest.mark.usefixtures("read_once")
def test_mnist_s_validation_may_not_eat_up_train() -> None:
    with pytest.raises(EdgebigError, match=r"validation = 29251: leaves too few of the 60,000 training"):
        source.load(Data(source="mnist", validation=29_251))


@settings(max_examples=50)
@given(
    groups=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=30, max_size=60),
    validation=st.sampled_from([0.05, 0.1, 3, 8]),
    test=st.sampled_from([0.05, 0.1, 3, 8]),
    given_test=st.booleans(),
)
def test_any_cut_is_disjoint_and_whole(
    groups: list[tuple[int, int]], validation: float, test: float, given_test: bool
) -> None:
    """Pictures of any number of copies: nothing is in two parts, nothing is lost, copies are together in train."""
    groups += [(label, 1) for label in range(3) for _ in range(20)]
    labels = np.array([label for label, copies in groups for _ in range(copies)], np.int64)
    numbers = np.repeat(np.arange(len(groups)), [copies for _, copies in groups])
    images = np.zeros((len(labels), 2, 1, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = numbers, labels
    apart = Examples(images[:3] + np.uint8(100), labels[:3]) if given_test else None
    found = Found(("a", "b", "c"), Examples(images, labels), test=apart)
    data = Data(source="npz:x", validation=validation, test=test)
    splits = source._cut(found, data, True)
    assert_disjoint(splits)
    assert len(splits.train) + len(splits.validation) + (0 if given_test else len(splits.test)) == len(labels)
    for part in splits.parts().values():
        if part is not apart:
            assert np.array_equal(part.images[:, 1, 0, 0], part.labels)
    copied = np.isin(numbers, np.flatnonzero([copies > 1 for _, copies in groups]))
    assert np.isin(found.train.hashes[copied], splits.train.hashes).all()
    assert bool(splits.notes) == bool(copied.any())
    assert set(splits.train.labels.tolist()) == {0, 1, 2}


def test_copies_stay_in_train(tmp_path: Path) -> None:
    images = made_up(LABELS)
    images[100:150:4], images[3] = images[0], images[2]
    splits = load(tmp_path, {"images": images, "labels": LABELS})
    assert_disjoint(splits)
    assert splits.notes == (
        "16 pictures are copies of each other: all of them stay in train, and none is held out",
        "pictures that stand in train under more than one class: 1",
    )
    assert sizes(splits) == [160, 20, 20]


def test_overlaps_that_the_user_gave(tmp_path: Path) -> None:
    test = made_up(LABELS[:8], 1)
    test[5], test[7] = PLAIN["images"][17], PLAIN["images"][18]
    members = {
        **PLAIN,
        "x_test": test,
        "y_test": LABELS[:8],
        "classes": np.array(["ant", "bee", "cat", "dog"]),
    }
    assert problem(tmp_path, members) == (
        "2 of the 8 test pictures are in train too, as test[5] ('bee'), which is train[17] ('bee')"
    )
    with pytest.raises(EdgebigError) as caught:
        load(tmp_path, members)
    assert f"'edgebig data show npz:{tmp_path / 'x.npz'}' lists them" in caught.value.hint
    assert sizes(load(tmp_path, members, check=False)) == [180, 20, 8]
    # The same between validation and test, in whatever class.
    members |= {"x_val": test[:1], "y_val": [3], "x_test": test[:5], "y_test": LABELS[:5]}
    assert problem(tmp_path, members) == (
        "1 of the 5 test pictures are in validation too, as test[0] ('ant'), which is validation[0] ('dog')"
    )


def test_classes_of_one_s_choice(tmp_path: Path) -> None:
    members = {**PLAIN, "classes": np.array(["ant", "bee", "cat", "dog"])}
    splits = load(tmp_path, members, classes=("dog", "ant"))
    assert splits.classes == ("dog", "ant")
    assert sizes(splits) == [80, 10, 10]
    dogs = hash_images(PLAIN["images"][LABELS == 3][..., None])
    for part in splits.parts().values():
        assert np.array_equal(np.isin(part.hashes, dogs), part.labels == 0)
    assert problem(tmp_path, members, classes=("dog", "beee")) == (
        f"[data] classes: no class 'beee' in npz:{tmp_path / 'x.npz'} (did you mean 'bee'?)"
    )
    same = load(tmp_path, members, classes=("ant", "bee", "cat", "dog"))
    assert np.array_equal(same.train.hashes, load(tmp_path, members).train.hashes)


def test_a_choice_leaves_out_an_overlap(tmp_path: Path) -> None:
    members = {**PLAIN, "x_test": PLAIN["images"][:8], "y_test": LABELS[:8]}
    members["x_test"] = np.where((LABELS[:8] > 1)[:, None, None], members["x_test"], 255 - members["x_test"])
    assert "4 of the 8 test pictures are in train too" in problem(tmp_path, members)
    assert sizes(load(tmp_path, members, classes=("0", "1"))) == [90, 10, 4]


def test_classes_of_digits_5k() -> None:
    splits = source.load(Data(source="digits-5k", classes=("7", "1")))
    assert sizes(splits) == [700, 100, 200]
    whole = source.load(Data(source="digits-5k"))
    assert np.array_equal(
        splits.test.labels, np.where(whole.test.labels == 7, 0, 1)[np.isin(whole.test.labels, (1, 7))]
    )


def test_framing_of_one_s_choice(tmp_path: Path) -> None:
    assert load(tmp_path, PLAIN, framing="ink").framing == "ink"
    assert source.load(Data(source="digits-5k", framing="whole")).framing == "whole"


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"labels": [0] * 200}, "one class alone, '0'"),
        ({"labels": LABELS % 2, "classes": ["ant", "bee", "cat"]}, "no training example of 'cat'"),
        ({"x_test": made_up("a", 1), "y_test": [9]}, "no training example of '9'"),
        ({"labels": np.eye(10)[LABELS]}, "no training example of '4', '5', '6', '7', '8' and 1 more"),
        (
            {"x_test": np.zeros((1, 5, 4), np.uint8), "y_test": [0]},
            "train has pictures 4 x 5 grey, test 5 x 4 grey",
        ),
        (
            {"x_val": np.zeros((1, 4, 5, 3), np.uint8), "y_val": [0]},
            "train has pictures 4 x 5 grey, validation 4 x 5 rgb",
        ),
    ],
    ids=range(6),
)
def test_what_no_model_can_be_trained_on(tmp_path: Path, members: dict[str, Any], fault: str) -> None:
    assert problem(tmp_path, {**PLAIN, **members}) == fault


def test_a_part_that_a_choice_of_classes_empties(tmp_path: Path) -> None:
    members = {**PLAIN, "x_test": made_up("ab", 1), "y_test": [2, 3]}
    assert problem(tmp_path, members, classes=("0", "1")) == "its test set is empty"
    assert sizes(load(tmp_path, members, classes=("0", "1"), check=False)) == [90, 10, 0]


def test_without_checks_all_can_be_looked_at(tmp_path: Path) -> None:
    alone = load(tmp_path, {**PLAIN, "labels": [0] * 200}, check=False)
    assert sizes(alone) == [160, 20, 20]
    one = load(tmp_path, {"images": made_up("a"), "labels": [0]}, check=False)
    assert sizes(one) == [1, 0, 0]


def test_small_sources_are_remarked_on(tmp_path: Path) -> None:
    labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
    splits = load(tmp_path, {"images": made_up(labels), "labels": labels}, validation=1, test=2)
    assert sizes(splits) == [9, 1, 2]
    assert splits.notes == (
        f"validation has no example of {'1'!r}, '2'",
        "test has no example of '2'",
    )


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"size": (28, 28)}, "[data] size: the pictures of "),
        ({"colour": "rgb"}, "[data] colour: the pictures of "),
        ({"embedded": "validate"}, "[data] embedded = 'validate': "),
    ],
)
def test_keys_that_mean_nothing_here(tmp_path: Path, keys: dict[str, Any], fault: str) -> None:
    assert problem(tmp_path, PLAIN, **keys).startswith(fault)
    assert sizes(load(tmp_path, PLAIN, size=(4, 5), colour="grey")) == [160, 20, 20]


# Each kind of source by its name in a recipe


def test_idx_and_python(tmp_path: Path, shared: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "import numpy as np\n"
        "def data():\n"
        "    x = np.random.default_rng(0).random((40, 6, 6, 3))\n"
        "    return x, ['cat', 'dog'] * 20\n"
    )
    splits = source.load(Data(source=f"python:{code}:data"))
    assert sizes(splits) == [32, 4, 4]
    assert splits.classes == ("cat", "dog")
    assert splits.train.shape == (6, 6, 3)
    splits = source.load(Data(source=f"idx:{shared / 'data' / 'mnist'}", classes=("0", "1")))
    assert sizes(splits)[2] == 2115
    assert splits.framing == "whole"


def test_another_source() -> None:
    with pytest.raises(EdgebigError, match="no data source 'cifar'"):
        source.load(Data.model_construct(source="cifar"))
