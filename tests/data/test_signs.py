"""Letters and scribbles: every one can be drawn, none leaves the box by more than a hand's shake, none is a 1."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig.data import hershey, signs


@pytest.mark.parametrize("kind", [kind for kind in signs.KINDS if kind not in hershey.letters()])
def test_a_sign_is_lines_in_its_box(kind: str) -> None:
    for seed in range(20):
        lines = signs.draw(kind, np.random.default_rng(seed))
        points = np.concatenate(lines)
        assert all(line.ndim == 2 and line.shape[1] == 2 and len(line) >= 2 for line in lines)
        assert points.min() > -0.5
        assert points.max() < 1.5
        # An upright bar would be a digit.
        assert np.ptp(points[:, 0]) > 0.2 * np.ptp(points[:, 1])


def test_a_hand_never_draws_the_same_twice_but_by_its_seed() -> None:
    first, again = (signs.draw("A", np.random.default_rng(3)) for _ in range(2))
    other = signs.draw("A", np.random.default_rng(4))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


def test_kinds_are_picked_as_often_as_they_are_met() -> None:
    picked = signs.pick(20_000, np.random.default_rng(0))
    assert set(picked) == set(signs.KINDS)
    scribbles = sum(picked.count(kind) for kind in signs.SCRIBBLES)
    assert 0.15 < scribbles / len(picked) < 0.3
    assert picked.count("A") < picked.count("loops") / 2


def test_letters_that_are_digits_to_somebody_are_left_out() -> None:
    assert not set("BbDGgIiJjlOoQqSsTyYZz0123456789") & set(signs.LETTERS)
    assert not {"question", "more", "gate", "fork", "house", "minus"} & set(signs.SIGNS)


def test_letters_that_pass_for_digits_most_are_drawn_more_often() -> None:
    picked = signs.pick(40_000, np.random.default_rng(1))
    for hard, plain in (("a", "X"), ("and", "hash"), ("bold r", "bold k"), ("serif t", "serif v")):
        assert picked.count(hard) > 1.3 * picked.count(plain)


def test_a_round_stroke_goes_through_its_places() -> None:
    places = np.array([(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)])
    curve = signs._round(places)
    assert all(np.abs(curve - place).sum(1).min() < 1e-9 for place in places)
    assert np.abs(np.diff(curve, axis=0)).max() < 0.3
