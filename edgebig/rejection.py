"""The confidence below which a thing is of no class: chosen on validation digits, and on things that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.artifact import Preprocessing, Threshold
from edgebig.check import tflite
from edgebig.data import paper
from edgebig.data.examples import Examples, Splits

KEPT = 0.99  # the least share of true digits that must stay, of each kind of them
_NOTHINGS = 1.0  # as many other things as digits
# An int8 softmax has steps of 1/256; a bound lies between two of them, where rounding moves nothing over it.
_STEPS = 256


def threshold(model: bytes, splits: Splits, preprocessing: Preprocessing) -> Threshold:
    """That of .tflite bytes, by the validation digits as they are and as seen on paper, and by what is none there.

    Raises EdgebigError where the pictures are no digits that could be found on paper.
    """
    paper.check(splits)
    seen = paper.see(splits.validation, 1, _NOTHINGS, seed=paper.VALIDATION_SEED)
    nothings = seen.nothings()

    def sure(examples: Examples) -> npt.NDArray[Any]:
        return np.asarray(tflite.scores(model, examples, preprocessing.model_dump()).max(axis=1))

    unknown = sure(Examples(nothings, np.zeros(len(nothings), np.int64)))
    return choose([sure(splits.validation), sure(seen.digits())], unknown)


def choose(known: Sequence[npt.NDArray[Any]], unknown: npt.NDArray[Any]) -> Threshold:
    """The bound, of all that keep 99 % of each of `known`, with the largest shares kept and rejected together.

    Confidences from 0 to 1, each (N,). Of equally good bounds it is the lowest.
    """
    bounds = (np.arange(1, _STEPS) - 0.5) / _STEPS
    shares = np.array([(part[:, np.newaxis] >= bounds).mean(axis=0) for part in known])
    rejected = (unknown[:, np.newaxis] < bounds).mean(axis=0) if len(unknown) else np.zeros(len(bounds))
    good = np.where((shares >= KEPT).all(axis=0), shares.mean(axis=0) + rejected, -1.0)
    bound = float(bounds[int(good.argmax())])
    return Threshold(
        confidence=bound,
        known=sum(map(len, known)),
        kept=int(sum((part >= bound).sum() for part in known)),
        unknown=len(unknown),
        rejected=int((unknown < bound).sum()),
    )
