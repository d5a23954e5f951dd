"""The child of tflite-micro: the search for the arena, in which a size that ends the process is only too small."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.micro import tflm_child


@given(
    needed=st.integers(1, 1 << 20),
    guess=st.integers(0, 1 << 21),
    step=st.sampled_from([1, 16, 64]),
)
def test_the_smallest_arena_is_found_from_any_guess(needed: int, guess: int, step: int) -> None:
    tried: list[int] = []

    def suffices(size: int) -> bool:
        tried.append(size)
        return size >= needed

    guess = guess // step * step
    found = tflm_child.smallest(suffices, guess, 1 << 22, step)
    assert found % step == 0
    assert found >= needed > found - step
    assert found in tried
    assert len(tried) <= 2 * (1 << 22).bit_length()


def test_a_model_that_no_arena_holds_is_an_error() -> None:
    tried: list[int] = []

    def refuse(size: int) -> bool:
        tried.append(size)
        return False

    with pytest.raises(RuntimeError, match="1024"):
        tflm_child.smallest(refuse, 16, 1024, 16)
    assert tried[-1] == 1024


def test_an_attempt_that_ends_its_process_has_failed() -> None:
    def crash() -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    def refuse() -> bool:
        raise RuntimeError("does not load")

    assert tflm_child.survives(lambda: True)
    assert not tflm_child.survives(lambda: False)
    assert not tflm_child.survives(refuse)
    assert not tflm_child.survives(crash)
