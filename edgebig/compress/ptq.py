"""Quantization after training: a Keras model or a float .tflite -> a .tflite with smaller numbers. The last pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgebig import convert, flatbuffer
from edgebig.artifact import PassRecord
from edgebig.check import tflite
from edgebig.compress import calibration, quantizer, ranges
from edgebig.compress.activations import Reader
from edgebig.compress.context import Context
from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.recipe import Ptq, Recipe
from edgebig.tflitefile import DTYPES, builtin_name, parse_model
from edgebig.tflitegraph import read_graphs

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


def preflight(
    recipe: Recipe, splits: Splits, seed: int, model: Any, float_tflite: bytes | None = None
) -> None:
    """What `ptq` would refuse, before any pass trains: the library, the calibration set, operators, the runtime.

    `model`, `float_tflite`: as of `ptq`, but before the passes. Raises EdgebigError.
    """
    spec = recipe.compress.ptq
    assert spec is not None
    job = _Job.of(recipe, splits, model, spec, float_tflite)
    if spec.dtype not in _CALIBRATED:
        job.make(None, None)
        return
    chosen = calibration.draw(splits, spec.calibration, seed + _SEED, tell=False)
    few = chosen.examples[:_TRIED_EXAMPLES]
    reader = Reader(job.source, job.preprocessing, job.name)
    job.make(few, dict(zip(reader.names(), ranges.min_max(reader.observe(few)), strict=True)))


def ptq(
    context: Context, model: Any, spec: Ptq, float_tflite: bytes | None = None
) -> tuple[bytes, PassRecord]:
    """`model`, or where that is None `float_tflite`, in the dtype of `spec`, run on a few pictures before it is given.

    int8 has the I/O type of the recipe's [convert], int16x8 has int16, the others float32. By TensorFlow's converter
    where that can do it, else by Google's quantizer library. Raises EdgebigError.
    """
    job = _Job.of(context.recipe, context.splits, model, spec, float_tflite)
    record: dict[str, Any] = {"name": "ptq", "dtype": spec.dtype, "by": job.by()}
    if spec.dtype in _CALIBRATED:
        chosen = calibration.draw(context.splits, spec.calibration, context.seed + _SEED)
        found = calibration.calibrate(job.source, chosen, spec, job.preprocessing)
        record |= {"ranges": spec.ranges, "calibration": found.facts}
        data = job.make(chosen.examples, found.ranges)
    else:
        data = job.make(None, None)
    return data, PassRecord.model_validate({**record, "weights": weight_dtypes(data)})


@dataclass(frozen=True)
class _Job:
    """What is quantized and how. `source`: as a float .tflite."""

    recipe: Recipe
    splits: Splits
    model: Any
    spec: Ptq
    source: bytes
    name: str
    preprocessing: dict[str, Any]

    @classmethod
    def of(cls, recipe: Recipe, splits: Splits, model: Any, spec: Ptq, float_tflite: bytes | None) -> _Job:
        preprocessing = convert.preprocessing(recipe, splits).model_dump()
        if model is not None:
            source, name = convert.to_tflite(model, int8=False), model.name
        else:
            assert float_tflite is not None
            source, name = float_tflite, "float32.tflite"
            check_float(source, name)
        job = cls(recipe, splits, model, spec, source, name, preprocessing)
        job.by()
        job.run(source)
        return job

    def by(self) -> str:
        """What makes it. Raises EdgebigError where that is not installed."""
        if self.by_converter():
            return "TensorFlow's converter"
        return f"{quantizer.PACKAGE} {quantizer.version()}"

    def by_converter(self) -> bool:
        return self.model is not None and self.spec.ranges == "min-max" and self.spec.dtype in _BY_CONVERTER

    def make(self, examples: Examples | None, taken: dict[str, ranges.Range] | None) -> bytes:
        """The .tflite. `examples`, `taken`: the calibration set and its ranges, where the dtype has any."""
        dtype = self.spec.dtype
        if self.by_converter():
            data = _convert(self.model, dtype, examples, self.preprocessing)
        else:
            data = quantizer.quantize(self.source, dtype, taken, self.name)
        left = set(flatbuffer.float_operators(data)) - flatbuffer.EDGE_OPERATORS
        if dtype in _CALIBRATED and left:
            raise EdgebigError(
                f"{self.name}: these operators stayed in float: {', '.join(sorted(left))}",
                f"they have no {dtype} form in {self.by()}; float16 takes them (--set compress.ptq.dtype=float16)",
            )
        if dtype == "int8":
            data = flatbuffer.rewrite_io(data, self.recipe.convert.io, self.name)
        self.run(data)
        return data

    def run(self, data: bytes) -> None:
        """On a few pictures. Raises EdgebigError where the runtime refuses: not every dtype has all kernels."""
        try:
            tflite.labels(data, self.splits.train[:_TRIED_EXAMPLES], self.preprocessing)
        except EdgebigError as error:
            reason = error.problem.rpartition("model.tflite: ")[2]
            if data is self.source:
                raise EdgebigError(f"{self.name}: {reason}", error.hint) from error
            raise EdgebigError(
                f"{self.name}, in {self.spec.dtype}: {reason} ({tflite.HOST_RUNTIME})",
                "nothing was written; another dtype may do (--set compress.ptq.dtype=float16)",
            ) from error


def _convert(model: Any, dtype: str, examples: Examples | None, preprocessing: dict[str, Any]) -> bytes:
    from edgebig.keras import tf

    converter = convert.converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if dtype == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if examples is not None:
        operators = tf.lite.OpsSet
        whole, edges = {
            "int8": (operators.TFLITE_BUILTINS_INT8, tf.int8),
            "int16x8": (operators.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
        }[dtype]
        # Float operators stay allowed, so that those without an integer form can be told by name afterwards.
        converter.target_spec.supported_ops = [whole, operators.TFLITE_BUILTINS]
        converter.inference_input_type = converter.inference_output_type = edges
        converter.representative_dataset = lambda: _pictures(examples, preprocessing)
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
        raise EdgebigError(
            f"{name}: is {' and '.join(small)} already", "quantize the float32 .tflite that it was made from"
        )


def weight_dtypes(model: bytes) -> dict[str, int]:
    """How many weights there are of each dtype, in convolutions and fully connected operators."""
    (graph,) = read_graphs(model, "model")
    counts: Counter[str] = Counter()
    for operator in graph.operators:
        if operator.kind in flatbuffer.WEIGHTED_OPERATORS:
            index = operator.inputs[1]
            # A DEQUANTIZE may stand between.
            while index in graph.producers:
                index = graph.producers[index].inputs[0]
            counts[graph.tensors[index].dtype] += graph.tensors[index].elements
    return dict(counts)
