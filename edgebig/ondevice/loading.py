"""A .tflite behind the delegate that was asked for: the one place that knows them all."""

from __future__ import annotations

from typing import Any

from . import delegates, gpu, infer, keras_model
from .faults import Fault


def load_runtime(name: str) -> None:
    """Its libraries, before a model. Raises Fault where it is unknown, missing or broken."""
    if name == keras_model.RUNTIME:
        keras_model.load_tensorflow()
    else:
        infer.load_runtime(name)


def load(path: str, how: dict[str, Any]) -> infer.Loaded:
    """`how`, a task: {runtime, delegate, threads, gpu_precision, delegate_options}.

    delegate: a name, or the path of the library of one, which the options are for; gpu_precision: float32 or float16,
    of a GPU alone. Raises Fault where the runtime, the delegate or its device is missing, or the file is not a model
    that they run.
    """
    runtime, delegate, threads = how["runtime"], how["delegate"], how["threads"]
    if runtime == keras_model.RUNTIME:
        return keras_model.KerasModel(path, delegate, threads, how["gpu_precision"])
    if delegate in infer.DELEGATES:
        return infer.Model(path, runtime, delegate, threads)
    if delegate != "gpu":
        return delegates.load(path, runtime, delegate, threads, how["delegate_options"])
    if runtime != "ai-edge-litert":
        hint = "runtime = 'ai-edge-litert' has"
        raise Fault("unknown-delegate", f"{runtime} has no GPU delegate here", hint)
    return gpu.GpuModel(path, threads, how["gpu_precision"])
