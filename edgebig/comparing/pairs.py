"""Which model of one record is which of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from edgebig.measurement import ModelResult


@dataclass(frozen=True)
class Matched:
    """`pairs`: (of a, of b, by what); `missing` are in a alone, `added` in b alone."""

    pairs: tuple[tuple[ModelResult, ModelResult, str], ...]
    missing: tuple[ModelResult, ...]
    added: tuple[ModelResult, ...]


def match(a: Sequence[ModelResult], b: Sequence[ModelResult]) -> Matched:
    """The same file is the same model, else the same path, else a file's name that each record has once.

    Two records of one model each are of that model, whatever it is called.
    """
    left, right = list(a), list(b)
    found: dict[int, tuple[ModelResult, ModelResult, str]] = {}
    for by, key in _KEYS.items():
        for one in list(left):
            same = [other for other in right if key(other) == key(one)]
            if len(same) == 1 and sum(key(other) == key(one) for other in left) == 1:
                found[list(a).index(one)] = (one, same[0], by)
                left.remove(one)
                right.remove(same[0])
    if len(a) == len(b) == 1 and left:
        return Matched(((a[0], b[0], "being the only ones"),), (), ())
    return Matched(tuple(found[place] for place in sorted(found)), tuple(left), tuple(right))


_KEYS: dict[str, Callable[[ModelResult], str]] = {
    "sha256": lambda model: model.sha256,
    "path": lambda model: model.name,
    "file name": lambda model: PurePath(model.name).name,
}
