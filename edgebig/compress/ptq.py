"""Quantization after training: a Keras model or a float .tflite -> a .tflite with smaller numbers. The last pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgebig import convert, flatbuffer
from edgebig.artifact import PassRecord
from edgebig.check import tflite
from edgebig.compress import calibration, quantizer
from edgebig.compress.calibration import CalibrationSet
from edgebig.compress.context import Context
from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.recipe import Ptq
from edgebig.tflitefile import DTYPES, builtin_name, parse_model

# The end of a variant's name.
VARIANT = {
    "int8": "ptq-int8", "int16x8": "int16x8", "float16": "float16", "dynamic": "dynamic",
    "weights-int8": "weights-int8", "weights-int4": "weights-int4",
}  # fmt: skip
_CALIBRATED = ("int8", "int16x8")
_BY_CONVERTER = ("int8", "int16x8", "float16", "dynamic")
# Fixed, as those of the passes that train are.
_SEED = 6
_TRIED_EXAMPLES = 8


def preflight(spec: Ptq, splits: Splits, seed: int, float_tflite: bytes | None = None) -> None:
    """All that can be wrong before the passes that train: the library, the calibration set, the .tflite.

    `float_tflite`: where there is no Keras model. Raises EdgebigError.
    """
    if not _by_converter(spec, keras=float_tflite is None):
        quantizer.load()
    if float_tflite is not None:
        check_float(float_tflite, "the .tflite")
    if spec.dtype in _CALIBRATED:
        calibration.draw(splits, spec.calibration, seed + _SEED, tell=False)


def ptq(
    context: Context, model: Any, spec: Ptq, float_tflite: bytes | None = None
) -> tuple[bytes, PassRecord]:
    """`model`, or where that is None `float_tflite`, in the dtype of `spec`, run on a few pictures before it is given.

    int8 has the I/O type of the recipe's [convert], int16x8 has int16, the others float32. By TensorFlow's converter
    where that can do it, else by Google's quantizer library. Raises EdgebigError.
    """
    preprocessing = convert.preprocessing(context.recipe, context.splits).model_dump()
    if model is None:
        assert float_tflite is not None
        check_float(float_tflite, "the .tflite")
        source, name = float_tflite, "the .tflite"
    else:
        source, name = convert.to_tflite(model, int8=False), model.name
    record: dict[str, Any] = {"name": "ptq", "dtype": spec.dtype}
    chosen, found = None, None
    if spec.dtype in _CALIBRATED:
        chosen = calibration.draw(context.splits, spec.calibration, context.seed + _SEED)
        found = calibration.calibrate(source, chosen, spec, preprocessing)
        record |= {"ranges": spec.ranges, "calibration": found.facts}
    if _by_converter(spec, keras=model is not None):
        record["by"] = "TensorFlow's converter"
        data = _convert(model, spec.dtype, chosen, preprocessing)
    else:
        record["by"] = f"{quantizer.PACKAGE} {quantizer.version()}"
        data = quantizer.quantize(source, spec.dtype, found.ranges if found else None, name)
    if spec.dtype in _CALIBRATED and (left := flatbuffer.float_operators(data)):
        raise EdgebigError(
            f"{name}: these operators stayed in float: {', '.join(sorted(set(left)))}",
            f"they have no {spec.dtype} form; float16 and weights-int8 take any operator "
            "(--set compress.ptq.dtype=float16)",
        )
    if spec.dtype == "int8":
        data = flatbuffer.rewrite_io(data, context.recipe.convert.io, name)
    record["weights"] = weight_dtypes(data)
    _check_runs(data, source, context.splits.train[:_TRIED_EXAMPLES], preprocessing, spec.dtype)
    return data, PassRecord.model_validate(record)


def _by_converter(spec: Ptq, *, keras: bool) -> bool:
    return keras and spec.ranges == "min-max" and spec.dtype in _BY_CONVERTER


def _convert(model: Any, dtype: str, chosen: CalibrationSet | None, preprocessing: dict[str, Any]) -> bytes:
    from edgebig.keras import tf

    converter = convert.converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if dtype == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if chosen is not None:
        operators = tf.lite.OpsSet
        whole, edges = {
            "int8": (operators.TFLITE_BUILTINS_INT8, tf.int8),
            "int16x8": (operators.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
        }[dtype]
        # Float operators stay allowed, so that those without an integer form can be told by name afterwards.
        converter.target_spec.supported_ops = [whole, operators.TFLITE_BUILTINS]
        converter.inference_input_type = converter.inference_output_type = edges
        converter.representative_dataset = lambda: _pictures(chosen.examples, preprocessing)
    return convert.run_converter(converter)


def _pictures(examples: Examples, preprocessing: dict[str, Any]) -> Iterator[list[Any]]:
    table = infer.input_table(infer.Tensor("", "float32", (), 0.0, 0), preprocessing)
    return ([table[image][None]] for images in examples.chunks() for image in images)


def check_float(model: bytes, name: str) -> None:
    """Raises EdgebigError where a .tflite is not one float graph of operators that are known here."""
    parsed = parse_model(model, name)
    graph = parsed["subgraphs"][0]
    if len(parsed["signature_defs"]) > 1:
        keys = ", ".join(signature["signature_key"] for signature in parsed["signature_defs"])
        raise EdgebigError(
            f"{name}: has {len(parsed['signature_defs'])} signatures ({keys}), and only one is understood",
            "convert it with the one that takes a picture and gives its scores",
        )
    if custom := sorted({code["custom_code"] for code in parsed["operator_codes"] if code["custom_code"]}):
        raise EdgebigError(
            f"{name}: has operators that are no part of TFLite: {', '.join(custom)}",
            "convert it without custom operators and without SELECT_TF_OPS",
        )
    operators = [
        builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        for code in parsed["operator_codes"]
    ]
    if unknown := [operator for operator in operators if operator.startswith("operator ")]:
        raise EdgebigError(
            f"{name}: has operators newer than this ai-edge-litert: {', '.join(unknown)}",
            "pip install -U ai-edge-litert",
        )
    tensors = [graph["tensors"][i] for operator in graph["operators"] for i in operator["inputs"] if i >= 0]
    small = sorted({DTYPES[t["type"]] for t in tensors} & {"int8", "uint8", "int4", "int16", "float16"})
    if small:
        form = "int8" if small == ["int8"] or "int8" in small else small[0]
        raise EdgebigError(
            f"{name}: is {form} already (has tensors of {', '.join(small)})",
            "quantize the float32 .tflite that it was made from",
        )


def weight_dtypes(model: bytes) -> dict[str, int]:
    """How many weights there are of each dtype, in convolutions and fully connected operators."""
    parsed = parse_model(model, "model")
    graph = parsed["subgraphs"][0]
    producer = {operator["outputs"][0]: operator for operator in graph["operators"] if operator["outputs"]}
    counts: dict[str, int] = {}
    for operator in graph["operators"]:
        code = parsed["operator_codes"][operator["opcode_index"]]
        if (
            builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
            in flatbuffer.WEIGHTED_OPERATORS
        ):
            index = operator["inputs"][1]
            # A DEQUANTIZE may stand between.
            while index in producer:
                index = producer[index]["inputs"][0]
            tensor = graph["tensors"][index]
            dtype = DTYPES[tensor["type"]]
            counts[dtype] = counts.get(dtype, 0) + int(np.prod(tensor["shape"]))
    return counts


def _check_runs(
    data: bytes, source: bytes, examples: Examples, preprocessing: dict[str, Any], dtype: str
) -> None:
    """Raises EdgebigError where the runtime refuses the file: some dtypes lack kernels for some operators."""
    try:
        tflite.labels(data, examples, preprocessing)
    except EdgebigError as error:
        tflite.labels(source, examples, preprocessing)  # its own fault is its own message
        reason = error.problem.rpartition("refuses it: ")[2]
        raise EdgebigError(
            f"{tflite.HOST_RUNTIME} does not run this model in {dtype}: {reason}",
            "nothing was written; another dtype may do (--set compress.ptq.dtype=float16)",
        ) from error
