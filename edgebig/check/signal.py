"""How one stream of numbers differs from another, and how a quantized tensor's range fits what it has to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.tflitegraph import Tensor

Floats = npt.NDArray[np.float64]
# What a NaN and the infinities count as: far from everything, and still a number, since JSON has no others.
FAR = 1e30


@dataclass(frozen=True)
class Loss:
    """The second model's numbers against the first's. `sqnr_db`: signal to noise; None where they are the same.

    `cosine` is None where one of them is all zeros.
    """

    sqnr_db: float | None
    mse: float
    cosine: float | None
    largest: float


@dataclass(frozen=True)
class Range:
    """The output of a quantized layer. Shares are of its values, in [0, 1].

    `saturated`: at an end of the integers that is not its zero. `clipped`: the first model's lie outside `low`..`high`,
    what can be stored. `used`: how much of that range the first model's span. `rounding`, `clipping`: shares of the
    layer's own squared error that storing the output explains by itself; None without an own loss.
    """

    step: float
    low: float
    high: float
    saturated: float
    clipped: float
    used: float
    rounding: float | None
    clipping: float | None


def scale_of(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a tensor that has one of them; (0.0, 0) of any other."""
    if not tensor.quantized or len(tensor.scales) != 1:
        return 0.0, 0
    return tensor.scales[0], tensor.zero_points[0] if tensor.zero_points else 0


def real(raw: npt.NDArray[Any], tensor: Tensor | None = None) -> Floats:
    """What stored numbers mean, float64: (raw - zero_point) * scale where the tensor is quantized, else themselves."""
    scale, zero_point = scale_of(tensor) if tensor is not None else (0.0, 0)
    numbers: Floats = raw.astype(np.float64)
    if scale:
        return (numbers - zero_point) * scale
    return np.nan_to_num(numbers, nan=FAR, posinf=FAR, neginf=-FAR).clip(-FAR, FAR)


def stored(values: Floats, tensor: Tensor) -> npt.NDArray[Any]:
    """Real values as a tensor holds them: rounded, and clipped to its range."""
    scale, zero_point = scale_of(tensor)
    if np.issubdtype(tensor.dtype, np.floating):
        return values.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    steps = np.rint(values / scale) + zero_point if scale else np.rint(values)
    clipped: npt.NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(tensor.dtype)
    return clipped


def weights_of(tensor: Tensor) -> tuple[Floats, Floats] | None:
    """A constant's real numbers in its shape, and their step, which broadcasts to it (0 where it is not quantized).

    None where its type is not looked into, or it is not there whole.
    """
    raw = tensor.values
    if raw is None or raw.size != tensor.elements:
        return None
    numbers: Floats = raw.astype(np.float64).reshape(tensor.shape)
    if not tensor.quantized:
        return numbers, np.zeros(1)
    axis = tensor.channel_axis if len(tensor.scales) > 1 else 0
    shape = [1] * len(tensor.shape)
    if len(tensor.scales) > 1:
        if not 0 <= axis < len(tensor.shape) or tensor.shape[axis] != len(tensor.scales):
            return None
        shape[axis] = -1
    scale: Floats = np.array(tensor.scales, np.float64).reshape(shape)
    zero: Any = np.array(tensor.zero_points, np.float64).reshape(shape) if tensor.zero_points else 0.0
    return (numbers - zero) * scale, scale


class Sums:
    """What two streams of numbers have in common, added up."""

    def __init__(self) -> None:
        self.n, self.signal, self.noise, self.other, self.both, self.largest = 0, 0.0, 0.0, 0.0, 0.0, 0.0

    def add(self, a: Floats, b: Floats) -> None:
        difference = a - b
        self.n += a.size
        self.signal += float(a @ a)
        self.other += float(b @ b)
        self.both += float(a @ b)
        self.noise += float(difference @ difference)
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0.0)))

    def loss(self) -> Loss:
        # Where the first gives only zeros, any noise is more than the signal.
        sqnr = 10 * np.log10(max(self.signal, 1e-300) / self.noise) if self.noise else None
        norms = np.sqrt(self.signal) * np.sqrt(self.other)
        return Loss(
            float(sqnr) if sqnr is not None else None,
            self.noise / max(self.n, 1),
            float(min(1.0, self.both / norms)) if norms else None,
            self.largest,
        )


class Span:
    """How a quantized tensor's range fits the numbers that it has to hold."""

    def __init__(self, tensor: Tensor | None) -> None:
        self.tensor = tensor if tensor is not None and scale_of(tensor)[0] else None
        self.n, self.ends, self.outside, self.rounding, self.clipping = 0, 0, 0, 0.0, 0.0
        self.least, self.most = float("inf"), float("-inf")
        if self.tensor is not None:
            self.step, self.zero = scale_of(self.tensor)
            limits = np.iinfo(self.tensor.dtype)
            self.low, self.high = ((end - self.zero) * self.step for end in (limits.min, limits.max))

    def add(self, wanted: Floats, made: Floats) -> None:
        if self.tensor is None:
            return
        half = self.step / 2
        # An end that stands for zero is where every ReLU's zeros are.
        at_end = ((made <= self.low + half) & (self.low < -half)) | (
            (made >= self.high - half) & (self.high > half)
        )
        outside = (wanted < self.low - half) | (wanted > self.high + half)
        error = np.square(real(stored(wanted, self.tensor), self.tensor) - wanted)
        self.n += wanted.size
        self.ends += int(at_end.sum())
        self.outside += int(outside.sum())
        self.clipping += float(error[outside].sum())
        self.rounding += float(error[~outside].sum())
        self.least = min(self.least, float(wanted.min(initial=float("inf"))))
        self.most = max(self.most, float(wanted.max(initial=float("-inf"))))

    def range(self, own: Loss | None) -> Range | None:
        if self.tensor is None or not self.n:
            return None
        energy = own.mse * self.n if own is not None else 0.0
        spanned = max(0.0, min(self.most, self.high) - max(self.least, self.low))
        return Range(
            step=self.step,
            low=self.low,
            high=self.high,
            saturated=self.ends / self.n,
            clipped=self.outside / self.n,
            used=spanned / (self.high - self.low),
            rounding=min(1.0, self.rounding / energy) if energy else None,
            clipping=min(1.0, self.clipping / energy) if energy else None,
        )
