"""Things on paper that are no digit: letters, signs, scribbles, blots; each is lines in a box from 0 to 1.

Letters are left out where somebody's hand makes a digit's shape of them: B b D G g I i J j l O o Q q S s T y Y Z z.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgebig.data import hershey

Line = npt.NDArray[np.float64]

# Strokes between blanks, each a run of places on a grid of 0 to 9, x then y, downwards; "~" opens a round one.
LETTERS = {
    "A": "095099 2575", "C": "~925004185998", "E": "90000999 0575", "F": "900009 0575", "H": "0009 9099 0595",
    "K": "0009 9005 2499", "L": "000999", "M": "0900569099", "N": "09009990", "P": "0009 ~0060826505",
    "R": "0009 ~0060826505 4599", "U": "~000629698680", "V": "004990", "W": "0029447990", "X": "0099 9009",
    "a": "~8240043987 8089", "a of print": "~12508389 ~8435062877", "d": "8089 ~8544074988",
    "e": "~05857130053988", "f": "~80514449 1575",
    "h": "0009 ~05437579", "m": "0209 ~05244549 ~45748599", "n": "0209 ~05437579", "p": "0009 ~0150825504",
    "r": "0209 ~05335283", "t": "~40486989 0373", "u": "~0207397772 7279",
}  # fmt: skip
SIGNS = {
    "plus": "5059 0595", "equals": "0393 0696", "hash": "3029 7069 0393 0696", "tick": "063990",
    "star": "5059 0595 2188 8128", "less": "900599", "tilde": "~0623456794",
    "arrow": "0595 629568", "triangle": "09509909", "percent": "9009 ~0020220200 ~7797997977", "and": "~99224062163995",
    "zigzag": "002940598099", "box": "0090990900 0099", "heart": "~52200359937052", "comb": "00099990 4049",
}  # fmt: skip
SCRIBBLES = ("tangle", "loops")
KINDS = (*LETTERS, *SIGNS, *hershey.letters(), *SCRIBBLES, "blot", "bars")
# Those that a net takes for digits most are drawn more often.
_HARD = frozenset(("a", "a of print", "and", "C", "c", "d", "e", "F", "h", "n", "P", "p", "r", "t", "u"))


def _weight(kind: str) -> float:
    """How often a kind is drawn. Letters and scribbles are what stands on paper beside digits."""
    if kind in _ELSE:
        return _ELSE[kind]
    letter = kind.rpartition(" ")[2]
    more = 2.0 if kind in _HARD or letter in _HARD else 1.0
    return more * (1.0 if kind in LETTERS else 0.6 if kind in SIGNS else 0.25)


_ELSE = {"tangle": 20.0, "loops": 6.0, "blot": 3.0, "bars": 3.0}
_WEIGHTS = np.array([_weight(kind) for kind in KINDS])
_SHAKY = 0.045  # how far a hand misses a place, in sizes of the box
_POINTS = 8  # of a round stroke between two places


def pick(count: int, rng: np.random.Generator) -> list[str]:
    """So many kinds, as often as they are met."""
    return [KINDS[int(place)] for place in rng.choice(len(KINDS), count, p=_WEIGHTS / _WEIGHTS.sum())]


def draw(kind: str, rng: np.random.Generator) -> list[Line]:
    """The lines (n, 2), x and y, of a thing of `KINDS`, as `rng`'s hand draws it."""
    if kind == "tangle":
        return [_tangle(rng, int(rng.integers(7, 18)), reach=float(rng.uniform(0.2, 0.4)))]
    if kind == "loops":
        return [_loops(rng)]
    if kind == "blot":
        return [_tangle(rng, 24, reach=float(rng.uniform(0.05, 0.15)))]
    if kind == "bars":
        return _bars(rng)
    if kind in hershey.letters():
        return hershey.draw(kind, rng)
    strokes = (LETTERS | SIGNS)[kind].split()
    squeezed = np.array([rng.uniform(0.55, 1.0), 1.0])
    return [_stroke(stroke, rng) * squeezed + (1 - squeezed) / 2 for stroke in strokes]


def _stroke(text: str, rng: np.random.Generator) -> Line:
    places = np.array([int(sign) for sign in text.removeprefix("~")], np.float64).reshape(-1, 2) / 9
    places += rng.normal(0, _SHAKY, places.shape)
    return _round(places) if text[0] == "~" else places


def _tangle(rng: np.random.Generator, knots: int, reach: float) -> Line:
    return _round(np.clip(rng.normal(0.5, reach, (knots, 2)), 0, 1))


def _loops(rng: np.random.Generator) -> Line:
    """A spring drawn out: three loops or more, since one may be a digit; lying, since a thick pen makes a 1 of it."""
    t = np.linspace(0, 2 * np.pi * rng.uniform(3, 7), 200)
    drift, turn = rng.uniform(0.1, 0.6), rng.uniform(-0.4, 0.4)
    spring = np.stack([drift * t + np.cos(t), rng.uniform(0.9, 2.0) * np.sin(t)], 1)
    spring = spring @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle, side = (spring.min(0) + spring.max(0)) / 2, float(np.ptp(spring, axis=0).max())
    return np.asarray((spring - middle) / side + 0.5)


def _bars(rng: np.random.Generator) -> list[Line]:
    """Level strokes over each other, as where a rule is taken for ink."""
    heights = np.sort(rng.uniform(0.1, 0.9, int(rng.integers(1, 4))))
    ends = rng.uniform(0, 0.3, (len(heights), 2))
    return [np.array([(left, y), (1 - right, y)]) for y, (left, right) in zip(heights, ends, strict=True)]


def _round(places: Line) -> Line:
    """A smooth curve through `places` (n, 2). Source: Catmull and Rom 1974, uniform."""
    before, after = 2 * places[0] - places[1], 2 * places[-1] - places[-2]
    p = np.concatenate([[before], places, [after]])
    t = (np.arange(_POINTS) / _POINTS)[:, np.newaxis, np.newaxis]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = b + (c - a) / 2 * t + (a - 2.5 * b + 2 * c - d / 2) * t**2 + (1.5 * (b - c) + (d - a) / 2) * t**3
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), places[-1:]])
