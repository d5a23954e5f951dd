"""MNIST, from the user's files, the Keras cache or the network, known by its content. numpy only."""

from __future__ import annotations

import http.client
import os
import time
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig import files, lookup
from edgebig.data import idx
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.progress import say, track

DIGITS = tuple("0123456789")

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


def load(folder: Path | None) -> tuple[Examples, Examples]:
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
        arrays[part] = idx.read_idx(path)
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


def _from_npz(path: Path) -> tuple[Examples, Examples]:
    names = {
        "train-images": "x_train",
        "train-labels": "y_train",
        "t10k-images": "x_test",
        "t10k-labels": "y_test",
    }
    try:
        with zipfile.ZipFile(path) as archive:
            read = {part: idx.read_npy(archive, f"{name}.npy") for part, name in names.items()}
    # zipfile raises RuntimeError for an encrypted member and NotImplementedError for a packing it does not know.
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise EdgebigError(
            f"{path}: not MNIST as Keras stores it ({error})", "delete it, or get it again"
        ) from error
    return _checked(read, path)


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
                if sum(map(len, chunks)) > idx.LIMIT_BYTES:
                    raise OSError(f"over {idx.LIMIT_BYTES:,} bytes")
    if sum(map(len, chunks)) < total:
        raise OSError("the connection broke off")
    return b"".join(chunks)
