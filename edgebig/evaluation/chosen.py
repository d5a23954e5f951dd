"""Which examples models are evaluated on: their own, or another source's whose classes have the same names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, recipe
from edgebig.artifact import Artifact, Card
from edgebig.data.examples import Examples, Splits, per_class
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

_NAMES_SHOWN = 10


@dataclass(frozen=True)
class Chosen:
    """`examples`, with labels as indices into the source's `classes`, and what a record says of them."""

    examples: Examples
    classes: tuple[str, ...]
    facts: dict[str, Any]

    def labels_of(self, card: Card) -> npt.NDArray[np.int64]:
        """(N,): the labels as indices into the model's classes, by their names."""
        place = {name: index for index, name in enumerate(card.classes)}
        # What has no place has no examples here.
        return np.array([place.get(name, -1) for name in self.classes], np.int64)[self.examples.labels]


def cards_of(artifacts: Sequence[Artifact]) -> list[Card]:
    """Their cards. Raises EdgebigError where one has none, or a file is named twice."""
    seen: dict[str, Path] = {}
    for item in artifacts:
        if item.sha256 in seen:
            raise EdgebigError(
                f"{item.path} and {seen[item.sha256]} are the same file", "name each model once"
            )
        seen[item.sha256] = item.path
    need = "which says what a picture must be made into, and its classes"
    return [artifact.require_card(item, need) for item in artifacts]


def data_spec(artifacts: Sequence[Artifact], source: str | None) -> Data:
    """What gives the examples: what the models were trained with, or `source`, made into what the first model takes.

    Raises EdgebigError where they were trained on different sources, or `source` is none.
    """
    cards = cards_of(artifacts)
    if source is None:
        names = sorted({card.test.source for card in cards})
        if len(names) > 1:
            raise EdgebigError(
                f"the models were tested on different data: {', '.join(names)}",
                f"evaluate them one source at a time, or all on one: --source {names[0]}",
            )
        return cards[0].data_spec()
    tables: dict[str, Any] = {"source": recipe.anchored_source(source, Path.cwd())}
    # The other sources have arrays, which are of one size already and stay so.
    if source.startswith(("images:", "csv:")):
        height, width, _ = _takes(artifacts[0], cards[0])
        preprocessing = cards[0].preprocessing
        tables |= {"size": [height, width], "colour": preprocessing.colour, "fit": preprocessing.fit}
    return recipe.validate(Data, tables, "--source", hint="as in --source images:FOLDER")


def usual_split(source: str | None) -> str:
    """Of the models' own data, and of data sets with a name, the test split; of the user's own pictures, all."""
    return "all" if source is not None and source not in recipe.SOURCES else "test"


def word_of(split: str) -> str:
    """What is said before "examples": nothing of all."""
    return "" if split == "all" else split


def _takes(item: Artifact, card: Card) -> tuple[int, int, int]:
    if len(card.input.shape) != 4:
        raise EdgebigError(
            f"{item.path}: its input is {card.input.shape}, no picture", "use a model that takes one picture"
        )
    _, height, width, channels = card.input.shape
    return height, width, channels


def choose(
    artifacts: Sequence[Artifact], splits: Splits, split: str, count: int | None, *, own: bool
) -> Chosen:
    """The examples of a split, or of "all"; `count`: only so many, of every class alike. `own`: they are the models'.

    Raises EdgebigError where there are none, the models cannot read them, or were trained on them.
    """
    parts = splits.parts()
    whole = reduce(Examples.joined, parts.values()) if split == "all" else parts[split]
    if not len(whole):
        raise EdgebigError(
            f"{splits.source}: no {word_of(split)} example in it".replace("  ", " "),
            "--split all takes every one",
        )
    examples = whole
    if count is not None and count < len(whole):
        examples = whole[per_class(whole.labels, count, seed=0)]
    cards = cards_of(artifacts)
    present = [splits.classes[label] for label in np.unique(examples.labels)]
    for item, card in zip(artifacts, cards, strict=True):
        _check_readable(item, card, examples, present)
    facts = {
        "source": splits.source,
        "split": split,
        "n": len(examples),
        "of": len(whole),
        "leak_check": _leak_check(artifacts, examples, split, own=own),
        "absent_classes": [name for name in cards[0].classes if name not in present],
        "changed_since_training": _changed(artifacts, splits) if own else [],
    }
    return Chosen(examples, splits.classes, facts)


def _check_readable(item: Artifact, card: Card, examples: Examples, present: Sequence[str]) -> None:
    unknown = [name for name in present if name not in card.classes]
    if unknown:
        raise EdgebigError(
            f"{item.path}: its classes are {_listed(card.classes)}; the examples have others: {_listed(unknown)}",
            "name classes as the model does, and leave out examples of those that it does not know",
        )
    takes = _takes(item, card)
    if takes != examples.shape:
        raise EdgebigError(
            f"{item.path}: it takes pictures of {_shape(takes)}, these are of {_shape(examples.shape)}",
            "evaluate models of different inputs one at a time, and each on pictures as it was trained on",
        )


def _shape(shape: tuple[int, ...]) -> str:
    height, width, channels = shape
    return f"{height} x {width} pixels, {'grey' if channels == 1 else f'{channels} channels'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _leak_check(artifacts: Sequence[Artifact], examples: Examples, split: str, *, own: bool) -> str:
    if own and split == "train":
        return "none: these are the examples of its training"
    checked = [artifact.leak_check(item, examples.hashes, word_of(split)) for item in artifacts]
    return "; ".join(dict.fromkeys(checked))


def _changed(artifacts: Sequence[Artifact], splits: Splits) -> list[str]:
    """The models whose card names another test split than the data now gives."""
    now = artifact.hashes_sha256(splits.test.hashes)
    return [str(item.path) for item in artifacts if item.card is not None and item.card.test.sha256 != now]
