"""What a microcontroller is given: the model as it goes there, and every fact that its code needs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, files, flatbuffer, strip
from edgebig.artifact import Artifact, Card
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import micro, operators, template
from edgebig.export.micro import Check
from edgebig.micro import arena, interpreter
from edgebig.micro.arena import Arena

CARD_NEED = "which says what a picture must be made into, and its classes"
DTYPES = ("int8", "int16", "float32")
SELF_TEST_FLOAT = 1e-4


@dataclass(frozen=True)
class Vector:
    """A real example: `input` (H, W, C) and `output` (classes,) as the model has them, by the reference kernels."""

    input: npt.NDArray[Any]
    output: npt.NDArray[Any]
    label: int


@dataclass(frozen=True)
class Board:
    """`name` is a C identifier; `pixels` (256,) is what each grey level becomes in the input's dtype."""

    name: str
    model: bytes
    sha256: str
    source: Artifact
    card: Card
    contract: flatbuffer.IoContract
    operators: tuple[str, ...]
    arena: Arena
    check: Check | None
    pixels: npt.NDArray[Any]
    vector: Vector
    # How near a board's own kernels must come to the vector's output, in the output's own numbers.
    tolerance: float

    @property
    def input(self) -> flatbuffer.TensorContract:
        return self.contract.inputs[0]

    @property
    def output(self) -> flatbuffer.TensorContract:
        return self.contract.outputs[0]

    @property
    def verdict(self) -> str:
        return self.check.sentence() if self.check else micro.UNCHECKED

    @property
    def title(self) -> str:
        return template.plain(f"{self.card.recipe} {self.card.variant}, {len(self.card.classes)} classes")


def prepare(item: Artifact, name: str, examples: Examples) -> Board:
    """The board's form of a model, run on `examples` (labels are indices into the card's classes).

    In tflite-micro too, where its environment is made. Raises: EdgebigError if the model has no card, operators or
    types that tflite-micro lacks, or does not fit the examples; Shortfall if tflite-micro gives other outputs.
    """
    card = artifact.require_card(item, CARD_NEED)
    model = as_board_has_it(item)
    contract = flatbuffer.io_contract(model, item.path.name)
    _check_contract(contract, card, item.path.name)
    used = operators.of_model(model, item.path.name)
    expected = micro.reference(model, np.asarray(examples.images), card.preprocessing.model_dump())
    tolerance = interpreter.tolerance(
        contract.outputs[0].dtype, has_int16=interpreter.has_int16(model, item.path.name)
    )
    allowed = tolerance
    if contract.outputs[0].dtype == "int8":
        allowed = interpreter.largest_allowed(model, item.path.name)["steps"]
    found = micro.check(model, expected, item.path.name, allowed) if micro.is_there() else None
    return Board(
        name=name,
        model=model,
        sha256=files.sha256_bytes(model),
        source=item,
        card=card,
        contract=contract,
        operators=used,
        arena=arena.measured(model, found.arena_bytes, found.runtime) if found else arena.estimated(model),
        check=found,
        pixels=expected.pixels,
        vector=_vector(expected, examples),
        tolerance=max(tolerance, SELF_TEST_FLOAT) if contract.outputs[0].dtype == "float32" else tolerance,
    )


def as_board_has_it(item: Artifact) -> bytes:
    """The model without names and metadata, which only tools look at; a quantized one with int8 inputs and outputs."""
    name, data = item.path.name, item.path.read_bytes()
    if not flatbuffer.float_operators(data, name) and not interpreter.has_int16(data, name):
        data = flatbuffer.rewrite_io(data, "int8", name)
    return strip.strip(data, name)


def _check_contract(contract: flatbuffer.IoContract, card: Card, name: str) -> None:
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise EdgebigError(
            f"{name}: {len(contract.inputs)} inputs and {len(contract.outputs)} outputs, not one of each",
            "use a model with one picture in, one row of scores out",
        )
    tensors = (contract.inputs[0], contract.outputs[0])
    for tensor in tensors:
        if tensor.dtype not in DTYPES:
            raise EdgebigError(
                f"{name}: an input or output is {tensor.dtype}", f"a board is given {', '.join(DTYPES)}"
            )
    if math.prod(tensors[1].shape) != len(card.classes):
        raise EdgebigError(
            f"{name}: {len(card.classes)} classes in its card for {math.prod(tensors[1].shape)} outputs",
            "the card is damaged; make both again",
        )


def _vector(expected: micro.Reference, examples: Examples) -> Vector:
    """The first example that the model reads right, else the first."""
    right = np.argmax(expected.outputs, axis=1) == examples.labels
    index = int(np.argmax(right))
    output = expected.outputs[index]
    return Vector(expected.inputs[index], output, int(np.argmax(output)))


def record(board: Board) -> dict[str, Any]:
    """What export.json says of it."""
    return {
        "model": {
            "source": board.source.path.name,
            "source_sha256": board.source.sha256,
            "sha256": board.sha256,
            "size_bytes": len(board.model),
        },
        "operators": list(board.operators),
        "arena": dataclasses.asdict(board.arena),
        "check": dataclasses.asdict(board.check) if board.check else None,
    }


def lines(board: Board) -> list[str]:
    """What is to be said of it, for a person."""
    told = [
        f"flash: {len(board.model):,} bytes for the model",
        f"arena: {board.arena.size_bytes:,} bytes ({board.arena.method})",
    ]
    if flatbuffer.float_operators(board.model):
        told.append(
            "float numbers: about four times an int8 model's flash, and slow where the board has no FPU"
        )
    return [*told, board.verdict]
