"""Letters of seven hands, as a pen draws them: the Hershey fonts, lines and no outlines (hershey.txt, NOTICE)."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

PATH = Path(__file__).with_name("hershey.txt")
Line = npt.NDArray[np.float64]

# Standard deviations: of a slant, in pixels a pixel; of the logarithms of width over height, and of the power that
# moves what is in a letter's middle, so that bowls grow or shrink; of where a stroke starts, in sizes of the letter.
_SLANT, _SQUEEZE, _PROPORTION, _APART = 0.2, 0.15, 0.25, 0.025
_BENT = 0.045  # how far a hand misses a place at most, in sizes of the letter
_WAVES = (0.4, 1.3)  # of what it misses by, along a letter's side
_SHAKY = 0.006
_ROUNDED = 0.4  # the share of letters with round corners


@cache
def letters() -> dict[str, tuple[Line, ...]]:
    """'hand letter' -> its strokes (n, 2), x and y, in the middle of a box from 0 to 1 whose side is the longer one."""
    found = {}
    for line in PATH.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        hand, name, *strokes = line.split()
        read = [np.array([ord(sign) for sign in stroke], np.float64).reshape(-1, 2) for stroke in strokes]
        found[f"{hand} {name}"] = tuple(_boxed(read))
    return found


def draw(kind: str, rng: np.random.Generator) -> list[Line]:
    """The strokes (n, 2) of a letter of `letters`, as `rng`'s hand draws it: slanted, bent, of other proportions."""
    power = np.exp(rng.normal(0, _PROPORTION, 2))
    lines = [np.maximum(_dense(line), 0) ** power + rng.normal(0, _APART, 2) for line in letters()[kind]]
    if rng.random() < _ROUNDED:
        lines = [_rounded(line) for line in lines]
    squeeze, slant = np.exp(rng.normal(0, _SQUEEZE)), rng.normal(0, _SLANT)
    matrix = np.array([[squeeze, 0], [slant, 1]])
    waves = rng.uniform(*_WAVES, (2, 2)) * 2 * np.pi
    turns, bent = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0, _BENT, 2)
    drawn = []
    for line in lines:
        moved = line + np.sin(line @ waves + turns) * bent + rng.normal(0, _SHAKY, line.shape)
        drawn.append(moved @ matrix)
    return _boxed(drawn)


def _boxed(lines: list[Line]) -> list[Line]:
    """The longer side is 1, the other's middle in the middle."""
    points = np.concatenate(lines)
    low, high = points.min(0), points.max(0)
    return [(line - (low + high) / 2) / (high - low).max() + 0.5 for line in lines]


def _dense(line: Line) -> Line:
    """With a point in the middle of each long part, which can be bent."""
    parts = [np.linspace(a, b, 1 + int(np.hypot(*(b - a)) // 0.2), endpoint=False) for a, b in pairwise(line)]
    return np.concatenate([*parts, line[-1:]])


def _rounded(line: Line) -> Line:
    """Each corner is cut off at a quarter of its sides. Source: Chaikin, CGIP 3 (1974) 346."""
    before, after = line[:-1], line[1:]
    cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], 1).reshape(-1, 2)
    return np.concatenate([line[:1], cut, line[-1:]])
