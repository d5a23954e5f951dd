"""What every pass is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgebig import train
from edgebig.checkpoint import Progress
from edgebig.data import paper, pipeline
from edgebig.data.examples import Splits
from edgebig.data.taught import Taught
from edgebig.recipe import Fit, Recipe


@dataclass(frozen=True)
class Context:
    """The data, the recipe, the names of all passes of this compression in order, and their seed.

    `teacher`: what a teacher says of the training pictures, where `distil` is one of the passes; every pass that
    trains learns from it. `measure`: a function of two .tflite that gives the time of the second as a share of the
    first's, on a device by its name; compress itself never measures.
    """

    splits: Splits
    recipe: Recipe
    passes: tuple[str, ...]
    seed: int
    teacher: Taught | None = None
    measure: Callable[[bytes, bytes, str], float] | None = None

    def steps_per_epoch(self, spec: Fit) -> int:
        """Of a phase of training by `fit`."""
        if self.teacher is not None:
            return self.teacher.steps
        learnt = paper.learnt(self.splits, self.recipe.data.augment)
        return pipeline.steps_per_epoch(learnt, spec.batch_size)

    def fit(
        self,
        model: Any,
        spec: Fit,
        what: str,
        *,
        callbacks: Sequence[Any] = (),
        first_eligible_epoch: int = 0,
    ) -> Progress:
        """A phase of training, as `train.fit`, with draws that are this pass's own."""
        return train.fit(
            model,
            self.splits,
            spec,
            augment=self.recipe.data.augment,
            # `what` is a pass, or a phase of one, as in "slim: sparsify".
            seed=self.seed + _SEED_OF[what.split(":", maxsplit=1)[0]],
            what=what,
            callbacks=callbacks,
            first_eligible_epoch=first_eligible_epoch,
            teacher=self.teacher,
        )


# Fixed, so that a pass draws the same whichever others are asked for.
_SEED_OF = {"prune": 1, "qat": 2, "slim": 3, "distil": 4, "cluster": 5}


def layers_with_kernels(model: Any) -> list[str]:
    """The names of the layers that have one to train, without a wrapper's prefix."""
    return [
        getattr(layer, "layer", layer).name
        for layer in model.layers
        if any("kernel" in weight.name for weight in layer.trainable_weights)
    ]
