"""How far TFLite Micro's kernels may be off: in steps of a score, what two steps of each logit can make there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.micro import interpreter

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

TESTS = Path(__file__).resolve().parent.parent


def allowed(path: Path) -> dict[str, float]:
    return interpreter.largest_allowed(path.read_bytes(), path.name)


def test_by_what_the_numbers_are() -> None:
    assert allowed(TESTS / "golden" / "dense-int8.tflite") == {"steps": 2, "real": 1e-5}
    assert allowed(TESTS / "export" / "nets" / "many-int16.tflite") == {"steps": 16, "real": 5e-4}


@given(
    logits=st.lists(st.integers(-128, 125), min_size=2, max_size=10),
    moved=st.lists(st.integers(-2, 2), min_size=10, max_size=10),
)
def test_no_two_steps_of_each_logit_make_more_of_a_score(logits: list[int], moved: list[int]) -> None:
    scale, step = 0.1537, 1 / 256  # the scale is a net's own, the step every int8 softmax's
    most = interpreter.behind_softmax(2, scale, step)

    def scores(values: list[int]) -> np.ndarray:
        powers = np.exp(scale * (np.array(values, np.float64) - max(values)))
        return np.rint(powers / powers.sum() / step)

    other = [logit + more for logit, more in zip(logits, moved, strict=False)]
    assert np.abs(scores(other) - scores(logits)).max() <= most


def test_the_bound_is_near_what_can_be() -> None:
    """Two classes, one a little ahead and then the other."""
    before, after = 1 / (1 + np.exp(2 * 0.15)), 1 / (1 + np.exp(-2 * 0.15))
    assert interpreter.behind_softmax(2, 0.15, 1 / 256) - 256 * (after - before) < 2.5
