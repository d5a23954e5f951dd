"""idx:DIR and npz:FILE: the arrays of pictures and labels in files, found by their names. numpy only."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgebig.data import idx
from edgebig.data.examples import Found
from edgebig.data.labelled import Labelled, Part, found
from edgebig.errors import EdgebigError

# What comes as arrays is held in memory.
LIMIT_BYTES = 1 << 31
_CLASSES_LIMIT_BYTES = 1 << 20
_IDX_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test|validation|valid|val)-(?P<kind>images|labels)[-.]idx\d(-\w+)?(\.gz)?"
)
_PART_OF: dict[str, Part] = {
    "train": "train",
    "t10k": "test",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}
# As NIST publishes them. Its pictures have rows and columns swapped (Cohen et al. 2017, the Matlab order).
_EMNIST = re.compile(r"emnist-(byclass|bymerge|balanced|letters|digits|mnist)-")
_NPZ_NAMES: dict[Part, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def load_idx(folder: Path) -> Found:
    """The idx files of `folder`, named as MNIST's or EMNIST's are; `classes.txt` may name the classes, one a line.

    Raises EdgebigError where a file is missing or is not as due.
    """
    prefix, paths = _idx_paths(folder)
    parts: dict[Part, Labelled] = {}
    for part, (images_path, labels_path) in paths.items():
        images = idx.read_idx(images_path, limit_bytes=LIMIT_BYTES, of_bytes=False)
        labels = idx.read_idx(labels_path, limit_bytes=LIMIT_BYTES, of_bytes=False)
        if _EMNIST.fullmatch(prefix) and images.ndim == 3:
            images = images.transpose(0, 2, 1)
        parts[part] = Labelled(images, labels, str(images_path), str(labels_path))
    notes = (
        ("the pictures are set upright: EMNIST's files have their rows and columns swapped",)
        if _EMNIST.fullmatch(prefix)
        else ()
    )
    classes = folder / "classes.txt"
    names = _class_lines(classes) if classes.is_file() else None
    return found(parts, names, str(classes), notes=notes)


def _idx_paths(folder: Path) -> tuple[str, dict[Part, tuple[Path, Path]]]:
    """-> what the files' names begin with, and for each part its pictures and its labels."""
    if not folder.is_dir():
        problem = "a file, not a folder" if folder.exists() else "no such folder"
        raise EdgebigError(f"{folder}: {problem}", "as in idx:DIR, the folder of the idx files")
    there: dict[tuple[str, str, str], Path] = {}
    # A name with .gz comes after the same without, which is read faster.
    for path in sorted(folder.iterdir()):
        match = _IDX_NAME.fullmatch(path.name)
        if match is not None and path.is_file():
            there.setdefault((match["prefix"], match["split"], match["kind"]), path)
    prefixes = sorted({prefix for prefix, _, _ in there})
    if not prefixes:
        raise EdgebigError(
            f"{folder}: no idx files in it", "it needs train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    splits = sorted({split for _, split, _ in there})
    if len(prefixes) > 1 or len({_PART_OF[split] for split in splits}) < len(splits):
        held = ", ".join(f"'{each}'" for each in (prefixes if len(prefixes) > 1 else splits))
        raise EdgebigError(
            f"{folder}: more than one set of idx files in it ({held})",
            "put the files of the one that you mean into a folder of its own",
        )
    paths: dict[Part, tuple[Path, Path]] = {}
    for split in sorted({"train", *splits}):
        pair = [there.get((prefixes[0], split, kind)) for kind in ("images", "labels")]
        if pair[0] is None or pair[1] is None:
            missing = "images-idx3" if pair[0] is None else "labels-idx1"
            raise EdgebigError(
                f"{folder / f'{prefixes[0]}{split}-{missing}-ubyte'}: no such file, with .gz or without",
                "pictures and labels are two files; put this one beside the others",
            )
        paths[_PART_OF[split]] = pair[0], pair[1]
    return prefixes[0], paths


def _class_lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        data = file.read(_CLASSES_LIMIT_BYTES + 1)
    mend = "one class's name a line, in UTF-8"
    if len(data) > _CLASSES_LIMIT_BYTES:
        raise EdgebigError(f"{path}: over {_CLASSES_LIMIT_BYTES:,} bytes", mend)
    try:
        return [line.strip() for line in data.decode("utf-8-sig").rstrip().split("\n")]
    except UnicodeDecodeError as error:
        raise EdgebigError(f"{path}: not UTF-8 ({error})", mend) from error


def load_npz(path: Path) -> Found:
    """The arrays of an npz file, by the names that Keras (x_train, y_train ...) and MedMNIST (train_images ...) use.

    Or `images` and `labels` alone; `classes` may name the classes. Raises EdgebigError where it is not as due.
    """
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise EdgebigError(f"{path}: {problem}", "as in npz:FILE, as numpy.savez_compressed writes it")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read_npz(archive, path)
    # zipfile raises RuntimeError for an encrypted member and NotImplementedError for a packing it does not know.
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise EdgebigError(
            f"{path}: {error}", "write it by numpy.savez_compressed, with arrays of numbers or texts"
        ) from error
    parts = {
        part: Labelled(arrays[x], arrays[y], f"{path}: {x}", f"{path}: {y}")
        for part, names in _NPZ_NAMES.items()
        for x, y in names
        if x in arrays
    }
    classes = arrays.get("classes")
    if classes is not None and classes.ndim != 1:
        raise EdgebigError(f"{path}: classes of the shape {classes.shape}", "give a list of names")
    return found(parts, None if classes is None else classes.tolist(), f"{path}: classes")


def _read_npz(archive: zipfile.ZipFile, path: Path) -> dict[str, npt.NDArray[Any]]:
    there = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    wanted: list[str] = []
    for part, names in _NPZ_NAMES.items():
        pairs = [pair for pair in names if there & set(pair)]
        if len(pairs) > 1 or (part == "train" and not pairs):
            problem = "two train sets" if pairs else "no train set"
            raise EdgebigError(
                f"{path}: {problem if part == 'train' else f'two {part} sets'} in it; "
                f"it has {', '.join(sorted(there)) or 'no array'}",
                "name them x_train and y_train, or images and labels",
            )
        wanted += pairs[0] if pairs else ()
    if missing := [name for name in wanted if name not in there]:
        raise EdgebigError(
            f"{path}: no array '{missing[0]}'; it has {', '.join(sorted(there))}",
            "pictures and labels go together: x_train and y_train, x_test and y_test",
        )
    arrays: dict[str, npt.NDArray[Any]] = {}
    room = LIMIT_BYTES
    for name in [*wanted, *({"classes"} & there)]:
        arrays[name] = idx.read_npy(archive, f"{name}.npy", limit_bytes=room)
        room -= arrays[name].nbytes
    return arrays
