"""images:DIR: which files are pictures, of which class and split. No file is opened, so that most here are empty."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data.folder import list_folder
from edgebig.data.listing import PARTS, natural, printable, some
from edgebig.errors import EdgebigError

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: names of any bytes")
needs_no_root = pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who is not root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def as_listed(root: Path, wanted: tuple[str, ...] | None = None) -> dict[str, tuple[str, str]]:
    """{name: (class, split)}."""
    listing = list_folder(root, wanted)
    assert list(listing.names) == sorted(listing.names)
    parts = ["-"] * len(listing.names) if listing.parts is None else [PARTS[part] for part in listing.parts]
    labels = [listing.classes[label] for label in listing.labels]
    return dict(zip(listing.names, zip(labels, parts, strict=True), strict=True))


def fault(root: Path, wanted: tuple[str, ...] | None = None) -> str:
    with pytest.raises(EdgebigError) as caught:
        list_folder(root, wanted)
    assert caught.value.hint
    assert printable(str(root)) in caught.value.problem
    return caught.value.problem


def test_a_folder_is_a_class_with_all_below_it(root: Path) -> None:
    touch(root, "cat/a.png", "cat/old/2019/b.JPG", "dog/c.webp")
    assert as_listed(root) == {
        "cat/a.png": ("cat", "-"),
        "cat/old/2019/b.JPG": ("cat", "-"),
        "dog/c.webp": ("dog", "-"),
    }


def test_classes_are_in_natural_order(root: Path) -> None:
    touch(root, *(f"{name}/a.png" for name in ("10", "9", "b10", "B9", "a", "1")))
    assert list_folder(root, None).classes == ("1", "9", "10", "a", "B9", "b10")


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val"])
def test_splits_stand_above_classes(root: Path, validation: str) -> None:
    touch(root, "train/cat/a.png", "train/dog/b.png", f"{validation}/cat/c.png", "test/dog/x/d.png")
    assert as_listed(root) == {
        "train/cat/a.png": ("cat", "train"),
        "train/dog/b.png": ("dog", "train"),
        f"{validation}/cat/c.png": ("cat", "validation"),
        "test/dog/x/d.png": ("dog", "test"),
    }


def test_train_is_a_class_where_it_stands_beside_other_vehicles(root: Path) -> None:
    touch(root, "train/a.png", "bus/b.png")
    assert list_folder(root, None).classes == ("bus", "train")
    touch(root, "train/fast/c.png")
    assert as_listed(root)["train/fast/c.png"] == ("train", "-")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["train/cat/a.png", "extra/b.png"], "'extra' stands beside 'train': are they classes or splits"),
        (["train/cat/a.png", "Train/cat/a.png"], "are both train"),
        (["train/cat/a.png", "val/cat/a.png", "valid/cat/b.png"], "val and valid are both validation"),
        (["val/cat/a.png", "test/cat/b.png"], "but no train"),
        (["train/a.png", "test/b.png"], "no folder with pictures in it"),
        (["a.png"], "no folder with pictures in it"),
        (["cat/a.png", "dog/notes.txt"], "no picture of the class 'dog'"),
        (["cat/a.png", "a\x1bb/c.png"], r"'a\x1bb' is no name for a class"),
    ],
)
def test_each_unclear_layout_is_one_fault(root: Path, names: list[str], what: str) -> None:
    touch(root, *names)
    if len({path.name for path in root.iterdir()}) == 1 and "Train" in "".join(names):
        pytest.skip("needs Linux: names that differ in case alone")
    assert what in fault(root)


def test_all_empty_classes_are_told_at_once(root: Path) -> None:
    touch(root, "cat/a.png", *(f"empty{index}/notes.txt" for index in range(14)))
    lines = fault(root).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 4 more"


def test_no_folder_and_a_file(root: Path, tmp_path: Path) -> None:
    assert "no such folder" in fault(root)
    touch(tmp_path, "photos")
    assert "not a folder" in fault(root)


def test_what_systems_leave_behind_is_passed_over_and_other_files_are_told(root: Path) -> None:
    touch(
        root,
        "cat/a.png",
        "cat/.hidden.png",
        "cat/Thumbs.db",
        "cat/.DS_Store",
        "cat/._a.png",
        "cat/@eaDir/a.png",
    )
    touch(root, "__MACOSX/cat/a.png", ".git/a.png", "dog/b.png", "dog/labels.txt", "README.md", "loose.png")
    assert set(as_listed(root)) == {"cat/a.png", "dog/b.png"}
    loose, others = list_folder(root, None).notes
    assert "no class: loose.png" in loose
    assert others == "left out 2 that are no pictures by their names: README.md, dog/labels.txt"


def test_formats_that_are_not_read_are_listed_to_be_told_as_broken(root: Path) -> None:
    touch(root, "cat/a.svg", "cat/b.HEIC", "cat/c.nef")
    assert len(as_listed(root)) == 3


def test_only_wanted_classes_are_walked(root: Path) -> None:
    touch(root, "cat/a.png", "dog/b.png", "none/notes.txt", "x\ny/c.png")
    assert list_folder(root, ("dog", "cat")).classes == ("cat", "dog")
    assert "no class 'cats' (did you mean 'cat'?)" in fault(root, ("cats", "dog"))


def test_links_are_followed_but_not_in_circles_nor_to_the_whole_disk(root: Path, tmp_path: Path) -> None:
    touch(root, "cat/a.png", "dog/b.png")
    touch(tmp_path, "elsewhere/c.png", "elsewhere/deep/d.png")
    (root / "bird").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "deep")
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "dog" / "up").symlink_to("..")
    (root / "dog" / "disk").symlink_to("/")
    (root / "dog" / "circle").symlink_to("circle")
    (root / "dog" / "e.png").symlink_to("nowhere")  # to be told when it is opened
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    assert set(as_listed(root)) == {
        "cat/a.png",
        "cat/more/d.png",
        "cat/more/back/c.png",
        "dog/b.png",
        "dog/e.png",
        "bird/c.png",
        "bird/deep/d.png",
    }
    assert "links to a folder that is above or was read already" in " ".join(list_folder(root, None).notes)


@needs_linux
def test_names_of_any_bytes_break_no_message(root: Path) -> None:
    touch(
        root, "cat/a.png", os.fsdecode(b"cat/caf\xe9.png"), os.fsdecode(b"cat/notes\xff"), "cat/\x1b[31m.png"
    )
    listing = list_folder(root, None)
    told = [listing.told(index) for index in range(3)]
    assert told == [r"cat/\x1b[31m.png", "cat/a.png", r"cat/caf\udce9.png"]
    assert r"cat/notes\udcff" in listing.notes[0]
    touch(root, os.fsdecode(b"do\xffg/b.png"))
    assert r"'do\udcffg' is no name for a class" in fault(root)


@needs_no_root
def test_a_folder_that_may_not_be_read(root: Path) -> None:
    touch(root, "cat/a.png", "dog/b.png")
    (root / "dog").chmod(0)
    try:
        assert "Permission denied" in fault(root)
    finally:
        (root / "dog").chmod(0o700)


@given(numbers=st.lists(st.integers(0, 10**30), min_size=2), prefix=st.sampled_from(["", "img", "9a"]))
@settings(max_examples=50)
def test_natural_order_is_that_of_the_numbers(numbers: list[int], prefix: str) -> None:
    names = [f"{prefix}{number}" for number in numbers]
    assert sorted(names, key=natural) == [f"{prefix}{number}" for number in sorted(numbers)]


ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # surrogates too


@given(data=st.data(), names=st.lists(ANY_TEXT))
@settings(max_examples=50)
def test_natural_order_is_one_order_of_any_names(data: st.DataObject, names: list[str]) -> None:
    shuffled = data.draw(st.permutations(names))
    assert sorted(names, key=natural) == sorted(shuffled, key=natural)


@given(text=ANY_TEXT)
@settings(max_examples=50)
def test_whatever_the_name_it_can_be_shown(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert "\n" not in shown
    assert "\x1b" not in shown
    if text.isascii() and text.isprintable():
        assert shown == text


def test_some_of_many() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", *"d" * 1200]) == "a, b, c and 1,200 more"
