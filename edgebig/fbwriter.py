"""Writes flatbuffers in which equal vectors of numbers, and equal tables of nothing but numbers, are there once.

A per-channel quantized .tflite says the zero point 0 in 8 bytes for every channel of every weight and bias, and each
shape anew: in a net of a few thousand weights that is a tenth of the file. The format lets tables share a vector.
"""

from __future__ import annotations

from typing import Any

import flatbuffers


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # It has no types.
    """A builder whose vectors of numbers, where bytes and alignment are equal, are one, and likewise its tables.

    What holds a vector or a table holds distances from where it stands, and a string is written by other calls: none
    of these is shared.
    """

    def __init__(self, initial_size: int) -> None:
        super().__init__(initial_size)
        self._before = -1  # offset before the vector that is being written, or -1 where it cannot be shared
        self._form = (0, 0)
        self._offsets: dict[tuple[int, int, bytes], int] = {}
        self._before_table = -1  # likewise of a table

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        self._before = self.Offset()
        self._form = (elemSize, alignment)
        return int(super().StartVector(elemSize, numElems, alignment))

    def PrependUOffsetTRelative(self, off: int) -> None:  # noqa: N802
        self._before = self._before_table = -1
        super().PrependUOffsetTRelative(off)

    def EndVector(self, numElems: Any = None) -> int:  # noqa: N802, N803
        size = 4 + self._form[0] * self.vectorNumElems
        offset = int(super().EndVector())
        before, self._before = self._before, -1
        if before < 0:
            return offset
        start = len(self.Bytes) - offset
        key = (*self._form, bytes(self.Bytes[start : start + size]))
        shared = self._offsets.setdefault(key, offset)
        if shared != offset:
            self.head = len(self.Bytes) - before
        return shared

    def StartObject(self, numfields: int) -> None:  # noqa: N802
        self._before_table = self.Offset()
        super().StartObject(numfields)

    def EndObject(self) -> int:  # noqa: N802
        offset = int(super().EndObject())
        before, self._before_table = self._before_table, -1
        if before < 0:
            return offset
        start = len(self.Bytes) - offset
        # A table opens with the distance to the description of its fields, which is shared where it is equal.
        fields = offset + int.from_bytes(self.Bytes[start : start + 4], "little", signed=True)
        described = len(self.Bytes) - fields
        size = int.from_bytes(self.Bytes[described + 2 : described + 4], "little")
        shared = self._offsets.setdefault((0, fields, bytes(self.Bytes[start + 4 : start + size])), offset)
        if shared != offset:
            self.head = len(self.Bytes) - before
        return shared
