"""What a .tflite asks of TFLite Micro: its operators, as the calls that a resolver takes, or why it cannot run."""

from __future__ import annotations

from edgebig.errors import EdgebigError
from edgebig.targets import mcu
from edgebig.targets.operators import Operator, operators_of

# Where the call is not the operator's name with capitals. Source: tensorflow/lite/micro/micro_mutable_op_resolver.h
_CALLS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_OTHER_FLOATS = frozenset({"float16", "bfloat16", "float64"})


def call(operator: str) -> str:
    """CONV_2D -> AddConv2D, the method of a MicroMutableOpResolver."""
    words = (
        word[:-1].capitalize() + "D" if word == "2D" else word.capitalize() for word in operator.split("_")
    )
    return "Add" + _CALLS.get(operator, "".join(words))


def of_model(model: bytes, name: str) -> tuple[str, ...]:
    """The operators of .tflite bytes, each once, in order of names.

    Raises: EdgebigError if it is damaged, or tflite-micro cannot run it: by an operator, its shape, or the type of its
    numbers; all of them are named. `name` opens the message.
    """
    found = operators_of(model, name)
    faults = {
        f"{operator.name}: {fault}": None
        for operator in found
        if (fault := mcu.reason(operator) or _type_fault(operator))
    }
    if faults:
        raise EdgebigError(
            f"{name}: tflite-micro cannot run it: {'; '.join(faults)}",
            "build the net of other layers, or quantize it whole: edgebig compress --int8",
        )
    return tuple(sorted({operator.name for operator in found}))


def _type_fault(operator: Operator) -> str | None:
    """What tflite-micro's kernels say no to when the model is loaded, after it was flashed."""
    inputs = [tensor.dtype for tensor in operator.inputs if tensor is not None]
    if other := sorted(_OTHER_FLOATS & {*inputs, *(tensor.dtype for tensor in operator.outputs)}):
        return f"it has no {other[0]}"
    weights = operator.input(1)
    if (
        operator.name in _WEIGHTED
        and weights is not None
        and operator.outputs[0].dtype == "float32" != weights.dtype
    ):
        return f"it has no kernel for {weights.dtype} weights on float32 numbers (dynamic range)"
    return None
