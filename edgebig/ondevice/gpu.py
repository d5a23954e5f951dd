"""A .tflite on a GPU: LiteRT's CompiledModel over WebGPU and Vulkan, and what it says of itself as it is made.

Which adapter runs it and which operators it left stand in LiteRT's log alone, so that is read. Of ai-edge-litert 2.3.0:
a model that the GPU does not take whole is refused unless the CPU is allowed too; `is_fully_accelerated` then counts
what the CPU runs by XNNPACK as accelerated; and `run` returns before the GPU is done.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from . import infer, vulkan
from .faults import Fault

PRECISIONS = ("float32", "float16")
# What a TensorBuffer of ai-edge-litert 2.3 takes; int16 it does not.
_BUFFER_DTYPES = ("int8", "uint8", "float16", "float32")
_ADAPTER = re.compile(
    r"Selected adapter: (?P<name>.*), arch=(?P<architecture>[^,]*), vendor=(?P<vendor>[^,]*), "
    r"backend=(?P<backend>[^,]*), adapterType=(?P<kind>.*)$",
    re.MULTILINE,
)
_UNSUPPORTED = re.compile(r"not supported by GPU delegate:\n((?:[A-Z0-9_]+: .*\n)+)")
_LEFT = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run")
_PARTITION = "Initializing WebGPU-based API from graph"
_NOT_ALL = "Some ops are not accelerated"
_NO_LIBRARY = "GPU accelerator could not be loaded and registered"
_DYNAMIC = "graph that has dynamic-sized tensors"
_CPUINFO = "/proc/cpuinfo"
# LiteRT's environment, made once a process as its users are told to; and its adapter, told once, with the first model.
_shared: dict[str, Any] = {}


class GpuModel(infer.Loaded):
    """One .tflite compiled for the GPU, what it does not take for this CPU. An invoke ends when its output is here.

    `adapter`: {name, architecture, vendor, backend, kind}; kind is "software" where a processor plays the GPU.
    Raises Fault where there is no GPU, or the model is none for it.
    """

    def __init__(self, path: str, threads: int, precision: str) -> None:
        check_machine()
        plain = infer.Model(path, "ai-edge-litert", "none", 1)
        _check_dtypes(plain, path)
        self.input, self.output, self.precision = plain.input, plain.output, precision
        self._operators = [op["op_name"] for op in plain.operators()]
        self.delegate = "gpu"
        # Should the process die in there, its log is lost; this line stays.
        print(f"{path}: being compiled for the GPU by LiteRT", file=sys.stderr, flush=True)
        with _log() as log:
            environment = _shared_environment()
            started_ns = time.perf_counter_ns()
            self._compiled = self._compile(path, environment, threads, log)
            self._inputs = self._compiled.create_input_buffers(0)
            self._outputs = self._compiled.create_output_buffers(0)
            self.init_ns = time.perf_counter_ns() - started_ns
        self._said = log.text
        self.adapter = _shared.get("adapter") or _shared_adapter(log.everything)
        self.invoke = self._run
        self._count = int(np.prod(self.output.shape))
        self._raw: Any = None

    def _compile(self, path: str, environment: Any, threads: int, log: _Log) -> Any:
        """For the GPU alone; LiteRT refuses that where the GPU leaves something: then with the CPU beside it."""
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

        gpu = HardwareAccelerator.GPU
        self.whole = True
        try:
            options = _options(gpu, threads, self.precision)
            return CompiledModel.from_file(path, environment=environment, options=options)
        except RuntimeError as error:
            if _NOT_ALL not in str(error):
                raise _refusal(path, str(error), log.so_far()) from error
        self.whole = False
        log.begin_again()
        options = _options(gpu | HardwareAccelerator.CPU, threads, self.precision)
        return CompiledModel.from_file(path, environment=environment, options=options)

    def set_input(self, values: Any) -> None:
        self._inputs[0].write(np.ascontiguousarray(values).reshape(self.input.shape))

    def _run(self) -> None:
        """Runs it and brings the output back: only then is the GPU done."""
        self._compiled.run_by_index(0, self._inputs, self._outputs)
        self._raw = self._outputs[0].read(self._count, np.dtype(self.output.dtype))

    def get_output(self) -> Any:
        return self._raw.copy()

    def delegated(self) -> infer.Delegated:
        of = len(self._operators)
        if self.whole:
            return infer.Delegated("gpu", of, of, max(1, self._said.count(_PARTITION)), [])
        reasons = unsupported(self._said)
        counts = _LEFT.search(self._said)
        nodes = int(counts.group(1)) if counts else 0
        partitions = self._said.count(_PARTITION) if nodes else 0
        named = {name for name, _ in reasons}
        left = sorted(named) or sorted(set(self._operators))
        others = of - nodes - sum(name in named for name in self._operators)
        if nodes and others > 0:
            why = f"{others} more lie outside the one part that LiteRT gives a GPU"
            reasons += (("others", why),)
        return infer.Delegated("gpu" if nodes else "none", nodes, of, partitions, left, reasons)


def unsupported(said: str) -> tuple[tuple[str, str], ...]:
    """(operator, why the GPU does not take it) from LiteRT's log, once each."""
    found = _UNSUPPORTED.search(said)
    lines = found.group(1).splitlines() if found else []
    pairs = [line.partition(": ") for line in dict.fromkeys(lines)]
    return tuple((name, reason.strip().rstrip(".")) for name, _, reason in pairs)


def check_machine() -> None:
    """Raises Fault where LiteRT's GPU library would kill the process, or finds no GPU."""
    if platform.machine() == "aarch64" and "atomics" not in _cpu_features():
        raise Fault(
            "no-gpu",
            "this processor has no atomic instructions (LSE), and LiteRT's GPU library dies of SIGILL on it",
            "the Interpreter is the way on a Raspberry Pi 3 or 4: delegate = 'xnnpack'",
        )
    vulkan.devices()


def _cpu_features() -> set[str]:
    with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
        return {word for line in file if line.startswith("Features") for word in line.split()}


def _check_dtypes(plain: infer.Model, path: str) -> None:
    for tensor in (plain.input, plain.output):
        if tensor.dtype not in _BUFFER_DTYPES:
            raise Fault(
                "bad-model",
                f"{path}: {tensor.name} is {tensor.dtype}, which LiteRT's GPU does not take",
                "use a model with one of: " + ", ".join(_BUFFER_DTYPES),
            )


def _shared_environment() -> Any:
    if "environment" not in _shared:
        from ai_edge_litert import environment

        _shared["environment"] = environment.Environment.create()
    return _shared["environment"]


def _shared_adapter(said: str) -> dict[str, str]:
    """The adapter that LiteRT took, held against Vulkan's own list. Raises Fault where it cannot be told."""
    found = _ADAPTER.search(said)
    if found is None and _NO_LIBRARY in said:
        raise Fault(
            "no-gpu",
            "this ai-edge-litert has no GPU library that loads here",
            "pip install --force-reinstall ai-edge-litert; or delegate = 'xnnpack'",
        )
    if found is None:
        raise Fault(
            "unknown-adapter",
            "LiteRT does not say which GPU it took, and no figure is given for an unknown one",
            "use ai-edge-litert 2.3, which says it; or delegate = 'xnnpack'",
        )
    adapter = found.groupdict()
    kinds = {device["kind"] for device in vulkan.devices() if device["name"] == adapter["name"]}
    if "software" in kinds or "CPU" in adapter["kind"]:
        adapter["kind"] = "software"
    elif kinds:
        adapter["kind"] = sorted(kinds)[0]
    _shared["adapter"] = adapter
    return adapter


def _options(accelerators: Any, threads: int, precision: str) -> Any:
    from ai_edge_litert.compiled_model import CpuOptions, GpuOptions, Options

    return Options(
        hardware_accelerators=accelerators,
        cpu_options=CpuOptions(num_threads=threads),
        gpu_options=GpuOptions(enforce_f32=precision == "float32"),
    )


def _refusal(path: str, error: str, said: str) -> Fault:
    reason = error.splitlines()[-1].lstrip("└ ").strip() if error else "no reason given"
    if "No adapters found" in said or "Failed to initialize WebGPU environment" in said:
        lines = [line for line in said.splitlines() if "No adapters found" in line or "arning: vk" in line]
        return vulkan.no_driver("; ".join(lines[-2:]) or reason)
    if _DYNAMIC in said:
        return Fault(
            "bad-model",
            f"{path}: its shapes are worked out as it runs (its batch is not fixed), and a GPU takes only fixed ones",
            "edgebig convert --for gpu makes one with a batch of 1",
        )
    return Fault(
        "bad-model",
        f"{path}: LiteRT does not compile it for the GPU: {reason}",
        "use another form of it (edgebig convert --for gpu), or delegate = 'xnnpack'",
    )


class _Log:
    """What native code writes to stderr meanwhile; once that is over `everything`, and `text` since begin_again."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = 0
        self.text = self.everything = ""

    def so_far(self) -> str:
        self._file.seek(self._start)
        return self._file.read().decode(errors="replace")

    def end(self) -> None:
        self.text, self._start = self.so_far(), 0
        self.everything = self.so_far()

    def begin_again(self) -> None:
        self._start = self._file.seek(0, os.SEEK_END)


@contextlib.contextmanager
def _log() -> Iterator[_Log]:
    """Everything that is written to stderr meanwhile is kept, and passed on at the end."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        log, stderr = _Log(file), os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            log.end()
            sys.stderr.write(log.everything)
