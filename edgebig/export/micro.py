"""A model in the real tflite-micro against the reference kernels of this host, on real pictures."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import environment
from edgebig.artifact import Artifact, Card
from edgebig.check import tflite
from edgebig.data.examples import Examples, Images
from edgebig.errors import EdgebigError, Shortfall
from edgebig.micro import interpreter
from edgebig.micro.interpreter import ENVIRONMENT
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault

UNCHECKED = f"UNCHECKED in tflite-micro: edgebig environment add {ENVIRONMENT}, then export again"
_DEADLINE_S = 600.0


@dataclass(frozen=True)
class Reference:
    """What the reference kernels make of pictures: `inputs` (N, H, W, C) and `outputs` (N, classes) in the model's
    own numbers; `pixels` (256,): what each grey level becomes.
    """

    inputs: npt.NDArray[Any]
    outputs: npt.NDArray[Any]
    pixels: npt.NDArray[Any]


@dataclass(frozen=True)
class Check:
    """How tflite-micro's outputs differ from the reference kernels'; `largest` in steps of an int8 output, or real."""

    runtime: str
    n: int
    outputs: int
    differ: int
    largest: float
    unit: str
    labels_differ: int
    used_bytes: int
    arena_bytes: int

    def sentence(self) -> str:
        if not self.differ:
            return f"{self.runtime} gives the reference kernels' outputs bit for bit on {self.n:,} examples"
        most = (
            f"{self.largest:g} step" + "s" * (self.largest != 1)
            if self.unit == "steps"
            else f"{self.largest:.1e}"
        )
        return (
            f"{self.runtime} against the reference kernels on {self.n:,} examples: {self.differ:,} of "
            f"{self.outputs:,} outputs differ, by {most} at most; {self.labels_differ or 'no'} label"
            f"{'s differ' if self.labels_differ > 1 else ' differs'}"
        )


def reference(model: bytes, images_u8: Images, preprocessing: dict[str, Any]) -> Reference:
    """uint8 (N, H, W, C) pictures by the reference kernels on this host. Raises: EdgebigError if they do not fit."""
    loaded = tflite.load(model, "the model", "reference")
    with _faults():
        outputs = infer.classify(loaded, images_u8, preprocessing)
        pixels = infer.input_table(loaded.input, preprocessing)
    return Reference(pixels[images_u8], outputs, pixels)


def check_answers(item: Artifact, made: bytes, card: Card, examples: Examples, taker: str) -> None:
    """Raises EdgebigError where `made` of `item`, as `taker` takes it, reads an example otherwise."""
    images_u8, preprocessing = np.asarray(examples.images), card.preprocessing.model_dump()
    before, after = (
        np.argmax(reference(model, images_u8, preprocessing).outputs, axis=1)
        for model in (item.path.read_bytes(), made)
    )
    if differing := int(np.sum(before != after)):
        raise EdgebigError(
            f"{item.path}: as {taker} takes it, {differing} of {len(examples)} examples are read otherwise",
            "please report this",
        )


def check(model: bytes, expected: Reference, name: str, tolerance: float) -> Check:
    """Runs `model` in tflite-micro on the inputs of `expected`.

    Raises: EdgebigError if the environment is not made, or tflite-micro refuses the model; Shortfall if it gives other
    outputs than `tolerance` allows, or another label.
    """
    runtime = f"{ENVIRONMENT} {interpreter.version()}".strip()
    with _file(model) as path:
        inputs, outputs = path.with_name("inputs.npy"), path.with_name("outputs.npy")
        np.save(inputs, expected.inputs)
        request = {"model": str(path), "inputs": str(inputs), "table": None, "outputs": str(outputs)}
        told = environment.run(ENVIRONMENT, interpreter.CHILD, request, deadline_s=_DEADLINE_S)
        if told["event"] == "error":
            raise EdgebigError(f"{name}: {told['problem']}", told["hint"])
        found = compare(np.load(outputs), expected.outputs, runtime, told)
    if found.largest > tolerance or found.labels_differ:
        raise Shortfall(f"{name}: {found.sentence()}", "nothing was written; use another variant of it")
    return found


def compare(
    outputs: npt.NDArray[Any], expected: npt.NDArray[Any], runtime: str, told: dict[str, int]
) -> Check:
    """(N, classes) outputs against the expected ones, of one dtype; `told`: what the child said of the arena."""
    integers = np.issubdtype(expected.dtype, np.integer)
    # A NaN differs from everything, and max would let it pass as no number.
    difference = np.nan_to_num(np.abs(outputs.astype(np.float64) - expected.astype(np.float64)), nan=np.inf)
    return Check(
        runtime=runtime,
        n=len(outputs),
        outputs=outputs.size,
        differ=int(np.count_nonzero(difference)),
        largest=float(difference.max(initial=0.0)),
        unit="steps" if integers else "real",
        labels_differ=int(np.sum(np.argmax(outputs, axis=1) != np.argmax(expected, axis=1))),
        used_bytes=told["used_bytes"],
        arena_bytes=told["arena_bytes"],
    )


def is_there() -> bool:
    """Whether the environment is made, and not broken."""
    try:
        environment.python(ENVIRONMENT)
    except EdgebigError:
        return False
    return True


@contextlib.contextmanager
def _file(model: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        yield path


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        raise EdgebigError(fault.problem, fault.hint) from fault
