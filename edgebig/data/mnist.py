"""MNIST and Fashion-MNIST, from the user's files, a cache or the network, known by their content. numpy only."""

from __future__ import annotations

import http.client
import os
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig import files, lookup
from edgebig.data import idx
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.progress import say, track

DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
_IDX_FILES = tuple(f"{part}-idx{3 if part.endswith('images') else 1}-ubyte.gz" for part in _PARTS)
_REMOTE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
# Where Debian's packages dataset-* put them.
_SYSTEM = Path("/usr/share/datasets")
_STALLED_S = 60.0
_DOWNLOAD_DEADLINE_S = 1800.0
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Known:
    """A data set that is known by its content.

    `sha256`: of the pixels and of the labels of each part, unpacked, as published by their authors.
    `remote`: the files that hold it in Keras' store, and in its cache and ours.
    """

    source: str
    title: str
    classes: tuple[str, ...]
    sha256: Mapping[str, str]
    remote: tuple[str, ...]

    @property
    def npz(self) -> str:
        """The one file in which Keras keeps it, or "" where it keeps the four idx files."""
        return self.remote[0] if len(self.remote) == 1 else ""

    @property
    def shelf(self) -> str:
        """The folder, within a folder of caches, in which its files lie."""
        return "" if self.npz else self.source


MNIST = Known(
    "mnist",
    "MNIST",
    DIGITS,
    {
        "train-images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train-labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "t10k-images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "t10k-labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    ("mnist.npz",),
)
# Of Debian's dataset-fashion-mnist 0.0~git20200523.55506a9; with the names and times that Debian took out of the gzip
# headers put back, its four files have the MD5s of the authors' page, github.com/zalandoresearch/fashion-mnist.
FASHION_MNIST = Known(
    "fashion-mnist",
    "Fashion-MNIST",
    GARMENTS,
    {
        "train-images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train-labels": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "t10k-images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "t10k-labels": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    _IDX_FILES,
)
KNOWN = (MNIST, FASHION_MNIST)


def load(known: Known, folder: Path | None) -> tuple[Examples, Examples]:
    """Its train and test: in `folder`, in EDGEBIG_DATA, in a cache, or fetched once, in this order.

    uint8 (60000, 28, 28, 1) and (10000, 28, 28, 1). Raises EdgebigError where they are not there, or are others.
    """
    environment = os.environ.get("EDGEBIG_DATA")
    if folder:
        return _from_folder(known, folder, "--data")
    if environment:
        return _from_folder(known, Path(environment), "EDGEBIG_DATA")
    keras_home = Path(os.environ.get("KERAS_HOME") or lookup.home_dir() / ".keras")
    own = lookup.cache_dir() / known.shelf
    for cached in (keras_home / "datasets" / known.shelf, _SYSTEM / known.source, own):
        if all((cached / name).is_file() for name in known.remote):
            return _from_files(known, cached)
    for name in known.remote:
        if not (own / name).is_file():
            _download(known, _REMOTE + name, own / name)
    return _from_files(known, own)


def _from_folder(known: Known, folder: Path, given: str) -> tuple[Examples, Examples]:
    # Its own subfolder first: the four files of another data set have the same names.
    for candidate in (folder / known.source, folder):
        if any(candidate.glob("*[-.]idx[13]-ubyte*")):
            return _from_idx(known, candidate)
        if known.npz and (candidate / known.npz).is_file():
            return _from_npz(known, candidate / known.npz)
    problem = "a file, not a folder" if folder.is_file() else f"no {known.title} there"
    raise EdgebigError(
        f"{given} {folder}: {problem if folder.exists() else 'no such folder'}",
        f"give the folder of the four idx files ({_IDX_FILES[0]} ...){f' or of {known.npz}' if known.npz else ''}, "
        f"or a folder with them in its subfolder {known.source}",
    )


def _from_files(known: Known, folder: Path) -> tuple[Examples, Examples]:
    return _from_npz(known, folder / known.npz) if known.npz else _from_idx(known, folder)


def _from_idx(known: Known, folder: Path) -> tuple[Examples, Examples]:
    arrays = {}
    for part, name in zip(_PARTS, _IDX_FILES, strict=True):
        # Some mirrors write train-images.idx3-ubyte.
        names = (name, name.replace("-idx", ".idx"))
        candidates = [folder / each for packed in names for each in (packed, packed.removesuffix(".gz"))]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise EdgebigError(
                f"{candidates[0]}: no such file",
                f"{known.title} is four files; put this one beside the others",
            )
        arrays[part] = idx.read_idx(path)
    return _checked(known, arrays, folder)


def _from_npz(known: Known, path: Path) -> tuple[Examples, Examples]:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                part: idx.read_npy(archive, f"{name}.npy")
                for part, name in zip(_PARTS, _NPZ_NAMES, strict=True)
            }
        for part, array in arrays.items():
            if array.dtype != np.uint8:
                raise ValueError(f"{part} are {array.dtype}, not uint8")
    # zipfile raises RuntimeError for an encrypted member and NotImplementedError for a packing it does not know.
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise EdgebigError(
            f"{path}: not {known.title} as Keras stores it ({error})", "delete it, or get it again"
        ) from error
    return _checked(known, arrays, path)


def _checked(known: Known, arrays: dict[str, npt.NDArray[np.uint8]], path: Path) -> tuple[Examples, Examples]:
    parts = []
    for part in ("train", "t10k"):
        images, labels = arrays[f"{part}-images"], arrays[f"{part}-labels"]
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise EdgebigError(
                f"{path}: {part} has pictures {images.shape} and labels {labels.shape}", "get it again"
            )
        if len(labels) and labels.max() >= len(known.classes):
            raise EdgebigError(
                f"{path}: {part} has the label {labels.max()}; {known.title}'s are 0 to {len(known.classes) - 1}",
                f'get it again; other data is source = "idx:{path}"',
            )
        parts.append(Examples(images[..., np.newaxis], labels.astype(np.int64)))
    digests = {part: files.sha256_bytes(arrays[part].tobytes()) for part in _PARTS}
    for other in KNOWN:
        if other is not known and digests == other.sha256:
            raise EdgebigError(f"{path}: this is {other.title}", f'use source = "{other.source}"')
    for part, digest in digests.items():
        if digest != known.sha256[part]:
            raise EdgebigError(
                f"{path}: {part} is well formed, but it is not {known.title}'s",
                f"get it again; other data is not '{known.source}', but idx:DIR or npz:FILE",
            )
    return parts[0], parts[1]


def _download(known: Known, url: str, path: Path) -> None:
    """Fetches one of its files; what is kept is known to be it."""
    mend = "or give the four idx files: --data FOLDER, or EDGEBIG_DATA=FOLDER"
    say(f"{known.title} is not here; fetching it from {url}")
    try:
        data = _fetch(url, known.title)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EdgebigError(
            f"{known.title} is not here and could not be fetched: {str(error) or type(error).__name__}",
            f"try again with a network, {mend}",
        ) from error
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
        try:
            _check_fetched(known, temporary, path.name)
        except EdgebigError as error:
            raise EdgebigError(
                f"what came from {url} is not {known.title}", f"nothing was kept; try again, {mend}"
            ) from error


def _check_fetched(known: Known, path: Path, name: str) -> None:
    """Raises EdgebigError where `path` does not hold what the file `name` should."""
    if known.npz:
        _from_npz(known, path)
        return
    part = _PARTS[_IDX_FILES.index(name)]
    if files.sha256_bytes(idx.read_idx(path).tobytes()) != known.sha256[part]:
        raise EdgebigError(f"{name} is not {known.title}'s")


def _fetch(url: str, title: str) -> bytes:
    """The bytes at `url`. Raises OSError, TimeoutError too where they stall, come too slowly, or are too many."""
    deadline_s = time.monotonic() + _DOWNLOAD_DEADLINE_S
    data = bytearray()
    with urllib.request.urlopen(url, timeout=_STALLED_S) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        with track(f"fetch {title}", total) as advance:
            while chunk := answer.read1(_CHUNK_BYTES):
                data += chunk
                advance(len(chunk))
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"not done after {_DOWNLOAD_DEADLINE_S:.0f} s")
                if len(data) > idx.LIMIT_BYTES:
                    raise OSError(f"over {idx.LIMIT_BYTES:,} bytes")
    if len(data) < total:
        raise OSError("the connection broke off")
    return bytes(data)
