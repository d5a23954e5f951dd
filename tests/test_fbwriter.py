"""Equal vectors are written once, and nothing reads otherwise for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.fbwriter import SharingBuilder
from edgebig.tflitefile import parse_model, unpack_model

GOLDEN = Path(__file__).parent / "golden"
VECTORS = st.tuples(
    st.sampled_from([np.int8, np.int32, np.int64, np.float32, np.float64]),
    st.lists(st.integers(0, 2), max_size=4),
)


def written(builder: Any, vectors: list[Any]) -> tuple[bytes, list[int]]:
    """A table whose fields are the vectors, and a vector of tables that hold one each."""
    offsets = [builder.CreateNumpyVector(np.array(values, kind)) for kind, values in vectors]
    tables = []
    for offset in offsets:
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, offset, 0)
        tables.append(builder.EndObject())
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    listed = builder.EndVector()
    names = [builder.CreateString("name") for _ in range(2)]
    builder.StartObject(len(offsets) + 3)
    for slot, offset in enumerate([*offsets, listed, *names]):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output()), offsets


@given(st.lists(VECTORS, max_size=12))
def test_every_vector_reads_back_and_equal_ones_are_one(vectors: list[Any]) -> None:
    data, offsets = written(SharingBuilder(16), vectors)
    plain, _ = written(flatbuffers.Builder(16), vectors)
    # Byte strings of one width and alignment are one thing: whole numbers 0 and floats 0.0 are the same four bytes.
    keys = [(np.dtype(kind).itemsize, np.array(values, kind).tobytes()) for kind, values in vectors]
    assert len(set(offsets)) == len(set(keys))
    assert len(data) <= len(plain)
    for read in (data, plain):
        table = flatbuffers.table.Table(bytearray(read), int.from_bytes(read[:4], "little"))
        for slot, (kind, values) in enumerate(vectors):
            where = table.Vector(table.Offset(4 + 2 * slot))
            assert where % np.dtype(kind).itemsize == 0
            assert np.frombuffer(read, kind, len(values), where).tolist() == values
        tables = table.Vector(table.Offset(4 + 2 * len(vectors)))
        for slot, (kind, values) in enumerate(vectors):
            inner = flatbuffers.table.Table(bytearray(read), table.Indirect(tables + 4 * slot))
            where = inner.Vector(inner.Offset(4))
            assert np.frombuffer(read, kind, len(values), where).tolist() == values
        assert table.String(table.Offset(4 + 2 * (len(vectors) + 1)) + table.Pos) == b"name"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.tflite")), ids=lambda path: path.stem)
def test_a_model_is_smaller_and_the_same(path: Path) -> None:
    from edgebig.tflitefile import attached_files, pack_model

    before = path.read_bytes()
    tree = unpack_model(before, path.name)
    plain = flatbuffers.Builder(1024)
    plain.Finish(tree.Pack(plain), b"TFL3")
    after = pack_model(unpack_model(before, path.name), attached_files(before, path.name))
    assert parse_model(after, path.name) == parse_model(before, path.name)
    if (
        "int8" in path.stem
    ):  # A float model says little twice, and its buffers are aligned, which `plain`'s are not.
        assert len(pack_model(unpack_model(before, path.name), {})) < len(plain.Output())
