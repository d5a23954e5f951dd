"""Labelled pictures, in memory or in a mapped file, and how they are split. numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice
# So many bytes of pictures are looked at at once.
_CHUNK_BYTES = 1 << 26


class Pictures:
    """A choice of pictures out of a file that is mapped into memory: like an array (N, H, W, C) of uint8.

    An index gives an array, of those pictures alone, so that a whole data set is never in memory. `choose` gives
    another choice and reads nothing. `names`: of the file's pictures, the files that they were decoded from, if any.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        mapped: npt.NDArray[np.uint8],
        hashes: npt.NDArray[np.uint64],
        rows: npt.NDArray[np.int64] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.mapped = mapped
        self._hashes = hashes
        self._names = names
        self.rows = np.arange(len(mapped)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        height, width, channels = self.mapped.shape[1:]
        return len(self.rows), height, width, channels

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        return np.asarray(self.mapped[self.rows[index]])

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return (self.mapped[row] for row in self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.uint8]:
        return self.mapped[self.rows]

    def choose(self, index: Index) -> Pictures:
        return Pictures(self.mapped, self._hashes, self.rows[index], self._names)

    def joined(self, other: Pictures) -> Pictures:
        """Both choices out of one file, this one first."""
        assert other.mapped is self.mapped
        return Pictures(self.mapped, self._hashes, np.concatenate([self.rows, other.rows]), self._names)

    @property
    def hashes(self) -> npt.NDArray[np.uint64]:
        return self._hashes[self.rows]

    def name_of(self, index: int) -> str:
        """The file that this picture was decoded from; empty where it came otherwise."""
        return self._names[self.rows[index]] if self._names else ""


@dataclass(frozen=True)
class Examples:
    """`images`: uint8 (N, H, W, C), ink is 255. `labels`: int64 (N,), indices into the classes."""

    images: Images | Pictures
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> Examples:
        images = self.images.choose(index) if isinstance(self.images, Pictures) else self.images[index]
        chosen = Examples(images, self.labels[index])
        if "hashes" in vars(self):  # known already: a cut of 60,000 pictures need not hash them again
            vars(chosen)["hashes"] = self.hashes[index]
        return chosen

    def joined(self, other: Examples) -> Examples:
        """These and `other`, of one source and of one shape."""
        images = (
            self.images.joined(other.images)
            if isinstance(self.images, Pictures) and isinstance(other.images, Pictures)
            else np.concatenate([np.asarray(self.images), np.asarray(other.images)])
        )
        return Examples(images, np.concatenate([self.labels, other.labels]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def chunks(self) -> Iterator[Images]:
        """The pictures in order, some 64 MB at a time."""
        step = max(1, _CHUNK_BYTES // max(1, int(np.prod(self.shape))))
        return (self.images[start : start + step] for start in range(0, len(self), step))

    def write_npy(self, path: Path) -> None:
        """The pictures as one .npy, uint8 (N, H, W, C), some at a time: they may be more than the memory holds."""
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self), *self.shape)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images in self.chunks():
                file.write(np.ascontiguousarray(images).tobytes())

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """(N,): the first 8 bytes of the sha256 of each picture's shape and pixels."""
        return self.images.hashes if isinstance(self.images, Pictures) else hash_images(self.images)


def hash_images(images: Images) -> npt.NDArray[np.uint64]:
    """uint8 (N, H, W, C) -> (N,): the first 8 bytes of the sha256 of each picture's shape and pixels."""
    shape = repr(images.shape[1:]).encode()
    digests = (hashlib.sha256(shape + image.tobytes()).digest()[:8] for image in images)
    return np.frombuffer(b"".join(digests), "<u8")


@dataclass(frozen=True)
class Found:
    """What a source holds, in the parts that it comes in; a part that it lacks is cut from train later.

    `notes`: what was done to the pictures, a line each, for the person who trains on them.
    """

    classes: tuple[str, ...]
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    framing: Literal["ink", "whole"] = "whole"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Splits:
    """A source cut into three parts that share no picture, and the names of its classes.

    `framing`: what a picture from elsewhere is compared with: the ink found in it, or the whole of it.
    `notes`: what was done to the pictures, a line each, for the person who trains on them.
    """

    source: str
    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    framing: Literal["ink", "whole"] = "whole"
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, Examples]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def count_of(share: int | float, total: int) -> int:
    """A count, or a share of `total`, as a count."""
    return round(share * total) if isinstance(share, float) else share


def per_class(labels: npt.NDArray[np.int64], count: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """A mask (N,) that chooses `count` examples, every class alike up to one, by a shuffle that `seed` fixes."""
    place, rank = _shuffled(labels, seed)
    return _mask(np.lexsort((place, rank))[:count], len(labels))


def in_proportion(labels: npt.NDArray[np.int64], count: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """A mask (N,) that chooses `count` examples, of every class its share, by a shuffle that `seed` fixes.

    Of each class at most half, so that fewer may be chosen; at least one, where it has two and `count` allows.
    """
    place, rank = _shuffled(labels, seed)
    size = np.bincount(labels)[labels]
    # The one after which a class is least ahead of its share comes next (Adams' method of apportionment).
    first = np.lexsort((place, rank / size))
    return _mask(first[rank[first] < size[first] // 2][:count], len(labels))


def _shuffled(labels: npt.NDArray[np.int64], seed: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Each example's place in a shuffle, and its rank there among those of its class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.argsort(order), rank


def _mask(chosen: npt.NDArray[np.intp], total: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(total, np.bool_)
    mask[chosen] = True
    return mask
