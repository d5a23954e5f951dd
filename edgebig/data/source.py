"""A source's name -> disjoint train, validation and test examples. numpy only."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig import files, lookup
from edgebig.errors import EdgebigError

DIGITS = tuple("0123456789")
EMBEDDED = Path(__file__).parent.parent / "zoo" / "digits-5k.npz"

# sha256 of the pixels and of the labels, unpacked, as published by their authors.
_MNIST_SHA256 = {
    "train-images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "train-labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "t10k-images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "t10k-labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
_MNIST_NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_DOWNLOAD_TIMEOUT_S = 60
_IDX_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Examples:
    """`images`: uint8 (N, H, W, C), ink is 255. `labels`: int64 (N,), indices into the classes."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Examples:
        return Examples(self.images[index], self.labels[index])

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """(N,): the first 8 bytes of the sha256 of each picture's shape and pixels."""
        shape = repr(self.images.shape[1:]).encode()
        digests = (hashlib.sha256(shape + image.tobytes()).digest()[:8] for image in self.images)
        return np.frombuffer(b"".join(digests), "<u8")


@dataclass(frozen=True)
class Splits:
    """A source cut into three parts that share no picture, and the names of its classes."""

    source: str
    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples


def load(source: str, *, validation: int, folder: Path | None = None) -> Splits:
    """The splits of `source`, whose files are in `folder`. Raises EdgebigError where they are not as they should be.

    `validation`: how many examples are held out of train, as many of each class as can be.
    """
    match source:
        case "digits-5k":
            return _digits_5k()
        case "mnist":
            return _mnist(folder, validation)
    raise EdgebigError(f"no data source '{source}'", "use digits-5k or mnist")


def _digits_5k() -> Splits:
    images, labels, split = _embedded()
    train, validation, test = (Examples(images[split == part], labels[split == part]) for part in range(3))
    return Splits("digits-5k", DIGITS, train, validation, test)


def _embedded() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    with np.load(EMBEDDED) as arrays:
        return arrays["images"][..., np.newaxis], arrays["labels"].astype(np.int64), arrays["split"]


def _mnist(folder: Path | None, validation: int) -> Splits:
    train, test = _mnist_files(folder)
    # The embedded validation and test digits come from MNIST's training set: no recipe may train on them.
    images, labels, split = _embedded()
    held_out = Examples(images[split > 0], labels[split > 0])
    train = train[~np.isin(train.hashes, held_out.hashes)]
    if validation > len(train) // 2:
        raise EdgebigError(
            f"[data] validation = {validation}: over half of the {len(train)} training digits",
            "the default is 5000",
        )
    chosen = per_class(train.labels, validation, seed=0)
    return Splits("mnist", DIGITS, train[~chosen], train[chosen], test)


def per_class(labels: npt.NDArray[np.int64], count: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """A mask (N,) that chooses `count` examples, every class alike up to one, by a shuffle that `seed` fixes."""
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    first = np.lexsort((np.argsort(order), rank))[:count]
    chosen = np.zeros(len(labels), np.bool_)
    chosen[first] = True
    return chosen


def _mnist_files(folder: Path | None) -> tuple[Examples, Examples]:
    """MNIST's train and test: in `folder`, in EDGEBIG_DATA, in the Keras cache, or fetched once, in this order."""
    environment = os.environ.get("EDGEBIG_DATA")
    if folder or environment:
        where = folder or Path(environment or "")
        given = "--data" if folder else "EDGEBIG_DATA"
        for candidate in (where, where / "mnist"):
            if any(candidate.glob("train-images*idx3-ubyte*")):
                return _from_idx(candidate)
            if (candidate / "mnist.npz").is_file():
                return _from_npz(candidate / "mnist.npz")
        raise EdgebigError(
            f"{given} {where}: no MNIST there",
            "it holds the four idx files (train-images-idx3-ubyte.gz ...) or mnist.npz",
        )
    for cached in (Path.home() / ".keras" / "datasets" / "mnist.npz", lookup.cache_dir() / "mnist.npz"):
        if cached.is_file():
            return _from_npz(cached)
    _download(_MNIST_NPZ, _MNIST_NPZ_SHA256, lookup.cache_dir() / "mnist.npz")
    return _from_npz(lookup.cache_dir() / "mnist.npz")


def _from_idx(folder: Path) -> tuple[Examples, Examples]:
    arrays = {}
    for part in _MNIST_SHA256:
        name = f"{part}-idx{3 if part.endswith('images') else 1}-ubyte"
        candidates = [folder / f"{name}.gz", folder / name]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise EdgebigError(
                f"{candidates[0]}: no such file", "MNIST is four files; put this one beside the others"
            )
        arrays[part] = read_idx(path)
    return _checked(arrays, folder)


def _checked(arrays: dict[str, npt.NDArray[np.uint8]], path: Path) -> tuple[Examples, Examples]:
    parts = []
    for part in ("train", "t10k"):
        images, labels = arrays[f"{part}-images"], arrays[f"{part}-labels"]
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise EdgebigError(
                f"{path}: {part} has pictures {images.shape} and labels {labels.shape}", "get it again"
            )
        if len(labels) and labels.max() >= len(DIGITS):
            raise EdgebigError(
                f"{path}: {part} has the label {labels.max()}; digits are 0 to 9", "get it again"
            )
        parts.append(Examples(images[..., np.newaxis], labels.astype(np.int64)))
    for part, digest in _MNIST_SHA256.items():
        if files.sha256_bytes(arrays[part].tobytes()) != digest:
            raise EdgebigError(
                f"{path}: {part} is well formed, but it is not MNIST's",
                "get it again; other data is not 'mnist'",
            )
    return parts[0], parts[1]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An idx file of uint8, gzipped or not, as an array of the shape in its header.

    Raises EdgebigError where it is cut short, too long, or no idx file. Source: the MNIST page's "file format".
    """
    mend = "get the file again"
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
                data = unpacked.read(_IDX_LIMIT_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EdgebigError(f"{path}: a broken gzip file ({error})", mend) from error
    if len(data) > _IDX_LIMIT_BYTES:
        raise EdgebigError(f"{path}: unpacks to over {_IDX_LIMIT_BYTES:,} bytes", mend)
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise EdgebigError(f"{path}: not an idx file of bytes", mend)
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    start = 4 + 4 * data[3]
    expected = start + int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise EdgebigError(f"{path}: {len(data):,} bytes, its header says {expected:,}", mend)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _from_npz(path: Path) -> tuple[Examples, Examples]:
    names = {
        "train-images": "x_train",
        "train-labels": "y_train",
        "t10k-images": "x_test",
        "t10k-labels": "y_test",
    }
    try:
        with np.load(path, allow_pickle=False) as arrays:
            read = {part: arrays[name].astype(np.uint8, casting="safe") for part, name in names.items()}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise EdgebigError(
            f"{path}: not MNIST as Keras stores it ({error})", "delete it, or get it again"
        ) from error
    return _checked(read, path)


def _download(url: str, sha256: str, path: Path) -> None:
    mend = "or give the four idx files: --data FOLDER, or EDGEBIG_DATA=FOLDER"
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_TIMEOUT_S) as answer:
            data = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise EdgebigError(
            f"MNIST is not here and could not be fetched: {error}", f"try again with a network, {mend}"
        ) from error
    if files.sha256_bytes(data) != sha256:
        raise EdgebigError(
            f"what came from {url} is not MNIST (sha256 differs)", f"nothing was kept; try again, {mend}"
        )
    files.write_bytes(path, data)
