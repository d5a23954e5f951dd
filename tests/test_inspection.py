"""Held against the real runtime's addresses, models worked out by hand, and damage of every kind."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig import environment
from edgebig.errors import EdgebigError
from edgebig.inspection import Inspection, arena, inspect, of_file, record
from edgebig.inspection.arena import Placed
from edgebig.metadata import attach_metadata
from edgebig.report import inspection as report
from edgebig.targets.mcu import KERNELS
from edgebig.tflitefile import pack_model, unpack_model
from edgebig.tflitegraph import Graph, read_graphs

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.tflite"))
# The kernel of MEAN has numbers of its own in both arenas.
# A shape that is computed while the model runs gets its memory only then.
PLANNED = [path for path in FILES if "pixels" not in path.stem and "any-batch" not in path.stem]


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.tflite").read_bytes()


def edited(model: bytes, edit: Any) -> bytes:
    tree = unpack_model(model, "m")
    edit(tree)
    return pack_model(tree, {})


def text_of(found: Inspection) -> str:
    return "\n".join(report.lines(found))


# ---- bytes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_byte_is_accounted_for(path: Path) -> None:
    found = of_file(path)
    assert found.bytes.total == found.size_bytes == path.stat().st_size
    assert found.bytes.unread == 0
    for kind in ("weights", "biases", "constants", "quantization", "names", "structure"):
        assert sum(getattr(layer.bytes, kind) for layer in found.layers) <= getattr(found.bytes, kind)
    # A layer's numbers are all there, and a vector's length takes four bytes.
    for layer in found.layers:
        if layer.weights_shape is not None and layer.weights_dtype is not None:
            numbers = int(np.prod(layer.weights_shape)) * np.dtype(layer.weights_dtype).itemsize
            assert layer.bytes.weights == numbers + 4


def test_what_a_format_adds_by_hand() -> None:
    model = golden("dense-int8")  # 4 inputs, 3 outputs
    before = inspect(model, "m")
    (dense,) = before.layers
    assert (dense.operator, dense.macs, dense.parameters) == ("FULLY_CONNECTED", 12, 15)
    assert (dense.bytes.weights, dense.bytes.biases) == (4 + 12, 4 + 12)

    def longer_name(tree: Any) -> None:
        tree.subgraphs[0].tensors[tree.subgraphs[0].operators[0].outputs[0]].name += b"x" * 40

    # Both packed by the same writer.
    same, longer = inspect(edited(model, lambda tree: None), "m"), inspect(edited(model, longer_name), "m")
    assert longer.bytes.names - same.bytes.names == 40
    assert longer.layers[0].bytes.names - same.layers[0].bytes.names == 40


def test_attached_files_and_metadata_have_their_own_bytes() -> None:
    labelled = attach_metadata(
        golden("pixels-int8"),
        labels=["red", "green", "blue"],
        mean=0,
        std=255,
        name="p",
        description="A colour.",
    )
    found, before = inspect(labelled, "m"), inspect(golden("pixels-int8"), "m")
    assert found.bytes.total == len(labelled)
    assert found.labels == ("red", "green", "blue")
    assert found.attached == {"labels.txt": 15}
    assert found.bytes.attached >= 15 > before.bytes.attached == 0
    assert found.bytes.metadata > before.bytes.metadata


def test_what_nothing_points_to_is_told() -> None:
    model = golden("dense-int8")
    assert inspect(model + b"\0" * 5, "m").bytes.padding == inspect(model, "m").bytes.padding + 5
    assert inspect(model + b"secret", "m").bytes.unread == 6

    def unused(tree: Any) -> None:
        tree.buffers.append(schema.BufferT(data=b"x" * 100))

    assert inspect(edited(model, unused), "m").bytes.unused_buffers == 104


def test_sparsity_and_different_weights() -> None:
    def prune(tree: Any) -> None:
        tensor = tree.subgraphs[0].tensors[tree.subgraphs[0].operators[0].inputs[1]]
        tree.buffers[tensor.buffer].data = np.array([0, 5, -5, 0, 0, 0, 5, 0, 0, 0, 0, 9], np.int8).tobytes()

    (dense,) = inspect(edited(golden("dense-int8"), prune), "m").layers
    assert (dense.sparsity, dense.different) == (pytest.approx(8 / 12), 4)


def test_int4_weights_are_two_in_a_byte() -> None:
    def halve(tree: Any) -> None:
        tensor = tree.subgraphs[0].tensors[tree.subgraphs[0].operators[0].inputs[1]]
        tensor.type = 17  # int4
        tree.buffers[tensor.buffer].data = bytes([0xF1, 0x70, 0x8F, 0x11, 0x00, 0x00])

    (dense,) = inspect(edited(golden("dense-int8"), halve), "m").layers
    assert dense.bytes.weights == 4 + 6
    # 1 -1 0 7 -1 -8 1 1 0 0 0 0
    assert (dense.sparsity, dense.different, dense.parameters) == (pytest.approx(5 / 12), 5, 15)


# ---- memory


@pytest.mark.parametrize("path", PLANNED, ids=lambda path: path.stem)
def test_litert_s_plan_is_where_its_tensors_really_are(path: Path) -> None:
    (graph,) = read_graphs(path.read_bytes(), "m")
    planned = arena.plan(graph, "litert")
    interpreter = Interpreter(
        model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    placed = {item.tensor: item for item in planned.placed}
    address = {index: interpreter.tensor(index)().__array_interface__["data"][0] for index in placed}
    base = min(address.values())
    least = min(item.offset for item in planned.placed)
    assert {index: at - base for index, at in address.items()} == {
        index: item.offset - least for index, item in placed.items()
    }
    assert planned.peak_bytes >= planned.live_bytes


@pytest.mark.network
@pytest.mark.slow
def test_tflite_micro_s_plan_is_as_high_as_it_says(tmp_path: Path) -> None:
    """The head of its arena: what it plans; its tail is for its own records."""
    environment.add("tflite-micro")
    script = tmp_path / "arena.py"
    script.write_text(
        "import json, os, re, sys, tempfile\n"
        "from tflite_micro.python.tflite_micro import runtime\n"
        "heads = []\n"
        "for path in json.load(sys.stdin):\n"
        "    interpreter = runtime.Interpreter.from_bytes(open(path, 'rb').read(), arena_size=1 << 22)\n"
        "    told, kept = tempfile.TemporaryFile(), os.dup(2)\n"
        "    os.dup2(told.fileno(), 2)\n"
        "    interpreter.print_allocations()\n"
        "    os.dup2(kept, 2)\n"
        "    told.seek(0)\n"
        "    heads.append(int(re.search(rb'head (\\d+) bytes', told.read()).group(1)))\n"
        "print(json.dumps(heads))\n"
    )
    graphs = {path: read_graphs(path.read_bytes(), "m")[0] for path in PLANNED}
    runs = [path for path, graph in graphs.items() if {op.kind for op in graph.operators} <= KERNELS]
    assert [path.stem for path in PLANNED if path not in runs] == ["normalised-float32"]
    heads = environment.run("tflite-micro", script, [str(path) for path in runs])
    assert [arena.plan(graphs[path], "tflite-micro").peak_bytes for path in runs] == heads


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """Random graphs of ADDs over earlier tensors of random sizes."""
    from edgebig.tflitegraph import Operator, Tensor

    count = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(1, 300), min_size=count + 1, max_size=count + 1))
    tensors = tuple(
        Tensor(i, f"t{i}", "int8", (1, size), (), (), 0, 0, memoryview(b""), False, False, False)
        for i, size in enumerate(sizes)
    )
    operators = tuple(
        Operator(
            i, draw(st.sampled_from(["ADD", "CONV_2D", "RESHAPE", "SOFTMAX"])), False, 1,
            tuple(draw(st.lists(st.integers(0, i), min_size=1, max_size=3))), (i + 1,),
        )
        for i in range(count)
    )  # fmt: skip
    return Graph("main", tensors, operators, (0,), (count,))


@given(chains(), st.sampled_from(["tflite-micro", "litert"]))
def test_no_two_tensors_that_live_at_once_overlap(graph: Graph, planner: Any) -> None:
    planned = arena.plan(graph, planner)

    def overlap(a: Placed, b: Placed) -> bool:
        at_once = a.first <= b.last and b.first <= a.last
        return at_once and a.offset < b.offset + b.size_bytes and b.offset < a.offset + a.size_bytes

    for number, item in enumerate(planned.placed):
        assert item.offset % planned.alignment_bytes == 0
        assert not any(overlap(item, other) for other in planned.placed[:number])
    assert max(item.offset + item.size_bytes for item in planned.placed) <= planned.peak_bytes
    assert planned.live_bytes <= planned.peak_bytes


# ---- whatever there is


def test_several_subgraphs_and_custom_operators_are_shown() -> None:
    def odd(tree: Any) -> None:
        tree.subgraphs = tree.subgraphs * 2
        code = tree.operatorCodes[0]
        code.deprecatedBuiltinCode = code.builtinCode = 32  # CUSTOM
        code.customCode = b"MyOperator"

    found = inspect(edited(golden("dense-int8"), odd), "m")
    assert len(found.subgraphs) == 2
    assert [(layer.subgraph, layer.operator, layer.custom) for layer in found.layers] == [
        (0, "MyOperator", True), (1, "MyOperator", True)
    ]  # fmt: skip
    assert found.bytes.total == found.size_bytes
    assert "2 subgraphs" in text_of(found)
    assert "MyOperator" in text_of(found)


def test_control_flow_has_no_plan() -> None:
    def loop(tree: Any) -> None:
        code = tree.operatorCodes[0]
        code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.WHILE

    found = inspect(edited(golden("dense-int8"), loop), "m")
    assert (found.arenas, found.no_arena) == ((), "it has control flow")
    assert "not planned, it has control flow" in text_of(found)


def test_layers_are_called_as_their_layers_in_keras() -> None:
    (graph,) = read_graphs(golden("digits-slow"), "m")
    assert graph.layer_names == (
        "conv2d_7", "conv2d_8", "conv2d_9", "conv2d_10", "conv2d_11", "global_max_pooling2d_1", "dense_3", "softmax_7",
    )  # fmt: skip


def test_without_names_layers_are_numbered() -> None:
    def strip(tree: Any) -> None:
        for tensor in tree.subgraphs[0].tensors:
            tensor.name = b""

    (graph,) = read_graphs(edited(golden("digits-int8"), strip), "m")
    assert graph.layer_names == ("conv_2d_0", "reshape_1", "fully_connected_2", "softmax_3")


def test_the_record_is_json_and_the_text_names_what_matters() -> None:
    found = of_file(GOLDEN / "digits-int8.tflite")
    values = json.loads(json.dumps(record(found)))
    assert next(iter(values)) == "schema"
    assert values["macs"] == sum(layer["macs"] for layer in values["layers"]) == 4900 + 1960
    assert sum(values["bytes"].values()) == values["size_bytes"] == 4800
    text = text_of(found)
    for part in ("4,800 bytes", "conv2d_1", "int8 1x28x28x1", "q + 128", "TFLite Micro: 992 bytes"):
        assert part in text


# ---- damage


def survives(model: bytes) -> None:
    """It is either shown, its bytes adding up, or one message."""
    try:
        found = inspect(model, "m")
        assert found.bytes.total == len(model)
        report.lines(found)
        json.dumps(record(found))
    except EdgebigError as error:
        assert error.problem.startswith("m: ")  # noqa: PT017, to work is fine as well


def test_cut_short_at_every_length() -> None:
    model = golden("conv-int8")
    for length in range(len(model)):
        with pytest.raises(EdgebigError):
            inspect(model[:length], "m")


WHOLE = [path.read_bytes() for path in FILES]


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4))
@settings(max_examples=150)
def test_flipped_bytes(model: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(model)
    for at, value in flips:
        damaged[at % len(damaged)] = value
    survives(bytes(damaged))


@pytest.mark.slow
@pytest.mark.parametrize("word", [0x7FFFFFFF, 0, 1, 0x80000000, 0xFFFFFFF0])
def test_every_word_overwritten(word: int) -> None:
    model = golden("dense-int8-float32-io")
    for at in range(0, len(model) - 3, 4):
        survives(model[:at] + struct.pack("<I", word) + model[at + 4 :])


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="no such file"):
        of_file(tmp_path / "x.tflite")
    (tmp_path / "x.tflite").write_bytes(b"PK\x03\x04zip")
    with pytest.raises(EdgebigError, match="is a zip"):
        of_file(tmp_path / "x.tflite")
