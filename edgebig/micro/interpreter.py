"""TFLite Micro's interpreter, as PyPI's tflite-micro has it: where it is, and how far its kernels may be off."""

from __future__ import annotations

from pathlib import Path

from edgebig import environment, tflitefile

ENVIRONMENT = "tflite-micro"
CHILD = Path(__file__).with_name("tflm_child.py")
# What int8 kernels of two makes may differ by; floats are added up in another order.
# Of int16 16 steps are a sixteenth of an int8 one; with float outputs behind them, of scores from 0 to 1, the same.
TOLERANCES = {"int8": 2, "uint8": 2, "int16": 16, "float32": 1e-5}
TOLERANCE_BEHIND_INT16 = 5e-4


def version() -> str:
    """Of the one that is installed. Raises EdgebigError where its environment is not made."""
    return environment.versions(ENVIRONMENT).get("tflite_micro", "")


def tolerance(dtype: str, *, has_int16: bool) -> float:
    """How far outputs of `dtype` may be off, in steps or real; `has_int16`: numbers are int16 between the operators."""
    return TOLERANCE_BEHIND_INT16 if has_int16 and dtype == "float32" else TOLERANCES[dtype]


def has_int16(model: bytes, name: str) -> bool:
    """Whether numbers are int16 between the operators (int16x8), whose edges stay what they are."""
    tensors = tflitefile.parse_model(model, name)["subgraphs"][0]["tensors"]
    return any(tflitefile.DTYPES[tensor["type"]] == "int16" for tensor in tensors)
