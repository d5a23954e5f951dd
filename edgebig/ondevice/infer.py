"""A .tflite in a runtime: pictures in, class scores out. Host, board and camera run this same code."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import numpy as np

from .faults import Fault, first_line

RUNTIMES = ("ai-edge-litert", "tflite-runtime")
# The kernels that run the graph. "reference" is slow and bit-identical on every processor.
DELEGATES = ("xnnpack", "none", "reference")
# What a picture can be made into; a text or a number of 64 bits it cannot.
INPUT_DTYPES = ("int8", "uint8", "int16", "float16", "float32")
_RESOLVERS = {"xnnpack": "AUTO", "none": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


class Tensor(NamedTuple):
    """An input or output as the runtime reports it; scale is 0 where it is not quantized."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


class Delegated(NamedTuple):
    """How much of the graph a delegate took: `nodes` of `of`, in `partitions`; `left` are the operators it left.

    `reasons`: operator, why, where the delegate says it.
    """

    delegate: str
    nodes: int
    of: int
    partitions: int
    left: list[str]
    reasons: tuple[tuple[str, str], ...] = ()


def load_runtime(name: str) -> Any:
    """The module with `Interpreter` and `OpResolverType`. Raises Fault where it is missing or broken."""
    if name not in RUNTIMES:
        raise Fault("unknown-runtime", f"no runtime '{name}'", "use one of: " + ", ".join(RUNTIMES))
    try:
        if name == "ai-edge-litert":
            from ai_edge_litert import interpreter
        else:
            from tflite_runtime import interpreter
    except (ImportError, SystemError) as error:
        if isinstance(error, SystemError) or "numpy" in str(error):
            raise _broken(name, error) from error
        raise Fault("no-runtime", f"{name} is not installed here ({error})", f"pip install {name}") from error
    return interpreter


def _broken(name: str, error: Exception) -> Fault:
    """tflite-runtime 2.14 was built against numpy 1: with numpy 2 it fails on import, or as it loads a model."""
    return Fault(
        "runtime-broken",
        f"{name} does not load beside numpy {np.__version__}: {first_line(error)}",
        'pip install "numpy<2" in the environment of tflite-runtime',
    )


class Loaded:
    """One .tflite, loaded and allocated, with a static batch of 1; what holds whichever runtime stands behind it.

    `init_ns`: what loading it took. `adapter`: of a GPU, what it is. `invoke` runs it to the end; an attribute, since a
    method around the runtime's own would be timed with it.
    """

    input: Tensor
    output: Tensor
    delegate: str
    init_ns: int
    invoke: Callable[[], Any]
    adapter: dict[str, str] | None = None

    def set_input(self, values: Any) -> None:
        """`values`: (H, W, C) or (1, H, W, C) of the input's dtype."""
        raise NotImplementedError

    def get_output(self) -> Any:
        """(classes,) of the output's dtype, a copy."""
        raise NotImplementedError

    def delegated(self) -> Delegated:
        """What the delegate really took, and not what was asked for."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """One invoke on noise. Raises Fault where the model does not run."""
        with invoke_faults():
            self.set_input(noise(self.input))
            self.invoke()

    def scores(self, raw: Any) -> Any:
        """float32, real values of raw outputs of any shape."""
        return dequantize(raw, self.output)


class Model(Loaded):
    """One .tflite in an Interpreter, on the CPU or behind a `library` that was loaded as a delegate.

    Raises Fault where the file is not a model that this runtime runs, or not one picture in and one row of scores out.
    """

    def __init__(self, path: str, runtime: str, delegate: str, threads: int, library: Any = None) -> None:
        if library is None and delegate not in DELEGATES:
            raise Fault(
                "unknown-delegate", f"no delegate '{delegate}'", "use one of: " + ", ".join(DELEGATES)
            )
        module = load_runtime(runtime)
        # Behind a library XNNPACK would take part of what that leaves, and pass for it in the execution plan.
        resolver = getattr(module.OpResolverType, _RESOLVERS.get(delegate, _RESOLVERS["none"]))
        started_ns = time.perf_counter_ns()
        try:
            self._interpreter = module.Interpreter(
                model_path=path,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_delegates=[] if library is None else [library],
            )
            self._interpreter.allocate_tensors()
        except SystemError as error:
            raise _broken(runtime, error) from error
        except (ValueError, RuntimeError) as error:
            raise Fault(
                "bad-model",
                f"{path}: the runtime refuses it: {first_line(error)}",
                "the file is damaged or no .tflite; make it again",
            ) from error
        self.init_ns = time.perf_counter_ns() - started_ns
        self.delegate = delegate
        self.input = self._only(self._interpreter.get_input_details(), path, "input")
        self.output = self._only(self._interpreter.get_output_details(), path, "output")
        if self.input.dtype not in INPUT_DTYPES:
            raise Fault(
                "bad-model",
                f"{path}: its input is {self.input.dtype}, and no picture can be made into that",
                "use a model whose input is one of: " + ", ".join(INPUT_DTYPES),
            )
        self._input_index = self._interpreter.get_input_details()[0]["index"]
        self._output_index = self._interpreter.get_output_details()[0]["index"]
        self.invoke = self._interpreter.invoke

    @staticmethod
    def _only(details: list[dict[str, Any]], path: str, what: str) -> Tensor:
        if len(details) != 1:
            raise Fault(
                "bad-model",
                f"{path}: {len(details)} {what}s, not one",
                "use a model with one picture in, one row out",
            )
        scale, zero_point = details[0]["quantization"]
        shape = tuple(int(size) for size in details[0]["shape"])
        return Tensor(
            details[0]["name"], np.dtype(details[0]["dtype"]).name, shape, float(scale), int(zero_point)
        )

    def set_input(self, values: Any) -> None:
        self._interpreter.set_tensor(self._input_index, values.reshape(self.input.shape))

    def get_output(self) -> Any:
        return self._interpreter.get_tensor(self._output_index).reshape(-1)

    def operators(self) -> list[dict[str, Any]]:
        """The execution plan and what delegates took out of it: [{index, op_name, inputs, outputs}]."""
        found: list[dict[str, Any]] = self._interpreter._get_ops_details()
        return found

    def delegated(self) -> Delegated:
        operators = self.operators()
        nodes = [op for op in operators if op["op_name"] != "DELEGATE"]
        partitions = [op for op in operators if op["op_name"] == "DELEGATE"]
        taken = {index for partition in partitions for index in _inside(partition, nodes)}
        left = sorted({op["op_name"] for op in nodes if op["index"] not in taken})
        by = self.delegate if self.delegate not in DELEGATES else "xnnpack"
        return Delegated(by if partitions else "none", len(taken), len(nodes), len(partitions), left)


def _inside(partition: dict[str, Any], nodes: list[dict[str, Any]]) -> list[int]:
    """The nodes between a partition's inputs and outputs, found by walking back from the outputs."""
    producer = {int(tensor): op for op in nodes for tensor in op["outputs"]}
    stop = {int(tensor) for tensor in partition["inputs"]}
    todo, seen = [int(tensor) for tensor in partition["outputs"]], set()
    while todo:
        tensor = todo.pop()
        if tensor in stop or tensor not in producer or producer[tensor]["index"] in seen:
            continue
        seen.add(producer[tensor]["index"])
        todo += [int(source) for source in producer[tensor]["inputs"]]
    return sorted(seen)


def noise(tensor: Tensor) -> Any:
    """Values for an input of which nothing is known: float in [0, 1), integers over their range, always the same."""
    draw = np.random.default_rng(0)
    if np.issubdtype(tensor.dtype, np.floating):
        return draw.random(tensor.shape).astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    return draw.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)


def input_table(tensor: Tensor, preprocessing: dict[str, Any]) -> Any:
    """(256,) of the input's dtype: what each grey level 0..255 (ink is 255) becomes.

    A picture is then prepared by one look-up: in training's terms (low..high), as float32, quantized bit for bit as
    the reference QUANTIZE operator does it (float32 division, halves away from zero; XNNPACK takes a half to the even
    number). Raises Fault where an input of whole numbers has no scale and low..high do not fit it.
    """
    level = np.arange(256, dtype=np.float64)
    if not preprocessing["ink_is_high"]:
        level = 255.0 - level
    low, high = float(preprocessing["low"]), float(preprocessing["high"])
    real = (low + (high - low) * level / 255.0).astype(np.float32)
    if np.issubdtype(tensor.dtype, np.floating):
        return real.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    if tensor.scale == 0.0:
        if real.min() < limits.min or real.max() > limits.max or not np.array_equal(real, np.rint(real)):
            raise Fault(
                "bad-model",
                f"its input is {tensor.dtype} without a scale, and pixels as {low:g}..{high:g} do not fit that",
                "the card's preprocessing is wrong, or the file has lost its quantization",
            )
        return real.astype(tensor.dtype)
    steps = (real / np.float32(tensor.scale)).astype(np.float64)
    quantized = np.copysign(np.floor(np.abs(steps) + 0.5), steps) + tensor.zero_point
    return np.clip(quantized, limits.min, limits.max).astype(tensor.dtype)


def input_hashes(tensor: Tensor, images_u8: Any, preprocessing: dict[str, Any]) -> list[str]:
    """Of uint8 (N, H, W, C) pictures: for each the first 8 bytes of the sha256 of the tensor made of it, in hex."""
    table = input_table(tensor, preprocessing)
    return [hashlib.sha256(table[image].tobytes()).hexdigest()[:16] for image in images_u8]


def dequantize(raw: Any, tensor: Tensor) -> Any:
    """float32: (raw - zero_point) * scale where the tensor is quantized, else raw."""
    if tensor.scale == 0.0:
        return raw.astype(np.float32)
    return (raw.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def classify(model: Loaded, images_u8: Any, preprocessing: dict[str, Any]) -> Any:
    """Raw outputs (N, classes) in the output's dtype for uint8 (N, H, W, C) pictures, one at a time.

    Raises Fault where the pictures do not fit the input.
    """
    check_fit(model, images_u8)
    table = input_table(model.input, preprocessing)
    rows = []
    with invoke_faults():
        for image in images_u8:
            model.set_input(table[image])
            model.invoke()
            rows.append(model.get_output())
    return np.stack(rows) if rows else np.empty((0, int(np.prod(model.output.shape))), model.output.dtype)


@contextlib.contextmanager
def invoke_faults() -> Iterator[None]:
    """A model that loads and then does not run is a Fault."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise Fault(
            "bad-model",
            f"the model loads, but does not run: {first_line(error)}",
            "the file is damaged, or not for this runtime; make it again",
        ) from error


def check_fit(model: Loaded, images_u8: Any) -> None:
    if images_u8.shape[1:] != model.input.shape[1:] or model.input.shape[0] != 1:
        raise Fault(
            "shape",
            f"the model takes {model.input.shape}, the pictures are {tuple(images_u8.shape[1:])} each",
            "use the data that the model was trained for",
        )
