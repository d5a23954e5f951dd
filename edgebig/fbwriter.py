"""Writes flatbuffers in which equal vectors of numbers are there once.

A per-channel quantized .tflite says the zero point 0 in 8 bytes for every channel of every weight and bias, and each
shape anew: in a net of a few thousand weights that is a tenth of the file. The format lets tables share a vector.
"""

from __future__ import annotations

from typing import Any

import flatbuffers


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # It has no types.
    """A builder whose vectors of numbers, where bytes and alignment are equal, are one.

    A vector of tables holds distances from where it stands, and a string is written by other calls: neither is shared.
    """

    def __init__(self, initial_size: int) -> None:
        super().__init__(initial_size)
        self._before = -1  # offset before the vector that is being written, or -1 where it cannot be shared
        self._form = (0, 0)
        self._offsets: dict[tuple[int, int, bytes], int] = {}

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        self._before = self.Offset()
        self._form = (elemSize, alignment)
        return int(super().StartVector(elemSize, numElems, alignment))

    def PrependUOffsetTRelative(self, off: int) -> None:  # noqa: N802
        if self.nested:
            self._before = -1
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
