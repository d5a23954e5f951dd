"""A source's name -> disjoint train, validation and test examples, checked. numpy only."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig.data import mnist
from edgebig.data.examples import Examples, Found, Splits, count_of, in_proportion, per_class
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

EMBEDDED = Path(__file__).parent.parent / "zoo" / "digits-5k.npz"
_SHOWN = 5


def load(data: Data, folder: Path | None = None, *, check: bool = True) -> Splits:
    """The splits of `data.source`, whose files are in `folder`. Raises EdgebigError where they are not as due.

    With `check` no picture is in two splits, every class has a training example, and none of the three is empty;
    without, for whoever looks at a source to see what is wrong with it, those faults pass.
    """
    found = _chosen(_found(data, folder), data)
    if data.source == "mnist":
        found = _apart_from_embedded(found, data)
    elif data.embedded == "validate":
        raise EdgebigError(
            f"[data] embedded = 'validate': {data.source} holds no digits of digits-5k", "leave it out"
        )
    _check_shapes(found, data)
    if check:
        _check_classes(found, data)
        _check_overlaps(found, data)
    splits = _cut(found, data, check)
    return replace(splits, notes=(*splits.notes, *_remarks(splits)))


def _found(data: Data, folder: Path | None) -> Found:
    kind, _, rest = data.source.partition(":")
    match kind:
        case "digits-5k":
            return _digits_5k()
        case "mnist":
            train, test = mnist.load(mnist.MNIST, folder)
            return Found(mnist.DIGITS, train, test=test, framing="ink")
        case "fashion-mnist":
            train, test = mnist.load(mnist.FASHION_MNIST, folder)
            return Found(mnist.GARMENTS, train, test=test)
        case "idx" | "npz":
            from edgebig.data import arrays

            return arrays.load_idx(Path(rest)) if kind == "idx" else arrays.load_npz(Path(rest))
        case "images" | "csv":
            from edgebig.data import pictures

            return (pictures.load_folder if kind == "images" else pictures.load_table)(Path(rest), data)
        case "python":
            from edgebig.data import own

            return own.load(data.source)
    raise EdgebigError(f"no data source '{data.source}'", "use digits-5k, mnist or fashion-mnist")


def _digits_5k() -> Found:
    images, labels, split = _embedded()
    train, validation, test = (Examples(images[split == part], labels[split == part]) for part in range(3))
    return Found(mnist.DIGITS, train, validation, test, framing="ink")


def _embedded() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    with np.load(EMBEDDED) as arrays:
        return arrays["images"][..., np.newaxis], arrays["labels"].astype(np.int64), arrays["split"]


def _apart_from_embedded(found: Found, data: Data) -> Found:
    """MNIST without the digits that digits-5k validates and tests with, of its training set: none may train on them."""
    images, labels, split = _embedded()
    held_out = Examples(images[split > 0], labels[split > 0])
    train = found.train
    kept = ~np.isin(train.hashes, held_out.hashes)
    count = count_of(data.validation, len(train))
    validate_embedded = data.embedded == "validate"
    if validate_embedded:
        count -= int(np.sum(~kept))
    if not 0 < count <= np.sum(kept) // 2:
        raise _too_few("validation", data.validation, len(train))
    chosen = np.zeros(len(train), np.bool_)
    chosen[kept] = per_class(train.labels[kept], count, seed=0)
    validation = train[chosen | ~kept] if validate_embedded else train[chosen]
    return replace(found, train=train[kept & ~chosen], validation=validation)


def _too_few(part: str, wanted: int | float, total: int) -> EdgebigError:
    return EdgebigError(
        f"[data] {part} = {wanted}: leaves too few of the {total:,} training examples, or holds none out",
        f"as in {part} = 0.1",
    )


def _chosen(found: Found, data: Data) -> Found:
    """`found` with the classes that `data` wants alone, numbered in that order."""
    if data.classes is None or data.classes == found.classes:
        return found
    for name in data.classes:
        if name not in found.classes:
            close = difflib.get_close_matches(name, found.classes, n=1)
            guess = f" (did you mean '{close[0]}'?)" if close else ""
            raise EdgebigError(
                f"[data] classes: no class '{name}' in {data.source}{guess}",
                f"it has {_listed(found.classes)}",
            )
    index = np.full(len(found.classes), -1, np.int64)
    index[[found.classes.index(name) for name in data.classes]] = np.arange(len(data.classes))

    def relabelled(part: Examples) -> Examples:
        part = part[index[part.labels] >= 0]
        return Examples(part.images, index[part.labels])

    return replace(
        found,
        classes=data.classes,
        train=relabelled(found.train),
        validation=found.validation and relabelled(found.validation),
        test=found.test and relabelled(found.test),
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )


def _check_shapes(found: Found, data: Data) -> None:
    shapes = {name: part.shape for name, part in _parts(found)}
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            raise EdgebigError(
                f"{data.source}: train has pictures {_size(shapes['train'])}, {name} {_size(shape)}",
                "bring all of them to one size",
            )
    height, width, channels = shapes["train"]
    if data.size not in (None, (height, width)) or data.colour not in (
        None,
        "grey" if channels == 1 else "rgb",
    ):
        wanted = "colour" if data.size in (None, (height, width)) else "size"
        raise EdgebigError(
            f"[data] {wanted}: the pictures of {data.source} are {_size(shapes['train'])} and stay so",
            "leave it out; only images: and csv: are brought to another size or colour",
        )


def _size(shape: tuple[int, int, int]) -> str:
    height, width, channels = shape
    return f"{height} x {width} {'grey' if channels == 1 else 'rgb'}"


def _parts(found: Found) -> Iterator[tuple[str, Examples]]:
    yield "train", found.train
    for name, part in (("validation", found.validation), ("test", found.test)):
        if part is not None:
            yield name, part


def _check_overlaps(found: Found, data: Data) -> None:
    for (one, first), (other, second) in itertools.combinations(_parts(found), 2):
        shared = np.isin(second.hashes, first.hashes)
        if shared.any():
            there = int(shared.argmax())
            here = int(np.flatnonzero(first.hashes == second.hashes[there])[0])
            raise EdgebigError(
                f"{data.source}: {int(shared.sum()):,} of the {len(second):,} {other} pictures are in {one} too, as "
                f"{other}[{there}] ('{found.classes[second.labels[there]]}'), which is {one}[{here}] "
                f"('{found.classes[first.labels[here]]}')",
                f"'edgebig data show {data.source}' lists them; take them out of one of the two",
            )


def _cut(found: Found, data: Data, check: bool) -> Splits:
    """`found` with the parts that it lacks cut out of train: test first, so that it is the same with any validation."""
    train, validation, test, notes = found.train, found.validation, found.test, found.notes
    if validation is None or test is None:
        notes += _copies_note(train)
    total = len(train)
    if test is None:
        train, test = _held_out(train, count_of(data.test, total), seed=1)
        if check and len(test) < max(1, count_of(data.test, total)):
            raise _too_few("test", data.test, total)
    if validation is None:
        train, validation = _held_out(train, count_of(data.validation, total), seed=0)
        if check and len(validation) < max(1, count_of(data.validation, total)):
            raise _too_few("validation", data.validation, total)
    framing = data.framing or found.framing
    return Splits(data.source, found.classes, train, validation, test, framing, notes)


def _held_out(train: Examples, count: int, *, seed: int) -> tuple[Examples, Examples]:
    """`train` without the held out, and those: at most `count`, of pictures that occur once.

    What is there twice stays in train with all its copies.
    """
    once = _times(train.hashes) == 1
    chosen = np.zeros(len(train), np.bool_)
    chosen[once] = in_proportion(train.labels[once], count, seed=seed)
    return train[~chosen], train[chosen]


def _times(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """(N,): how often the hash at each place occurs."""
    _, place, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[place])


def _copies_note(train: Examples) -> tuple[str, ...]:
    copies = int((_times(train.hashes) > 1).sum())
    if not copies:
        return ()
    return (f"{copies:,} pictures are copies of each other: all of them stay in train, and none is held out",)


def _check_classes(found: Found, data: Data) -> None:
    """Raises EdgebigError where there is nothing to tell apart, or nothing to do it with."""
    if len(found.classes) < 2:
        raise EdgebigError(
            f"{data.source}: one class alone, {_listed(found.classes)}", "there must be two to tell apart"
        )
    if empty := _without(found.train, found.classes):
        raise EdgebigError(
            f"{data.source}: no training example of {_listed(empty)}",
            "name the classes that you want, as in [data] classes = ['cat', 'dog']",
        )
    for name, part in _parts(found):
        if not len(part):
            raise EdgebigError(
                f"{data.source}: its {name} set is empty", "leave that part out: it is then cut out of train"
            )


def _without(part: Examples, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of which `part` has no example."""
    counts = np.bincount(part.labels, minlength=len(classes))
    return tuple(name for name, count in zip(classes, counts, strict=True) if not count)


def _remarks(splits: Splits) -> Iterator[str]:
    for name, part in (("validation", splits.validation), ("test", splits.test)):
        if missing := _without(part, splits.classes):
            yield f"{name} has no example of {_listed(missing)}"
    hashes, place = np.unique(splits.train.hashes, return_inverse=True)
    if len(hashes) < len(place):
        # A picture with one label is one pair of (picture, label), however often it is there.
        pairs = np.unique(place * len(splits.classes) + splits.train.labels)
        two = int((np.bincount(pairs // len(splits.classes)) > 1).sum())
        if two:
            yield f"pictures that stand in train under more than one class: {two:,}"
