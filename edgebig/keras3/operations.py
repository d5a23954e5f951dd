"""What was written with keras.ops, or with + and *, on Keras 3's tensors -> layers of tf_keras."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgebig.keras import keras
from edgebig.keras3.layers import RefusedError

# Makes a layer of that class with a name that is free, and calls it.
Put = Callable[..., Any]


def activate(put: Put, name: str, x: Any) -> Any:
    """An activation that tf_keras has no function for, in layers."""
    match name:
        case "linear":
            return x
        case "relu6":
            return put("ReLU", x, max_value=6.0)
        case "leaky_relu":
            return put("LeakyReLU", x, alpha=0.2)
        case "hard_sigmoid":
            return put(
                "Rescaling",
                put("ReLU", put("Rescaling", x, scale=1.0, offset=3.0), max_value=6.0),
                scale=1 / 6,
            )
        case "hard_silu" | "hard_swish":
            return put("Multiply", [x, activate(put, "hard_sigmoid", x)])
    raise RefusedError(f"there is no form of activation '{name}' in tf_keras")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pair(put: Put, kind: str, a: Any, b: Any) -> Any:
    """Two tensors that a merging layer takes: of one rank, since it lines up others otherwise than numpy."""
    ranks = [len(x.shape) for x in (a, b)] if all(map(keras.backend.is_keras_tensor, (a, b))) else [0, 1]
    if ranks[0] != ranks[1]:
        raise RefusedError("takes two tensors of one rank, or a tensor and a number")
    return put(kind, [a, b])


def _add(put: Put, options: dict[str, Any], a: Any, b: Any) -> Any:
    if _number(a) or _number(b):
        x, number = (b, a) if _number(a) else (a, b)
        return put("Rescaling", x, scale=1.0, offset=float(number))
    return _pair(put, "Add", a, b)


def _subtract(put: Put, options: dict[str, Any], a: Any, b: Any) -> Any:
    if _number(a):
        return put("Rescaling", b, scale=-1.0, offset=float(a))
    return put("Rescaling", a, scale=1.0, offset=-float(b)) if _number(b) else _pair(put, "Subtract", a, b)


def _multiply(put: Put, options: dict[str, Any], a: Any, b: Any) -> Any:
    if _number(a) or _number(b):
        x, number = (b, a) if _number(a) else (a, b)
        return put("Rescaling", x, scale=float(number))
    return _pair(put, "Multiply", a, b)


def _divide(put: Put, options: dict[str, Any], a: Any, b: Any) -> Any:
    if not _number(b) or b == 0:
        raise RefusedError("divides by what is no number")
    return put("Rescaling", a, scale=1.0 / b)


def _over_map(kind: str) -> Callable[..., Any]:
    """Mean or max over all places of a map, which is a pooling layer."""

    def put_pooling(put: Put, options: dict[str, Any], x: Any) -> Any:
        rank, axes = len(x.shape), options.get("axis")
        places = [axes] if isinstance(axes, int) else axes or []
        if rank not in (3, 4) or sorted(axis % rank for axis in places) != list(range(1, rank - 1)):
            raise RefusedError(f"over axes {axes} of a tensor of rank {rank}; only over height and width")
        return put(f"Global{kind}Pooling{rank - 2}D", x, keepdims=bool(options.get("keepdims")))

    return put_pooling


def _reshape(put: Put, options: dict[str, Any], x: Any) -> Any:
    batch, *rest = options["newshape"]
    sizes = x.shape[1:]
    whole = None not in sizes and None not in rest and math.prod(sizes) == math.prod(rest)
    if batch not in (-1, None) or not whole:
        raise RefusedError(f"to {options['newshape']}; only with the batch as it is")
    return put("Reshape", x, target_shape=tuple(rest))


def _transpose(put: Put, options: dict[str, Any], x: Any) -> Any:
    axes = options.get("axes") or []
    if axes[:1] != [0]:
        raise RefusedError(f"by {axes}; only with the batch as it is")
    return put("Permute", x, dims=tuple(axes[1:]))


def _gelu(put: Put, options: dict[str, Any], x: Any) -> Any:
    if options.get("approximate", True):
        raise RefusedError("approximate; tf_keras has the exact one")
    return put("Activation", x, activation="gelu")


def _as(kind: str, **options: Any) -> Callable[..., Any]:
    return lambda put, _, x: put(kind, x, **options)


def _layered(name: str) -> Callable[..., Any]:
    return lambda put, _, x: activate(put, name, x)


# Each takes how to put a layer, the operation's options, and what it was called with.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": _add,
    "Subtract": _subtract,
    "Multiply": _multiply,
    "Divide": _divide,
    "TrueDivide": _divide,
    "Maximum": lambda put, _, a, b: _pair(put, "Maximum", a, b),
    "Minimum": lambda put, _, a, b: _pair(put, "Minimum", a, b),
    "Concatenate": lambda put, options, xs: put("Concatenate", xs, axis=options["axis"]),
    "Mean": _over_map("Average"),
    "Max": _over_map("Max"),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Relu": _as("ReLU"),
    "Relu6": _layered("relu6"),
    "HardSigmoid": _layered("hard_sigmoid"),
    "HardSilu": _layered("hard_silu"),
    "LeakyRelu": lambda put, options, x: put("LeakyReLU", x, alpha=options["negative_slope"]),
    "Softmax": lambda put, options, x: put("Softmax", x, axis=options["axis"]),
    "Gelu": _gelu,
    "Exp": _as("Activation", activation="exponential"),
    "Selu": _as("Activation", activation="selu"),
    "Sigmoid": _as("Activation", activation="sigmoid"),
    "Silu": _as("Activation", activation="swish"),
    "Softplus": _as("Activation", activation="softplus"),
    "Softsign": _as("Activation", activation="softsign"),
    "Tanh": _as("Activation", activation="tanh"),
}
