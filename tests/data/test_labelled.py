"""Arrays of any kind as pictures and labels: what stands for 0 to 255 does so exactly, and faults are told by place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgebig.data.labelled import Labelled, class_names, found, to_u8
from edgebig.errors import EdgebigError

QUICK = settings(max_examples=40)
STEPS = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
U8 = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 4)] * 3, st.sampled_from([1, 3])))


def part(labels: Any, images: Any = None, name: str = "train") -> Labelled:
    labels = np.asarray(labels)
    if images is None:
        images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 2, 3), np.uint8)
    return Labelled(np.asarray(images), labels, f"f.npz: x_{name}", f"f.npz: y_{name}")


def problem(*args: Any, **keywords: Any) -> str:
    with pytest.raises(EdgebigError) as caught:
        found(*args, **keywords)
    assert caught.value.hint
    return caught.value.problem


# Pictures


@QUICK
@given(U8, st.sampled_from(["u1", "i2", "<u2", ">i4", "i8", "u8", "f2", "f4", ">f8"]))
def test_whole_numbers_stay(images: np.ndarray, dtype: str) -> None:
    images[0, 0, 0, 0] = 200
    pixels, notes = to_u8(images.astype(dtype), "x")
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, images)
    assert notes == ()


@QUICK
@given(U8, st.sampled_from([np.float16, np.float32, np.float64]), st.sampled_from([np.float32, np.float64]))
def test_floats_between_0_and_1_are_exact(images: np.ndarray, stored: Any, computed: Any) -> None:
    """However k / 255 was computed and stored."""
    for floats in (images.astype(computed) / 255, images.astype(computed) * computed(1 / 255)):
        pixels, notes = to_u8(np.minimum(floats, 1).astype(stored), "x")
        assert np.array_equal(pixels, images)
        assert notes == ()


def test_every_step_of_a_float() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        assert np.array_equal(to_u8((STEPS / 255).astype(dtype), "x")[0][..., 0], STEPS)


@QUICK
@given(arrays.arrays(np.bool_, (3, 2, 2)))
def test_truths_are_black_and_white(images: np.ndarray) -> None:
    pixels, _ = to_u8(images, "x")
    assert np.array_equal(pixels[..., 0], images * np.uint8(255))


@QUICK
@given(arrays.arrays(np.float32, (2, 3, 2), elements=st.floats(0, 1, width=32)))
def test_other_floats_are_rounded_or_refused(images: np.ndarray) -> None:
    images[0, 0, 0] = np.float32(0.4980)  # 126.99 steps
    with pytest.raises(EdgebigError, match="between the 256 steps of 8 bits"):
        to_u8(images, "x")
    pixels, notes = to_u8(images, "x", round_floats=True)
    assert np.abs(pixels[..., 0] / 255 - images).max() <= 0.5 / 255 + 1e-7
    assert notes == ("x: pixels were rounded to 8 bits",)


def test_pictures_of_0_and_1_are_remarked() -> None:
    assert "no pixel is over 1 of 255" in to_u8(np.ones((2, 3, 3), np.int64), "x")[1][0]
    assert to_u8(np.ones((2, 3, 3), np.float32), "x")[0].max() == 255


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), np.uint8)
    monkeypatch.setattr("edgebig.data.labelled._CHUNK", 130)
    assert np.array_equal(to_u8(images.astype(np.float32) / 255, "x")[0], images)
    broken = images.astype(np.float64)
    broken[5, 1, 2, 0] = np.nan
    with pytest.raises(EdgebigError, match="x: NaN or infinity in picture 5"):
        to_u8(broken, "x")


@pytest.mark.parametrize(
    ("images", "fault"),
    [
        (np.zeros((0, 28, 28), np.uint8), "x: no picture in it, its shape is (0, 28, 28)"),
        (np.zeros((3, 0, 28), np.uint8), "x: no picture in it, its shape is (3, 0, 28)"),
        (np.zeros((28, 28), np.uint8), "x: no pictures, its shape is (28, 28)"),
        (np.zeros((), np.uint8), "x: no pictures, its shape is ()"),
        (np.zeros((2, 3, 4, 4, 3), np.uint8), "x: no pictures, its shape is (2, 3, 4, 4, 3)"),
        (np.zeros((2, 4, 4, 4), np.uint8), "x: 4 channels, its shape is (2, 4, 4, 4)"),
        (np.zeros((2, 3, 4, 5), np.uint8), "x: 5 channels, its shape is (2, 3, 4, 5)"),
        (np.full((2, 3, 3), 256, np.uint16), "x: uint16 pixels from 256 to 256"),
        (np.full((2, 3, 3), -1, np.int8), "x: int8 pixels from -1 to -1"),
        (np.full((2, 3, 3), -0.5, np.float32), "x: float32 pixels from -0.5 to -0.5"),
        (np.full((2, 3, 3), 255.5, np.float32), "x: float32 pixels from 255.5 to 255.5"),
        (np.full((2, 3, 3), 1.5, np.float32), "x: float32 pixels up to 1.5 that are not whole numbers"),
        (np.full((2, 3, 3), np.inf, np.float16), "x: NaN or infinity in picture 0"),
        (np.zeros((2, 3, 3), np.complex64), "x: pictures of complex64"),
        (np.array([[["a"]]]), "x: pictures of <U1"),
        (np.full((1, 1, 1), None), "x: pictures of object"),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("round_floats", [True, False])
def test_what_are_no_pictures(images: np.ndarray, fault: str, round_floats: bool) -> None:
    with pytest.raises(EdgebigError) as caught:
        to_u8(images, "x", round_floats=round_floats)
    assert caught.value.problem == fault
    assert caught.value.hint


def test_channels_that_come_first_are_named() -> None:
    with pytest.raises(EdgebigError) as caught:
        to_u8(np.zeros((2, 3, 32, 32), np.uint8), "x")
    assert "moveaxis" in caught.value.hint


# Labels


@QUICK
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.sampled_from(["u1", ">i4", "i8", "u8", "column", "names", "bytes", "one-hot", "one-hot bool"]),
)
def test_labels_of_every_form_name_the_same(numbers: list[int], form: str) -> None:
    array = np.array(numbers)
    one_hot = array[:, None] == np.arange(7)
    labels = {
        "column": array[:, None],
        "names": np.array([f"class {number}" for number in numbers]),
        "bytes": np.array([f"größe {number}".encode() for number in numbers]),
        "one-hot": one_hot.astype(np.float32),
        "one-hot bool": one_hot,
    }.get(form)
    result = found({"train": part(array.astype(form) if labels is None else labels)}, None, "c")
    names = [result.classes[index] for index in result.train.labels]
    assert result.train.labels.dtype == np.int64
    assert [int(name.split()[-1]) for name in names] == numbers
    expected = range(7) if form.startswith("one-hot") else sorted(set(numbers))
    assert [int(name.split()[-1]) for name in result.classes] == list(expected)


def test_names_are_sorted_as_people_count() -> None:
    result = found({"train": part(["b10", "b2", "a", "b10"])}, None, "c")
    assert result.classes == ("a", "b2", "b10")
    assert result.train.labels.tolist() == [2, 1, 0, 2]


def test_given_names_decide_the_order() -> None:
    by_name = found({"train": part(["cat", "dog", "cat"])}, ["dog", b"cat", np.str_("ant")], "c")
    assert by_name.classes == ("dog", "cat", "ant")
    assert [type(name) for name in by_name.classes] == [str] * 3
    assert by_name.train.labels.tolist() == [1, 0, 1]
    by_number = found({"train": part([0, 2, 1])}, ["dog", "cat", "ant"], "c")
    assert by_number.train.labels.tolist() == [0, 2, 1]


def test_numbers_may_begin_at_1() -> None:
    """As those of EMNIST's letters do."""
    result = found({"train": part([1, 3, 2]), "test": part([2, 2], name="test")}, ["a", "b", "c"], "c")
    assert result.train.labels.tolist() == [0, 2, 1]
    assert result.test is not None
    assert result.test.labels.tolist() == [1, 1]
    unnamed = found({"train": part([1, 26, 2])}, None, "c")
    assert unnamed.classes == ("1", "2", "26")


def test_parts_share_their_classes() -> None:
    parts = {"train": part([5, 7]), "validation": part([6], name="val"), "test": part([7, 5], name="test")}
    result = found(parts, None, "c")  # type: ignore[arg-type]
    assert result.classes == ("5", "6", "7")
    assert result.validation is not None
    assert result.validation.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "names", "fault"),
    [
        ([0, -1], None, "y_train: example 1 has the label -1"),
        ([0, -1], ["a", "b"], "y_train: example 1 has the label -1"),
        ([0, 2**40], None, "y_train: example 1 has the label 1099511627776"),
        (np.array([0, 2**64 - 1], np.uint64), None, "y_train: example 1 has the label 18446744073709551615"),
        ([0.0, 1.0], None, "y_train: labels of float64"),
        ([0, 2], ["a", "b"], "y_train: example 1 has the label 2, but the names of classes are for 0 to 1"),
        ([1, 3], ["a", "b"], "y_train: example 1 has the label 3, but the names of classes are for 0 to 1"),
        (["a", "B"], ["a", "b"], "y_train: example 1 is of no class: 'B'"),
        (["dog", "catt"], ["dog", "cat"], "y_train: example 1 is of no class: 'catt' (did you mean 'cat'?)"),
        ([[1, 0], [1, 1]], None, "y_train: row 1 of (2, 2) is not one-hot"),
        ([[0.3, 0.7], [1, 0]], None, "y_train: row 0 of (2, 2) is not one-hot"),
        ([[np.nan, 1], [1, 0]], None, "y_train: row 0 of (2, 2) is not one-hot"),
        ([[1, 0, 0], [0, 1, 0]], ["a", "b"], "y_train: one-hot rows of 3, but c names 2 classes"),
        ([[["a"]]], None, "y_train: labels of the shape (1, 1, 1)"),
        (3, None, "y_train: labels of the shape ()"),
        ([None, 1], None, "y_train: labels of object"),
        ([b"a", b"\xff"], None, "y_train: names that are not UTF-8"),
        (["a", "b\x1b[2J"], None, "y_train: name 2 is 'b\\x1b[2J'"),
        (["a", ""], None, "y_train: name 1 is ''"),
        ([0, 1], ["a", "a"], "c: name 2, 'a', is name 1 too"),
        ([0, 1], ["a", 7], "c: name 2 is 7"),
        ([0, 1], ["a", "x" * 101], "c: name 2 is 'xxx"),
        ([0, 1], ["a", "two\nlines"], "c: name 2 is 'two\\nlines'"),
    ],
    ids=range(23),
)
def test_what_are_no_labels(labels: Any, names: list[Any] | None, fault: str) -> None:
    images = np.zeros((2, 2, 2), np.uint8)
    assert fault in problem({"train": part(labels, images)}, names, "c")


def test_one_label_for_each_picture() -> None:
    images = np.zeros((3, 2, 2), np.uint8)
    assert problem({"train": part([0, 1], images)}, None, "c") == (
        "f.npz: y_train: 2 labels for the 3 pictures of f.npz: x_train"
    )
    assert "0 labels for the 3 pictures" in problem({"train": part(np.zeros(0, np.int64), images)}, None, "c")


def test_parts_labelled_in_two_ways() -> None:
    parts = {"train": part([0, 1]), "test": part(["0", "1"], name="test")}
    assert problem(parts, None, "c") == "f.npz: y_test: names, but f.npz: y_train has class numbers"
    parts = {"train": part([[0, 1], [1, 0]]), "test": part([[0, 1, 0]], name="test")}
    assert "y_test: one-hot rows of 3, but f.npz: y_train has one-hot rows of 2" in problem(parts, None, "c")


@QUICK
@given(st.lists(st.text(max_size=5) | st.binary(max_size=5) | st.integers(), max_size=5))
def test_any_names_are_names_or_one_error(names: list[Any]) -> None:
    try:
        texts = class_names(names, "c")
    except EdgebigError as error:
        texts, names = (error.problem,), [error.hint]
    assert len(set(texts)) == len(names)
    assert all(text.strip() and text.isprintable() for text in texts)
