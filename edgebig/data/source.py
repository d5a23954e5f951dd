"""A source's name -> disjoint train, validation and test examples. numpy only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgebig.data import mnist
from edgebig.data.examples import Examples, Splits, count_of, per_class
from edgebig.errors import EdgebigError
from edgebig.recipe import Data

EMBEDDED = Path(__file__).parent.parent / "zoo" / "digits-5k.npz"


def load(data: Data, folder: Path | None = None) -> Splits:
    """The splits of `data.source`, whose files are in `folder`. Raises EdgebigError where they are not as due."""
    match data.source.partition(":")[0]:
        case "digits-5k":
            return _digits_5k()
        case "mnist":
            return _mnist(folder, data)
    raise EdgebigError(f"no data source '{data.source}'", "use digits-5k or mnist")


def _digits_5k() -> Splits:
    images, labels, split = _embedded()
    train, validation, test = (Examples(images[split == part], labels[split == part]) for part in range(3))
    return Splits("digits-5k", mnist.DIGITS, train, validation, test, framing="ink")


def _embedded() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    with np.load(EMBEDDED) as arrays:
        return arrays["images"][..., np.newaxis], arrays["labels"].astype(np.int64), arrays["split"]


def _mnist(folder: Path | None, data: Data) -> Splits:
    train, test = mnist.load(folder)
    # The embedded validation and test digits come from MNIST's training set: no recipe may train on them.
    images, labels, split = _embedded()
    held_out = Examples(images[split > 0], labels[split > 0])
    kept = ~np.isin(train.hashes, held_out.hashes)
    count = count_of(data.validation, len(train))
    validate_embedded = data.embedded == "validate"
    if validate_embedded:
        count -= int(np.sum(~kept))
    if not 0 < count <= np.sum(kept) // 2:
        raise EdgebigError(
            f"[data] validation = {data.validation}: leaves too few of the {len(train)} training digits, or none",
            "as in validation = 5000",
        )
    chosen = np.zeros(len(train), np.bool_)
    chosen[kept] = per_class(train.labels[kept], count, seed=0)
    validation = train[chosen | ~kept] if validate_embedded else train[chosen]
    return Splits("mnist", mnist.DIGITS, train[kept & ~chosen], validation, test, framing="ink")
