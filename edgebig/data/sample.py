"""A few pictures of each class, and what augmentation makes of them. numpy only, until a picture is changed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgebig.data.examples import Examples, Images
from edgebig.recipe import Augment

# As float32; a few times that is what the changes need.
_BATCH_BYTES = 1 << 26


def pick(examples: Examples, classes: int, each: int, *, seed: int = 0) -> list[npt.NDArray[np.int64]]:
    """For each of the first `classes` classes, indices of up to `each` examples, chosen by `seed`, in order."""
    random = np.random.default_rng(seed)
    members = (np.flatnonzero(examples.labels == label) for label in range(classes))
    return [np.sort(random.permutation(of_class)[:each]) for of_class in members]


def is_on(augment: Augment) -> bool:
    """Whether it changes anything; how far a bend reaches or what comes in from outside changes nothing alone."""
    return augment.model_copy(update=Augment().model_dump(include={"elastic_scale_px", "fill"})) != Augment()


def changed(examples: Examples, augment: Augment, versions: int) -> Images:
    """uint8 (N, versions, H, W, C): each picture as training would draw it, epoch after epoch, with the seed 0.

    It loads TensorFlow. Raises EdgebigError where the user's own function cannot be loaded.
    """
    from edgebig.data import paper
    from edgebig.data.pipeline import training_batches

    if augment.paper is not None:
        written = paper.versions(examples, versions)
        flat = Examples(written.reshape(-1, *examples.shape), np.repeat(examples.labels, versions))
        return changed(flat, augment.model_copy(update={"paper": None}), 1).reshape(written.shape)
    picture_bytes = 4 * int(np.prod(examples.shape))
    # Two in a batch at least: mixup mixes them.
    most = max(1, len(examples) // 2)
    pieces = np.array_split(
        np.arange(len(examples)), min(most, 1 + len(examples) * picture_bytes // _BATCH_BYTES)
    )
    made = np.empty((len(examples), versions, *examples.shape), np.uint8)
    for piece in filter(len, pieces):
        # Their places as labels: by these they are found again behind the shuffle, and mixup's heavier picture too.
        pictures = Examples(examples.images[piece], np.arange(len(piece)))
        batches = training_batches(
            pictures,
            len(piece),
            batch_size=len(piece),
            seed=0,
            first_epoch=0,
            epochs=versions,
            augment=augment,
        )
        for version, (batch, places) in enumerate(batches):
            at = piece[np.argmax(np.asarray(places), axis=1)]
            made[at, version] = np.round(np.clip(np.asarray(batch), 0, 1) * 255)
    return made
