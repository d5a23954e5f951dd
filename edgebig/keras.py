"""The only door to TensorFlow.

tensorflow-model-optimization works on Keras 2 alone. Importing it after `tf.keras` was touched keeps Keras 3, and then
QAT and pruning raise while clustering only seems to work, so the environment is set before anything is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from edgebig.errors import EdgebigError
from edgebig.progress import quiet

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise EdgebigError(
        "TensorFlow was imported before edgebig.keras, with Keras 3",
        "import edgebig first, or set TF_USE_LEGACY_KERAS=1 in the environment",
    )
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EdgebigError(
            f"training needs {name}, which is not installed here ({error})",
            "pip install \"edgebig[train]\"; 'edgebig doctor' tells what else is missing",
        ) from error


with quiet():
    tf: Any = _load("tensorflow")
    keras: Any = _load("tf_keras")
    tf.get_logger().setLevel("ERROR")
    # The first look for GPUs prints a page where there are none.
    if tf.config.list_physical_devices("GPU"):
        # The same seed is to give the same weights on a GPU too.
        tf.config.experimental.enable_op_determinism()

# Dropout then draws from generators whose state can be set, which makes a resumed training the same as an unbroken one.
keras.backend.experimental.enable_tf_random_generator()


def gpus() -> list[str]:
    """The names of the GPUs that TensorFlow can use."""
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def load_tfmot(module: str = "") -> Any:
    """tensorflow-model-optimization, which takes a second to import and only compress needs, or a module of it."""
    with quiet():
        tfmot = _load("tensorflow_model_optimization")
        return _load(f"tensorflow_model_optimization.python.core.{module}") if module else tfmot
