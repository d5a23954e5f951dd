"""images:DIR -> the pictures in DIR/CLASS/, or in DIR/train/CLASS/, DIR/val/CLASS/ and DIR/test/CLASS/."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgebig.data.listing import (
    PART_OF,
    PARTS,
    Listing,
    class_fault,
    classes_of,
    printable,
    refuse,
    some,
)
from edgebig.errors import EdgebigError

# Pictures by their names. Those of the last two lines are of formats that are not read, and decoding tells so: whoever
# put them beside the others means them to be trained on.
_ENDINGS = frozenset((
    "apng", "avif", "bmp", "dib", "gif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "mpo", "pbm", "pgm", "png", "pnm",
    "ppm", "tif", "tiff", "webp",
    "ai", "dcm", "emf", "eps", "exr", "hdr", "heic", "heif", "ico", "jxl", "psd", "svg", "svgz", "tga", "wmf", "xcf",
    "arw", "cr2", "cr3", "dng", "nef", "orf", "raw", "rw2",
))  # fmt: skip
# What systems leave behind in folders; @eaDir holds copies of the pictures.
_LEFT_BEHIND = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"))
_LAYOUT = "one folder a class: DIR/CLASS/..., or DIR/train/CLASS/... beside val and test"


def list_folder(folder: Path, wanted: Sequence[str] | None) -> Listing:
    """The pictures below `folder`, known by their names; of the `wanted` classes where these are given.

    Links are followed, but to no folder above `folder` and to none twice.
    Raises EdgebigError where the folders are not as due or may not be read.
    """
    source = f"images:{printable(str(folder))}"
    if not folder.is_dir():
        hint = "a table of pictures is csv:FILE" if folder.is_file() else "check the path"
        raise EdgebigError(f"{source}: {'not a' if folder.exists() else 'no such'} folder", hint)
    walk = _Walk(folder)
    parts = _parts_of(walk, source)
    tops = parts or {"": 0}
    folders = {top: walk.look(top)[0] for top in tops}
    classes = classes_of((name for names in folders.values() for name in names), wanted, source)
    if not classes:
        raise EdgebigError(f"{source}: no folder with pictures in it", _LAYOUT)
    refuse([f"{source}: {fault}" for name in classes if (fault := class_fault(name))], "rename these folders")
    found = sorted(
        (name, classes.index(label), part)
        for top, part in tops.items()
        for label in folders[top]
        if label in classes
        for name in walk.pictures(os.path.join(top, label))
    )
    labels = np.array([label for _, label, _ in found], np.int64)
    in_parts = np.array([part for _, _, part in found], np.int64) if parts else None
    empty = np.setdiff1d(np.arange(len(classes)), labels)
    refuse(
        [f"{source}: no picture of the class '{classes[index]}'" for index in empty],
        "put pictures into its folder; or take it away, or name the others in [data] classes",
    )
    names = tuple(name for name, _, _ in found)
    return Listing(source, folder, classes, names, labels, in_parts, notes=walk.notes(tuple(tops)))


def _parts_of(walk: _Walk, source: str) -> dict[str, int]:
    """{folder: index into PARTS} where the top folders are splits, {} where they are classes. Raises EdgebigError."""
    folders = walk.look("")[0]
    named: dict[str, int] = {name: PART_OF[name.casefold()] for name in folders if name.casefold() in PART_OF}
    others = [name for name in folders if name not in named]
    # "train" may be a class beside "bus" and "car": its pictures then lie in it and not in folders of their own.
    if not named or (others and any(walk.look(name)[1] or not walk.look(name)[0] for name in named)):
        return {}
    if others:
        raise EdgebigError(
            f"{source}: '{printable(others[0])}' stands beside '{next(iter(named))}': are they classes or splits?",
            _LAYOUT,
        )
    for part, what in enumerate(PARTS):
        same = [name for name in named if named[name] == part]
        if len(same) > 1:
            raise EdgebigError(
                f"{source}: {same[0]} and {same[1]} are both {what}", "put them into one folder"
            )
    if 0 not in named.values():
        raise EdgebigError(f"{source}: {some(list(named))}, but no train", _LAYOUT)
    return named


@dataclass
class _Walk:
    """What was met on the way through `root`; names are relative to it."""

    root: Path
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def look(self, folder: str) -> tuple[list[str], list[str]]:
        """The folders and the files by the names of pictures right in `folder`, sorted. Raises EdgebigError."""
        folders, pictures = [], []
        try:
            with os.scandir(self.root / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            raise EdgebigError(
                f"{printable(str(self.root / folder))}: {error.strerror}", "check its permissions"
            ) from error
        for entry in entries:
            name = entry.name
            if name[0] == "." or name.casefold() in _LEFT_BEHIND:
                continue
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path)):
                folders.append(name)
            elif os.path.splitext(name)[1][1:].lower() in _ENDINGS:
                pictures.append(name)
            else:
                self.others.append(os.path.join(folder, name))
        return folders, pictures

    def pictures(self, folder: str) -> list[str]:
        """All pictures in `folder` and below."""
        # A link to a folder above would bring in the other classes, or the whole disk.
        seen = {_identity(above) for above in (self.root, *self.root.resolve().parents)}
        found: list[str] = []
        ahead = [folder]
        while ahead:
            here = ahead.pop()
            if (identity := _identity(self.root / here)) in seen:
                self.links.append(here)
                continue
            seen.add(identity)
            folders, pictures = self.look(here)
            found += [os.path.join(here, name) for name in pictures]
            ahead += [os.path.join(here, name) for name in folders]
        return found

    def notes(self, tops: Sequence[str]) -> tuple[str, ...]:
        loose = [os.path.join(top, name) for top in {"", *tops} for name in self.look(top)[1]]
        left_out = {
            "lie in the folder of no class": loose,
            "are no pictures by their names": sorted(set(self.others)),
            "are links to a folder that is above or was read already": self.links,
        }
        return tuple(
            f"left out {len(names):,} that {why}: {some([printable(name) for name in sorted(names)])}"
            for why, names in left_out.items()
            if names
        )


def _identity(folder: Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino
