"""How the range of an activation is taken from what it was over the calibration set. numpy only.

A range is what the integers are spread over: what lies beyond it saturates, and each step is its width over 255.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.compress.activations import Observed, Spread

Range = tuple[float, float]
# As Google's quantizer library has it: a picture counts half after 14 more.
KEEP = 0.95
_COARSE, _FINE = np.linspace(1.0, 0.02, 50), np.linspace(-0.02, 0.02, 21)


def min_max(observed: Observed) -> list[Range]:
    """All that was seen."""
    return list(zip(observed.low.min(axis=0).tolist(), observed.high.max(axis=0).tolist(), strict=True))


def moving_average(observed: Observed) -> list[Range]:
    """The lowest and highest of each picture, averaged with weights that fall from the last picture back."""
    low, high = observed.low[0], observed.high[0]
    for next_low, next_high in zip(observed.low[1:], observed.high[1:], strict=True):
        low = KEEP * low + (1 - KEEP) * next_low
        high = KEEP * high + (1 - KEEP) * next_high
    return list(zip(low.tolist(), high.tolist(), strict=True))


def percentile(spreads: list[Spread], percent: float) -> list[Range]:
    """All but the outermost values: 100 - `percent` of a hundred are left out at each end."""
    return [spread.percentile(percent) for spread in spreads]


def mse(spreads: list[Spread], bits: int) -> list[Range]:
    """The range with the least mean square error of quantization: finer steps against what saturates."""
    return [_least_error(*spread.weighted(), bits) for spread in spreads]


def quantization_error(
    values: npt.NDArray[Any], weights: npt.NDArray[Any], low: float, high: float, bits: int
) -> float:
    """The mean square error of `values` (n,) in whole numbers of `bits` over a range, which is widened to hold 0.

    8 bits have a zero point, 16 are symmetric, as in the .tflite.
    """
    most = 2 ** (bits - 1) - 1
    if bits == 16:
        scale, zero, least = max(abs(low), abs(high)) / most, 0.0, -most
    else:
        low, high, least = min(low, 0.0), max(high, 0.0), -most - 1
        scale = (high - low) / (most - least)
        zero = np.rint(least - low / scale) if scale else 0.0
    if scale == 0:
        return float(np.average(np.square(values), weights=weights))
    rounded = (np.clip(np.rint(values / scale) + zero, least, most) - zero) * scale
    return float(np.average(np.square(rounded - values), weights=weights))


def _least_error(values: npt.NDArray[Any], weights: npt.NDArray[Any], bits: int) -> Range:
    """Each end in turn moves inwards: by shares of what was seen, coarsely, then finely about the best."""
    ends = np.array([values.min(initial=0.0), values.max(initial=0.0)], np.float64)
    seen = ends.copy()

    def best(moved: list[int], shares: npt.NDArray[Any]) -> float:
        errors = []
        for share in shares:
            tried = ends.copy()
            tried[moved] = share * seen[moved]
            errors.append(quantization_error(values, weights, tried[0], tried[1], bits))
        return float(shares[np.argmin(errors)])

    # A symmetric range has one end, in two places.
    for moved in [[0, 1]] if bits == 16 else [[0], [1]] * 2:
        if seen[moved].any():
            fine = best(moved, _COARSE) + _FINE
            ends[moved] = best(moved, fine[(fine > 0) & (fine <= 1)]) * seen[moved]
    return float(ends[0]), float(ends[1])
