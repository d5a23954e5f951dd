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


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_every_table_reads_back_and_unequal_ones_are_not_one(rows: list[tuple[int, bool, int]]) -> None:
    builder = SharingBuilder(16)
    offsets = []
    for whole, flag, wide in rows:
        builder.StartObject(3)
        builder.PrependInt32Slot(0, whole, 0)
        builder.PrependBoolSlot(1, flag, False)
        builder.PrependInt64Slot(2, wide, 0)
        offsets.append(builder.EndObject())
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    listed = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, listed, 0)
    builder.Finish(builder.EndObject())
    data = bytearray(builder.Output())
    # Where padding falls depends on where a table stands, so that not all equal ones are one; unequal ones never are.
    assert len(set(rows)) <= len(set(offsets)) <= len(rows)
    root = flatbuffers.table.Table(data, int.from_bytes(data[:4], "little"))
    tables = root.Vector(root.Offset(4))
    kinds = flatbuffers.number_types
    for number, row in enumerate(rows):
        table = flatbuffers.table.Table(data, root.Indirect(tables + 4 * number))
        fields = ((4, kinds.Int32Flags), (6, kinds.BoolFlags), (8, kinds.Int64Flags))
        read = [table.GetSlot(slot, 0, kind) for slot, kind in fields]
        assert tuple(map(int, read)) == tuple(map(int, row))
        assert not table.Offset(8) or (table.Pos + table.Offset(8)) % 8 == len(data) % 8


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
