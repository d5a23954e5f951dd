"""Where do two .tflite models part? By their answers to the same pictures, without TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgebig import stats
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.progress import quiet
from edgebig.recipe import Spec

HOST_RUNTIME = "ai-edge-litert"
# Root mean square over all outputs. XNNPACK's int8 kernels round otherwise than the reference; a step in a logit is up
# to 17 steps in a softmax where two classes are near each other and none elsewhere, so that the largest difference
# tells the nearest decision and not the kernels. Real models gave 0.02 to 0.39 steps, float ones 1e-7.
PARITY_TOLERANCE_STEPS = 0.75
PARITY_TOLERANCE_FLOAT = 1e-5
PARITY_TOLERANCES = {"steps": PARITY_TOLERANCE_STEPS, "real": PARITY_TOLERANCE_FLOAT}
PARITY_LABELS_DIFFER = 0.01
# 5 steps in a logit, which XNNPACK gave on noise, are so many in a softmax: more is no rounding, however few examples.
PARITY_BY_ROUNDING_STEPS = 85.0
_NOISE_PICTURES = 200
_FAR = 1e150  # its square is still a number


class Parity(Spec):
    """Outputs of one model by two sets of kernels; differences in steps of the quantized output, or real.

    `rms_difference` is the root of the mean square over all outputs, and `tolerance` is of that; where there is a
    `largest_tolerance`, it is of each single difference besides. Where it does not hold, `told` says whether that is
    more than the chance of a few examples: by the lower end of a 95 % interval, examples being the unit.
    """

    n: int
    unit: Literal["steps", "real"]
    largest_difference: float
    rms_difference: float
    tolerance: float
    largest_tolerance: float | None = None
    labels_differ: int
    holds: bool
    told: bool = True


@dataclass(frozen=True)
class Agreement:
    """Two models on the same n examples: how often they say the same, and how often only one of them is right."""

    n: int
    same_label: int
    only_first_right: int
    only_second_right: int
    mcnemar_p: float


def parity(
    outputs: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    output_step: float | None = None,
    largest_allowed: Mapping[str, float] | None = None,
    tolerances: Mapping[str, float] = PARITY_TOLERANCES,
) -> Parity:
    """(N, classes) raw outputs against the reference kernels' (M, classes) of the first M <= N examples.

    `output_step`: where the outputs are floats behind an int8 number, the real value of its step. `largest_allowed`:
    by the unit, "steps" or "real", what no single difference may be above besides.
    """
    few = outputs[: len(reference)]
    integers = np.issubdtype(few.dtype, np.integer)
    unit: Literal["steps", "real"] = "steps" if integers or output_step is not None else "real"
    difference = np.abs(few.astype(np.float64) - reference.astype(np.float64))
    if not integers and output_step is not None:
        difference /= output_step
    # A NaN differs from everything, and max would let it pass as no number. The record, JSON, has no infinity.
    difference = np.nan_to_num(difference, nan=_FAR, posinf=_FAR).clip(max=_FAR)
    largest = float(difference.max(initial=0.0))
    rms = float(np.sqrt(np.mean(np.square(difference)))) if difference.size else 0.0
    tolerance = tolerances[unit]
    most = largest_allowed[unit] if largest_allowed else None
    within = most is None or largest <= most
    differ = int(np.sum(np.argmax(few, axis=1) != np.argmax(reference, axis=1)))
    squares = np.square(difference).reshape(len(few), -1).mean(axis=1) if difference.size else np.empty(0)
    return Parity(
        n=len(few),
        unit=unit,
        largest_difference=largest,
        rms_difference=rms,
        tolerance=tolerance,
        largest_tolerance=most,
        labels_differ=differ,
        holds=within and rms <= tolerance and differ <= PARITY_LABELS_DIFFER * len(few),
        told=not within
        or unit == "real"
        or largest > PARITY_BY_ROUNDING_STEPS
        or _is_told(squares, tolerance, differ),
    )


def _is_told(squares: npt.NDArray[np.float64], tolerance: float, differ: int) -> bool:
    """`squares` (N,): the mean square of each example. Whether so many tell that it does not hold, or does."""
    n = len(squares)
    if n < 2:
        return True
    mean, interval = stats.mean_interval(squares.tolist())
    assert interval is not None
    far_off, other_labels = mean > tolerance**2, differ > PARITY_LABELS_DIFFER * n
    sure = interval[0] > tolerance**2 or stats.accuracy_interval(differ, n).low > PARITY_LABELS_DIFFER
    return sure or not (far_off or other_labels)


def load(model: bytes, name: str, delegate: str = "xnnpack") -> infer.Model:
    """.tflite bytes in this host's runtime, in this process; `name` stands for the file in messages.

    For models that were just made here; a file from elsewhere is run by a driver, in a process that may die.
    Raises EdgebigError where the runtime refuses them.
    """
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        try:
            with quiet():
                return infer.Model(str(path), HOST_RUNTIME, delegate, threads=1)
        except Fault as fault:
            raise EdgebigError(fault.problem.replace(str(path), name), fault.hint) from fault


def noise(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """(200, H, W, C) of `shape` (1, H, W, C): half of them dark with bright specks, more like pictures of ink."""
    images_u8 = np.random.default_rng(0).integers(0, 256, (_NOISE_PICTURES, *shape[1:]), np.uint8)
    images_u8[: _NOISE_PICTURES // 2] *= images_u8[: _NOISE_PICTURES // 2] > 200
    return images_u8


def labels(
    model: bytes, examples: Examples, preprocessing: dict[str, Any], delegate: str = "xnnpack"
) -> npt.NDArray[np.intp]:
    """(N,): the class that .tflite bytes give each picture, by `load`. Raises EdgebigError."""
    best: npt.NDArray[np.intp] = np.argmax(scores(model, examples, preprocessing, delegate), axis=1)
    return best


def scores(
    model: bytes, examples: Examples, preprocessing: dict[str, Any], delegate: str = "xnnpack"
) -> npt.NDArray[np.float32]:
    """float32 (N, classes): the outputs of .tflite bytes, by `load`, as real values. Raises EdgebigError."""
    loaded = load(model, "model.tflite", delegate)
    try:
        raw = np.concatenate(
            [infer.classify(loaded, images_u8, preprocessing) for images_u8 in examples.chunks()]
        )
    except Fault as fault:
        raise EdgebigError(fault.problem, fault.hint) from fault
    return np.asarray(loaded.scores(raw), np.float32)


def agreement(
    of_first: npt.NDArray[np.intp], of_second: npt.NDArray[np.intp], true_labels: npt.NDArray[np.int64]
) -> Agreement:
    """Of the classes (N,) that two models gave the same examples, as by `labels`."""
    paired = stats.mcnemar(of_first == true_labels, of_second == true_labels)
    return Agreement(
        n=len(true_labels),
        same_label=int(np.sum(of_first == of_second)),
        only_first_right=paired.only_a,
        only_second_right=paired.only_b,
        mcnemar_p=paired.p_value,
    )
