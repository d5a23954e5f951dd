"""The config of a Keras 3 model, looked through before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgebig.keras3.layers import LEFT_OUT, RefusedError, plan
from edgebig.keras3.operations import OPERATIONS

MODELS = frozenset({"Functional", "Model", "Sequential"})
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_POLICIES = _FLOATS | {"mixed_float16", "mixed_bfloat16"}


def in_float32(config: Any) -> tuple[Any, set[str]]:
    """A config with float32 for every other policy, and without what it was compiled with; the policies it had."""
    found: set[str] = set()

    def rewrite(value: Any) -> Any:
        if isinstance(value, list):
            return [rewrite(item) for item in value]
        if not isinstance(value, dict):
            return value
        copy = {key: rewrite(item) for key, item in value.items() if key != "compile_config"}
        if "dtype" in value and ("trainable" in value or "batch_shape" in value):
            found.add(_policy(value["dtype"]))
            copy["dtype"] = "float32"
        return copy

    return rewrite(config), found - {"float32"}


def _policy(dtype: Any) -> str:
    if isinstance(dtype, dict):
        name = (
            dtype.get("config", {}).get("name")
            if dtype.get("class_name") == "DTypePolicy"
            else dtype["class_name"]
        )
        return str(name)
    return str(dtype or "float32")


def faults_of(config: dict[str, Any]) -> Iterator[str]:
    """A line for each layer or operation that is refused for what it is, wherever it stands."""
    kind, options = config.get("class_name"), config.get("config")
    if kind not in MODELS or not isinstance(options, dict) or not isinstance(options.get("layers"), list):
        yield f"{kind}: a model is a functional or a sequential one, and not a class of its own"
        return
    for member in options["layers"]:
        found = member.get("class_name") if isinstance(member, dict) else None
        name = f"{name_of(member)} ({found})"
        if found in MODELS:
            yield from faults_of(member)
        elif found == "InputLayer":
            if (dtype := member["config"].get("dtype")) not in _FLOATS:
                yield f"{name}: takes {dtype}; let it be float32"
        elif is_operation(member):
            if found not in OPERATIONS:
                yield f"{name}: this operation of keras.ops has no form in tf_keras here"
        elif found not in LEFT_OUT:
            try:
                plan(member)
            except RefusedError as refusal:
                yield f"{name}: {refusal}"
            else:
                if (policy := _policy(member["config"].get("dtype"))) not in _POLICIES:
                    yield f"{name}: its numbers are of {policy}; save the model before it is quantized"


def name_of(member: Any) -> str:
    options = member.get("config") if isinstance(member, dict) else None
    return str(options.get("name")) if isinstance(options, dict) else "?"


def is_operation(member: dict[str, Any]) -> bool:
    module = str(member.get("module"))
    return module.startswith(("keras.src.ops", "keras.ops", "keras.src.activations"))
