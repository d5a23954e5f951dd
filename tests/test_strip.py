"""A stripped .tflite: smaller, nothing but the graph in it, and the same answers from the same kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import EdgebigError
from edgebig.flatbuffer import io_contract
from edgebig.strip import strip
from edgebig.tflitefile import attached_files, parse_model

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.tflite")), ids=lambda path: path.stem)
def test_it_computes_the_same(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    before = path.read_bytes()
    after = strip(before, path.name)
    assert len(after) < len(before)
    parsed = parse_model(after, path.name)
    assert not parsed["metadata"]
    assert not parsed["signature_defs"]
    assert not any(tensor["name"] for tensor in parsed["subgraphs"][0]["tensors"])
    assert attached_files(after, path.name) == {}
    for side in ("inputs", "outputs"):
        then, now = (getattr(io_contract(data, path.name), side)[0] for data in (before, after))
        assert (now.dtype, now.shape, now.scale, now.zero_point) == (
            then.dtype, then.shape, then.scale, then.zero_point,
        )  # fmt: skip
    given = np.random.default_rng(0).integers(0, 100, then_shape(before, path)).astype(np.float32)
    outputs = []
    for data in (before, after):
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        (entry,) = interpreter.get_input_details()
        interpreter.set_tensor(entry["index"], given.astype(entry["dtype"]))
        interpreter.invoke()
        # The delegate took the same share of the graph: a bias without its scale would be left to slow kernels.
        outputs.append(
            (interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), nodes(interpreter))
        )
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    assert outputs[0][1] == outputs[1][1]
    assert strip(after, path.name) == after


def then_shape(model: bytes, path: Path) -> tuple[int, ...]:
    return io_contract(model, path.name).inputs[0].shape


def nodes(interpreter: object) -> list[str]:
    return [operator["op_name"] for operator in interpreter._get_ops_details()]  # type: ignore[attr-defined]


def test_what_is_no_model() -> None:
    with pytest.raises(EdgebigError, match=r"x\.tflite: is not a \.tflite"):
        strip(b"nothing at all", "x.tflite")
