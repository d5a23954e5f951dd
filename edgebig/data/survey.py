"""What is in a source: its classes in each split, pictures that are there twice, and how like the splits are."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgebig.data import drift as drifting
from edgebig.data.drift import Drift
from edgebig.data.examples import Examples, Pictures, Splits

_SHOWN = 5
_MOST_PAIRS = 1000
_UNEVEN = 3.0
_FEW = 20
# What a model is worth is not to be learned from pictures that had a part in making it.
_SEEN = {
    "train": ": what was trained on tests nothing",
    "validation": ": what chose the model does not test it",
}
_FEATURES = {
    "brightness": ("brighter", "darker"),
    "contrast": ("richer in contrast", "poorer in contrast"),
    "sharpness": ("sharper, or thinner in its strokes,", "softer, or thicker in its strokes,"),
    "colour": ("more colourful", "less colourful"),
}


@dataclass(frozen=True)
class Place:
    """A picture: its split, its place there (from 0), its class, and its file where it has one of its own."""

    split: str
    index: int
    label: str
    file: str


@dataclass(frozen=True)
class Twins:
    """Pictures of `split` that are in `against` too, pixel by pixel; in the same split: that came there before.

    `pictures` of them, of which `relabelled` are of another class than the first such picture in `against`.
    `pairs`: the others, each with that first one; `relabelled_pairs`: those of another class; 1,000 at most of each.
    """

    split: str
    against: str
    pictures: int
    relabelled: int
    pairs: tuple[tuple[Place, Place], ...]
    relabelled_pairs: tuple[tuple[Place, Place], ...]


@dataclass(frozen=True)
class Survey:
    """`counts`: examples by split and class. `shape`: height, width and channels of each picture, which are uint8.

    `twins` has only those pairs of splits that share pictures. `findings`: all of it in sentences.
    """

    source: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    framing: str
    notes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    twins: tuple[Twins, ...]
    drift: tuple[Drift, ...]
    findings: tuple[str, ...]


def survey(splits: Splits, *, seed: int = 0) -> Survey:
    """All of it. The splits may overlap, and a class may be missing: that is what is looked for."""
    counts = {
        name: dict(
            zip(splits.classes, np.bincount(part.labels, minlength=len(splits.classes)).tolist(), strict=True)
        )
        for name, part in splits.parts().items()
    }
    twins = twins_of(splits)
    drift = drifting.drift(splits, seed=seed)
    findings = [
        *_of_counts(counts),
        *_of_twins(twins),
        *(line for found in drift for line in _of_drift(found)),
    ]
    return Survey(
        splits.source,
        splits.classes,
        splits.train.shape,
        splits.framing,
        splits.notes,
        counts,
        twins,
        drift,
        tuple(findings),
    )


def twins_of(splits: Splits) -> tuple[Twins, ...]:
    """Pictures that are in two splits, or in one twice."""
    parts = splits.parts()
    pairs = [(name, name) for name in parts]
    pairs += [(later, earlier) for earlier, later in itertools.combinations(parts, 2)]
    found = (_twins(splits, name, against) for name, against in pairs)
    return tuple(twins for twins in found if twins.pictures)


def _twins(splits: Splits, name: str, against: str) -> Twins:
    here, there = splits.parts()[name], splits.parts()[against]
    indices, firsts = _matches(here, there, within=name == against)
    relabelled = here.labels[indices] != there.labels[firsts]

    def pairs(chosen: npt.NDArray[np.bool_]) -> tuple[tuple[Place, Place], ...]:
        shown = list(zip(indices[chosen][:_MOST_PAIRS], firsts[chosen][:_MOST_PAIRS], strict=True))
        return tuple(
            (
                _place(splits, name, int(index)),
                _place(splits, against, int(first)),
            )
            for index, first in shown
        )

    return Twins(name, against, len(indices), int(relabelled.sum()), pairs(~relabelled), pairs(relabelled))


def _place(splits: Splits, split: str, index: int) -> Place:
    part = splits.parts()[split]
    file = part.images.name_of(index) if isinstance(part.images, Pictures) else ""
    return Place(split, index, splits.classes[part.labels[index]], file)


def _matches(
    here: Examples, there: Examples, *, within: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(indices of `here`, for each the first index of `there` with the same picture), where there is one.

    `within`: both are the same, and a picture is no twin of itself.
    """
    hashes, firsts = np.unique(there.hashes, return_index=True)
    if not len(hashes):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(hashes, here.hashes), len(hashes) - 1)
    found = hashes[at] == here.hashes
    if within:
        found &= firsts[at] != np.arange(len(here))
    indices = np.flatnonzero(found)
    return indices, firsts[at[indices]]


def _of_counts(counts: dict[str, dict[str, int]]) -> list[str]:
    train = counts["train"]
    fewest, most = min(train, key=lambda name: train[name]), max(train, key=lambda name: train[name])
    if train[fewest] == train[most]:
        lines = [f"train has {train[most]:,} of each class"]
    else:
        ratio = train[most] / max(1, train[fewest])
        uneven = (
            ": uneven, so look at each class's accuracy, not at the whole alone" if ratio > _UNEVEN else ""
        )
        lines = [
            f"train has {train[fewest]:,} of '{fewest}', the fewest, and {train[most]:,} of '{most}', the most: "
            f"1 to {ratio:.1f}{uneven}"
        ]
    for split, of_class in counts.items():
        missing = [name for name, count in of_class.items() if not count]
        few = [name for name, count in of_class.items() if 0 < count < _FEW]
        if missing:
            lines.append(f"{split} has no example of {_listed(missing)}")
        if few and split != "train":
            lines.append(f"{split} has fewer than {_FEW} of {_listed(few)}: too few to say much of one class")
    return lines


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _of_twins(twins: tuple[Twins, ...]) -> list[str]:
    if not twins:
        return ["no picture is there twice"]
    lines = []
    for found in twins:
        many = "1 picture is" if found.pictures == 1 else f"{found.pictures:,} pictures are"
        where = "a copy of an earlier one" if found.split == found.against else f"in {found.against} too"
        seen = "" if found.split == found.against else _SEEN[found.against]
        other = f", {found.relabelled:,} in another class" if found.relabelled else ""
        lines.append(f"{found.split}: {many} {where}{other}{seen}")
        pairs = [*found.relabelled_pairs[:_SHOWN], *found.pairs[:_SHOWN]]
        lines += [f"  {_named(here)} is {_named(first)}" for here, first in pairs]
        if len(pairs) < found.pictures:
            lines.append(f"  and {found.pictures - len(pairs):,} more, which --json lists")
    return lines


def _named(place: Place) -> str:
    file = f", {place.file}" if place.file else ""
    return f"{place.split}[{place.index}] ('{place.label}'{file})"


def _of_drift(drift: Drift) -> list[str]:
    """What differs, or that nothing does, with the figures that say so."""
    name, shares, parted = drift.split, drift.shares, drift.parted
    lines = []
    if shares.told:
        lines.append(
            f"{name} has other shares of the classes than train: {shares.distance:.0%} would have to change "
            f"({shares.expected:.0%} by chance); most '{shares.most}': {shares.share:.1%}, in train "
            f"{shares.train_share:.1%}"
        )
    for shift in drift.shifts:
        if shift.told:
            lines.append(
                f"{name} is {_degree(shift.d)}{_FEATURES[shift.measure][shift.d < 0]} than train "
                f"(d = {shift.d:.1f}, {shift.low:.1f} .. {shift.high:.1f})"
            )
    if parted and parted.told:
        lines.append(
            f"{name} can be told from train by a linear classifier: AUC {parted.auc:.2f} "
            f"({parted.low:.2f} .. {parted.high:.2f}; 0.5 is not at all)"
        )
    if not drift.shifts:
        lines.append(f"{name} has too few pictures of one class to compare their light with train's")
    elif not lines:
        most = max(drift.shifts, key=lambda shift: abs(shift.d))
        auc = f", AUC {parted.auc:.2f} (0.5 is chance)" if parted else ""
        few = ""
        if drift.least_d and drift.least_d > 2 * drifting.D:
            few = f"; but {name} is small, and what is under d = {drift.least_d:.1f} may go unseen"
        lines.append(
            f"no drift seen between train and {name}: shares {shares.distance:.1%} apart ({shares.expected:.1%} by "
            f"chance), {most.measure} d = {most.d:.2f}{auc}{few}"
        )
    return lines


def _degree(d: float) -> str:
    return "a little " if abs(d) < 0.5 else "" if abs(d) <= 1 else "much "
