"""What TFLite Micro is asked for, and what it is not asked for in vain."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebig import tflitefile
from edgebig.errors import EdgebigError
from edgebig.export import operators
from edgebig.targets import mcu

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def edited(name: str, change: Callable[[Any], None]) -> bytes:
    tree = tflitefile.unpack_model((GOLDEN / f"{name}.tflite").read_bytes(), name)
    change(tree)
    return tflitefile.pack_model(tree, {})


@pytest.mark.parametrize(
    ("operator", "call"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("AVERAGE_POOL_2D", "AddAveragePool2D"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("L2_NORMALIZATION", "AddL2Normalization"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("CUMSUM", "AddCumSum"),
        ("PADV2", "AddPadV2"),
        ("RELU6", "AddRelu6"),
        ("SELECT_V2", "AddSelectV2"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_calls_have_the_names_of_the_header(operator: str, call: str) -> None:
    assert operators.call(operator) == call
    assert operator in mcu.KERNELS


def test_each_operator_once() -> None:
    data = (GOLDEN / "digits-int8.tflite").read_bytes()
    assert operators.of_model(data, "x") == ("CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX")


def other_operators(tree: Any) -> None:
    tree.operatorCodes[0].builtinCode = 150  # GELU
    tree.operatorCodes[0].deprecatedBuiltinCode = 127
    tree.operatorCodes[1].builtinCode = tree.operatorCodes[1].deprecatedBuiltinCode = 32
    tree.operatorCodes[1].customCode = b"FlexErf"


def test_operators_without_a_kernel_are_named_all_at_once() -> None:
    with pytest.raises(EdgebigError) as refused:
        operators.of_model(edited("digits-int8", other_operators), "net.tflite")
    assert refused.value.problem.startswith("net.tflite: tflite-micro cannot run it: ")
    assert "GELU: TFLite Micro has no kernel for it" in refused.value.problem
    assert "FlexErf: TFLite Micro has no kernel for it" in refused.value.problem


@pytest.mark.parametrize(
    ("dtype", "fault"), [("int8", "dynamic range"), ("float16", "CONV_2D: it has no float16")]
)
def test_types_that_its_kernels_refuse(dtype: str, fault: str) -> None:
    def change(tree: Any) -> None:
        graph = tree.subgraphs[0]
        for operator in graph.operators[:1]:
            graph.tensors[operator.inputs[1]].type = tflitefile.DTYPES.index(dtype)

    with pytest.raises(EdgebigError, match=fault):
        operators.of_model(edited("digits-float32", change), "x")


def test_a_damaged_file_is_told_as_such() -> None:
    data = bytearray((GOLDEN / "digits-int8.tflite").read_bytes())
    struct.pack_into("<I", data, 0, 1 << 30)
    with pytest.raises(EdgebigError, match="damaged"):
        operators.of_model(bytes(data), "x")
