"""Digits on paper come back as themselves, other things as none; the same each time, and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import rejection
from edgebig.artifact import Preprocessing
from edgebig.data import paper, source
from edgebig.data.examples import Examples, Splits
from edgebig.data.taught import NOTHING
from edgebig.errors import EdgebigError
from edgebig.recipe import Augment, Data, Paper


@pytest.fixture(scope="module")
def embedded() -> Splits:
    return source.load(Data(source="digits-5k"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edgebig" / "paper"


def test_what_comes_back_are_the_digits_that_were_written(embedded: Splits) -> None:
    some = embedded.train[::30]
    # In any order: a page may be so dark that nothing on it is found.
    things = np.random.default_rng(0).permutation(np.concatenate([np.arange(len(some)), np.full(40, -1)]))
    seen = paper.write(some, things, np.random.default_rng(0))
    digits = seen.digits()
    assert seen.written == len(some) == 117
    assert seen.found == len(digits) >= 70
    assert len(seen.nothings()) >= 20
    assert digits.images.dtype == np.uint8
    assert digits.images.shape[1:] == paper.SHAPE
    assert (digits.images.max((1, 2, 3)) > 128).all()
    # As many of a class as were written of it, at most.
    written, found = (np.bincount(part.labels, minlength=10) for part in (some, digits))
    assert (found <= written).all()


def test_they_are_written_once_and_kept_by_what_they_depend_on(
    embedded: Splits, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = embedded.train[:6]
    first = paper.see(some, 1, 0.5, seed=1)
    assert (first.written, len(list(cache.iterdir()))) == (6, 1)
    monkeypatch.setattr(paper, "write", lambda *_: pytest.fail("was there already"))
    monkeypatch.setattr(paper, "_identity", lambda *_: next(cache.iterdir()).stem)
    again = paper.see(some, 1, 0.5, seed=1)
    assert (again.images == first.images).all()
    assert (again.labels == first.labels).all()
    assert again.found == first.found


def test_a_damaged_file_is_made_again(embedded: Splits, cache: Path) -> None:
    some = embedded.train[:4]
    first = paper.see(some, 1, 0, seed=1)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    assert (paper.see(some, 1, 0, seed=1).images == first.images).all()


@pytest.mark.parametrize(
    "other",
    [
        lambda some: (some[:3], 1, 0.5, 1),
        lambda some: (Examples(some.images, (some.labels + 1) % 10), 1, 0.5, 1),
        lambda some: (some, 2, 0.5, 1),
        lambda some: (some, 1, 0.25, 1),
        lambda some: (some, 1, 0.5, 2),
    ],
)
def test_its_name_holds_all_that_it_depends_on(
    embedded: Splits, other: Callable[[Examples], tuple[Any, ...]]
) -> None:
    some = embedded.train[:4]
    assert paper._identity(some, 1, 0.5, 1) == paper._identity(some, 1, 0.5, 1)
    assert paper._identity(*other(some)) != paper._identity(some, 1, 0.5, 1)


def test_its_name_holds_the_code_of_the_preprocessing() -> None:
    found: dict[str, Any] = {}
    paper._with_imports(paper.preprocess, found)
    assert {
        f"edgebig.ondevice.{name}" for name in ("preprocess", "ink", "parts", "strokes", "sampling")
    } <= set(found)


def test_its_name_holds_the_letters_that_are_drawn(
    embedded: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = paper._identity(embedded.train[:4], 1, 0.5, 1)
    other = tmp_path / "hershey.txt"
    other.write_text("sans A RFJ[ RFZ[\n", "ascii")
    monkeypatch.setattr(paper.hershey, "PATH", other)
    assert paper._identity(embedded.train[:4], 1, 0.5, 1) != before


def test_other_things_are_drawn_where_there_is_no_digit_to_make_a_pair_of(embedded: Splits) -> None:
    seen = paper.write(embedded.train[:1], np.full(60, -1), np.random.default_rng(0))
    assert (seen.written, seen.found) == (0, 0)
    assert len(seen.nothings()) >= 20


def test_training_learns_from_them_besides_its_own(embedded: Splits, cache: Path) -> None:
    few = Splits(
        embedded.source, embedded.classes, embedded.train[:20], embedded.validation, embedded.test, "ink"
    )
    assert paper.learnt(few, Augment()) is few.train
    found = paper.learnt(few, Augment(paper=Paper(copies=0.5, nothings=1.0)))
    assert (found.images[:20] == few.train.images).all()
    added = found.labels[20:]
    assert 0 < (added != NOTHING).sum() <= 10
    assert (added == NOTHING).any()


def test_pictures_that_are_no_digits_are_refused(embedded: Splits) -> None:
    whole = Splits(
        "fashion-mnist", embedded.classes, embedded.train, embedded.validation, embedded.test, "whole"
    )
    with pytest.raises(EdgebigError, match=r"\[data.augment.paper\]: fashion-mnist has no grey digits"):
        paper.learnt(whole, Augment(paper=Paper()))
    with pytest.raises(EdgebigError, match="fashion-mnist has no grey digits"):
        rejection.threshold(b"", whole, Preprocessing(low=0, high=1, ink_is_high=True, colour="grey"))


def test_versions_show_a_digit_as_it_is_and_on_paper(embedded: Splits) -> None:
    some = embedded.train[:12]
    shown = paper.versions(some, 3)
    assert shown.shape == (12, 3, *paper.SHAPE)
    assert (shown[:, 0] == some.images).all()
    assert (shown[:, 2] == some.images).all()
    assert (shown[:, 1] != some.images).any((1, 2, 3)).sum() >= 8
