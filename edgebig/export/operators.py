"""What a .tflite asks of TFLite Micro: its operators, as the calls that put them into a resolver, or why it cannot be.

The operators are those with a kernel in tflite-micro of 2026-10, which a test holds against the package itself; a
library for boards may lag behind it. Source of the calls' names: tensorflow/lite/micro/micro_mutable_op_resolver.h
"""

from __future__ import annotations

from typing import Any

from edgebig.errors import EdgebigError
from edgebig.tflitefile import DTYPES, builtin_name, parse_model

_WITH_A_KERNEL = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
    GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
    SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF
    TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
MICRO_OPERATORS = frozenset(_WITH_A_KERNEL.split())
# Where the call is not the operator's name with capitals.
_CALLS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_HALF = frozenset({"float16", "bfloat16", "float64"})


def call(operator: str) -> str:
    """CONV_2D -> AddConv2D, the method of a MicroMutableOpResolver."""
    words = (
        word[:-1].capitalize() + "D" if word == "2D" else word.capitalize() for word in operator.split("_")
    )
    return "Add" + _CALLS.get(operator, "".join(words))


def of_model(model: bytes, name: str) -> tuple[str, ...]:
    """The operators of .tflite bytes, each once, in order of names.

    Raises: EdgebigError if it is damaged, or tflite-micro cannot run it: by an operator, or by the type of one's
    numbers; all of them are named. `name` opens the message.
    """
    parsed = parse_model(model, name)
    graph = parsed["subgraphs"][0]
    used: set[str] = set()
    faults: dict[str, None] = {}
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        kind = code["custom_code"] or builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        used.add(kind)
        if code["custom_code"] or kind not in MICRO_OPERATORS:
            faults[f"{kind} has no kernel there"] = None
        elif fault := _type_fault(kind, operator, graph["tensors"]):
            faults[fault] = None
    if faults:
        raise EdgebigError(
            f"{name}: tflite-micro cannot run it: {'; '.join(faults)}",
            "build the net of other layers, or quantize it whole: edgebig compress --int8",
        )
    return tuple(sorted(used))


def _type_fault(kind: str, operator: dict[str, Any], tensors: list[dict[str, Any]]) -> str:
    """What tflite-micro's kernels say no to when the model is loaded, after it was flashed."""
    types = [DTYPES[tensors[i]["type"]] for i in (*operator["inputs"], *operator["outputs"]) if i >= 0]
    if half := sorted(_HALF & set(types)):
        return f"{kind} on {half[0]}"
    if kind in _WEIGHTED and types[0] == "float32" and types[1] != "float32":
        return f"{kind} with {types[1]} weights on float32 numbers (dynamic range)"
    return ""
