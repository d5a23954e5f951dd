"""How far a training has come, in one file that is whole or not there, and in history.csv."""

from __future__ import annotations

import csv
import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files
from edgebig.errors import EdgebigError
from edgebig.recipe import Fit

_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error)
_SCHEMA = 1


def rank(row: dict[str, float]) -> tuple[float, float]:
    """Of two epochs the one of higher rank is better: more right, then a smaller loss."""
    return row["val_accuracy"], -row["val_loss"]


@dataclass
class Progress:
    """How far a phase has come: all that a checkpoint holds besides the optimizer's state."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_weights: list[Any] = field(default_factory=list)

    def ended(self, spec: Fit, first_eligible_epoch: int = 0) -> bool:
        """Whether all epochs are done, or so many of them without a better one that `spec` stops."""
        # `best_epoch` is the kept one, which may be the last.
        ranks = [rank(row) for row in self.history[first_eligible_epoch:]]
        waited = len(ranks) - 1 - ranks.index(max(ranks)) if ranks else 0
        return self.epoch >= spec.epochs or 0 < spec.patience <= waited

    def facts(self) -> dict[str, float]:
        """What a record says of a phase: epochs, the best one (from 1), and its accuracy on validation."""
        best = self.history[self.best_epoch]
        return {
            "epochs": self.epoch,
            "best_epoch": self.best_epoch + 1,
            "validation_accuracy": best["val_accuracy"],
        }


class Checkpoint:
    """One file with everything a training needs to go on, replaced whole after every epoch."""

    def __init__(self, path: Path, recipe_sha256: str) -> None:
        self.path = path
        self.recipe_sha256 = recipe_sha256

    def save(self, model: Any, progress: Progress) -> None:
        about = {
            "schema": _SCHEMA,
            "recipe_sha256": self.recipe_sha256,
            "epoch": progress.epoch,
            "history": progress.history,
            "best_epoch": progress.best_epoch,
        }
        arrays = {f"weight_{i}": value for i, value in enumerate(model.get_weights())}
        arrays |= {f"optimizer_{i}": value.numpy() for i, value in enumerate(_state(model.optimizer))}
        arrays |= {f"best_{i}": value for i, value in enumerate(progress.best_weights)}
        with files.replacing(self.path) as temporary:
            np.savez(temporary, about=np.array(json.dumps(about)), **arrays)

    def write_history(self, progress: Progress) -> None:
        files.write_text(self.path.parent / "history.csv", _history_csv(progress.history))

    def restore(self, model: Any) -> Progress:
        """Puts the weights and the optimizer's state back. A fresh start where there is no checkpoint yet."""
        if not self.path.is_file():
            return Progress()
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = dict(stored)
            about = json.loads(str(arrays["about"]))
            weights, state, best = (_numbered(arrays, part) for part in ("weight", "optimizer", "best"))
            if len(weights) + len(state) + len(best) + 1 != len(arrays):
                raise ValueError("an array has another name")
        except (OSError, ValueError, EOFError, KeyError, NotImplementedError, *_ZIP_FAULTS) as error:
            raise EdgebigError(
                f"{self.path}: a damaged checkpoint ({error})", "delete it to start over"
            ) from error
        if about.get("schema") != _SCHEMA or about["recipe_sha256"] != self.recipe_sha256:
            raise EdgebigError(
                f"{self.path}: a checkpoint of another recipe or edgebig",
                "undo the change to recipe.toml, or delete the checkpoint to start over",
            )
        held = _state(model.optimizer)
        shapes = [value.shape for value in (*model.get_weights(), *held)]
        if [value.shape for value in (*weights, *state)] != shapes:
            # The recipe is the same: it is the user's code that changed.
            raise EdgebigError(
                f"{self.path}: a checkpoint of another model",
                "undo the change to the model's code, or delete the checkpoint to start over",
            )
        model.set_weights(weights)
        for variable, value in zip(held, state, strict=True):
            variable.assign(value)
        return Progress(about["epoch"], about["history"], about["best_epoch"], best)


def _state(optimizer: Any) -> list[Any]:
    """The variables that a step changes besides the weights; the scale of a mixed-precision loss is one."""
    scale = getattr(optimizer, "_loss_scale", None)
    return [*optimizer.variables, *([scale.current_loss_scale, scale.counter] if scale else [])]


def _numbered(arrays: dict[str, Any], prefix: str) -> list[Any]:
    return [arrays[f"{prefix}_{i}"] for i in range(sum(name.startswith(f"{prefix}_") for name in arrays))]


def _history_csv(history: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
