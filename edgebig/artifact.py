"""The .tflite that ships, and the card beside it that says what it is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, ValidationError

from edgebig import files, flatbuffer
from edgebig.errors import EdgebigError
from edgebig.recipe import Data, Spec

CARD_SCHEMA = 1
# It becomes part of a file's name, so that it may hold nothing else.
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Tensor(Spec):
    """An input or output of the model. Real value = (stored - zero_point) * scale where it is quantized."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None


class Preprocessing(Spec):
    """What a picture must be made into: pixels 0..255 become `low`..`high`, and ink is the high end."""

    low: float
    high: float
    ink_is_high: bool
    colour: Literal["grey", "rgb"]
    # What is looked at in a picture from elsewhere: each piece of ink that may be a digit, or the whole of it.
    framing: Literal["ink", "whole"] = "ink"
    fit: Literal["pad", "crop", "stretch"] = "pad"

    def mean_and_std(self) -> tuple[float, float]:
        """In levels of pixels, by which input = (pixel - mean) / std: what TFLite Metadata says of it."""
        reach = self.high - self.low
        # No minus zero.
        return 0.0 - 255.0 * self.low / reach, 255.0 / reach


class ExampleSet(Spec):
    """Which examples: a source's split, how many, and the sha256 of their sorted 64-bit hashes."""

    source: str
    split: Literal["train", "validation", "test"]
    n: int
    sha256: Sha256


class HostAccuracy(Spec):
    """Accuracy of this .tflite on the host, with its 95 % Wilson interval. A device's stands in its Measurement."""

    split: Literal["validation", "test"]
    runtime: str
    correct: int
    n: int
    value: float
    low: float
    high: float
    # The file that was measured, where it was another one with the same answers (the I/O type alone differs).
    inherited_from: Sha256 | None = None


class Threshold(Spec):
    """The least confidence with which a thing is taken for one of the classes, and what it did on validation.

    There it kept `kept` of `known` examples of the classes, read rightly or not, and left out `rejected` of `unknown`
    things that are of no class. What is below it has no label.
    """

    confidence: float = Field(gt=0, lt=1)
    known: int
    kept: int
    unknown: int
    rejected: int


class PassRecord(Spec):
    """A pass that made this file, and what it achieved."""

    # The numbers differ from pass to pass; the rest of a card is closed.
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class Card(Spec):
    """The facts of one .tflite, never changed after they are written."""

    schema_: int = CARD_SCHEMA
    recipe: str
    variant: str
    sha256: Sha256
    parent_sha256: Sha256 | None
    size_bytes: int
    deflated_bytes: int
    parameters: int
    passes: tuple[PassRecord, ...]
    input: Tensor
    output: Tensor
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    train: ExampleSet
    test: ExampleSet
    # An adopted model has learnt, before `train`, what nobody here knows.
    trained_elsewhere: bool = False
    # How the examples were read and split; augmentation is no part of it. None in cards older than it.
    data: Data | None = None
    # The real value of one step of the quantized output, also where floats stand behind it; None in a float model.
    output_step: float | None = None
    # None: of whatever is shown, the likeliest class is told.
    threshold: Threshold | None = None
    validation_examples: int
    seed: int
    versions: dict[str, str]
    host_accuracy: HostAccuracy

    def least_confidence(self) -> float | None:
        """Below it a thing is of no class; None: there is no such bound."""
        return self.threshold.confidence if self.threshold else None

    def data_spec(self) -> Data:
        """What gives the examples that this model was trained, validated and tested with."""
        return self.data or Data(source=self.test.source, validation=self.validation_examples)


@dataclass(frozen=True)
class Artifact:
    """A .tflite on disk, and its card where it has one (a file from elsewhere has none)."""

    path: Path
    sha256: str
    card: Card | None

    @property
    def name(self) -> str:
        return self.path.stem


def load(path: Path) -> Artifact:
    """The artifact at `path`. Raises EdgebigError where there is none, or its card is of another file or schema."""
    if not path.is_file():
        raise EdgebigError(f"{path}: no such file", "give the path of a .tflite, or a run")
    sha256 = files.sha256_file(path)
    card_path = path.with_suffix(".json")
    card = read_card(card_path) if card_path.is_file() else None
    if card is not None and card.sha256 != sha256:
        raise EdgebigError(
            f"{path}: not the file that {card_path.name} describes (sha256 differs)",
            "one of the two was changed or mixed up; make them again, or move the card away",
        )
    return Artifact(path, sha256, card)


def require_card(artifact: Artifact, need: str) -> Card:
    """The artifact's card, or an EdgebigError that says what it was needed for."""
    if artifact.card is None:
        raise EdgebigError(
            f"{artifact.path}: no card beside it ({artifact.path.with_suffix('.json').name}), {need}",
            "copy the card along with the .tflite",
        )
    return artifact.card


def read_card(path: Path) -> Card:
    card: Card = read_record(path, Card, CARD_SCHEMA, "card")
    return card


def read_record(path: Path, kind: Any, schema: int, what: str) -> Any:
    """A JSON record of `schema`. Raises EdgebigError where it is no JSON, of another schema, or not whole."""
    record = read_json(path, schema, what)
    del record["schema"]
    try:
        return kind.model_validate({**record, "schema_": schema})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EdgebigError(
            f"{path}: {where}: {first['msg']}", f"this {what} is damaged; make it again"
        ) from error


def read_json(path: Path, schema: int, what: str) -> dict[str, Any]:
    """A JSON object whose "schema" is `schema`. Raises EdgebigError where it is no JSON or of another schema."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EdgebigError(f"{path}: not JSON ({error})", f"this {what} is damaged; make it again") from error
    found = record.get("schema") if isinstance(record, dict) else None
    if type(found) is not int:
        raise EdgebigError(
            f"{path}: no {what} of edgebig, it has no schema", "move it away, or make it again"
        )
    if found != schema:
        raise EdgebigError(
            f"{path}: a {what} of schema {found}, this edgebig reads schema {schema}",
            "use the edgebig that wrote it, or make it again",
        )
    return dict(record)


def dump_record(record: Spec) -> dict[str, Any]:
    """The record as JSON values, "schema" first."""
    values = record.model_dump(mode="json")
    return {"schema": values.pop("schema_"), **values}


def save(folder: Path, variant: str, model: bytes, card: Card) -> Artifact:
    """Writes <variant>.tflite and its card. The card comes last: a .tflite is whole before it is described."""
    path = folder / f"{variant}.tflite"
    path.with_suffix(".json").unlink(missing_ok=True)
    files.write_bytes(path, model)
    files.write_json(path.with_suffix(".json"), dump_record(card))
    return Artifact(path, card.sha256, card)


def derived(card: Card, model: bytes, variant: str, record: PassRecord, **changes: Any) -> Card:
    """The card of `model`, which was made from the one of `card` without training: it has that one's answers.

    `record`: what was done; `changes`: what else is another than in `card`.
    """
    contract = flatbuffer.io_contract(model, variant)
    made = {
        "variant": variant,
        "sha256": files.sha256_bytes(model),
        "parent_sha256": card.sha256,
        "size_bytes": len(model),
        "deflated_bytes": len(zlib.compress(model, 9)),
        "passes": (*card.passes, record),
        "input": Tensor(**asdict(contract.inputs[0])),
        "output": Tensor(**asdict(contract.outputs[0])),
        "host_accuracy": card.host_accuracy.model_copy(
            update={"inherited_from": card.host_accuracy.inherited_from or card.sha256}
        ),
    }
    return card.model_copy(update={**made, **changes})


def made_before(folder: Path, variant: str, model: bytes) -> Artifact | None:
    """The variant of that name in `folder` where it is the same file."""
    path = folder / f"{variant}.tflite"
    same = path.is_file() and files.sha256_file(path) == files.sha256_bytes(model)
    return load(path) if same else None


def free_variant(folder: Path, variant: str) -> str:
    """`variant`, or with the first number that no file in `folder` has: what was measured is not written over."""
    names = (variant, *(f"{variant}-{number}" for number in range(2, 1000)))
    return next(
        name for name in names if not any((folder / f"{name}{end}").exists() for end in (".tflite", ".json"))
    )


def write_hashes(folder: Path, hashes: npt.NDArray[np.uint64]) -> str:
    """Writes a set of example hashes as examples-<digest>.u64 (sorted, little-endian); returns its sha256."""
    data = _packed(hashes)
    sha256 = files.sha256_bytes(data)
    path = hashes_path(folder, sha256)
    if not path.is_file():
        files.write_bytes(path, data)
    return sha256


def hashes_sha256(hashes: npt.NDArray[np.uint64]) -> str:
    """What `write_hashes` gives, without a file."""
    return files.sha256_bytes(_packed(hashes))


def _packed(hashes: npt.NDArray[np.uint64]) -> bytes:
    return np.sort(hashes).astype("<u8").tobytes()


def read_hashes(folder: Path, sha256: str) -> npt.NDArray[np.uint64] | None:
    """The set of example hashes with that digest, or None where its file is missing or was altered."""
    path = hashes_path(folder, sha256)
    data = path.read_bytes() if path.is_file() else b""
    if files.sha256_bytes(data) != sha256 or len(data) % 8:
        return None
    return np.frombuffer(data, "<u8")


def learnt_from(item: Artifact, hashes: npt.NDArray[np.uint64]) -> int | None:
    """How many examples of `hashes` the model of `item`, which has a card, or one that it started from learnt from.

    None where a list of training examples is not beside it, or was altered, and no other tells of one.
    """
    assert item.card is not None
    return shared_with(item.path.parent, _lists(item.card), hashes)


def starts_of(passes: Sequence[PassRecord]) -> tuple[PassRecord, ...]:
    """The records of whose weights a training started from, the first ancestor's first."""
    return tuple(record for record in passes if record.name == "start")


def lists_of(starts: Sequence[PassRecord]) -> list[str | None]:
    """The sha256 of the list of training examples of each; None where the record does not tell it."""
    return [record.model_dump().get("train_sha256") for record in starts]


def _lists(card: Card) -> list[str | None]:
    return [*lists_of(starts_of(card.passes)), card.train.sha256]


def shared_with(folder: Path, lists: Sequence[str | None], hashes: npt.NDArray[np.uint64]) -> int | None:
    """How many of `hashes` are in one of the `lists`, whose files are in `folder`; None as in `learnt_from`."""
    found = [read_hashes(folder, sha256) if sha256 else None for sha256 in dict.fromkeys(lists)]
    known = [each for each in found if each is not None]
    shared = int(np.isin(hashes, np.concatenate(known)).sum()) if known else 0
    return shared if shared or len(known) == len(found) else None


def copy_lists(item: Artifact, folder: Path) -> None:
    """Puts the lists of examples that `item`, which has a card, has learnt from into `folder` too."""
    assert item.card is not None
    for sha256 in filter(None, _lists(item.card)):
        listed, beside = hashes_path(item.path.parent, sha256), hashes_path(folder, sha256)
        if listed.is_file() and not beside.is_file():
            files.write_bytes(beside, listed.read_bytes())


def leak_check(item: Artifact, hashes: npt.NDArray[np.uint64], split: str) -> str:
    """What a record says of whether the model of `item`, which has a card, was trained on the examples of `hashes`.

    `split`: what they are, in a word or "". Raises EdgebigError where it was.
    """
    assert item.card is not None
    kind = f"{split} example".strip()
    leaked = learnt_from(item, hashes)
    if leaked is None:
        return f"not possible for {item.name}: the list of its training examples is not beside it"
    if leaked:
        raise EdgebigError(
            f"{item.path}: {leaked} of the {len(hashes)} {kind}s were in its training set",
            "its accuracy on them would mean nothing; test it on other data",
        )
    if item.card.trained_elsewhere:
        return f"not known for {item.name}: it was trained elsewhere before"
    return f"no {kind} was in a training set"


def keras_model_of(item: Artifact) -> Path:
    """The Keras model that `item` was converted from, which TensorFlow as a runtime runs in its place.

    Raises EdgebigError where it is not a run's float32.tflite, or the Keras model is not beside it.
    """
    path = item.path.with_name("model.keras")
    if item.card is None or item.card.variant != "float32":
        raise EdgebigError(
            f"{item.path}: TensorFlow runs the Keras model of a run, and only float32.tflite is that model unchanged",
            "give the float32.tflite of a run",
        )
    if not path.is_file():
        raise EdgebigError(
            f"{item.path}: no model.keras beside it, which TensorFlow would run",
            "give it in its run's folder",
        )
    return path


def hashes_path(folder: Path, sha256: str) -> Path:
    return folder / f"examples-{sha256[:12]}.u64"
