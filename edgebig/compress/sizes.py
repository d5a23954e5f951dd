"""What zeros and equal weights buy in bytes, each kind of bytes by itself. None of them says anything of speed."""

from __future__ import annotations

import zlib
from typing import Any

from edgebig import convert


def bytes_of(model: Any, data: bytes, *, int8: bool) -> dict[str, int]:
    """Of `data`, the .tflite of `model`, without labels: as it ships, in the converter's sparse format, and deflated.

    A plain .tflite stores a zero like any other weight, so that `raw` is the same with and without them.
    """
    sparse = convert.to_tflite(model, int8=int8, sparse=True)
    return {"raw": len(data), "sparse_format": len(sparse), "deflated": len(zlib.compress(data, 9))}
