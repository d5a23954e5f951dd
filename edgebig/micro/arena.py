"""How much working memory a model takes in TFLite Micro: what its interpreter took, or an estimate, and a margin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebig.tflitefile import DTYPES, builtin_name, parse_model

_ROUND = 256
_ITEM_BYTES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int64": 8}  # 4 for the others
_MARGIN_LEAST = 512
# The interpreter's own structures on a 64-bit machine, as its recorder lists them: a TfLiteEvalTensor a tensor, a
# NodeAndRegistration and a kernel's own data an operator, multiplier and shift a channel, and what is there once.
_TENSOR_BYTES, _OPERATOR_BYTES, _CHANNEL_BYTES, _ONCE_BYTES = 24, 200, 8, 1200


@dataclass(frozen=True)
class Arena:
    """Bytes to set aside, what they are made of, and how that was found. `measured`: by the interpreter."""

    size_bytes: int
    used_bytes: int
    scratch_bytes: int
    measured: bool
    method: str


def measured(model: bytes, used_bytes: int, runtime: str) -> Arena:
    """The arena for a model of which `runtime` (a name and a version) took `used_bytes`."""
    how = f"{runtime} took {used_bytes:,} bytes on a 64-bit machine"
    return _arena(parse_model(model, "model"), used_bytes, True, how)


def estimated(model: bytes) -> Arena:
    """The arena by the tensors that are alive together and what the interpreter's structures take. Not measured."""
    parsed = parse_model(model, "model")
    graph = parsed["subgraphs"][0]
    channels = sum(_output_channels(kind, filter_) for kind, filter_ in _filters(parsed))
    structures = (
        len(graph["tensors"]) * _TENSOR_BYTES
        + len(graph["operators"]) * _OPERATOR_BYTES
        + channels * _CHANNEL_BYTES
        + _ONCE_BYTES
    )
    return _arena(parsed, peak_bytes(parsed) + structures, False, "an ESTIMATE, not run")


def _arena(parsed: Mapping[str, Any], used: int, is_measured: bool, how: str) -> Arena:
    scratch = _scratch_bytes(parsed)
    # An estimate may be off by more than a newer library's structures.
    margin = max(_MARGIN_LEAST, used // (16 if is_measured else 4))
    size = -(-(used + scratch + margin) // _ROUND) * _ROUND
    method = f"{how}; {scratch:,} for CMSIS-NN's kernels, the rest is margin"
    return Arena(size, used, scratch, is_measured, method)


def scratch_bytes(model: bytes) -> int:
    """What CMSIS-NN's kernels, on a board, ask of the arena besides."""
    return _scratch_bytes(parse_model(model, "model"))


def _scratch_bytes(parsed: Mapping[str, Any]) -> int:
    return max((_cmsis_nn_bytes(kind, filter_) for kind, filter_ in _filters(parsed)), default=0)


def peak_bytes(parsed: Mapping[str, Any]) -> int:
    """The most bytes of activations that are needed at once, each rounded up to 16 as the planner does."""
    graph = parsed["subgraphs"][0]
    born = dict.fromkeys(graph["inputs"], 0)
    dies: dict[int, int] = {}
    for step, operator in enumerate(graph["operators"]):
        for index in operator["outputs"]:
            born.setdefault(index, step)
        for index in operator["inputs"]:
            dies[index] = step
    last = len(graph["operators"])
    dies |= dict.fromkeys(graph["outputs"], last)
    alive = [0] * (last + 1)
    for index, first in born.items():
        tensor = graph["tensors"][index]
        count = math.prod(max(1, size) for size in tensor["shape"])
        bytes_ = -(-count * _ITEM_BYTES.get(DTYPES[tensor["type"]], 4) // 16) * 16
        for step in range(first, dies.get(index, first) + 1):
            alive[step] += bytes_
    return max(alive)


def _filters(parsed: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """The kind and the filter's shape of each int8 convolution."""
    graph = parsed["subgraphs"][0]
    found = []
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        kind = builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            filter_ = graph["tensors"][operator["inputs"][1]]
            if DTYPES[filter_["type"]] == "int8" and len(filter_["shape"]) == 4:
                found.append((kind, filter_["shape"]))
    return found


def _output_channels(kind: str, filter_: tuple[int, ...]) -> int:
    return filter_[3] if kind == "DEPTHWISE_CONV_2D" else filter_[0]


def _cmsis_nn_bytes(kind: str, filter_: tuple[int, ...]) -> int:
    """The scratch that CMSIS-NN asks of the arena for a convolution, which the reference kernels do not.

    Source: arm_convolve_s8_get_buffer_size and arm_depthwise_conv_s8_opt_get_buffer_size of CMSIS-NN 6.
    """
    _, height, width, channels = filter_
    patch = height * width * channels
    return 2 * patch if kind == "DEPTHWISE_CONV_2D" else 4 * (-(-patch // 4) * 4)
