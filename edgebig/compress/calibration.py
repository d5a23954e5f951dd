"""The pictures that ranges of activations are taken from, and what is to be said of them.

They are drawn per class out of train, never out of what a choice is made or measured with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.compress import ranges
from edgebig.compress.activations import Observed, Reader, Spread
from edgebig.compress.ranges import Range
from edgebig.data.examples import Examples, Splits, per_class
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Ptq

# A range that is a fifth too wide costs a quarter of a bit; one that is too narrow cuts that much off.
STABLE = 0.2
# Of the pixels of train, or of an activation's values, that lie outside of its range.
SATURATED = 0.01
_OF = "compress.ptq.calibration"
_LARGEST_SPEC = 100_000
_REST_EXAMPLES = 500
_DRAWS = 20
# From fewer nothing is drawn through.
_LEAST_FIT = 32


@dataclass(frozen=True)
class CalibrationSet:
    """Training pictures in random order, and the facts of them. `rest`: others of train, to hold ranges against.

    `first_half`: (N,), a half that has half of each class. `pixels`, `train_pixels`: lowest and highest.
    `saturated`: the share of train's pixels outside of `pixels`. `constant`: so many pictures are of one value.
    """

    examples: Examples
    rest: Examples
    first_half: npt.NDArray[np.bool_]
    per_class: dict[str, int]
    pixels: tuple[int, int]
    train_pixels: tuple[int, int]
    saturated: float
    constant: int

    def facts(self) -> dict[str, Any]:
        """For the record of the pass."""
        return {
            "n": len(self.examples),
            "per_class": self.per_class,
            "pixels": self.pixels,
            "train_pixels": self.train_pixels,
            "saturated_pixels": round(self.saturated, 6),
            "constant_pictures": self.constant,
        }


def draw(splits: Splits, count: int, seed: int, *, tell: bool = True) -> CalibrationSet:
    """`count` pictures of train, every class alike; what is odd about them is told.

    Raises EdgebigError where there are none, of one class only, all constant, or darker or brighter than train.
    """
    train = splits.train
    mask = per_class(train.labels, count, seed=seed)
    # Sources come sorted by class now and then, and a moving average remembers the last pictures most.
    order = np.random.default_rng(seed).permutation(np.flatnonzero(mask))
    examples, others = train[order], np.flatnonzero(~mask)
    if not len(examples):
        raise EdgebigError(f"{splits.source}: no training pictures to calibrate with", "edgebig data show")
    rest = train[others[per_class(train.labels[others], min(len(examples), _REST_EXAMPLES), seed=seed)]]
    of_class = np.bincount(examples.labels, minlength=len(splits.classes)).tolist()
    seen, of_train = _levels(examples), _levels(train)
    pixels, train_pixels = _ends(seen), _ends(of_train)
    saturated = 1 - of_train[pixels[0] : pixels[1] + 1].sum() / of_train.sum()
    chosen = CalibrationSet(
        examples, rest, _first_half(examples.labels), dict(zip(splits.classes, of_class, strict=True)),
        pixels, train_pixels, float(saturated),
        sum(int(np.ptp(image) == 0) for images in examples.chunks() for image in images),
    )  # fmt: skip
    _refuse(chosen, splits)
    if tell:
        _tell(chosen, count)
    return chosen


def _levels(examples: Examples) -> npt.NDArray[np.int64]:
    """(256,): how often each level is there."""
    counts = np.zeros(256, np.int64)
    for images in examples.chunks():
        counts += np.bincount(np.asarray(images).reshape(-1), minlength=256)
    return counts


def _ends(levels: npt.NDArray[np.int64]) -> tuple[int, int]:
    there = np.flatnonzero(levels)
    return int(there[0]), int(there[-1])


def _first_half(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    half = np.zeros(len(labels), np.bool_)
    # Classes with an odd number give the odd one to each half in turn.
    odd = 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        half[members[odd::2]] = True
        odd = (odd + len(members)) % 2
    return half


def _refuse(chosen: CalibrationSet, splits: Splits) -> None:
    n, classes = len(chosen.examples), [name for name, count in chosen.per_class.items() if count]
    if len(classes) == 1 and len(splits.classes) > 1:
        raise EdgebigError(
            f"{splits.source}: all calibration pictures ({n}) are of one class, '{classes[0]}'",
            f"the ranges would be that class's; a few of each of the {len(splits.classes)}: "
            f"--set {_OF}={10 * len(splits.classes)}",
        )
    if chosen.constant == n:
        raise EdgebigError(
            f"{splits.source}: each of the {n} calibration pictures is of one level throughout",
            "no range can be taken from them; look at the data: edgebig data show",
        )
    if chosen.saturated > SATURATED:
        raise EdgebigError(
            f"{splits.source}: the calibration pictures reach from {chosen.pixels[0]} to {chosen.pixels[1]}, and "
            f"{chosen.saturated:.1%} of train's pixels are outside of that",
            f"calibrate with more than {n}: --set {_OF}={min(_LARGEST_SPEC, 10 * n)}",
        )


def _tell(chosen: CalibrationSet, asked: int) -> None:
    n = len(chosen.examples)
    if n < asked:
        say(f"calibration: {n} pictures, all that train has, of {asked} that were asked for")
    if missing := [name for name, count in chosen.per_class.items() if not count]:
        say(
            f"calibration: no picture of {_few(missing)}; what only they show is cut off "
            f"(--set {_OF}={10 * len(chosen.per_class)})"
        )
    if chosen.constant:
        say(f"calibration: {chosen.constant} of {n} pictures are of one level throughout, and teach nothing")
    if chosen.saturated:
        (low, high), (least, most) = chosen.pixels, chosen.train_pixels
        say(
            f"calibration: pixels from {low} to {high}, train's from {least} to {most}: "
            f"{chosen.saturated:.2%} of them saturate"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class Calibrated:
    """The range of each activation by name, and the facts about them for the record."""

    ranges: dict[str, Range]
    facts: dict[str, Any]


def calibrate(model: bytes, chosen: CalibrationSet, spec: Ptq, preprocessing: dict[str, Any]) -> Calibrated:
    """The ranges of the activations of a float .tflite over the set, as `spec` takes them, and how far to trust them.

    Stability is how far the ranges of two halves of the set differ, as a share of the range; saturation the
    share of values outside on other training pictures. Both are told where they are bad.
    """
    reader = Reader(model, preprocessing)
    names = reader.names()
    taken, halves, size = _taken(reader, chosen, spec)
    # What softmax gives has one range for ever, whatever was seen.
    free = ~np.isin(names, reader.fixed())
    first, second, whole = (_widths(found) for found in (*halves, taken))
    change = free * np.abs(first - second) / np.where(whole > 0, whole, 1)
    worst = int(np.argmax(change))
    stability = {"change": round(float(change[worst]), 4), "worst": names[worst], "size": None}
    if change[worst] > STABLE:
        stability["size"] = size()
        _tell_unstable(stability, len(chosen.examples), spec)
    # Up to half a step beyond the range a value is rounded to it, as any other.
    step = whole / (2 ** _bits(spec) - 1)
    outside = free * reader.outside(
        chosen.rest, [(low - s / 2, high + s / 2) for (low, high), s in zip(taken, step, strict=True)]
    )
    worst = int(np.argmax(outside))
    if outside[worst] > SATURATED:
        say(
            f"calibration: {outside[worst]:.1%} of the values of '{names[worst]}' are outside of its range "
            f"on {len(chosen.rest)} other training pictures"
        )
    saturation = {
        "n": len(chosen.rest), "share": round(float(outside[worst]), 6), "worst": names[worst],
    }  # fmt: skip
    return Calibrated(
        dict(zip(names, taken, strict=True)),
        {**chosen.facts(), "stability": stability, "saturation": saturation},
    )


def _bits(spec: Ptq) -> int:
    return 16 if spec.dtype == "int16x8" else 8


Sizer = Callable[[], int | None]


def _taken(
    reader: Reader, chosen: CalibrationSet, spec: Ptq
) -> tuple[list[Range], tuple[list[Range], list[Range]], Sizer]:
    """The ranges of the whole set, of its two halves, and what gives the size at which those would agree."""
    first, second = chosen.first_half, ~chosen.first_half
    if spec.ranges in ("min-max", "moving-average"):
        take = ranges.min_max if spec.ranges == "min-max" else ranges.moving_average
        observed = reader.observe(chosen.examples)
        halves = (take(_rows(observed, first)), take(_rows(observed, second)))
        return take(observed), halves, lambda: _stable_size(observed, take)
    n = len(chosen.examples)

    def spreads(rows: npt.NDArray[np.bool_], seed: int) -> list[Spread]:
        return reader.spreads(chosen.examples[rows], n, spec.percentile, seed=seed)

    def take_spreads(spreads: list[Spread]) -> list[Range]:
        if spec.ranges == "percentile":
            return ranges.percentile(spreads, spec.percentile)
        return ranges.mse(spreads, _bits(spec))

    parts = spreads(first, 0), spreads(second, 1)
    whole = [a.merged(b) for a, b in zip(*parts, strict=True)]
    return take_spreads(whole), (take_spreads(parts[0]), take_spreads(parts[1])), lambda: None


def _rows(observed: Observed, rows: npt.NDArray[Any]) -> Observed:
    return Observed(observed.names, observed.low[rows], observed.high[rows])


def _stable_size(observed: Observed, take: Callable[[Observed], list[Range]]) -> int | None:
    """The size of a set whose halves would differ by `STABLE`, from how that fell with size so far; or None.

    The median of random pairs of disjoint subsets, at three sizes, drawn through by a power law.
    """
    n = len(observed.low)
    if n < _LEAST_FIT:
        return 10 * n
    sizes = [n // share for share in (8, 4, 2)]
    random = np.random.default_rng(0)
    width = _widths(take(observed))
    changes = []
    for size in sizes:
        pairs = []
        for _ in range(_DRAWS):
            order = random.permutation(n)
            a, b = (_widths(take(_rows(observed, order[i * size : (i + 1) * size]))) for i in (0, 1))
            pairs.append(np.max(np.abs(a - b) / np.where(width > 0, width, 1)))
        changes.append(float(np.median(pairs)))
    if min(changes) <= 0:
        return None
    slope = np.polyfit(np.log(sizes), np.log(changes), 1)[0]
    # Under this, ten times the pictures do not even take a quarter off.
    if slope > -0.1:
        return None
    size = 2 * sizes[-1] * (changes[-1] / STABLE) ** (-1 / slope)
    return None if size > _LARGEST_SPEC else max(n, int(round(size, 1 - math.floor(math.log10(size)))))


def _widths(found: list[Range]) -> npt.NDArray[np.float64]:
    return np.array([high - low for low, high in found])


def _tell_unstable(stability: dict[str, Any], n: int, spec: Ptq) -> None:
    size = stability["size"]
    other = "(--set compress.ptq.ranges=percentile)"
    if size is not None and size > n:
        mend = f"about {size} pictures would do (--set {_OF}={size})"
    elif spec.ranges == "moving-average":
        mend = f"more do not mend it, since the last ones count most; percentile takes all alike {other}"
    elif spec.ranges == "min-max":
        mend = f"more do not mend it, since rare values widen it; percentile leaves them out {other}"
    else:
        mend = f"take more (--set {_OF}={min(_LARGEST_SPEC, 4 * n)})"
    say(
        f"calibration: the range of '{stability['worst']}' differs by {stability['change']:.0%} between two halves of "
        f"the {n} pictures; {mend}"
    )
