"""Letters of seven hands: all can be drawn, no two alike, and none that is a digit to somebody is among them."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig.data import hershey


def test_there_are_letters_of_seven_hands_each_once() -> None:
    lines = [
        line.split() for line in hershey.PATH.read_text("ascii").splitlines() if not line.startswith("#")
    ]
    assert len(lines) == len(hershey.letters()) > 200
    assert {line[0] for line in lines} == {"sans", "bold", "serif", "italic", "script", "greek", "cyrillic"}


def test_letters_that_are_digits_to_somebody_are_left_out() -> None:
    latin = {name for hand, name in map(str.split, hershey.letters()) if hand not in ("greek", "cyrillic")}
    assert not set("BbDGgIiJjlOoQqSsTyYZz0123456789") & latin
    assert not {"script L", "script F", "script f", "greek B", "greek H", "cyrillic Z", "cyrillic J"} & set(
        hershey.letters()
    )


def test_a_letter_fills_the_middle_of_its_box() -> None:
    for kind, kept in hershey.letters().items():
        for lines in (kept, hershey.draw(kind, np.random.default_rng(0))):
            points = np.concatenate(lines)
            low, high = points.min(0), points.max(0)
            assert (high - low).max() == pytest.approx(1), kind
            assert (low + high) / 2 == pytest.approx((0.5, 0.5)), kind
            # An upright bar would be a digit.
            assert np.ptp(points[:, 0]) > 0.2 * np.ptp(points[:, 1]), kind


def test_a_hand_never_draws_the_same_twice_but_by_its_seed() -> None:
    def drawn(seed: int) -> np.ndarray:
        return np.concatenate(hershey.draw("script a", np.random.default_rng(seed)))

    assert (drawn(3) == drawn(3)).all()
    assert drawn(3).shape != drawn(4).shape or np.abs(drawn(3) - drawn(4)).max() > 0.02


def test_round_corners_stay_near_and_ends_where_they_are() -> None:
    corner = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)])
    rounded = hershey._rounded(corner)
    assert (rounded[[0, -1]] == corner[[0, -1]]).all()
    assert not (rounded == (1.0, 0.0)).all(1).any()
    dense = hershey._dense(corner)
    assert len(dense) == 11
    assert np.hypot(*np.diff(dense, axis=0).T).max() <= 0.2 + 1e-9
