"""Whether validation and test are like train: the shares of the classes, the light, and what a classifier can part.

Three rules carry this file.

Effects, not p-values: with 10,000 pictures any difference is significant. An effect is told where it is large enough
to matter and its interval shuts chance out; the intervals of all looks together hold at 95 % (Bonferroni).

Like with like: where test has more ones than train its pictures are darker, and that is told as other shares of the
classes. Light is compared within each class, and the classifier gets as many pictures of a class from both sides.

Pictures are taken as independent. Where several show one scene or come from one hand, the intervals are too narrow.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgebig.data.examples import Examples, Images, Splits

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

# From here on an effect is told: a share of the examples, standard deviations (Cohen's "small"), an AUC.
SHARE, D, AUC = 0.05, 0.2, 0.55
_MEASURES = ("brightness", "contrast", "sharpness", "colour")
_LEVEL = 0.95
# No more is looked at than tells an effect of D from none many times over.
_PICTURES, _FEWEST_PICTURES, _BYTES = 4_000, 200, 1 << 29
_BATCH_BYTES = 1 << 22
_COARSE = 8
_DRAWS = 1_000
# A grey value: a spread below it is rounding.
_STEP = 1 / 255


@dataclass(frozen=True)
class Shares:
    """`distance`: the share of examples that would have to be of another class for both to have the same shares.

    `expected`: its mean if both were drawn from the same classes; `limit`: what chance alone seldom exceeds.
    `most`: the class whose share differs most, which has `share` here and `train_share` in train.
    """

    distance: float
    expected: float
    limit: float
    most: str
    share: float
    train_share: float

    @property
    def told(self) -> bool:
        return self.distance > self.limit and self.distance - self.expected >= SHARE


@dataclass(frozen=True)
class Shift:
    """How far a measure of the pictures lies above train's, in standard deviations within a class (Cohen's d)."""

    measure: str
    d: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        return abs(self.d) >= D and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Parted:
    """How well a linear classifier tells the split's pictures from train's, as an AUC: 0.5 is not at all, 1 is always.

    `n`: pictures of each side, as many of each class from both.
    """

    auc: float
    low: float
    high: float
    n: int

    @property
    def told(self) -> bool:
        return self.auc >= AUC and self.low > 0.5


@dataclass(frozen=True)
class Drift:
    """`split` against train. `shifts` and `parted` are empty where no class has enough pictures in both.

    `least_d`: the least shift that can be told from chance with so few pictures; None without shifts.
    """

    split: str
    shares: Shares
    shifts: tuple[Shift, ...]
    parted: Parted | None
    least_d: float | None

    @property
    def told(self) -> bool:
        return (
            self.shares.told
            or any(shift.told for shift in self.shifts)
            or bool(self.parted and self.parted.told)
        )


@dataclass(frozen=True)
class _Look:
    """What was seen of some pictures of a split: `labels` (n,), `measures` (n, M), `coarse` (n, P)."""

    labels: Labels
    measures: Floats
    coarse: Floats


def drift(splits: Splits, *, seed: int = 0) -> tuple[Drift, ...]:
    """Validation and test against train; a split without examples is left out. What is looked at is by `seed`."""
    parts = {name: part for name, part in splits.parts().items() if len(part)}
    if "train" not in parts:
        return ()
    looks = {
        name: _look(part, np.random.default_rng([seed, i])) for i, (name, part) in enumerate(parts.items())
    }
    of_train = looks.pop("train")
    tail = (1 - _LEVEL) / max(1, len(looks) * (of_train.measures.shape[1] + 2))
    return tuple(
        _drift(splits, name, of_train, look, tail, np.random.default_rng([seed, 10 + i]))
        for i, (name, look) in enumerate(looks.items())
    )


def _drift(
    splits: Splits, name: str, train: _Look, look: _Look, tail: float, random: np.random.Generator
) -> Drift:
    z = statistics.NormalDist().inv_cdf(1 - tail / 2)
    measured = range(train.measures.shape[1])
    shifts = tuple(
        shift for column in measured if (shift := _shift(_MEASURES[column], train, look, column, z))
    )
    weight = float(_pair_weights(train.labels, look.labels).sum())
    return Drift(
        name,
        _shares(splits.train.labels, splits.parts()[name].labels, splits.classes, tail, random),
        shifts,
        _parted(train, look, z, random),
        max(D, z / weight**0.5) if shifts else None,
    )


def _look(examples: Examples, random: np.random.Generator) -> _Look:
    picture_bytes = int(np.prod(examples.shape))
    count = min(_PICTURES, max(_FEWEST_PICTURES, _BYTES // picture_bytes), len(examples))
    chosen = np.sort(random.choice(len(examples), count, replace=False))
    batches = np.array_split(chosen, -(-count * picture_bytes // _BATCH_BYTES))
    # More batches than pictures leave some empty.
    seen = [_seen(examples.images[batch]) for batch in batches if len(batch)]
    measures, coarse = (np.concatenate(column) for column in zip(*seen, strict=True))
    return _Look(examples.labels[chosen], measures, coarse)


def _seen(images: Images) -> tuple[Floats, Floats]:
    """uint8 (B, H, W, C) -> measures (B, 3), of colour pictures (B, 4), and the pictures (B, P) in 8 x 8 cells.

    Sharpness is the mean step between neighbours by the contrast, so that it is the same in another light.
    """
    light = images.astype(np.float32) / 255
    grey = light.mean(axis=3)
    contrast = grey.std(axis=(1, 2))
    steps = sum(np.abs(np.diff(grey, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2)) / grey[0].size
    measures = [grey.mean(axis=(1, 2)), contrast, steps / np.maximum(contrast, _STEP)]
    if images.shape[3] >= 3:
        measures.append((light.max(axis=3) - light.min(axis=3)).mean(axis=(1, 2)))
    for axis in (1, 2):
        starts = np.unique(np.linspace(0, light.shape[axis], _COARSE, endpoint=False).astype(int))
        sizes = np.diff([*starts, light.shape[axis]]).reshape([-1 if a == axis else 1 for a in range(4)])
        light = np.add.reduceat(light, starts, axis=axis) / sizes
    return np.stack(measures, axis=1).astype(np.float64), light.reshape(len(light), -1).astype(np.float64)


def _shares(
    train: Labels, other: Labels, classes: tuple[str, ...], tail: float, random: np.random.Generator
) -> Shares:
    """Total variation distance of two counts of labels; what chance gives comes from draws of the pooled shares."""
    counts = [np.bincount(labels, minlength=len(classes)) for labels in (train, other)]
    p, q = (count / count.sum() for count in counts)
    pooled = sum(counts) / sum(count.sum() for count in counts)
    drawn = [random.multinomial(count.sum(), pooled, _DRAWS) / count.sum() for count in counts]
    by_chance = np.abs(drawn[0] - drawn[1]).sum(axis=1) / 2
    most = int(np.argmax(np.abs(p - q)))
    return Shares(
        float(np.abs(p - q).sum() / 2),
        float(by_chance.mean()),
        float(np.quantile(by_chance, 1 - tail)),
        classes[most],
        float(q[most]),
        float(p[most]),
    )


def _shift(name: str, train: _Look, other: _Look, column: int, z: float) -> Shift | None:
    """The effect of the split in a linear model with a term for every class, by the standard deviation that is left.

    None where too few pictures are of a class that both have. Source: the two-way layout without interaction;
    variance of d: Hedges and Olkin, "Statistical methods for meta-analysis", 1985, chapter 5.
    """
    weight = _pair_weights(train.labels, other.labels)
    both, classes = weight > 0, len(weight)
    means, squares, degrees = [], np.zeros(classes), -2 * int(both.sum())
    for look in (train, other):
        values = look.measures[:, column]
        count = np.bincount(look.labels, minlength=classes)
        mean = np.bincount(look.labels, values, classes) / np.maximum(count, 1)
        squares += np.bincount(look.labels, (values - mean[look.labels]) ** 2, classes)
        degrees += int(count[both].sum())
        means.append(mean)
    if degrees < 2:
        return None
    spread = max(float(np.sqrt(squares[both].sum() / degrees)), _STEP)
    d = float((weight * (means[1] - means[0])).sum() / weight.sum()) / spread
    reach = z * float(np.sqrt(1 / weight.sum() + d * d / (2 * degrees)))
    return Shift(name, d, d - reach, d + reach)


def _pair_weights(train: Labels, other: Labels) -> Floats:
    """Of each class, one over the variance of a difference between the two means, in variances of a picture."""
    classes = int(max(train.max(), other.max())) + 1
    here, there = (np.bincount(labels, minlength=classes) for labels in (train, other))
    return np.asarray(here * there / np.maximum(here + there, 1))


def _parted(train: _Look, other: _Look, z: float, random: np.random.Generator) -> Parted | None:
    """A ridge regression on the split, fitted on one half and scored on the other, both ways. None where too few."""
    folds = _matched(train.labels, other.labels, random)
    rows = [np.concatenate([train_rows, other_rows + len(train.labels)]) for train_rows, other_rows in folds]
    sides = [np.repeat([-1.0, 1.0], len(fold[0])) for fold in folds]
    n = sum(len(fold[0]) for fold in folds)
    if min(len(fold[0]) for fold in folds) < 10:
        return None
    # Squares, so that a wider spread is seen too, and not only another mean.
    columns = np.concatenate([np.hstack([look.measures, look.coarse]) for look in (train, other)])
    columns = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), _STEP)
    columns = np.hstack([columns, np.minimum(columns**2, 10.0)])
    aucs, variances = [], []
    for fit, score in ((0, 1), (1, 0)):
        weights = _ridge(columns[rows[fit]], sides[fit])
        auc, variance = auc_of(columns[rows[score]] @ weights, sides[score] > 0)
        aucs.append(auc)
        variances.append(variance)
    # Where there is no drift both are by chance high or low together, so that their mean varies as much as each.
    auc, reach = float(np.mean(aucs)), z * float(np.sqrt(np.mean(variances)))
    return Parted(auc, max(0.0, auc - reach), min(1.0, auc + reach), n)


def _matched(
    train: Labels, other: Labels, random: np.random.Generator
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Two folds of (rows of train, rows of other), each with as many of every class from both."""
    folds: list[list[list[npt.NDArray[np.int64]]]] = [[[], []], [[], []]]
    for label in np.intersect1d(train, other):
        sides = [random.permutation(np.flatnonzero(labels == label)) for labels in (train, other)]
        half = min(map(len, sides)) // 2
        for fold in (0, 1):
            for side in (0, 1):
                folds[fold][side].append(sides[side][fold * half : (fold + 1) * half])
    empty = np.zeros(0, np.int64)
    return [(np.concatenate([empty, *fold[0]]), np.concatenate([empty, *fold[1]])) for fold in folds]


def _ridge(columns: Floats, target: Floats) -> Floats:
    """(P,) weights. The penalty is a tenth of a column's own variance: neighbouring pixels say the same."""
    columns = columns - columns.mean(axis=0)
    gram = columns.T @ columns
    gram[np.diag_indices_from(gram)] += 0.1 * len(columns) + 10.0
    return np.asarray(np.linalg.solve(gram, columns.T @ target))


def auc_of(scores: Floats, positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The chance that a positive scores above a negative, ties as a half, and the variance of that estimate.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845.
    """
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    placed = [
        (np.searchsorted(against, own, "left") + np.searchsorted(against, own, "right")) / (2 * len(against))
        for own, against in ((ups, downs), (downs, ups))
    ]
    variance = sum(float(np.var(place, ddof=1)) / len(place) for place in placed)
    # Where all are parted the placements have no spread; one more pair, and one wrong, is what is not ruled out.
    floor = 1 / (4 * len(ups) * len(downs))
    return float(placed[0].mean()), max(variance, floor)
