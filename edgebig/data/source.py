"""A source's name -> disjoint train, validation and test examples. numpy only."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import math
import os
import re
import struct
import time
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
from edgebig.progress import say, track

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
_STALLED_S = 60.0
_DOWNLOAD_DEADLINE_S = 1800.0
_CHUNK_BYTES = 1 << 16
# MNIST's largest part has 47 MB, its npz 11 MB: what says that it has more is broken, or meant to fill the memory.
_LIMIT_BYTES = 1 << 27
_NPY_HEAD = re.compile(
    rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \(((?:\d+, ?){1,4}\d*)\), \} *\n"
)


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
            if any(candidate.glob("*[-.]idx[13]-ubyte*")):
                return _from_idx(candidate)
            if (candidate / "mnist.npz").is_file():
                return _from_npz(candidate / "mnist.npz")
        problem = "a file, not a folder" if where.is_file() else "no MNIST there"
        raise EdgebigError(
            f"{given} {where}: {problem if where.exists() else 'no such folder'}",
            "give the folder of the four idx files (train-images-idx3-ubyte.gz ...) or of mnist.npz",
        )
    keras_home = Path(os.environ.get("KERAS_HOME") or lookup.home_dir() / ".keras")
    own = lookup.cache_dir() / "mnist.npz"
    for cached in (keras_home / "datasets" / "mnist.npz", own):
        if cached.is_file():
            return _from_npz(cached)
    _download(_MNIST_NPZ, _MNIST_NPZ_SHA256, own)
    return _from_npz(own)


def _from_idx(folder: Path) -> tuple[Examples, Examples]:
    arrays = {}
    for part in _MNIST_SHA256:
        kind = f"idx{3 if part.endswith('images') else 1}-ubyte"
        # Some mirrors write train-images.idx3-ubyte.
        candidates = [folder / f"{part}{dot}{kind}{gz}" for dot in "-." for gz in (".gz", "")]
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
    """An idx file of uint8, gzipped or not, as an array of the shape in its header, of one to four axes.

    Raises EdgebigError where it is cut short, too long, or no idx file. Source: the MNIST page's "file format".
    """
    mend = "get the file again"
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            return _read_idx(stream, path, mend)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EdgebigError(f"{path}: a broken gzip file ({error})", mend) from error


def _read_idx(file: io.BufferedIOBase, path: Path, mend: str) -> npt.NDArray[np.uint8]:
    magic = file.read(4)
    axes = magic[3] if len(magic) == 4 else 0
    sizes = file.read(4 * axes)
    if magic[:3] != b"\x00\x00\x08" or not 1 <= axes <= 4 or len(sizes) < 4 * axes:
        raise EdgebigError(f"{path}: not an idx file of bytes", mend)
    shape = struct.unpack(f">{axes}I", sizes)
    expected = math.prod(shape)
    if not 0 < expected <= _LIMIT_BYTES:
        raise EdgebigError(f"{path}: its header says {expected:,} bytes, which is no part of MNIST", mend)
    data = file.read(expected + 1)
    if len(data) != expected:
        found = "more" if len(data) > expected else f"{len(data):,}"
        raise EdgebigError(f"{path}: its header says {expected:,} bytes, it has {found}", mend)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_npz(path: Path) -> tuple[Examples, Examples]:
    names = {
        "train-images": "x_train",
        "train-labels": "y_train",
        "t10k-images": "x_test",
        "t10k-labels": "y_test",
    }
    try:
        with zipfile.ZipFile(path) as archive:
            read = {part: _read_npy(archive, f"{name}.npy") for part, name in names.items()}
    # zipfile raises RuntimeError for an encrypted member and NotImplementedError for a packing it does not know.
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise EdgebigError(
            f"{path}: not MNIST as Keras stores it ({error})", "delete it, or get it again"
        ) from error
    return _checked(read, path)


def _read_npy(archive: zipfile.ZipFile, name: str) -> npt.NDArray[np.uint8]:
    """A member of an npz file. Raises ValueError where it is not an array of bytes in C order, whole, within bounds."""
    with archive.open(name) as file:
        # np.load would evaluate the header as Python, and allocate whatever it says.
        magic = file.read(10)
        head = file.read(int.from_bytes(magic[8:], "little"))
        found = _NPY_HEAD.fullmatch(head)
        if magic[:8] != b"\x93NUMPY\x01\x00" or found is None:
            raise ValueError(f"{name} is not an array of bytes in C order")
        shape = tuple(int(size) for size in found[1].split(b",") if size.strip())
        expected = math.prod(shape)
        if expected > _LIMIT_BYTES:
            raise ValueError(f"{name} has {expected:,} bytes")
        data = file.read(expected + 1)
        if len(data) != expected:
            raise ValueError(f"{name} is not whole")
        return np.frombuffer(data, np.uint8).reshape(shape)


def _download(url: str, sha256: str, path: Path) -> None:
    mend = "or give the four idx files: --data FOLDER, or EDGEBIG_DATA=FOLDER"
    say(f"MNIST is not here; fetching it from {url}")
    try:
        data = _fetch(url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EdgebigError(
            f"MNIST is not here and could not be fetched: {str(error) or type(error).__name__}",
            f"try again with a network, {mend}",
        ) from error
    if files.sha256_bytes(data) != sha256:
        raise EdgebigError(
            f"what came from {url} is not MNIST (sha256 differs)", f"nothing was kept; try again, {mend}"
        )
    files.write_bytes(path, data)


def _fetch(url: str) -> bytes:
    """The bytes at `url`. Raises OSError, TimeoutError too where they stall, come too slowly, or are too many."""
    deadline_s = time.monotonic() + _DOWNLOAD_DEADLINE_S
    chunks: list[bytes] = []
    with urllib.request.urlopen(url, timeout=_STALLED_S) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        with track("fetch MNIST", total) as advance:
            while chunk := answer.read1(_CHUNK_BYTES):
                chunks.append(chunk)
                advance(len(chunk))
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"not done after {_DOWNLOAD_DEADLINE_S:.0f} s")
                if sum(map(len, chunks)) > _LIMIT_BYTES:
                    raise OSError(f"over {_LIMIT_BYTES:,} bytes")
    if sum(map(len, chunks)) < total:
        raise OSError("the connection broke off")
    return b"".join(chunks)
