"""Where the time of an inference goes, operator by operator, by LiteRT's own profiler.

Python's Interpreter and CompiledModel give no way to it, so it is reached by the C functions of libLiteRt.so, in a
process of its own: what they take is no promise between versions, and other versions than the one tried are refused.
"""

from __future__ import annotations

import ctypes
import os
import time
from importlib import metadata
from typing import Any

from . import infer
from .faults import Fault

TRIED = "2.3."
_KERNELS = {"xnnpack": "xnnpack", "none": "builtin", "reference": "reference"}
_CPU = 1  # LiteRtHwAccelerators
# ProfiledEventData, litert/c/litert_profiler_event.h, and how far one is from the next.
_EVENT_BYTES = 104
_OPERATOR = 2
_INSIDE_DELEGATE = (4, 8)
_TENSOR_TYPE_BYTES = 512  # LiteRtRankedTensorType takes less
_BUFFER_LOCK_WRITE = 1


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p), ("type", ctypes.c_uint32), ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64), ("memory", ctypes.c_uint64 * 6), ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64), ("source", ctypes.c_uint32),
    ]  # fmt: skip


class Profiler:
    """A .tflite compiled for the CPU by LiteRT, with its profiler on; its input is what noise gives.

    Raises Fault where this runtime or delegate has no profiler that was tried.
    """

    def __init__(self, path: str, runtime: str, delegate: str, threads: int) -> None:
        _check(runtime, delegate)
        # Not as this is loaded: on 32 bits, where there is no ai-edge-litert, it is smaller.
        assert ctypes.sizeof(_Event) == _EVENT_BYTES
        import ai_edge_litert

        folder = os.path.dirname(os.path.abspath(ai_edge_litert.__file__))
        self._lib = ctypes.CDLL(os.path.join(folder, "libLiteRt.so"))
        self._environment, self._model, options = self._three(path)
        self._add_options(options, b"runtime_options_string", "enable_profiling = true\n")
        kernels = f'kernel_mode = "{_KERNELS[delegate]}"\nnum_threads = {threads}\n'
        self._add_options(options, b"xnnpack", kernels)
        self._compiled = ctypes.c_void_p()
        self._call(
            "LiteRtCreateCompiledModel", self._environment, self._model, options, self._made(self._compiled)
        )
        self._profiler = ctypes.c_void_p()
        self._call("LiteRtCompiledModelGetProfiler", self._compiled, self._made(self._profiler))
        if self._profiler.value is None:
            raise Fault("no-profile", "LiteRT gives no profiler", "use ai-edge-litert 2.3")
        self._input, self._output = self._buffer("Input"), self._buffer("Output")
        self._fill(path)

    def _three(self, path: str) -> tuple[Any, Any, Any]:
        environment, model, options = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("LiteRtCreateEnvironment", ctypes.c_int(0), None, self._made(environment))
        self._call("LiteRtCreateModelFromFile", environment, os.fsencode(path), self._made(model))
        self._call("LiteRtCreateOptions", self._made(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
        return environment, model, options

    def _add_options(self, options: Any, name: bytes, toml: str) -> None:
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        payload, opaque = ctypes.c_void_p(libc.strdup(toml.encode())), ctypes.c_void_p()
        free = ctypes.cast(libc.free, ctypes.c_void_p)
        self._call("LiteRtCreateOpaqueOptions", name, payload, free, self._made(opaque))
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _buffer(self, side: str) -> Any:
        needs, signature, tensor, buffer = (ctypes.c_void_p() for _ in range(4))
        first, kind = ctypes.c_size_t(0), ctypes.create_string_buffer(_TENSOR_TYPE_BYTES)
        self._call(
            f"LiteRtGetCompiledModel{side}BufferRequirements", self._compiled, first, first, self._made(needs)
        )
        self._call("LiteRtGetModelSignature", self._model, first, self._made(signature))
        self._call(f"LiteRtGetSignature{side}TensorByIndex", signature, first, self._made(tensor))
        self._call("LiteRtGetRankedTensorType", tensor, kind)
        made = self._made(buffer)
        self._call("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, kind, needs, made)
        return buffer

    def _fill(self, path: str) -> None:
        """The input as `measure` fills it: what lies in fresh memory may be NaNs, which have times of their own."""
        values = infer.noise(infer.Model(path, "ai-edge-litert", "none", 1).input)
        place = ctypes.c_void_p()
        self._call("LiteRtLockTensorBuffer", self._input, self._made(place), ctypes.c_int(_BUFFER_LOCK_WRITE))
        ctypes.memmove(place, values.ctypes.data, values.nbytes)
        self._call("LiteRtUnlockTensorBuffer", self._input)

    def invoke(self) -> list[tuple[str, int, int, int]]:
        """(operator, node, kind of event, us) of one inference."""
        one = ctypes.c_size_t(1)
        inputs, outputs = (ctypes.c_void_p * 1)(self._input), (ctypes.c_void_p * 1)(self._output)
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        self._call("LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0), one, inputs, one, outputs)
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * max(1, count.value))()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [
            (event.tag.decode(errors="replace"), event.node, event.type, event.elapsed_us)
            for event in events[: count.value]
            if event.tag is not None
        ]

    @staticmethod
    def _made(handle: Any) -> Any:
        return ctypes.byref(handle)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._lib, name)(*arguments)
        if status != 0:
            raise Fault("no-profile", f"{name} gives {status}: LiteRT's profiler cannot be used here")


def _check(runtime: str, delegate: str) -> None:
    if runtime != "ai-edge-litert" or delegate not in _KERNELS:
        by = f"{delegate} in {runtime}" if delegate not in _KERNELS else runtime
        hint = "runtime = 'ai-edge-litert' and delegate = " + ", ".join(f"'{name}'" for name in _KERNELS)
        raise Fault("no-profile", f"{by} tells no times of operators", f"--profile is had with {hint}")
    infer.load_runtime(runtime)
    version = metadata.version("ai_edge_litert")
    if not version.startswith(TRIED):
        hint = f"pip install 'ai-edge-litert=={TRIED}*'"
        raise Fault("no-profile", f"the profiler of ai-edge-litert {version} was not tried", hint)


def profile(path: str, how: dict[str, Any], seconds: float = 1.0, least: int = 20) -> dict[str, Any]:
    """{invokes, operators: [{operator, node, inside, us}]}: for each its mean in us over `invokes` inferences.

    `inside`: it is one of a delegate's own operators, which are not the model's: XNNPACK merges and splits them. A
    delegate that tells its own stands with these and not with its node; XNNPACK's are rounded down to whole us in each
    inference. `how`: as in loading.load.
    """
    profiler = Profiler(path, how["runtime"], how["delegate"], how["threads"])
    for _ in range(least):
        profiler.invoke()
    totals_us: dict[tuple[str, int, int], int] = {}
    invokes, end_s = 0, time.monotonic() + seconds
    while invokes < least or time.monotonic() < end_s:
        for operator, node, kind, elapsed_us in profiler.invoke():
            if kind == _OPERATOR or kind in _INSIDE_DELEGATE:
                key = (operator, node, kind)
                totals_us[key] = totals_us.get(key, 0) + elapsed_us
        invokes += 1
    tells = any(kind in _INSIDE_DELEGATE for _, _, kind in totals_us)
    rows = [
        {
            "operator": operator,
            "node": node,
            "inside": kind in _INSIDE_DELEGATE,
            "us": total_us / invokes,
        }
        for (operator, node, kind), total_us in totals_us.items()
        if not (tells and kind == _OPERATOR and "Delegate" in operator)
    ]
    return {"invokes": invokes, "operators": rows}
