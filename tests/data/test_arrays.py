"""idx:DIR and npz:FILE: which files and members are read, and those that are missing, several or no arrays."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.data import arrays
from edgebig.errors import EdgebigError

LABELS = np.array([0, 1, 2, 1, 0, 2], np.uint8)
CODES = {"u1": 8, "i2": 11, "i4": 12, "f4": 13}


def pictures(n: int = 6, seed: int = 0, shape: tuple[int, ...] = (5, 4)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def put(path: Path, array: np.ndarray, *, pack: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    data = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(data) if pack else data)


def put_pair(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray, **how: Any) -> None:
    put(folder / f"{prefix}-images-idx{images.ndim}-ubyte{'.gz' if how.get('pack') else ''}", images, **how)
    put(folder / f"{prefix}-labels-idx1-ubyte{'.gz' if how.get('pack') else ''}", labels, **how)


def idx_problem(folder: Path) -> str:
    with pytest.raises(EdgebigError) as caught:
        arrays.load_idx(folder)
    assert caught.value.hint
    return caught.value.problem


# idx:DIR


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_idx_as_mnist_s_files(tmp_path: Path, pack: bool, shape: tuple[int, ...]) -> None:
    put_pair(tmp_path, "train", pictures(shape=shape), LABELS, pack=pack)
    put_pair(tmp_path, "t10k", pictures(3, 1, shape), LABELS[:3], pack=pack)
    found = arrays.load_idx(tmp_path)
    assert found.classes == ("0", "1", "2")
    assert found.train.images.shape == (6, 5, 4, 3 if shape[2:] == (3,) else 1)
    assert np.array_equal(found.train.images[:].reshape(6, *shape), pictures(shape=shape))
    assert found.train.labels.tolist() == LABELS.tolist()
    assert found.validation is None
    assert found.test is not None
    assert found.test.labels.tolist() == [0, 1, 2]
    assert found.framing == "whole"


def test_idx_of_train_alone_and_with_all_three(tmp_path: Path) -> None:
    put_pair(tmp_path, "train", pictures(), LABELS)
    assert arrays.load_idx(tmp_path).test is None
    put_pair(tmp_path, "test", pictures(3, 1), LABELS[:3])
    put_pair(tmp_path, "val", pictures(2, 2), LABELS[:2])
    found = arrays.load_idx(tmp_path)
    assert found.test is not None
    assert found.validation is not None
    assert (len(found.test), len(found.validation)) == (3, 2)


def test_idx_unpacked_goes_before_packed(tmp_path: Path) -> None:
    """As torchvision leaves both in one folder."""
    put_pair(tmp_path, "train", pictures(), LABELS)
    put_pair(tmp_path, "train", pictures(seed=9), LABELS, pack=True)
    assert np.array_equal(arrays.load_idx(tmp_path).train.images[..., 0], pictures())


def test_idx_of_more_than_256_classes(tmp_path: Path) -> None:
    put(tmp_path / "train-images-idx3-ubyte", pictures())
    put(tmp_path / "train-labels-idx1-int", np.array([0, 300, 4000, 300, 0, 4000], np.int32))
    found = arrays.load_idx(tmp_path)
    assert found.classes == ("0", "300", "4000")


def test_idx_with_classes(tmp_path: Path) -> None:
    put_pair(tmp_path, "train", pictures(), LABELS)
    (tmp_path / "classes.txt").write_bytes("﻿ant\r\nbee \nKäfer\n\n".encode())
    assert arrays.load_idx(tmp_path).classes == ("ant", "bee", "Käfer")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            b"ant\nbee\n",
            "train-labels-idx1-ubyte: example 2 has the label 2, but the names of classes are for 0 to 1",
        ),
        (b"ant\n\nbee\n", "classes.txt: name 2 is ''"),
        (b"ant\nbee\nant\n", "classes.txt: name 3, 'ant', is name 1 too"),
        (b"\xff\xfea\x00", "classes.txt: not UTF-8"),
        (b"", "classes.txt: name 1 is ''"),
        (b"a\nb\nc" + b" " * (1 << 20), "classes.txt: over 1,048,576 bytes"),
    ],
    ids=range(6),
)
def test_idx_with_faulty_classes(tmp_path: Path, text: bytes, fault: str) -> None:
    put_pair(tmp_path, "train", pictures(), LABELS)
    (tmp_path / "classes.txt").write_bytes(text)
    assert f"{tmp_path}/{fault}" in idx_problem(tmp_path)


def test_emnist_is_set_upright(tmp_path: Path) -> None:
    put_pair(tmp_path, "emnist-letters-train", pictures(), LABELS + 1, pack=True)
    put_pair(tmp_path, "emnist-letters-test", pictures(3, 1), LABELS[:3] + 1, pack=True)
    found = arrays.load_idx(tmp_path)
    assert found.classes == ("1", "2", "3")
    assert np.array_equal(found.train.images[..., 0], pictures().transpose(0, 2, 1))
    assert "upright" in found.notes[0]
    put_pair(tmp_path / "own", "my-train", pictures(), LABELS)
    own = arrays.load_idx(tmp_path / "own")
    assert np.array_equal(own.train.images[..., 0], pictures())
    assert own.notes == ()


def test_idx_files_that_are_missing_or_several(tmp_path: Path) -> None:
    assert idx_problem(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"
    assert idx_problem(tmp_path) == f"{tmp_path}: no idx files in it"
    put(tmp_path / "t10k-images-idx3-ubyte", pictures())
    missing = f"{tmp_path}/t10k-labels-idx1-ubyte: no such file, with .gz or without"
    assert idx_problem(tmp_path) == missing
    put(tmp_path / "t10k-labels-idx1-ubyte", LABELS)
    assert idx_problem(tmp_path).startswith(f"{tmp_path}/train-images-idx3-ubyte: no such file")
    put_pair(tmp_path, "train", pictures(), LABELS)
    put_pair(tmp_path, "test", pictures(), LABELS)
    several = f"{tmp_path}: more than one set of idx files in it ('t10k', 'test', 'train')"
    assert idx_problem(tmp_path) == several
    put_pair(tmp_path, "emnist-digits-train", pictures(), LABELS)
    assert idx_problem(tmp_path).endswith("in it ('', 'emnist-digits-')")
    file = tmp_path / "t10k-labels-idx1-ubyte"
    assert idx_problem(file) == f"{file}: a file, not a folder"


def test_idx_files_that_are_broken(tmp_path: Path) -> None:
    put_pair(tmp_path, "train", pictures(), LABELS)
    path = tmp_path / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert idx_problem(tmp_path) == f"{path}: its header says 120 bytes, it has 119"
    path.write_bytes(whole[:3] + b"\x05" + whole[4:])
    assert idx_problem(tmp_path).startswith(f"{path}: not an idx file of one to four axes")
    put(path, pictures(5))
    assert (
        idx_problem(tmp_path) == f"{tmp_path}/train-labels-idx1-ubyte: 6 labels for the 5 pictures of {path}"
    )
    put(path, LABELS)
    assert idx_problem(tmp_path) == f"{path}: no pictures, its shape is (6,)"


# npz:FILE


def save(path: Path, **members: Any) -> Path:
    np.savez_compressed(path, **members)
    return path


def npz_problem(path: Path) -> str:
    with pytest.raises(EdgebigError) as caught:
        arrays.load_npz(path)
    assert caught.value.hint
    return caught.value.problem


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
        (("images", "labels"), ("x_val", "y_val"), ("x_test", "y_test")),
    ],
    ids=["keras", "medmnist", "plain"],
)
def test_npz(
    tmp_path: Path, train: tuple[str, str], validation: tuple[str, str], test: tuple[str, str]
) -> None:
    members = {}
    for seed, (x, y) in enumerate((train, validation, test)):
        members |= {x: pictures(seed=seed), y: LABELS[:, np.newaxis]}
    found = arrays.load_npz(save(tmp_path / "größe.npz", **members, other=np.zeros(3, np.complex64)))
    assert found.classes == ("0", "1", "2")
    for seed, part in enumerate((found.train, found.validation, found.test)):
        assert part is not None
        assert np.array_equal(part.images[..., 0], pictures(seed=seed))
        assert part.labels.tolist() == LABELS.tolist()


def test_npz_with_classes(tmp_path: Path) -> None:
    for names in (np.array(["ant", "bee", "Käfer"]), np.array(["ant", "bee", "Käfer"]).astype("<U9")):
        path = save(tmp_path / "x.npz", images=pictures(), labels=LABELS, classes=names)
        assert arrays.load_npz(path).classes == ("ant", "bee", "Käfer")
    path = save(
        tmp_path / "x.npz",
        images=pictures(),
        labels=np.array(list("cabbac")),
        classes=np.array(["c", "b", "a"]),
    )
    assert arrays.load_npz(path).train.labels.tolist() == [0, 2, 1, 1, 2, 0]


def test_npz_that_is_none(tmp_path: Path) -> None:
    assert npz_problem(tmp_path) == f"{tmp_path}: a folder, not a file"
    assert npz_problem(tmp_path / "no.npz") == f"{tmp_path / 'no.npz'}: no such file"
    path = tmp_path / "x.npz"
    path.write_bytes(b"x")
    assert npz_problem(path) == f"{path}: File is not a zip file"
    whole = save(path, images=pictures(), labels=LABELS).read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    assert npz_problem(path).startswith(f"{path}: ")
    np.save(tmp_path / "x.npy", pictures())
    assert npz_problem(tmp_path / "x.npy").endswith("File is not a zip file")


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({}, "no train set in it; it has no array"),
        ({"x": LABELS}, "no train set in it; it has x"),
        ({"x_test": LABELS, "y_test": LABELS}, "no train set in it; it has x_test, y_test"),
        ({"x_train": pictures()}, "no array 'y_train'; it has x_train"),
        ({"labels": LABELS}, "no array 'images'; it has labels"),
        ({"images": pictures(), "labels": LABELS, "x_val": pictures()}, "no array 'y_val'"),
        ({"images": pictures(), "labels": LABELS, "x_train": pictures()}, "two train sets in it"),
        (
            {"images": pictures(), "labels": LABELS, "classes": np.array([["a"]])},
            "classes of the shape (1, 1)",
        ),
        ({"images": pictures(), "labels": LABELS, "classes": np.array("abc")}, "classes.npy is not an array"),
        ({"images": pictures(), "labels": LABELS, "classes": np.arange(3)}, "classes: name 1 is 0"),
        (
            {"images": pictures(), "labels": LABELS.astype(object)},
            "labels.npy is not an array of plain numbers",
        ),
        (
            {"images": pictures() / 256, "labels": LABELS},
            "images: float64 pixels between the 256 steps of 8 bits",
        ),
        ({"images": pictures(), "labels": LABELS.astype(float)}, "labels: labels of float64"),
    ],
    ids=range(13),
)
def test_npz_with_the_wrong_members(tmp_path: Path, members: dict[str, Any], fault: str) -> None:
    path = save(tmp_path / "x.npz", **members)
    assert npz_problem(path).startswith(f"{path}: {fault}")


def test_npz_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its arrays together."""
    path = save(tmp_path / "x.npz", images=pictures(), labels=LABELS, x_test=pictures(), y_test=LABELS)
    monkeypatch.setattr(arrays, "LIMIT_BYTES", 252)
    assert len(arrays.load_npz(path).train) == 6
    monkeypatch.setattr(arrays, "LIMIT_BYTES", 251)
    assert npz_problem(path) == f"{path}: y_test.npy has 6 bytes; at most 5 are read"


def test_npz_encrypted(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npz", images=pictures(), labels=LABELS)
    data = bytearray(path.read_bytes())
    for at in (i for i in range(len(data)) if data[i : i + 4] in (b"PK\x03\x04", b"PK\x01\x02")):
        data[at + (6 if data[at + 2] == 3 else 8)] |= 1  # the flag of an encrypted member
    path.write_bytes(data)
    assert "encrypted" in npz_problem(path)


def tiny_npz() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("x_train", pictures(3, shape=(2, 2))), ("y_train", LABELS[:3])):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return data.getvalue()


TINY_NPZ = tiny_npz()


@given(where=st.integers(0, 2**31), value=st.integers(0, 255))
def test_a_changed_byte_of_an_npz(tmp_path_factory: pytest.TempPathFactory, where: int, value: int) -> None:
    data = bytearray(TINY_NPZ)
    data[where % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "fuzz-own.npz"
    path.write_bytes(data)
    try:
        found = arrays.load_npz(path)
    except EdgebigError:
        return
    # zip holds a checksum of each member: what passes is what was written.
    assert np.array_equal(found.train.images[..., 0], pictures(3, shape=(2, 2)))
    assert found.train.labels.tolist() == [0, 1, 2]
