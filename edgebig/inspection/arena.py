"""How much memory a model's tensors need at once, as TFLite and TFLite Micro would lay them out.

Both place the largest tensor first and each further one where there is room beside those that live at the same time.
https://github.com/tensorflow/tflite-micro/blob/main/tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/arena_planner.cc
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgebig.tflitegraph import Graph

Planner = Literal["tflite-micro", "litert"]
ALIGNMENT_BYTES: dict[Planner, int] = {"tflite-micro": 16, "litert": 64}
MOST_TENSORS = 3000  # to plan takes time by the square of it
_FOREVER = 1 << 40
_SCALAR_BYTES = 4
# LiteRT's kernels that may write over an input of the same size, and those that leave the numbers as they are.
_OVERWRITES = {"ADD": 2, "SUB": 2, "MUL": 2, "DIV": 2, "SOFTMAX": 1}
_PASSES_ON = {"RESHAPE": 1, "EXPAND_DIMS": 1, "SQUEEZE": 1, "BITCAST": 1}
_CONTROL_FLOW = {
    "IF",
    "WHILE",
    "CALL_ONCE",
    "CALL",
    "STABLEHLO_WHILE",
    "STABLEHLO_CASE",
    "STABLEHLO_COMPOSITE",
}


@dataclass(frozen=True)
class Placed:
    """A tensor's place in the arena, in bytes, and the first and the last operator during which it is needed."""

    tensor: int
    offset: int
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """The tensors' memory, of batch 1, without what kernels need for themselves and without the runtime's own records.

    `peak_bytes` is the height of the plan; `busiest` the operator during which most bytes are in use, `live_bytes`.
    """

    planner: Planner
    alignment_bytes: int
    peak_bytes: int
    busiest: int
    live_bytes: int
    placed: tuple[Placed, ...]


def why_not(graphs: tuple[Graph, ...]) -> str:
    """Why an arena cannot be planned, or ""."""
    if any(operator.kind in _CONTROL_FLOW for graph in graphs for operator in graph.operators):
        return "it has control flow"
    if len(graphs[0].tensors) > MOST_TENSORS:
        return f"it has more than {MOST_TENSORS} tensors"
    if not graphs[0].operators:
        return "it has no operators"
    return ""


def plan(graph: Graph, planner: Planner) -> Arena:
    """The plan of one subgraph."""
    alignment = ALIGNMENT_BYTES[planner]
    if planner == "litert":
        wanted, placed = _litert_lifetimes(graph), list[Placed]()
        whole = [item for item in wanted if item.first == 0 and item.last == _FOREVER]
        rest = [item for item in wanted if not (item.first == 0 and item.last == _FOREVER)]
        rest.sort(key=lambda item: (-item.size_bytes, item.first))
        for item in (*sorted(whole, key=lambda item: item.tensor), *rest):
            placed.append(_best_fit(item, placed, alignment))
    else:
        # Sizes are rounded up first. Its sort is stable over a list that was filled from the end.
        wanted = [_sized(item, _aligned(item.size_bytes, alignment)) for item in _micro_lifetimes(graph)][
            ::-1
        ]
        placed = []
        for item in sorted(wanted, key=lambda item: -item.size_bytes):
            placed.append(_first_fit(item, placed))
    peak = max((item.offset + item.size_bytes for item in placed), default=0)
    busiest, live = _busiest(placed, len(graph.operators))
    return Arena(planner, alignment, _aligned(peak, alignment), busiest, live, tuple(placed))


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _sized(item: Placed, size_bytes: int) -> Placed:
    return Placed(item.tensor, item.offset, size_bytes, item.first, item.last)


def _busiest(placed: list[Placed], operators: int) -> tuple[int, int]:
    change = [0] * (operators + 2)
    for item in placed:
        change[max(item.first, 0)] += item.size_bytes
        change[max(min(item.last, operators - 1) + 1, 0)] -= item.size_bytes
    best, live, most = 0, 0, 0
    for index in range(operators):
        live += change[index]
        if live > most:
            best, most = index, live
    return best, most


def _micro_lifetimes(graph: Graph) -> list[Placed]:
    """In the file's order. The graph's inputs come before the first operator, -1; what nobody uses is at -2 alone."""
    first: dict[int, int] = dict.fromkeys((*graph.inputs, *graph.outputs), -1)
    last: dict[int, int] = dict(first)
    for number, operator in enumerate(graph.operators):
        first.update(dict.fromkeys(operator.outputs, number))
        last.update(dict.fromkeys((*operator.inputs, *operator.outputs), number))
    last.update(dict.fromkeys(graph.outputs, len(graph.operators) - 1))
    return [
        Placed(t.index, 0, t.size_bytes, first.get(t.index, -2), last.get(t.index, -2))
        for t in graph.tensors
        if not t.constant and not t.is_variable and t.size_bytes
    ]


def _litert_lifetimes(graph: Graph) -> list[Placed]:
    """Inputs and outputs stay to the end; some operators write their output over an input that is done with."""
    kept = [*graph.inputs, *graph.outputs, *(t.index for t in graph.tensors if t.is_variable)]
    references = [0] * len(graph.tensors)
    for index in (*kept, *(i for operator in graph.operators for i in operator.inputs if i >= 0)):
        references[index] += 1
    shared = _shared(graph, references)
    last: dict[int, int] = {}
    first: dict[int, int] = {
        index: 0 for index in kept if index not in graph.outputs or index in graph.inputs
    }
    for number, operator in enumerate(graph.operators):
        for index in operator.outputs:
            first.setdefault(index, number)
        for index in operator.inputs:
            if index >= 0:
                last[shared.get(index, index)] = number
    for index in kept:
        last[shared.get(index, index)] = _FOREVER
    return [
        Placed(t.index, 0, t.size_bytes, first[t.index], last.get(t.index, _FOREVER))
        for t in graph.tensors
        if t.index in first and not t.constant and t.size_bytes and t.index not in shared
    ]


def _shared(graph: Graph, references: list[int]) -> dict[int, int]:
    """Output tensor -> the tensor whose memory it takes over."""
    shared: dict[int, int] = {}
    for operator in graph.operators:
        overwrites = operator.kind in _OVERWRITES
        inputs = _OVERWRITES.get(operator.kind) or _PASSES_ON.get(operator.kind) or 0
        output = graph.at(operator, operator.outputs, 0)
        if output is None or output.index in graph.outputs:
            continue
        for index in operator.inputs[:inputs]:
            if index < 0 or index in graph.inputs or graph.tensors[index].constant:
                continue
            given = graph.tensors[index]
            fits = given.size_bytes == output.size_bytes and given.size_bytes > _SCALAR_BYTES
            if overwrites and not (fits and references[index] <= 1):
                continue
            origin = shared.get(index, index)
            if not (overwrites and references[origin] > 1):
                shared[output.index] = origin
            break
    return shared


def _neighbours(item: Placed, placed: list[Placed]) -> list[Placed]:
    """Those that live at the same time, lowest first; of equal places the one placed first."""
    return sorted(
        (other for other in placed if other.first <= item.last and item.first <= other.last),
        key=lambda other: other.offset,
    )


def _first_fit(item: Placed, placed: list[Placed]) -> Placed:
    offset = 0
    for other in _neighbours(item, placed):
        if other.offset - offset >= item.size_bytes:
            break
        offset = max(offset, other.offset + other.size_bytes)
    return Placed(item.tensor, offset, item.size_bytes, item.first, item.last)


def _best_fit(item: Placed, placed: list[Placed], alignment: int) -> Placed:
    best, best_gap, offset = -1, _FOREVER, 0
    for other in _neighbours(item, placed):
        start = _aligned(offset, alignment)
        if start + item.size_bytes <= other.offset and other.offset - start < best_gap:
            best, best_gap = start, other.offset - offset
        offset = max(offset, other.offset + other.size_bytes)
    if best < 0:
        best = _aligned(offset, alignment)
    return Placed(item.tensor, best, item.size_bytes, item.first, item.last)
