"""A form held against the model that it was made from: the same pictures, the reference kernels, the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.artifact import Preprocessing
from edgebig.check import tflite
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault


@dataclass(frozen=True)
class Proof:
    """`largest_difference` of all scores, real numbers; `labels_differ` of `n`."""

    n: int
    largest_difference: float
    labels_differ: int


def compare(before: bytes, after: bytes, preprocessing: Preprocessing, name: str) -> Proof:
    """Both models on the same pictures of noise, each grey one as r = g = b where only `after` takes colour.

    Raises EdgebigError where one of the two does not run.
    """
    with_rgb = _Loaded(after, name)
    plain = _Loaded(before, name)
    images_u8 = tflite.noise(plain.shape)
    coloured = np.repeat(images_u8, with_rgb.shape[-1] // plain.shape[-1], axis=-1)
    scores = [
        loaded.scores(images, preprocessing) for loaded, images in ((plain, images_u8), (with_rgb, coloured))
    ]
    labels = [np.argmax(row, axis=1) for row in scores]
    return Proof(
        n=len(images_u8),
        largest_difference=float(np.abs(scores[0] - scores[1]).max(initial=0.0)),
        labels_differ=int(np.sum(labels[0] != labels[1])),
    )


def require(found: Proof, tolerance: float, name: str) -> None:
    """Raises EdgebigError where a score is off by more than `tolerance`, or one that is not off has another label."""
    if found.largest_difference > tolerance or (tolerance == 0.0 and found.labels_differ):
        raise EdgebigError(
            f"{name}: for this target its scores would be off by {found.largest_difference:.2g} on the host, "
            f"{found.labels_differ} of {found.n} pictures would be read otherwise",
            "please report this, with the model",
        )


def left_to_plain_kernels(model: bytes, name: str) -> list[str]:
    """The operators that XNNPACK leaves to the runtime's plain kernels on this host."""
    return _Loaded(model, name, "xnnpack").model.delegated().left


class _Loaded:
    """.tflite bytes in this host's runtime."""

    def __init__(self, data: bytes, name: str, delegate: str = "reference") -> None:
        self.model = tflite.load(data, f"{name}: it", delegate)
        self.name = name
        self.shape = self.model.input.shape

    def scores(self, images_u8: npt.NDArray[Any], preprocessing: Preprocessing) -> npt.NDArray[Any]:
        """float32 (N, classes), real numbers."""
        try:
            raw = infer.classify(self.model, images_u8, preprocessing.model_dump())
        except Fault as fault:
            raise EdgebigError(f"{self.name}: {fault.problem}", fault.hint) from fault
        return np.asarray(self.model.scores(raw))
