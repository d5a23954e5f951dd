"""Pictures and labels that come as arrays of any kind, checked and brought to one form. numpy only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgebig.data.examples import Examples, Found, Images
from edgebig.errors import EdgebigError

Part = Literal["train", "validation", "test"]

# So many numbers are looked at at once.
_CHUNK = 1 << 24
_NAME_CHARACTERS = 100
_SHOWN = 10
_LARGEST_LABEL = 999_999_999
_PIXELS = "pixels are uint8, or 0 to 255, or between 0 and 1"


@dataclass(frozen=True)
class Labelled:
    """Pictures and labels as they came, and where each is, as a message names it."""

    images: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    images_at: str
    labels_at: str


@dataclass(frozen=True)
class _Labels:
    """(N,) labels of one form: class numbers, of which `columns` were one-hot, or names."""

    values: npt.NDArray[Any]
    columns: int
    at: str

    @property
    def form(self) -> str:
        if self.columns:
            return f"one-hot rows of {self.columns}"
        return "names" if self.values.dtype.kind == "U" else "class numbers"


def found(
    parts: Mapping[Part, Labelled],
    classes: Sequence[Any] | None,
    classes_at: str,
    *,
    round_floats: bool = False,
    notes: tuple[str, ...] = (),
) -> Found:
    """`parts`, of which there is a train, as examples; without `classes`, these are the labels that occur.

    Pictures: see `to_u8`. Labels: class numbers (N,) or (N, 1), one-hot (N, classes), or names (N,).
    Raises EdgebigError that names the place.
    """
    images: dict[Part, Images] = {}
    labels: dict[Part, _Labels] = {}
    for part, given in parts.items():
        images[part], more = to_u8(given.images, given.images_at, round_floats=round_floats)
        notes += tuple(note for note in more if note not in notes)
        labels[part] = _labels(given.labels, given.labels_at)
        if len(labels[part].values) != len(images[part]):
            raise EdgebigError(
                f"{given.labels_at}: {len(labels[part].values):,} labels for the {len(images[part]):,} pictures "
                f"of {given.images_at}",
                "give each picture one label",
            )
    names = None if classes is None else class_names(classes, classes_at)
    names, indices = _indexed(labels, names, classes_at)
    examples = {part: Examples(images[part], indices[part]) for part in parts}
    return Found(names, examples["train"], examples.get("validation"), examples.get("test"), notes=notes)


def to_u8(images: npt.NDArray[Any], at: str, *, round_floats: bool = False) -> tuple[Images, tuple[str, ...]]:
    """(N, H, W) or (N, H, W, C), C of 1 or 3 -> uint8 (N, H, W, C), and notes.

    Whole numbers from 0 to 255 stay as they are, False is 0 and True 255, floats between 0 and 1 are times 255: whole
    numbers again, or rounded if `round_floats`. Raises EdgebigError where they are none of these.
    """
    if images.ndim not in (3, 4) or 0 in images.shape:
        problem = "no picture in it" if images.ndim in (3, 4) else "no pictures"
        raise EdgebigError(
            f"{at}: {problem}, its shape is {images.shape}",
            "pictures are (N, height, width) or (N, height, width, channels)",
        )
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.shape[3] not in (1, 3):
        first = images.shape[1] in (1, 3)
        raise EdgebigError(
            f"{at}: {images.shape[3]} channels, its shape is {images.shape}",
            "put the channels last: numpy.moveaxis(pictures, 1, 3)" if first else "1 is grey and 3 is RGB",
        )
    match images.dtype.kind:
        case "b":
            return np.where(images, np.uint8(255), np.uint8(0)), ()
        case "u" | "i":
            return _from_integers(images, at)
        case "f":
            return _from_floats(images, at, round_floats)
    raise EdgebigError(f"{at}: pictures of {images.dtype}", _PIXELS)


def _from_integers(images: npt.NDArray[Any], at: str) -> tuple[Images, tuple[str, ...]]:
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        raise EdgebigError(f"{at}: {images.dtype} pixels from {low} to {high}", _PIXELS)
    nearly_black = f"{at}: no pixel is over {high} of 255; if 1 is to be white, give the pictures times 255"
    return np.asarray(images, np.uint8), (nearly_black,) if high <= 1 else ()


def _from_floats(images: npt.NDArray[Any], at: str, round_floats: bool) -> tuple[Images, tuple[str, ...]]:
    low, high = _range(images, at)
    if low < 0 or high > 255:
        raise EdgebigError(f"{at}: {images.dtype} pixels from {low:g} to {high:g}", _PIXELS)
    scale = 255.0 if high <= 1 else 1.0
    # What k / 255 may be off by, in steps of 1 / 255, where it was computed and stored as this type or as float32.
    exact = 255 * max(float(np.finfo(kind).eps) for kind in (images.dtype, np.float32)) if scale > 1 else 0.0
    pixels, off = np.empty(images.shape, np.uint8), 0.0
    for chunk in _chunks(images):
        steps = images[chunk].astype(np.float64) * scale
        whole = np.rint(steps)
        off = max(off, float(np.abs(steps - whole).max()))
        pixels[chunk] = whole
    if off > exact and scale == 1.0:
        raise EdgebigError(f"{at}: {images.dtype} pixels up to {high:g} that are not whole numbers", _PIXELS)
    if off > exact and not round_floats:
        raise EdgebigError(
            f"{at}: {images.dtype} pixels between the 256 steps of 8 bits",
            "store numpy.rint(pictures * 255).astype(numpy.uint8)",
        )
    return pixels, (f"{at}: pixels were rounded to 8 bits",) if off > exact else ()


def _range(images: npt.NDArray[Any], at: str) -> tuple[float, float]:
    """The least and the greatest. Raises EdgebigError where one is not a number."""
    lows, highs = [], []
    for chunk in _chunks(images):
        finite = np.isfinite(images[chunk]).all(axis=(1, 2, 3))
        if not finite.all():
            raise EdgebigError(
                f"{at}: NaN or infinity in picture {chunk.start + int(finite.argmin())}", _PIXELS
            )
        lows.append(float(images[chunk].min()))
        highs.append(float(images[chunk].max()))
    return min(lows), max(highs)


def _chunks(images: npt.NDArray[Any]) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, images[0].size))
    return (slice(start, start + step) for start in range(0, len(images), step))


def _labels(labels: npt.NDArray[Any], at: str) -> _Labels:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "buif":
        return _from_one_hot(labels, at)
    if labels.ndim != 1:
        raise EdgebigError(
            f"{at}: labels of the shape {labels.shape}", "labels are (N,), or one-hot (N, classes)"
        )
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise EdgebigError(f"{at}: names that are not UTF-8 ({error})", "store them as text") from error
    if labels.dtype.kind not in "buiU":
        raise EdgebigError(
            f"{at}: labels of {labels.dtype}",
            "labels are class numbers, as labels.astype(int) gives them, one-hot rows, or names",
        )
    if labels.dtype.kind in "ui" and len(labels) and (labels.min() < 0 or labels.max() > _LARGEST_LABEL):
        example = int(labels.argmin() if labels.min() < 0 else labels.argmax())
        raise EdgebigError(
            f"{at}: example {example} has the label {labels[example]}",
            f"class numbers are 0 to {_LARGEST_LABEL:,}; names may be any",
        )
    return _Labels(labels if labels.dtype.kind == "U" else labels.astype(np.int64), 0, at)


def _from_one_hot(labels: npt.NDArray[Any], at: str) -> _Labels:
    good = ((labels == 0) | (labels == 1)).all(axis=1) & (np.count_nonzero(labels, axis=1) == 1)
    if not good.all():
        raise EdgebigError(
            f"{at}: row {int(good.argmin())} of {labels.shape} is not one-hot",
            "each row has a single 1, and 0 elsewhere",
        )
    return _Labels(labels.argmax(axis=1), labels.shape[1], at)


def class_names(names: Sequence[Any], at: str) -> tuple[str, ...]:
    """`names`, texts or their UTF-8, as texts. Raises EdgebigError where one cannot name a class."""
    texts: list[str] = []
    for number, name in enumerate(names, 1):
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        text = str(text) if isinstance(text, str) else ""  # no numpy.str_
        if not text.strip() or not text.isprintable() or len(text) > _NAME_CHARACTERS:
            raise EdgebigError(
                f"{at}: name {number} is {ascii(name)[:_NAME_CHARACTERS]}",
                f"a class's name is text on one line, of at most {_NAME_CHARACTERS} characters",
            )
        if text in texts:
            raise EdgebigError(
                f"{at}: name {number}, '{text}', is name {texts.index(text) + 1} too", "name each class once"
            )
        texts.append(text)
    return tuple(texts)


def _indexed(
    labels: Mapping[Part, _Labels], names: tuple[str, ...] | None, names_at: str
) -> tuple[tuple[str, ...], dict[Part, npt.NDArray[np.int64]]]:
    """The classes' names, and each part's labels as indices into them."""
    train = labels["train"]
    for other in labels.values():
        if other.form != train.form:
            raise EdgebigError(
                f"{other.at}: {other.form}, but {train.at} has {train.form}", "label all parts in one way"
            )
    there = np.unique(np.concatenate([each.values for each in labels.values()]))
    names, keys = _keys(there, train, names, names_at)
    index_of = {key: index for index, key in enumerate(keys)}
    table = np.array([index_of.get(value, -1) for value in there.tolist()], np.int64)
    indices: dict[Part, npt.NDArray[np.int64]] = {}
    for part, each in labels.items():
        indices[part] = table[np.searchsorted(there, each.values)]
        if (unknown := indices[part] < 0).any():
            example = int(unknown.argmax())
            raise _no_class(each.values[example].item(), f"{each.at}: example {example}", names, keys)
    return names, indices


def _keys(
    there: npt.NDArray[Any], train: _Labels, names: tuple[str, ...] | None, names_at: str
) -> tuple[tuple[str, ...], Sequence[Any]]:
    """The classes' names, and the label that stands for each; `there` are the labels that occur."""
    if names is None and train.form == "names":
        names = tuple(sorted(class_names(there.tolist(), train.at), key=_natural))
    elif names is None:
        numbers = range(train.columns) if train.columns else there.tolist()
        return tuple(map(str, numbers)), numbers
    if train.form == "names":
        return names, names
    if train.columns not in (0, len(names)):
        raise EdgebigError(
            f"{train.at}: {train.form}, but {names_at} names {len(names)} classes",
            "name each column, in order",
        )
    # EMNIST's letters are 1 to 26. Where the last number has no name if counted from 0, nothing else can be meant.
    first = int(there[0] >= 1 and there[-1] == len(names))
    return names, range(first, first + len(names))


def _no_class(label: Any, at: str, names: tuple[str, ...], keys: Sequence[Any]) -> EdgebigError:
    if isinstance(label, str):
        close = difflib.get_close_matches(label, names, n=1)
        guess = f" (did you mean '{close[0]}'?)" if close else ""
        shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        return EdgebigError(f"{at} is of no class: '{label}'{guess}", f"the classes are {shown}")
    return EdgebigError(
        f"{at} has the label {label}, but the names of classes are for {keys[0]} to {keys[-1]}",
        "name as many classes as there are labels, or mend the labels",
    )


def _natural(name: str) -> list[str | int]:
    """A key by which "2" comes before "10"."""
    return [int(piece) if number % 2 else piece for number, piece in enumerate(re.split(r"(\d+)", name))]
