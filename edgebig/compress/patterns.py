"""Which weights become zero: masks as pure functions of the weights, exact and without TensorFlow.

Weights are as a .tflite stores them, outputs first and inputs last: (O, ..., I). A pattern cuts them into groups: `any`
single weights; `2:4` four neighbours along the inputs, of which two become zero; `block` outputs by inputs at one
place of the kernel, which become zero together. A weight that is zero already is the first to be zero again, so that
pruning further never brings one back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]  # True: kept
_QUAD = 4


class Pattern(NamedTuple):
    """`block`: outputs and inputs, of the pattern of that name."""

    kind: str = "any"
    block: tuple[int, int] = (1, 1)

    @property
    def size(self) -> tuple[int, int]:
        """Outputs and inputs of a group."""
        return {"any": (1, 1), "2:4": (1, _QUAD)}.get(self.kind, self.block)

    def why_not(self, outputs: int, inputs: int) -> str:
        """Why weights of so many outputs and inputs cannot be cut into groups, or ""."""
        for have, size, what in ((outputs, self.size[0], "output"), (inputs, self.size[1], "input")):
            if have % size:
                return f"{have} {what}{'s' if have > 1 else ''}, not a multiple of {size}"
        return ""

    def groups(self, weights: Weights) -> Weights:
        """(O, ..., I) -> (groups, weights in one)."""
        return np.moveaxis(self._cut(weights), 1, -2).reshape(-1, math.prod(self.size))

    def spread(self, values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The way back from `groups`: (groups, weights in one) -> (O, ..., I) of that shape."""
        cut = self._cut(np.empty(shape, np.bool_))
        return np.moveaxis(values.reshape(np.moveaxis(cut, 1, -2).shape), -2, 1).reshape(shape)

    def _cut(self, weights: Weights) -> Weights:
        outputs, inputs = self.size
        return weights.reshape(weights.shape[0] // outputs, outputs, -1, weights.shape[-1] // inputs, inputs)

    def share(self, weights: Weights) -> float:
        """The share of groups that are as the pattern wants them: all zero, or for 2:4 two zeros at least."""
        zeros = np.sum(self.groups(weights) == 0, axis=1)
        return float(np.mean(zeros >= (_QUAD // 2 if self.kind == "2:4" else math.prod(self.size))))


def zero_groups(groups: int, share: float) -> int:
    """How many of so many groups are zero at this share: the nearest number that leaves one."""
    return groups - max(1, round(groups * (1 - share)))


def layer_mask(weights: Weights, share: float, pattern: Pattern) -> Mask:
    """The mask that makes this share of `weights` zero; of 2:4 the share is at most 0.5."""
    if pattern.kind == "2:4":
        return _two_of_four(weights, share, pattern)
    (mask,) = global_masks([weights], share, pattern, least_kept=0.0)
    return mask


def _two_of_four(weights: Weights, share: float, pattern: Pattern) -> Mask:
    magnitudes = np.abs(pattern.groups(weights))
    rank = np.argsort(np.argsort(magnitudes, axis=1, kind="stable"), axis=1, kind="stable")
    # On the way to a half, the smaller one of a quad's two goes before the other.
    order = np.argsort(np.where(rank < _QUAD // 2, magnitudes, np.inf), axis=None, kind="stable")
    kept = np.ones(magnitudes.size, np.bool_)
    kept[order[: min(round(share * magnitudes.size), magnitudes.size // 2)]] = False
    return pattern.spread(kept.reshape(magnitudes.shape), weights.shape)


def global_masks(
    layers: Sequence[Weights], share: float, pattern: Pattern, *, least_kept: float
) -> list[Mask]:
    """A mask a layer, by one threshold for all: the groups of the least mean magnitude anywhere become zero.

    `least_kept`: of each layer this share of its groups, the largest ones, and one at least, stay whatever the
    threshold is.
    """
    size = math.prod(pattern.size)
    scores = [np.abs(pattern.groups(weights)).astype(np.float64).sum(axis=1) / size for weights in layers]
    for of_layer in scores:
        safe = max(1, math.ceil(least_kept * len(of_layer)))
        of_layer[np.argsort(of_layer, kind="stable")[-safe:]] = np.inf
    every = np.concatenate(scores)
    wanted = min(zero_groups(len(every), share), int(np.sum(np.isfinite(every))))
    kept = np.ones(len(every), np.bool_)
    kept[np.argsort(every, kind="stable")[:wanted]] = False
    parts = np.split(kept, np.cumsum([len(of_layer) for of_layer in scores])[:-1])
    return [
        pattern.spread(np.repeat(part, size), weights.shape)
        for part, weights in zip(parts, layers, strict=True)
    ]
