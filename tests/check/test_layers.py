"""Two models of known difference: what is lost is found in the layer that loses it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import environment
from edgebig.check import cut, layers, matching, running
from edgebig.check.layers import Layers
from edgebig.check.matching import Node
from edgebig.check.running import Model, Side
from edgebig.check.signal import Span, Sums, real, stored
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.recipe import Data
from edgebig.tflitefile import pack_model, unpack_model
from edgebig.tflitegraph import Tensor, read_graphs

GOLDEN = Path(__file__).parent.parent / "golden"
FLOAT, INT8 = GOLDEN / "digits-float32.tflite", GOLDEN / "digits-int8.tflite"
GREY = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}


@pytest.fixture(scope="module")
def digits() -> Examples:
    return source.load(Data(source="digits-5k")).test[:40]


def parts(a: Path, b: Path, examples: Examples, folder: Path, *kernels: str) -> Layers:
    names = kernels or ("reference", "reference")
    models = [Model(Side(path.name, path, GREY, name)) for path, name in zip((a, b), names, strict=True)]
    found = [
        running.values(model, examples, folder / str(place), 100.0) for place, model in enumerate(models)
    ]
    return layers.compare(found[0], found[1], folder, 100.0)


def edited(path: Path, folder: Path, edit: Callable[[Any], None]) -> Path:
    tree = unpack_model(path.read_bytes(), "m")
    edit(tree)
    made = folder / "edited.tflite"
    made.write_bytes(pack_model(tree, {}))
    return made


def tensor_of(tree: Any, operator: int, place: int) -> Any:
    """An input of an operator, or with place -1 its output."""
    found = tree.subgraphs[0].operators[operator]
    return tree.subgraphs[0].tensors[found.outputs[0] if place < 0 else found.inputs[place]]


# ---- where the loss is


def test_a_sound_int8_model(digits: Examples, tmp_path: Path) -> None:
    found = parts(FLOAT, INT8, digits, tmp_path)
    assert [layer.operator for layer in found.layers] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert (found.n, found.only_first, found.only_second) == (40, (), ())
    for layer in found.layers:
        assert layer.own is not None
        assert layer.own.sqnr_db is not None
        assert layer.own.sqnr_db > 20
        assert layer.accumulated.cosine is not None
        assert layer.accumulated.cosine > 0.99
    # The first layer has nothing before it.
    assert found.layers[0].own == found.layers[0].accumulated
    weights = found.layers[0].weights
    assert weights is not None
    assert (weights.scales, weights.moved) == (4, 0.0)


@pytest.mark.slow
def test_the_same_model_is_the_same(digits: Examples, tmp_path: Path) -> None:
    found = parts(INT8, INT8, digits, tmp_path)
    assert all(layer.accumulated.sqnr_db is None and layer.accumulated.mse == 0 for layer in found.layers)
    assert all(layer.own is not None and layer.own.sqnr_db is None for layer in found.layers)
    assert found.worst is None


def test_a_loss_in_the_middle_is_found_there(digits: Examples, tmp_path: Path) -> None:
    """Weights of the dense layer that are half gone: it loses, the SOFTMAX behind it only inherits."""

    def spoil(tree: Any) -> None:
        tensor = tensor_of(tree, 2, 1)
        weights = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.int8).copy()
        weights[::2] = 0
        tree.buffers[tensor.buffer].data = weights.tobytes()

    found = parts(INT8, edited(INT8, tmp_path, spoil), digits, tmp_path)
    conv, reshape, dense, softmax = found.layers
    assert found.worst is dense
    assert layers.cause(dense) == "trained-on"
    assert conv.accumulated.mse == reshape.accumulated.mse == 0
    assert softmax.accumulated.sqnr_db is not None
    assert softmax.own is not None
    assert softmax.own.sqnr_db is None  # it does what it should with what it is given


@pytest.mark.slow
def test_a_range_that_is_too_narrow_is_told(digits: Examples, tmp_path: Path) -> None:
    def narrow(tree: Any) -> None:
        for place in (0, 1):  # the convolution's output and the RESHAPE's
            quantization = tensor_of(tree, place, -1).quantization
            quantization.scale = [float(quantization.scale[0]) / 4]

    found = parts(FLOAT, edited(INT8, tmp_path, narrow), digits, tmp_path)
    worst = found.worst
    assert worst is found.layers[0]
    assert layers.cause(worst) == "clipping"
    assert worst.range is not None
    assert worst.range.clipped > 0.01
    # What is beyond the range is stored as its end.
    assert worst.range.saturated == pytest.approx(worst.range.clipped, rel=0.3)


@pytest.mark.slow
def test_a_range_that_is_too_wide_is_told(digits: Examples, tmp_path: Path) -> None:
    def widen(tree: Any) -> None:
        for place in (0, 1):
            quantization = tensor_of(tree, place, -1).quantization
            quantization.scale = [float(quantization.scale[0]) * 16]

    found = parts(FLOAT, edited(INT8, tmp_path, widen), digits, tmp_path)
    conv = found.layers[0]
    assert layers.cause(conv) == "too-wide"
    assert conv.range is not None
    assert conv.range.used < 0.1
    assert conv.range.saturated == 0


@pytest.mark.slow
def test_the_zeros_of_a_relu_are_not_saturated(digits: Examples, tmp_path: Path) -> None:
    found = parts(FLOAT, INT8, digits, tmp_path)
    model = Model(Side("m", INT8, GREY))
    assert model.graph is not None
    made = running.values(model, digits, tmp_path / "again", 100.0)
    stored_conv = np.load(made.paths[made.nodes[0].values])
    assert np.mean(stored_conv == -128) > 0.1  # the zeros, at the low end
    assert found.layers[0].range is not None
    assert found.layers[0].range.saturated < 0.01


@pytest.mark.slow
def test_kernels_against_kernels(digits: Examples, tmp_path: Path) -> None:
    found = parts(INT8, INT8, digits, tmp_path, "xnnpack", "reference")
    assert all(layer.own is not None for layer in found.layers)
    dense = found.layers[2]
    assert dense.weights is not None
    assert dense.weights.loss.mse == 0
    if dense.accumulated.mse:
        assert layers.cause(dense) == "kernels"


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["tflite-micro", "tflite-runtime"])
def test_runtimes_with_pythons_of_their_own(digits: Examples, tmp_path: Path, kernels: str) -> None:
    """tflite-micro is within two steps of the reference kernels, tflite-runtime too."""
    environment.add(kernels)
    found = parts(INT8, INT8, digits, tmp_path, "reference", kernels)
    for layer in found.layers:
        assert layer.range is not None
        assert layer.accumulated.largest <= 2.001 * layer.range.step
        assert layer.own is not None
        assert layer.own.largest <= 2.001 * layer.range.step


@pytest.mark.slow
def test_outputs_are_what_the_runtime_says(digits: Examples, tmp_path: Path) -> None:
    from edgebig.check import tflite

    made = running.outputs(Model(Side("m", INT8, GREY, "xnnpack")), digits, tmp_path, 100.0)
    assert (made.real.shape, made.step) == ((40, 10), pytest.approx(1 / 256))
    assert np.array_equal(np.argmax(made.real, axis=1), tflite.labels(INT8.read_bytes(), digits, GREY))


# ---- cutting


@pytest.mark.slow
def test_a_layer_cut_out_gives_what_it_gives_inside(digits: Examples, tmp_path: Path) -> None:
    model = Model(Side("m", INT8, GREY))
    assert model.graph is not None
    made = running.values(model, digits, tmp_path, 100.0)
    tree = unpack_model(model.data, "m")
    before = pack_model(unpack_model(model.data, "m"), {})
    for node in made.nodes:
        sources = {int(str(other.values)) for other in made.nodes if other is not node} | {model.input.index}
        part, inputs, output = cut.cut(tree, model.graph, sources, int(str(node.values)))
        (graph,) = read_graphs(part, "part")
        assert len(graph.operators) == 1
        assert list(graph.inputs) == list(range(len(inputs)))
        assert graph.outputs == (output,)
    # The tree that was cut from is as it was.
    assert pack_model(tree, {}) == before


def test_a_cut_reaches_back_to_what_is_known(tmp_path: Path) -> None:
    data = INT8.read_bytes()
    (graph,) = read_graphs(data, "m")
    part, inputs, _ = cut.cut(unpack_model(data, "m"), graph, {graph.inputs[0]}, graph.outputs[0])
    (whole,) = read_graphs(part, "part")
    assert inputs == [graph.inputs[0]]
    assert [operator.kind for operator in whole.operators] == [operator.kind for operator in graph.operators]


# ---- faults


def test_a_model_that_kills_its_process_is_one_message(
    digits: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text("import os, signal, sys\nsys.stdin.read()\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(running.activations, "__file__", str(killer))
    with pytest.raises(EdgebigError, match=r"m in ai-edge-litert failed \(died of signal 11\)"):
        running.outputs(Model(Side("m", INT8, GREY)), digits, tmp_path, 100.0)


def test_a_model_that_does_not_run_is_one_message(digits: Examples, tmp_path: Path) -> None:
    def wrong_bias(tree: Any) -> None:
        tensor_of(tree, 2, 2).shape = [3]

    broken = edited(INT8, tmp_path, wrong_bias)
    with pytest.raises(EdgebigError, match=r"edited\.tflite in ai-edge-litert: it does not run"):
        running.outputs(Model(Side(broken.name, broken, GREY)), digits, tmp_path, 100.0)


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    def two_inputs(tree: Any) -> None:
        tree.subgraphs[0].inputs = [*tree.subgraphs[0].inputs, tree.subgraphs[0].operators[1].outputs[0]]

    with pytest.raises(EdgebigError, match="not one picture in"):
        Model(Side("m", edited(INT8, tmp_path, two_inputs), GREY))


def test_large_models_are_looked_at_with_fewer_examples() -> None:
    (graph,) = read_graphs(INT8.read_bytes(), "m")
    assert layers.affordable([graph], 200) == 200
    (slow,) = read_graphs((GOLDEN / "digits-slow.tflite").read_bytes(), "m")
    assert layers.LEAST_EXAMPLES < layers.affordable([slow] * 100, 200) < 200
    assert layers.affordable([slow] * 1000, 200) == layers.LEAST_EXAMPLES


# ---- the numbers


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_sums_in_pieces_are_those_of_the_whole(numbers: list[float], seed: int) -> None:
    a = np.array(numbers)
    b = a + np.random.default_rng(seed).normal(0, 0.1, len(a))
    pieces, whole = Sums(), Sums()
    whole.add(a, b)
    for start in range(0, len(a), 7):
        pieces.add(a[start : start + 7], b[start : start + 7])
    found, wanted = pieces.loss(), whole.loss()
    assert found.mse == pytest.approx(float(np.mean((a - b) ** 2)))
    assert found.largest == float(np.abs(a - b).max())
    assert found.sqnr_db == pytest.approx(wanted.sqnr_db)
    if a.any():
        assert found.sqnr_db == pytest.approx(10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)))
        assert found.cosine == pytest.approx(
            min(1.0, float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)))
        )


def test_signal_to_noise_by_hand() -> None:
    sums = Sums()
    sums.add(np.array([10.0, 0.0]), np.array([11.0, 0.0]))
    assert (sums.loss().sqnr_db, sums.loss().mse) == (pytest.approx(20.0), 0.5)
    silent = Sums()
    silent.add(np.zeros(3), np.ones(3))
    assert silent.loss().cosine is None
    assert silent.loss().sqnr_db is not None
    assert silent.loss().sqnr_db < -1000


def test_a_nan_is_far_from_everything_and_no_nan() -> None:
    broken = real(np.array([np.nan, np.inf, -np.inf, 1.0], np.float32))
    sums = Sums()
    sums.add(np.ones(4), broken)
    found = sums.loss()
    assert found.sqnr_db is not None
    assert found.sqnr_db < -500
    assert np.isfinite([found.mse, found.largest, found.cosine]).all()


def quantized(scale: float, zero_point: int) -> Tensor:
    return Tensor(
        0, "t", "int8", (4,), (scale,), (zero_point,), 0, 0, memoryview(b""), False, False, False
    )  # fmt: skip


@given(
    st.floats(1e-3, 1e3), st.integers(-128, 127), st.lists(st.integers(-128, 127), min_size=1, max_size=20)
)
def test_what_was_stored_is_stored_the_same(scale: float, zero_point: int, numbers: list[int]) -> None:
    tensor, raw = quantized(scale, zero_point), np.array(numbers, np.int8)
    assert np.array_equal(stored(real(raw, tensor), tensor), raw)


@given(st.floats(1e-3, 10), st.integers(-128, 127), st.lists(st.floats(-500, 500), min_size=1, max_size=40))
def test_rounding_and_clipping_share_the_error(scale: float, zero_point: int, numbers: list[float]) -> None:
    tensor, wanted = quantized(scale, zero_point), np.array(numbers)
    span, own = Span(tensor), Sums()
    made = real(stored(wanted, tensor), tensor)
    span.add(wanted, made)
    own.add(wanted, made)
    found = span.range(own.loss())
    assert found is not None
    outside = (wanted < found.low - scale / 2) | (wanted > found.high + scale / 2)
    assert found.clipped == np.mean(outside)
    assert 0 <= found.used <= 1
    if own.loss().mse:
        # All of it is storing: nothing is left for the weights.
        assert found.rounding is not None
        assert found.clipping is not None
        assert found.rounding + found.clipping == pytest.approx(1.0)


# ---- pairs


def node(label: str, kind: str = "CONV_2D", shape: tuple[int, ...] = (4, 4, 8), *names: str) -> Node:
    return Node(label, kind, shape, frozenset(names or {label}), label, 0)


def labels(pairs: list[tuple[Node, Node]]) -> list[tuple[str, str]]:
    return [(a.label, b.label) for a, b in pairs]


def test_names_decide_where_order_leaves_a_choice() -> None:
    first = [node("a"), node("b"), node("c")]
    assert labels(matching.match(first, [node("a"), node("c")])) == [("a", "a"), ("c", "c")]
    assert labels(matching.match(first, [node("x"), node("y"), node("z")])) == [
        ("a", "x"),
        ("b", "y"),
        ("c", "z"),
    ]


def test_a_number_of_a_session_is_not_trusted_over_the_shape() -> None:
    """conv2d_1 is the second convolution of one run and the first of another."""
    first = [node("conv2d", shape=(26, 26, 32)), node("conv2d_1", shape=(11, 11, 64))]
    second = [node("conv2d_1", shape=(26, 26, 32)), node("conv2d_2", shape=(11, 11, 64))]
    assert labels(matching.match(first, second)) == [("conv2d", "conv2d_1"), ("conv2d_1", "conv2d_2")]


def test_what_one_model_has_alone_shifts_nothing() -> None:
    first = [node("a"), node("pad", "PAD"), node("b"), node("d", "ADD")]
    second = [node("a"), node("b"), node("mean", "MEAN"), node("d", "ADD")]
    assert labels(matching.match(first, second)) == [("a", "a"), ("b", "b"), ("d", "d")]
    assert matching.match([], second) == matching.match(first, []) == []


@given(st.lists(st.sampled_from(["CONV_2D", "ADD", "MUL"]), max_size=12), st.data())
def test_a_model_without_some_layers_is_matched_with_the_rest(kinds: list[str], data: st.DataObject) -> None:
    first = [node(f"n{i}", kind) for i, kind in enumerate(kinds)]
    kept = [n for n in first if data.draw(st.booleans())]
    pairs = matching.match(first, kept)
    assert labels(pairs) == [(n.label, n.label) for n in kept]


def test_too_many_layers_are_refused() -> None:
    many = [node(str(i)) for i in range(1100)]
    with pytest.raises(EdgebigError, match="too many"):
        matching.match(many, many)


def test_activations_and_quantization_are_parts_of_layers() -> None:
    from ai_edge_litert import schema_py_generated as schema

    def separate(tree: Any) -> None:
        """A RELU of its own behind the convolution."""
        graph = tree.subgraphs[0]
        conv = graph.operators[0]
        new = schema.TensorT()
        vars(new).update(vars(graph.tensors[conv.outputs[0]]))
        new.name = b"before_relu"
        graph.tensors.append(new)
        relu = schema.OperatorT(
            opcodeIndex=len(tree.operatorCodes), inputs=[len(graph.tensors) - 1], outputs=list(conv.outputs)
        )
        conv.outputs = [len(graph.tensors) - 1]
        tree.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=19, builtinCode=19, version=1))
        graph.operators.insert(1, relu)

    tree = unpack_model(FLOAT.read_bytes(), "m")
    separate(tree)
    (before,), (after,) = read_graphs(FLOAT.read_bytes(), "m"), read_graphs(pack_model(tree, {}), "m")
    one, other = matching.nodes(before), matching.nodes(after)
    assert len(after.operators) == len(before.operators) + 1
    assert [(n.kind, n.shape, n.values) for n in one] == [(n.kind, n.shape, n.values) for n in other]
    (edges,) = read_graphs((GOLDEN / "dense-int8-float32-io.tflite").read_bytes(), "m")
    assert [n.kind for n in matching.nodes(edges)] == ["FULLY_CONNECTED"]
