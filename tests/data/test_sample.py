"""What a contact sheet shows: which pictures, and that each is followed by its own changed versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.data import sample, source
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.recipe import Augment, Data, Paper


@given(
    labels=st.lists(st.integers(0, 4), max_size=40),
    classes=st.integers(1, 6),
    each=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_pick(labels: list[int], classes: int, each: int, seed: int) -> None:
    part = Examples(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels, np.int64))
    chosen = sample.pick(part, classes, each, seed=seed)
    assert len(chosen) == classes
    for label, members in enumerate(chosen):
        assert len(members) == min(each, labels.count(label))
        assert all(part.labels[members] == label)
        assert np.all(np.diff(members) > 0)
    again = sample.pick(part, classes, each, seed=seed)
    assert all(map(np.array_equal, chosen, again))


def test_pick_is_by_chance() -> None:
    part = Examples(np.zeros((500, 1, 1, 1), np.uint8), np.zeros(500, np.int64))
    first, other = (sample.pick(part, 1, 10, seed=seed)[0].tolist() for seed in (0, 1))
    assert first != other
    assert first != list(range(10))


def test_every_key_that_changes_a_picture_turns_augmentation_on() -> None:
    some = {float: 0.5, int: 2, bool: True}
    for key, field in Augment.model_fields.items():
        if key in ("fill", "elastic_scale_px"):
            continue
        of_none = {"function": "python:x.py:f", "paper": Paper()}
        value = of_none[key] if field.default is None else some[type(field.default)]
        assert sample.is_on(Augment(**{key: value})), key
    assert not sample.is_on(Augment())
    assert not sample.is_on(Augment(fill="edge", elastic_scale_px=3.0))
    assert sample.is_on(Augment(fill="edge", shift_px=1.0))


def pictures(n: int) -> Examples:
    images = np.random.default_rng(0).integers(0, 256, (n, 6, 5, 3), np.uint8)
    return Examples(images, np.arange(n) % 3)


@pytest.mark.tf
def test_every_second_version_is_as_found_on_paper() -> None:
    digits = source.load(Data(source="digits-5k")).train[:8]
    made = sample.changed(digits, Augment(paper=Paper()), 3)
    assert made.shape == (8, 3, 28, 28, 1)
    assert (made[:, ::2] == digits.images[:, np.newaxis]).all()
    assert (made[:, 1] != digits.images).any((1, 2, 3)).sum() >= 5
    assert np.array_equal(made, sample.changed(digits, Augment(paper=Paper()), 3))


@pytest.mark.tf
def test_what_is_no_digit_is_not_written_on_paper() -> None:
    with pytest.raises(EdgebigError, match=r"\[data.augment.paper\]: the source has no grey digits"):
        sample.changed(pictures(2), Augment(paper=Paper()), 2)


@pytest.mark.tf
@pytest.mark.parametrize("batch_bytes", [1 << 26, 1000, 1])
def test_versions_stand_behind_their_picture(monkeypatch: pytest.MonkeyPatch, batch_bytes: int) -> None:
    """A mirrored picture tells whose it is, whatever the shuffle and the batches were."""
    monkeypatch.setattr(sample, "_BATCH_BYTES", batch_bytes)
    part = pictures(9)
    made = sample.changed(part, Augment(flip=True), 6)
    assert made.shape == (9, 6, 6, 5, 3)
    assert made.dtype == np.uint8
    plain = (made == part.images[:, None]).all((2, 3, 4))
    mirrored = (made == part.images[:, None, :, ::-1]).all((2, 3, 4))
    assert (plain ^ mirrored).all()
    assert 10 < mirrored.sum() < 44
    assert np.array_equal(made, sample.changed(part, Augment(flip=True), 6))


@pytest.mark.tf
def test_mixed_pictures_stand_behind_the_heavier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    part = pictures(8)
    for batch_bytes in (1 << 26, 1):
        monkeypatch.setattr(sample, "_BATCH_BYTES", batch_bytes)
        made = sample.changed(part, Augment(mixup=0.4), 5).astype(float)
        assert (made != part.images[:, None]).any()
        far = np.abs(made[:, :, None] - part.images.astype(float)).mean((3, 4, 5))
        assert (far.argmin(axis=2) == np.arange(8)[:, None]).all()


@pytest.mark.tf
def test_one_picture_and_a_function_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def negative(pictures, seed):\n    return 1.0 - pictures\n", encoding="utf-8")
    part = pictures(1)
    made = sample.changed(part, Augment(function=f"python:{file}:negative"), 2)
    assert (made == 255 - part.images[:, None]).all()
    assert sample.changed(part[:0], Augment(flip=True), 2).shape == (0, 2, 6, 5, 3)
