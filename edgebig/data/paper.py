"""Training digits as a camera sees them: written on paper, photographed, and found again by the device's own code.

What `ondevice.preprocess` makes of a photograph is not what MNIST was made of, and a model learns what it is shown.
With the digits go things that are none, labelled NOTHING: letters and scribbles, and what the preprocessing itself
takes for a digit by mistake, two digits in one box or a piece of a rule. numpy and Pillow.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from edgebig import files, lookup
from edgebig.data import hershey, matching, pen, photograph, signs
from edgebig.data.examples import Examples, Images, Splits
from edgebig.data.matching import match
from edgebig.data.taught import NOTHING
from edgebig.errors import EdgebigError
from edgebig.ondevice import preprocess
from edgebig.progress import say, track
from edgebig.recipe import Augment

# What is written is the same for every training, so that it is made once; validation's is another.
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 20_261_127, 1, 2
SHAPE = (28, 28, 1)
_CHUNK = 256
_AS_THEY_WERE = 0.3  # the share of digits whose strokes keep the outline that they have in MNIST
_THINNEST, _THICKEST = 0.8, 4.4  # pens, in pixels of MNIST
_LEAST_PX = 1.2  # a thinner line is lost between the pixels of a camera
_EMPTY = 0.02  # the share of pages without a thing
_PAIRS = 0.08  # the share of other things that are two digits so near that they may be found as one

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """What came back: `images` uint8 (N, 28, 28, 1), `labels` int64 (N,), NOTHING for what is no digit.

    `written`: digits that were written; `found`: those of them that came back as one, which are in `images`.
    """

    images: Images
    labels: Labels
    written: int
    found: int

    def digits(self) -> Examples:
        return Examples(self.images, self.labels)[self.labels != NOTHING]

    def nothings(self) -> Images:
        return np.asarray(self.images[self.labels == NOTHING])


def learnt(splits: Splits, augment: Augment) -> Examples:
    """What training learns from: the training examples, and with `augment.paper` what it makes of them besides.

    Raises EdgebigError where the pictures are no digits that could be found on paper.
    """
    if augment.paper is None:
        return splits.train
    check(splits)
    seen = see(splits.train, augment.paper.copies, augment.paper.nothings, seed=TRAIN_SEED)
    return splits.train.joined(Examples(seen.images, seen.labels))


def check(splits: Splits) -> None:
    """Raises EdgebigError where the pictures are no digits that could be found on paper."""
    if splits.train.shape != SHAPE or splits.framing != "ink":
        raise _refused(splits.source)


def _refused(source: str) -> EdgebigError:
    return EdgebigError(
        f"[data.augment.paper]: {source} has no grey digits of 28x28 pixels, which could be found on paper",
        "leave it out, or say [data] framing = 'ink' where they are",
    )


def see(examples: Examples, copies: float, nothings: float, *, seed: int) -> Seen:
    """The digits written `copies` times, and for each of these so many other things: kept in the cache.

    A part of `copies` is one of the digits, drawn by `seed`.
    """
    path = lookup.cache_dir() / "paper" / f"{_identity(examples, copies, nothings, seed)}.npz"
    if (kept := _kept(path)) is not None:
        return kept
    rng = np.random.default_rng(seed)
    whole, part = divmod(copies, 1)
    some = rng.permutation(len(examples))[: round(len(examples) * part)]
    digits = np.concatenate([np.repeat(np.arange(len(examples)), int(whole)), some])
    things = rng.permutation(np.concatenate([digits, np.full(round(len(digits) * nothings), -1)]))
    pieces = [things[first : first + _CHUNK] for first in range(0, len(things), _CHUNK)]
    parts = list(_in_threads(examples, pieces, seed))
    seen = Seen(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]),
        len(digits), sum(part.found for part in parts),
    )  # fmt: skip
    say(
        f"paper: {seen.found:,} of {seen.written:,} digits were found again, and {len(seen.nothings()):,} things that "
        f"are none; kept in {path}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, images=seen.images, labels=seen.labels, written=seen.written, found=seen.found)
    return seen


def _in_threads(examples: Examples, pieces: list[npt.NDArray[np.int64]], seed: int) -> Iterator[Seen]:
    """In order, and the same with any number of threads: each piece has draws of its own."""
    with (
        track("write digits on paper", sum(map(len, pieces))) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        jobs = [
            pool.submit(write, examples, piece, np.random.default_rng((seed, number)))
            for number, piece in enumerate(pieces)
        ]
        try:
            for job, piece in zip(jobs, pieces, strict=True):
                yield job.result()
                advance(len(piece))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def write(examples: Examples, things: npt.NDArray[np.int64], rng: np.random.Generator) -> Seen:
    """`things`, indices of digits or -1 for something else, on as many pages as they need -> what is found there."""
    is_digit = things >= 0
    middles, outlines = _drawn(examples, things, rng)
    labels = np.where(is_digit, examples.labels[things], NOTHING)
    images: list[Any] = []
    found: list[int] = []
    first = 0
    while first < len(things):
        layout = photograph.lay_out(rng)
        count = min(len(layout.places), len(things) - first) if rng.random() >= _EMPTY else 0
        fields = []
        for thing in range(first, first + count):
            if is_digit[thing] and rng.random() < _AS_THEY_WERE:
                fields.append(outlines[thing] + np.float32(rng.uniform(-0.2, 0.15)))
            else:
                fields.append(middles[thing] - np.float32(_pen_width(layout.size_px, rng) / 2))
        picture, written = photograph.photograph(fields, layout, rng)
        for digit, place in match(preprocess.find_digits(picture), written, layout.size_px):
            images.append(digit.image_u8)
            found.append(int(labels[first + place]) if place != NOTHING else NOTHING)
        first += count
    stacked = np.stack(images)[..., np.newaxis] if images else np.empty((0, *SHAPE), np.uint8)
    as_labels = np.array(found, np.int64)
    return Seen(stacked, as_labels, int(is_digit.sum()), int((as_labels != NOTHING).sum()))


def _drawn(
    examples: Examples, things: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[pen.Floats, pen.Floats]:
    """(N, SIDE, SIDE) each: how far the middle of a stroke is, and the outline of a digit."""
    is_digit = things >= 0
    middles = np.empty((len(things), pen.SIDE, pen.SIDE), np.float32)
    outlines = np.zeros_like(middles)
    pictures = np.asarray(examples.images[things[is_digit]])
    middles[is_digit], outlines[is_digit] = pen.of_digits(pictures), pen.of_outlines(pictures)
    others = np.flatnonzero(~is_digit)
    is_pair = rng.random(len(others)) < (_PAIRS if len(pictures) else 0)
    pairs, alone = others[is_pair], others[~is_pair]
    if len(pairs):
        first, second = (pictures[rng.integers(len(pictures), size=len(pairs))] for _ in range(2))
        middles[pairs] = pen.of_digits(pen.pairs(first, second, rng))
    middles[alone] = pen.of_lines([signs.draw(kind, rng) for kind in signs.pick(len(alone), rng)])
    return middles, outlines


def _pen_width(size_px: float, rng: np.random.Generator) -> float:
    """In pixels of MNIST, of which a digit has 20: as likely twice as wide as half as wide."""
    width = float(np.exp(rng.uniform(np.log(_THINNEST), np.log(_THICKEST))))
    return max(width, _LEAST_PX * 20 / size_px)


def versions(examples: Examples, count: int) -> Images:
    """uint8 (N, count, 28, 28, 1): each digit as it is and, every second time, as found on paper where it was.

    Raises EdgebigError where the pictures have another shape.
    """
    if examples.shape != SHAPE:
        raise _refused("the source")
    made = np.repeat(np.asarray(examples.images)[:, np.newaxis], count, axis=1)
    places = Examples(examples.images, np.arange(len(examples)))
    for version in range(1, count, 2):
        seen = write(places, np.arange(len(examples)), np.random.default_rng((TRAIN_SEED, version))).digits()
        made[seen.labels, version] = seen.images
    return made


def _identity(examples: Examples, copies: float, nothings: float, seed: int) -> str:
    """Of all that the result depends on: the digits, the settings, the code, and the libraries that draw."""
    sha256 = hashlib.sha256(
        repr((copies, nothings, seed, _PAIRS, _AS_THEY_WERE, PIL.__version__, np.__version__)).encode()
    )
    sha256.update(examples.hashes.tobytes() + examples.labels.tobytes())
    modules = {module.__name__: module for module in (hershey, matching, pen, photograph, signs)}
    _with_imports(preprocess, modules)
    for name in sorted(modules):
        sha256.update(inspect.getsource(modules[name]).encode())
    for function in (see, write, _drawn, _pen_width):
        sha256.update(inspect.getsource(function).encode())
    sha256.update(hershey.PATH.read_bytes())
    return sha256.hexdigest()[:32]


def _with_imports(module: ModuleType, found: dict[str, ModuleType]) -> None:
    """The module and those of the same package that it takes something from, and so on."""
    found[module.__name__] = module
    for value in list(vars(module).values()):
        other = value if inspect.ismodule(value) else inspect.getmodule(value) if callable(value) else None
        if other and other.__name__.startswith("edgebig.ondevice.") and other.__name__ not in found:
            _with_imports(other, found)


def _kept(path: Any) -> Seen | None:
    """None where there is none, or it is damaged: it can be made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            images, labels, written, found = (kept[name] for name in ("images", "labels", "written", "found"))
    except (FileNotFoundError, ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile):
        return None
    return Seen(images, labels, int(written), int(found))
