"""Microcontrollers: the operators for which TensorFlow Lite Micro has no kernel. A model with one does not run at all.

The list is what the interpreter of TFLite Micro's Python package has (0.dev20261023182759): a test asks it for every
operator of the schema. https://github.com/tensorflow/tflite-micro/blob/main/python/tflite_micro/python_ops_resolver.cc
"""

from __future__ import annotations

from edgebig.targets.operators import Left, Operator, left_by, names

SOURCE = "tflite-micro, python/tflite_micro/python_ops_resolver.cc"
KERNELS = names("""
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
    DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV
    FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D
    LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D
    MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX
    REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE
    SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE
    WHILE ZEROS_LIKE
    """)


def left(operators: list[Operator]) -> list[Left]:
    return left_by(operators, reason)


def reason(operator: Operator) -> str | None:
    if operator.name not in KERNELS:
        return "TFLite Micro has no kernel for it: the model will not run"
    if any(tensor.dynamic for tensor in (*operator.running, *operator.outputs)):
        return "its shape is not fixed, and TFLite Micro plans its memory beforehand"
    return None
