"""TensorFlow itself as a runtime, on this CPU or a CUDA GPU: a run's Keras model, not the .tflite that was made of it.

For comparison with training. It may be another machine than the one that trained: all that is needed there is
TensorFlow and tf_keras.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
import zipfile
from typing import Any

import numpy as np

from . import infer
from .faults import Fault, first_line

RUNTIME = "tensorflow"
DELEGATES = ("none", "gpu")
_NEEDED = ("tensorflow", "tf_keras")


def load_tensorflow() -> tuple[Any, Any]:
    """(tensorflow, tf_keras). Raises Fault where one is missing or broken."""
    # Keras 2, which wrote the model; before TensorFlow is imported.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        tf, keras = (importlib.import_module(name) for name in _NEEDED)
    except ImportError as error:
        raise Fault(
            "no-runtime",
            f"TensorFlow is not installed here, or broken ({error})",
            "pip install 'edgebig[train]'",
        ) from error
    return tf, keras


class KerasModel(infer.Loaded):
    """A .keras file as one graph of a batch of 1. An invoke ends when its output is in this process.

    `adapter`: of a GPU {name, kind, backend}. Raises Fault where TensorFlow or the GPU is missing, or the file is no
    model of one picture in and one row out.
    """

    def __init__(self, path: str, delegate: str, threads: int, precision: str) -> None:
        if delegate not in DELEGATES:
            raise Fault(
                "unknown-delegate",
                f"TensorFlow has no delegate '{delegate}'",
                "delegate = 'none' is this CPU, 'gpu' a CUDA GPU",
            )
        self._tf, keras = load_tensorflow()
        self.delegate = delegate
        _configure(self._tf, threads, precision)
        if delegate == "gpu":
            self.adapter = _gpu(self._tf)
        self._device = "/GPU:0" if delegate == "gpu" else "/CPU:0"
        started_ns = time.perf_counter_ns()
        with self._tf.device(self._device):
            self._function, shape = self._graph(_read(path, keras), path)
        self.init_ns = time.perf_counter_ns() - started_ns
        self._layers = [
            node.op for node in self._function.graph.as_graph_def().node if node.op not in _NOT_COMPUTING
        ]
        self.input = infer.Tensor("image", "float32", shape, 0.0, 0)
        self.output = infer.Tensor("scores", "float32", self._shape_of_scores(), 0.0, 0)
        self.invoke = self._run

    def _graph(self, model: Any, path: str) -> tuple[Any, tuple[int, ...]]:
        """The function of one float32 picture, and that picture's shape."""
        if len(model.inputs) != 1 or len(model.outputs) != 1 or None in model.inputs[0].shape[1:]:
            raise Fault(
                "bad-model",
                f"{path}: not one picture of a fixed size in and one row out",
                "use a model of one picture",
            )
        shape = (1, *(int(size) for size in model.inputs[0].shape[1:]))
        whole = self._tf.function(lambda image: model(image, training=False))
        self._model = model  # a concrete function does not keep its variables
        return whole.get_concrete_function(self._tf.TensorSpec(shape, self._tf.float32)), shape

    def _shape_of_scores(self) -> tuple[int, ...]:
        self.set_input(np.zeros(self.input.shape, np.float32))
        self._run()
        return tuple(int(size) for size in self._raw.shape)

    def set_input(self, values: Any) -> None:
        with self._tf.device(self._device):
            self._image = self._tf.constant(values.reshape(self.input.shape))

    def _run(self) -> None:
        # What a GPU has begun is done when its output is here.
        self._raw = self._function(self._image).numpy()

    def get_output(self) -> Any:
        return self._raw.reshape(-1).copy()

    def delegated(self) -> infer.Delegated:
        """All is on the GPU: what it has no kernel for would have raised, since nothing may be placed elsewhere."""
        of = len(self._layers)
        if self.delegate == "gpu":
            return infer.Delegated("gpu", of, of, 1, [])
        return infer.Delegated("none", 0, of, 0, sorted(set(self._layers)))


# Nodes of a graph that hold or hand on what others compute.
_NOT_COMPUTING = ("Placeholder", "Const", "Identity", "NoOp", "ReadVariableOp")


def _configure(tf: Any, threads: int, precision: str) -> None:
    tf.config.set_soft_device_placement(False)
    # By default convolutions on a GPU round their inputs to 10 bits of mantissa.
    tf.config.experimental.enable_tensor_float_32_execution(precision == "float16")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        pass  # The second model of a process: it is configured.


def _gpu(tf: Any) -> dict[str, str]:
    found = tf.config.list_physical_devices("GPU")
    if not found:
        raise Fault(
            "no-gpu",
            "TensorFlow finds no CUDA GPU here",
            "pip install 'tensorflow[and-cuda]', with NVIDIA's driver; or delegate = 'none'",
        )
    details = tf.config.experimental.get_device_details(found[0])
    return {"name": str(details.get("device_name", "?")), "kind": "discrete GPU", "backend": "CUDA"}


def _read(path: str, keras: Any) -> Any:
    """The model in a file whose name need not end in .keras. Nothing in it is run: a Lambda is refused."""
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        link = os.path.join(folder, "model.keras")
        os.symlink(os.path.abspath(path), link)
        try:
            return keras.models.load_model(link, compile=False, safe_mode=True)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            said = first_line(error).replace(link, path)
            raise Fault(
                "bad-model",
                f"{path}: TensorFlow cannot read it: {said}",
                "the file is damaged, or has layers of your own, which do not travel with it",
            ) from error
