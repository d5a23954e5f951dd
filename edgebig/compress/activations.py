"""The activations of a float .tflite over a set of pictures: each picture's extremes, and all values in bounded memory.

Without TensorFlow, and of the file itself: what is measured is what gets quantized.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import flatbuffer
from edgebig.check import tflite
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.progress import track
from edgebig.tflitegraph import read_graphs

Floats = npt.NDArray[np.float64]
# Of one tensor over a whole set, besides the tails.
_SAMPLED_VALUES = 1 << 14
_LEAST_TAIL = 1 << 10
_FIXED_SCALE = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH")


class Spread:
    """All values that a tensor took: the `tail` lowest and the `tail` highest exactly, of the others an even sample.

    A range is decided by a few values in millions, which a sample alone would miss and a histogram would blur.
    """

    def __init__(self, tail: int, quota: int, seed: int) -> None:
        """`quota`: so many values of each picture go into the sample."""
        self.tail, self.quota, self.count = tail, quota, 0
        self._draw = np.random.default_rng(seed)
        self.lowest = self.highest = np.empty(0)
        self._sample: list[npt.NDArray[Any]] = []

    def add(self, values: npt.NDArray[Any]) -> None:
        """`values`: (n,), those of one picture; every picture has as many."""
        self.count += len(values)
        self.lowest = -_highest(-self.lowest, -values, self.tail)
        self.highest = _highest(self.highest, values, self.tail)
        all_of_them = self.quota >= len(values)
        self._sample.append(
            values if all_of_them else values[self._draw.integers(0, len(values), self.quota)]
        )

    def merged(self, other: Spread) -> Spread:
        """Of both sets of pictures, which share none."""
        both = Spread(self.tail, self.quota, 0)
        both.count = self.count + other.count
        both.lowest = -_highest(-self.lowest, -other.lowest, self.tail)
        both.highest = _highest(self.highest, other.highest, self.tail)
        both._sample = [*self._sample, *other._sample]
        return both

    def percentile(self, percent: float) -> tuple[float, float]:
        """What `percent` of the values are at most, and at least: as numpy.percentile of 100 - percent, and percent.

        Exact where the tails hold it, that is where at most `tail` - 1 values are beyond it.
        """
        place = (100 - percent) / 100 * (self.count - 1)
        low, high = np.sort(self.lowest), np.sort(self.highest)[::-1]
        places = np.arange(len(low))
        return float(np.interp(place, places, low)), float(np.interp(place, places, high))

    def weighted(self) -> tuple[Floats, Floats]:
        """Values, and how many each stands for; together `count`."""
        sample = np.sort(np.concatenate(self._sample)).astype(np.float64)
        if len(sample) == self.count:
            return sample, np.ones(len(sample))
        # The sample has values of the tails too, which stand for themselves.
        tail = min(self.tail, self.count // 2)
        cut = min(round(len(sample) * tail / self.count), (len(sample) - 1) // 2)
        middle = sample[cut : len(sample) - cut]
        lowest, highest = np.sort(self.lowest)[:tail], np.sort(self.highest)[-tail:]
        stands_for = (self.count - 2 * tail) / len(middle)
        weights = np.repeat([1.0, stands_for, 1.0], [tail, len(middle), tail])
        return np.concatenate([lowest, middle, highest]).astype(np.float64), weights


def _highest(known: npt.NDArray[Any], values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """The `count` highest of both, in no order."""
    if len(known) == count:
        values = values[values > known.min()]
    both = np.concatenate([known, values])
    return both if len(both) <= count else np.partition(both, len(both) - count)[-count:]


@dataclass(frozen=True)
class Observed:
    """Names of T tensors, and the lowest and highest value of each for N pictures: (N, T)."""

    names: tuple[str, ...]
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Reader:
    """A float32 .tflite that gives its activations. `model_name` opens the error messages."""

    model: bytes
    preprocessing: dict[str, Any]
    model_name: str = "model"

    def names(self) -> tuple[str, ...]:
        """Of the tensors that depend on the picture, in the order of the graph; float32 ones."""
        return tuple(name for _, name in self._tensors())

    def fixed(self) -> list[str]:
        """Of the outputs of operators whose kernels take one scale only."""
        (graph,) = read_graphs(self.model, self.model_name)
        fixed = [operator for operator in graph.operators if operator.kind in _FIXED_SCALE]
        return [graph.tensors[index].name for operator in fixed for index in operator.outputs]

    def _tensors(self) -> list[tuple[int, str]]:
        (graph,) = read_graphs(self.model, self.model_name)
        order = dict.fromkeys(graph.inputs)
        for operator in graph.operators:
            if order.keys() & set(operator.inputs):
                order |= dict.fromkeys(operator.outputs)
        return [(i, graph.tensors[i].name) for i in order if graph.tensors[i].dtype == "float32"]

    def observe(self, examples: Examples) -> Observed:
        """The extremes of each picture. Raises EdgebigError where an activation is no number."""
        extremes = [
            [(values.min(), values.max()) for values in tensors] for tensors in self.each(examples, "ranges")
        ]
        low, high = np.moveaxis(np.array(extremes, np.float64), 2, 0)
        return Observed(self.names(), low, high)

    def spreads(self, examples: Examples, of: int, percent: float, *, seed: int) -> list[Spread]:
        """A Spread of each tensor.

        `of`: the size of the set that these will be merged into; its `percent` is then exact.
        """
        spreads: list[Spread] = []
        for tensors in self.each(examples, "spread"):
            if not spreads:
                tails = [math.ceil((100 - percent) / 100 * of * len(values)) + 2 for values in tensors]
                spreads = [
                    Spread(max(_LEAST_TAIL, tail), math.ceil(_SAMPLED_VALUES / of), seed + place)
                    for place, tail in enumerate(tails)
                ]
            for spread, values in zip(spreads, tensors, strict=True):
                spread.add(values)
        return spreads

    def outside(self, examples: Examples, ranges: Sequence[tuple[float, float]]) -> Floats:
        """(T,): the share of each tensor's values that lies outside of its range."""
        beyond = np.zeros(len(ranges))
        for tensors in self.each(examples, "saturation"):
            for place, (values, (low, high)) in enumerate(zip(tensors, ranges, strict=True)):
                beyond[place] += np.mean((values < low) | (values > high))
        return beyond / max(1, len(examples))

    def each(self, examples: Examples, what: str) -> Iterator[list[npt.NDArray[np.float32]]]:
        """The values of every tensor, each (n,), picture by picture."""
        module = infer.load_runtime(tflite.HOST_RUNTIME)
        # Not by a delegate: what it fuses cannot be looked at.
        interpreter = module.Interpreter(
            model_content=self.model,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        contract = flatbuffer.io_contract(self.model, self.model_name).inputs[0]
        table = infer.input_table(
            infer.Tensor(contract.name, contract.dtype, contract.shape, 0.0, 0), self.preprocessing
        )
        entry, tensors = interpreter.get_input_details()[0]["index"], self._tensors()
        with track(f"calibration: {what}", len(examples)) as advance:
            for images_u8 in examples.chunks():
                for image_u8 in images_u8:
                    interpreter.set_tensor(entry, table[image_u8].reshape(contract.shape))
                    interpreter.invoke()
                    values = [interpreter.get_tensor(index).reshape(-1) for index, _ in tensors]
                    self._check_numbers(tensors, values)
                    yield values
                    advance()

    def _check_numbers(self, tensors: list[tuple[int, str]], values: list[npt.NDArray[np.float32]]) -> None:
        for (_, name), of_tensor in zip(tensors, values, strict=True):
            if not np.isfinite(of_tensor).all():
                raise EdgebigError(
                    f"{self.model_name}: '{name}' is infinite or no number for a training picture",
                    "no range can be taken from it; train it again, with a lower rate or clip_norm",
                )
