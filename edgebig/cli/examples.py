"""Which examples a command runs models on: their own, or another source's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebig.artifact import Artifact
    from edgebig.evaluation.chosen import Chosen


def choose(
    artifacts: Sequence[Artifact],
    data: Path | None,
    *,
    source: str | None = None,
    split: str | None = None,
    count: int | None = None,
) -> Chosen:
    """The examples for `artifacts`. `data`, `source`, `split`, `count`: what the user says of them, or None.

    Raises EdgebigError where there are none, the models cannot read them, or were trained on them.
    """
    from edgebig import runs
    from edgebig.data import source as sources
    from edgebig.evaluation import chosen

    source = source or runs.usual_source([item.path for item in artifacts], data)
    spec = chosen.data_spec(artifacts, source)
    remembered = runs.data_folder(artifacts[0].path.parent) if source is None else None
    # Pictures that are only read need not be enough to train on.
    splits = sources.load(spec, data or remembered, check=source is None)
    return chosen.choose(artifacts, splits, split or chosen.usual_split(source), count, own=source is None)
