"""The threshold below which a thing is no digit: between two steps, and never for more than 1 % of the digits."""

from __future__ import annotations

import numpy as np
import pytest

from edgebig import rejection


def test_what_can_be_told_apart_is_told_apart() -> None:
    known, unknown = np.array([0.9, 0.95, 0.99]), np.array([0.1, 0.3, 0.5])
    found = rejection.choose([known], unknown)
    assert 0.5 < found.confidence <= 0.9
    assert (found.known, found.kept, found.unknown, found.rejected) == (3, 3, 3, 3)


def test_it_lies_between_two_steps_of_an_int8_softmax() -> None:
    found = rejection.choose([np.array([200, 255]) / 256], np.array([199]) / 256)
    assert found.confidence == 199.5 / 256


@pytest.mark.parametrize("sure", [0.2, 0.6])
def test_each_kind_of_digit_keeps_its_99_percent(sure: float) -> None:
    # 1 % of each may go; the second kind has 2 % that are unsure, so that those must stay.
    one = np.concatenate([np.full(990, 0.99), np.full(10, 0.3)])
    other = np.concatenate([np.full(98, 0.99), np.full(2, sure)])
    found = rejection.choose([one, other], np.full(100, 0.9))
    assert found.confidence <= sure
    assert (other >= found.confidence).mean() >= rejection.KEPT


def test_no_more_digits_are_given_up_than_that_rejects_of_the_rest() -> None:
    # Half a percent of digits for nothing: not even where a whole percent may be given up.
    known = np.concatenate([np.full(995, 0.99), np.full(5, 0.6)])
    found = rejection.choose([known], np.full(50, 0.4))
    assert (found.kept, found.rejected) == (1000, 50)


def test_without_other_things_all_digits_stay() -> None:
    assert rejection.choose([np.linspace(0.2, 1, 50)], np.empty(0)).kept == 50
