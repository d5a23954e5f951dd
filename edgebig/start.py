"""What a training starts from: the run whose weights it takes, and what that one had started from in turn.

It is found once, and recorded in the run: whatever becomes of the other run, or of what its name stands for, the
training goes on as it began. What any of them has learnt from, this one has learnt from too. It needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebig import artifact, files, runs
from edgebig.artifact import PassRecord
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError

_SCHEMA = 1
_WHAT = "record of a start"


@dataclass(frozen=True)
class Start:
    """`folder`: the run whose weights are taken. `records`: one for each start that leads here, that one's last."""

    folder: Path
    records: tuple[PassRecord, ...]

    @property
    def name(self) -> str:
        return str(self.records[-1].model_dump()["run"])

    def run(self) -> runs.Run:
        """Raises EdgebigError where it is gone, or has another model than it had."""
        model = self.folder / "model.keras"
        if not model.is_file() or files.sha256_file(model) != self.records[-1].model_dump()["model_sha256"]:
            raise EdgebigError(
                f"[train] start: {self.folder} is gone or another one than it was, and there is no checkpoint yet",
                "train the recipe anew",
            )
        return runs.load(str(self.folder))


def of(name: str, splits: Splits, run: runs.Run) -> Start:
    """What `run` starts from: as is recorded in it, else the run or recipe `name`, which is then recorded.

    Raises EdgebigError where there is none, where it or one that it had started from has learnt from an example that
    is held out here, and where nobody knows that.
    """
    path = run.folder / "start.json"
    start = _read(path) if path.is_file() else _find(name, run)
    held_out = np.concatenate([splits.validation.hashes, splits.test.hashes])
    shared = artifact.shared_with(run.folder, artifact.lists_of(start.records), held_out)
    if shared != 0:
        told = (
            "the list of its training examples is lost"
            if shared is None
            else f"{shared:,} of the {len(held_out):,} examples that are held out here were in its training set"
        )
        also = ", or of a run that it had started from" if len(start.records) > 1 else ""
        raise EdgebigError(
            f"[train] start: {start.name}: {told}{also}", "start from a run with the same [data]"
        )
    if not path.is_file():
        passes = [record.model_dump() for record in start.records]
        files.write_json(path, {"schema": _SCHEMA, "folder": str(start.folder), "passes": passes})
    return start


def _find(name: str, run: runs.Run) -> Start:
    """The lists of training examples that the records tell of are copied into `run`."""
    root = run.folder.parent
    found = runs.by_recipe(name, root, run)
    if found is None:
        raise EdgebigError(
            f"[train] start: no finished run or recipe '{name}' in {root}/",
            f"train it first: edgebig train {name}",
        )
    item = artifact.load(found.folder / "float32.tflite")
    card = artifact.require_card(item, "which says what it learnt from")
    artifact.copy_lists(item, run.folder)
    record = {
        "name": "start",
        "run": found.name,
        "model_sha256": files.sha256_file(found.model_path),
        "train_sha256": card.train.sha256,
        "trained_elsewhere": card.trained_elsewhere,
    }
    starts = (*artifact.starts_of(card.passes), PassRecord.model_validate(record))
    return Start(found.folder.absolute(), starts)


def _read(path: Path) -> Start:
    record = artifact.read_json(path, _SCHEMA, _WHAT)
    try:
        start = Start(
            Path(record["folder"]), tuple(PassRecord.model_validate(part) for part in record["passes"])
        )
        _ = start.name, start.records[-1].model_dump()["model_sha256"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EdgebigError(f"{path}: a damaged {_WHAT}", "train the recipe anew") from error
    return start
