"""Float layers inside an int8 .tflite: which operators are strangers there, and the barrier that is taken out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebig import islands, tflitefile


def model(*operators: tuple[str, str, str]) -> bytes:
    """A .tflite of a chain of (kind, type, name): what each gives, from an int8 `image` on; shapes are (1, 4)."""
    from ai_edge_litert import schema_py_generated as schema

    types = {"int8": schema.TensorType.INT8, "float32": schema.TensorType.FLOAT32}

    def tensor(name: str, dtype: str) -> Any:
        quantization = schema.QuantizationParametersT(scale=[0.1], zeroPoint=[0]) if dtype == "int8" else None
        return schema.TensorT(name=name.encode(), shape=[1, 4], type=types[dtype], quantization=quantization)

    tensors, made, codes = [tensor("image", "int8")], [], []
    for number, (kind, dtype, name) in enumerate(operators):
        tensors.append(tensor(name, dtype))
        builtin = getattr(schema.BuiltinOperator, kind)
        codes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(builtin, 127), builtinCode=builtin, version=1)
        )
        made.append(schema.OperatorT(opcodeIndex=number, inputs=[number], outputs=[number + 1]))
    graph = schema.SubGraphT(
        tensors=tensors, inputs=[0], outputs=[len(operators)], operators=made, name=b"main"
    )
    tree = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=[schema.BufferT()])
    return tflitefile.pack_model(tree, {})


ISLAND = (
    ("RELU", "int8", "net/quant_first/Relu"),
    ("DEQUANTIZE", "float32", "net/quant_first/FakeQuant"),
    ("ELU", "float32", "net/quant_second/Elu"),
    ("QUANTIZE", "int8", "net/quant_second/FakeQuant"),
    ("RELU", "int8", "net/quant_third/Relu"),
)


def test_the_named_layer_and_its_shores_are_no_strangers() -> None:
    data = model(*ISLAND)
    assert islands.strangers(data, ["second"]) == []
    assert islands.strangers(data, []) == [
        "DEQUANTIZE (dequantize_1)",
        "ELU (second)",
        "QUANTIZE (quantize_3)",
    ]
    # A layer that is called like an operator, or like a part of a name, is another layer.
    for other in ("Elu", "sec", "quant_second", "net2"):
        assert "ELU (second)" in islands.strangers(data, [other])


def test_a_layer_beside_the_island_is_a_stranger() -> None:
    data = model(*ISLAND[:3], ("EXP", "float32", "net/quant_more/Exp"), *ISLAND[3:])
    assert islands.strangers(data, ["second"]) == ["EXP (more)"]


def test_a_layer_that_came_out_in_int8_is_told() -> None:
    data = model(*ISLAND)
    assert islands.drowned(data, ["first", "second", "third", "unknown"]) == ["first", "third"]
    moves = model(("RESHAPE", "int8", "net/quant_flat/Reshape"))
    assert islands.drowned(moves, ["flat"]) == []  # the same numbers in both


def test_the_barrier_is_taken_out_and_the_rest_is_as_it_was() -> None:
    barrier = (
        ("SEGMENT_SUM", "float32", "net/quant_second/SegmentSum"),
        ("RESHAPE", "float32", "net/quant_second/Reshape"),
    )
    cleared = islands.without_barriers(model(*ISLAND[:3], *barrier, *ISLAND[3:]))
    parsed, plain = (tflitefile.parse_model(data, "m")["subgraphs"][0] for data in (cleared, model(*ISLAND)))
    for field in ("inputs", "outputs"):
        assert tuple(parsed[field]) == tuple(plain[field])
    assert [tensor["name"] for tensor in parsed["tensors"]] == [tensor["name"] for tensor in plain["tensors"]]
    assert [(tuple(op["inputs"]), tuple(op["outputs"])) for op in parsed["operators"]] == [
        (tuple(op["inputs"]), tuple(op["outputs"])) for op in plain["operators"]
    ]
    assert islands.strangers(cleared, ["second"]) == []
    untouched = model(*ISLAND)
    assert islands.without_barriers(untouched) is untouched
    assert np.array_equal(
        np.frombuffer(islands.without_barriers(untouched), np.uint8), np.frombuffer(untouched, np.uint8)
    )
