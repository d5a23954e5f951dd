"""TFLite Micro's interpreter, as PyPI's tflite-micro has it: where it is, and how far its kernels may be off."""

from __future__ import annotations

import math
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


def largest_allowed(model: bytes, name: str) -> dict[str, float]:
    """What no single difference of an output may be above, in "steps" of a whole number, and "real".

    Of int8 it is 2 steps in what goes into a SOFTMAX at the end, and as many in a score behind it as they can make
    there: scores that are near each other move by more than what they are made of.
    """
    wide = has_int16(model, name)
    steps = tolerance("int16" if wide else "int8", has_int16=wide)
    return {
        "steps": steps if wide else max(steps, _behind_softmax(model, name, steps)),
        "real": tolerance("float32", has_int16=wide),
    }


def _behind_softmax(model: bytes, name: str, steps: float) -> float:
    """`steps` of each logit in steps of a score behind the softmax; 0 where there is none."""
    parsed = tflitefile.parse_model(model, name)
    graph = parsed["subgraphs"][0]
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        if tflitefile.builtin_name(code["deprecated_builtin_code"], code["builtin_code"]) == "SOFTMAX":
            logit, score = (
                (graph["tensors"][operator[side][0]]["quantization"] or {}).get("scale", ())
                for side in ("inputs", "outputs")
            )
            if len(logit) == len(score) == 1:
                return behind_softmax(steps, logit[0], score[0])
    return 0.0


def behind_softmax(steps: float, logit_scale: float, score_scale: float) -> float:
    """How many steps of a score `steps` of each logit can make: p = sigmoid(d), and d moves by twice that at most."""
    # Rounding it to a step adds one.
    return float(math.ceil(math.tanh(steps * logit_scale / 2) / score_scale) + 1)


def has_int16(model: bytes, name: str) -> bool:
    """Whether numbers are int16 between the operators (int16x8), whose edges stay what they are."""
    tensors = tflitefile.parse_model(model, name)["subgraphs"][0]["tensors"]
    return any(tflitefile.DTYPES[tensor["type"]] == "int16" for tensor in tensors)
