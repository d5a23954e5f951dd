"""What a teacher says of augmented pictures: fixed views of them, and a row of probabilities for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgebig.data.examples import Examples

# Every training learns from the same views, whatever its own seed, so that the teacher reads each only once.
VIEWS_SEED = 20_261_125
UNKNOWN = -1  # the label of a picture that came without one
NOTHING = -2  # the label of a picture that is of no class: each is as likely


@dataclass(frozen=True)
class Taught:
    """What a teacher said of `views` fixed augmented epochs of `examples`, some of which may have no label.

    `probabilities`: float16 (views, steps, B, classes), at `temperature`; `hard` is the share of the loss that the
    labels keep. `name` says who the teacher is, `sha256` is of all that the probabilities come from.
    """

    examples: Examples
    probabilities: npt.NDArray[Any]
    temperature: float
    hard: float
    name: str
    sha256: str

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return int(self.probabilities.shape[1])
