"""The arena: what is alive together, and what is set aside for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.micro import arena
from edgebig.tflitefile import DTYPES

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def tensor(count: int, dtype: str = "int8") -> dict[str, Any]:
    return {"shape": (1, count), "type": DTYPES.index(dtype)}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """A graph in which each operator reads tensors that are there, constants among them, and makes one."""
    steps = draw(st.integers(1, 8))
    tensors = [tensor(draw(st.integers(1, 100))) for _ in range(steps + 2)]
    operators = []
    for step in range(steps):
        there = [0, 1, *range(2, 2 + step)]  # 0 is the input, 1 a constant
        operators.append(
            {
                "inputs": tuple(draw(st.lists(st.sampled_from(there), min_size=1, max_size=3))),
                "outputs": (2 + step,),
            }
        )
    outputs = draw(st.lists(st.sampled_from(range(2, 2 + steps)), min_size=1, max_size=2, unique=True))
    return {
        "subgraphs": [{"tensors": tensors, "operators": operators, "inputs": (0,), "outputs": tuple(outputs)}]
    }


def rounded(graph: dict[str, Any], index: int) -> int:
    return -(-int(graph["tensors"][index]["shape"][1]) // 16) * 16


@given(graphs())
def test_the_peak_is_what_a_run_by_hand_needs(parsed: dict[str, Any]) -> None:
    graph = parsed["subgraphs"][0]
    held, peak = {0}, rounded(graph, 0)
    for step, operator in enumerate(graph["operators"]):
        held |= set(operator["outputs"])
        peak = max(peak, sum(rounded(graph, index) for index in held))
        later = {index for rest in graph["operators"][step + 1 :] for index in rest["inputs"]}
        held &= later | set(graph["outputs"])
    assert arena.peak_bytes(parsed) == peak


def test_types_count_by_their_bytes() -> None:
    def peak(dtype: str) -> int:
        graph = {"tensors": [tensor(64, dtype)], "operators": [], "inputs": (0,), "outputs": (0,)}
        return arena.peak_bytes({"subgraphs": [graph]})

    assert [peak(dtype) for dtype in ("int8", "int16", "float32", "int64")] == [64, 128, 256, 512]


def test_margins_and_scratch() -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    found = arena.measured(data, 2672, "tflite-micro 0")
    # Its convolution looks at 5 x 5 x 1: rounded up to 28, twice, as int16.
    assert (found.scratch_bytes, found.size_bytes, found.measured) == (112, 3328, True)
    assert found.size_bytes >= found.used_bytes + found.scratch_bytes + 512
    guess = arena.estimated(data)
    assert "ESTIMATE" in guess.method
    assert not guess.measured
    assert guess.size_bytes >= found.used_bytes
