"""Which channels go, and in which order: the least important for what they cost first, in blocks that kernels like."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgebig import cost
from edgebig.compress.channels import Channels, Ids, Keep, weight_axes


class _Weight(NamedTuple):
    positions: int  # where it is multiplied; 0 for what is no kernel
    size: int  # of the axes that are not cut
    axes: tuple[Ids, ...]


@dataclass(frozen=True)
class Costs:
    """What the model would cost with only some units kept."""

    weights: tuple[_Weight, ...]

    def macs(self, keep: Keep) -> int:
        """keep: bool (units,)."""
        return sum(weight.positions * _left(weight, keep) for weight in self.weights if weight.positions)

    def parameters(self, keep: Keep) -> int:
        """keep: bool (units,). Without the biases that a cut may add where constants are folded."""
        return sum(_left(weight, keep) for weight in self.weights)


def costs(model: Any, channels: Channels) -> Costs:
    """Raises EdgebigError where the model's shapes are not known."""
    macs = {layer.name: layer.macs for layer in cost.of(model)}
    weights = []
    for use in channels.uses:
        axes = {name: ids for name, ids in weight_axes(use).items() if getattr(use.layer, name) is not None}
        shapes = {name: tuple(map(int, getattr(use.layer, name).shape)) for name in axes}
        multiplied = sum(math.prod(shape) for name, shape in shapes.items() if name.endswith("kernel"))
        for name, shape in shapes.items():
            whole = math.prod(side for side, ids in zip(shape, axes[name], strict=True) if ids is None)
            positions = macs[use.layer.name] // multiplied if name.endswith("kernel") else 0
            weights.append(_Weight(positions, whole, tuple(ids for ids in axes[name] if ids is not None)))
    return Costs(tuple(weights))


def _left(weight: _Weight, keep: Keep) -> int:
    return weight.size * math.prod(int(np.count_nonzero(keep[ids])) for ids in weight.axes)


def blocks_of(units: Ids, multiple: int) -> Iterator[Ids]:
    """`units`, the first to go first, in blocks that leave a multiple of a power of two; the last of them stays.

    The power is at most `multiple` and half of the units, so that a small group can still be halved.
    """
    left = len(units)
    tile = min(multiple, 1 << (max(1, left // 2).bit_length() - 1))
    while left > tile:
        after = (left - 1) // tile * tile
        yield units[len(units) - left : len(units) - after]
        left = after


def least(channels: Channels, multiple: int) -> Keep:
    """bool (units,): as few as can be kept; which of a group is by chance."""
    keep = channels.everything()
    for group in channels.groups:
        for block in blocks_of(group, multiple):
            keep[block] = False
    return keep


def order(
    channels: Channels, importance: npt.NDArray[np.float64], spent: Callable[[Keep], int], multiple: int
) -> list[Ids]:
    """All blocks that can go, in the order in which they should: least importance for what is saved.

    importance: (units,), 0 for what nobody would miss. spent: what is to be saved, by what is kept.
    """
    waiting = [
        list(blocks_of(group[np.argsort(importance[group], kind="stable")], multiple))
        for group in channels.groups
    ]
    keep, gone = channels.everything(), []
    while any(waiting):
        now = spent(keep)
        prices = []
        for blocks in waiting:
            if not blocks:
                prices.append(math.inf)
                continue
            saved = now - spent(without(keep, blocks[0]))
            prices.append(float(importance[blocks[0]].sum()) / max(1, saved))
        block = waiting[int(np.argmin(prices))].pop(0)
        keep = without(keep, block)
        gone.append(block)
    return gone


def without(keep: Keep, *blocks: Ids) -> Keep:
    """A copy of `keep` in which the blocks are not kept."""
    left = keep.copy()
    for block in blocks:
        left[block] = False
    return left


def first_that(blocks: list[Ids], enough: Callable[[Keep], bool], everything: Keep) -> Keep:
    """What is kept after as few of `blocks` as are enough, found by halving: few questions, each may be dear.

    All of them must be enough; more blocks are taken for enough where fewer are.
    """
    low, high = 0, len(blocks)
    while low < high:
        middle = (low + high) // 2
        if enough(without(everything, *blocks[:middle])):
            high = middle
        else:
            low = middle + 1
    return without(everything, *blocks[:high])


def refined(
    channels: Channels,
    importance: npt.NDArray[np.float64],
    keep: Keep,
    blocks: list[Ids],
    enough: Callable[[Keep], bool],
) -> Keep:
    """`keep`, which is enough, without what goes for nothing, and with blocks exchanged where less importance goes.

    One block at a time was the cheapest when it went; together they may be more than is asked for, or another block
    may do for several of them. blocks: all that can go, those of a group in order.
    """
    groups = _by_group(channels, blocks)
    keep = _given_back(groups, importance, keep, enough)
    while True:
        lost = float(importance[~keep].sum())
        exchanged = [
            _given_back(groups[:number] + groups[number + 1 :], importance, without(keep, block), enough)
            for number, group in enumerate(groups)
            if (block := next((block for block in group if keep[block].any()), None)) is not None
        ]
        best = min(exchanged, key=lambda other: float(importance[~other].sum()), default=keep)
        if float(importance[~best].sum()) >= lost:
            return keep
        keep = best


def _by_group(channels: Channels, blocks: list[Ids]) -> list[list[Ids]]:
    group_of = {int(unit): number for number, group in enumerate(channels.groups) for unit in group}
    groups: list[list[Ids]] = [[] for _ in channels.groups]
    for block in blocks:
        groups[group_of[int(block[0])]].append(block)
    return groups


def _given_back(
    groups: list[list[Ids]], importance: npt.NDArray[np.float64], keep: Keep, enough: Callable[[Keep], bool]
) -> Keep:
    """`keep` with blocks taken back, the most important that can be first, as long as it is still enough."""
    while True:
        last_gone = [next((b for b in reversed(group) if not keep[b].any()), None) for group in groups]
        candidates = [block for block in last_gone if block is not None and enough(keep | _only(keep, block))]
        if not candidates:
            return keep
        keep = keep | _only(keep, max(candidates, key=lambda block: float(importance[block].sum())))


def _only(keep: Keep, block: Ids) -> Keep:
    mask = np.zeros_like(keep)
    mask[block] = True
    return mask
