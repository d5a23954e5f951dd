"""What Python brings: the interpreter, numpy and Pillow, the runtimes, the training stack, the folders."""

from __future__ import annotations

import base64
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from edgebig.doctor.proof import TOOL_LIMIT_S, Check, Outcome, run_python
from edgebig.lookup import cache_dir

RUNTIME_LIMIT_S = 30.0
TRAINING_LIMIT_S = 120.0
LEAST_FREE_BYTES = 500_000_000

DEVICE_EXTRA = 'pip install "edgebig[device]"'
TRAIN_EXTRA = 'pip install "edgebig[train]"'
LEGACY_EXTRA = 'in an environment of its own (Python <= 3.11): pip install "edgebig[legacy]"'

# One RELU on float32 (1, 4), 300 bytes, made with the runtime's schema module.
RELU_TFLITE = base64.b64decode(
    "GAAAAFRGTDMAAA4AGAAUABAADAAIAAQADgAAABQAAAAgAAAAKAAAAOQAAAADAAAAAQAAAAgAAAAEAAQABAAAAAQAAAByZWx1AAAA"
    "AAEAAAAQAAAADAAUABAADAAIAAQADAAAABAAAAA8AAAAQAAAAEQAAAABAAAAEAAAAAAACgAMAAAACAAEAAoAAAAIAAAADAAAAAEA"
    "AAABAAAAAQAAAAAAAAABAAAAAQAAAAEAAAAAAAAAAgAAADQAAAAEAAAA4P///wgAAAAMAAAAAQAAAHkAAAACAAAAAQAAAAQAAAAM"
    "AAwACAAAAAAABAAMAAAACAAAAAwAAAABAAAAeAAAAAIAAAABAAAABAAAAAEAAAAQAAAADAAMAAsAAAAAAAQADAAAABMAAAAAAAAT"
)


def python() -> list[Check]:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fault = _unsupported(platform.system(), platform.machine(), sys.version_info[:2], platform.libc_ver()[0])
    if fault:
        return [Check("Python", "broken", f"{detail}: {fault[0]}", fault[1])]
    return [Check("Python", "ok", detail)]


def _unsupported(system: str, machine: str, version: tuple[int, int], libc: str) -> tuple[str, str] | None:
    """Why edgebig is not supported there and what to do, or None."""
    if system == "Windows":
        return "native Windows is not supported", "use WSL 2: wsl --install"
    if system not in ("Linux", "Darwin"):
        return f"{system} is not supported", "use Linux, macOS on Apple silicon, or WSL 2"
    if not (3, 10) <= version <= (3, 13):
        return "its version is not supported", "install Python 3.10 to 3.13"
    if system == "Linux" and libc != "glibc":
        return (
            "TensorFlow and the runtimes have no wheels for this C library",
            "use a system with glibc, not musl",
        )
    if machine == "armv7l" and version > (3, 11):
        return (
            "tflite-runtime has no wheel for it",
            "on a 32-bit ARM use Python 3.11 or older, or a 64-bit system",
        )
    if machine not in ("x86_64", "aarch64", "armv7l", "arm64") or (system, machine) == ("Darwin", "x86_64"):
        return (
            "TensorFlow and the runtimes have no wheels for this processor",
            "use x86-64, ARM or Apple silicon",
        )
    return None


_BASE_CHILD = """
import io, numpy, PIL
from PIL import Image
tell(numpy=numpy.__version__, pillow=PIL.__version__)
file = io.BytesIO()
Image.fromarray(numpy.full((2, 2), 7, numpy.uint8)).save(file, "png")
assert numpy.asarray(Image.open(file)).sum() == 28, "a picture came back changed"
"""


def base() -> list[Check]:
    outcome = run_python(_BASE_CHILD, TOOL_LIMIT_S)
    facts = outcome.facts()
    if outcome.code == 0:
        return [Check("numpy and Pillow", "ok", f"numpy {facts['numpy']}, Pillow {facts['pillow']}")]
    return [
        Check("numpy and Pillow", "broken", outcome.fault(), "pip install --force-reinstall numpy pillow")
    ]


_RUNTIME_CHILD = """
import base64, importlib
if not found(sys.argv[1]):
    sys.exit()
tell(version=version(sys.argv[1]))
import numpy
tell(numpy=numpy.__version__)
interpreter = importlib.import_module(sys.argv[1] + ".interpreter").Interpreter(
    model_content=base64.b64decode(sys.argv[2]), num_threads=1)
interpreter.allocate_tensors()
x = numpy.array([[-1, 2, -3, 4]], numpy.float32)
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
tell(output=interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist())
"""


def litert() -> list[Check]:
    absent = Check(
        "ai-edge-litert", "missing", "not installed: the runtime that runs models here", DEVICE_EXTRA
    )
    if platform.machine() == "armv7l":
        absent = Check(
            "ai-edge-litert", "optional", "has no wheel for a 32-bit ARM; tflite-runtime is for it"
        )
    return [_runtime("ai-edge-litert", absent)]


def tflite_runtime() -> list[Check]:
    absent = Check("tflite-runtime", "optional", "not installed: the older runtime", LEGACY_EXTRA)
    if platform.machine() == "armv7l":
        absent = Check(
            "tflite-runtime", "missing", "not installed: the runtime that runs models here", DEVICE_EXTRA
        )
    return [_runtime("tflite-runtime", absent)]


def _runtime(name: str, absent: Check) -> Check:
    module = name.replace("-", "_")
    outcome = run_python(_RUNTIME_CHILD, RUNTIME_LIMIT_S, module, base64.b64encode(RELU_TFLITE).decode())
    facts = outcome.facts()
    if facts.get("found") is False:
        return absent
    version = facts.get("version", "")
    if outcome.code == 0 and facts.get("output") == [[0.0, 2.0, 0.0, 4.0]]:
        return Check(name, "ok", f"{version} ran a model (numpy {facts['numpy']})")
    if outcome.code == 0:
        return Check(
            name, "broken", f"{version} gave a wrong answer: {facts.get('output')}", _reinstall(name)
        )
    numpy_version = str(facts.get("numpy", ""))
    if name == "tflite-runtime" and numpy_version and int(numpy_version.split(".", maxsplit=1)[0]) >= 2:
        detail = (
            f"{version} is built for numpy 1 and does not work with numpy {numpy_version}: {outcome.fault()}"
        )
        return Check(name, "broken", detail, LEGACY_EXTRA)
    return Check(name, "broken", f"{version}: {outcome.fault()}", _reinstall(name))


_TRAINING_CHILD = """
import importlib.util
packages = {
    "TensorFlow": ("tensorflow", "tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"),
    "tf_keras": ("tf_keras", "tf_keras", "tf-keras-nightly"),
    "tensorflow-model-optimization": ("tensorflow_model_optimization", "tensorflow-model-optimization"),
}
there = {name: version(*names[1:]) for name, names in packages.items() if importlib.util.find_spec(names[0])}
tell(versions=there)
if "TensorFlow" not in there:
    sys.exit()
import tensorflow as tf
with tf.device("/CPU:0"):
    assert float(tf.reduce_sum(tf.ones((2, 3)) @ tf.ones((3, 2)))) == 12, "a wrong product"
tell(TensorFlow="computes")
gpus = tf.config.list_physical_devices("GPU")
tell(gpus=[tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus])
if "tf_keras" in there:
    import tf_keras
    with tf.device("/CPU:0"):
        model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    tell(tf_keras="builds a model")
    if "tensorflow-model-optimization" in there:
        import tensorflow_model_optimization as tfmot
        with tf.device("/CPU:0"):
            tfmot.quantization.keras.quantize_model(model)
            tfmot.sparsity.keras.prune_low_magnitude(model)
        tell(**{"tensorflow-model-optimization": "quantizes and prunes it"})
if gpus:
    with tf.device("/GPU:0"):
        assert float(tf.reduce_sum(tf.ones((2, 3)) @ tf.ones((3, 2)))) == 12, "a wrong product"
    tell(**{"gpu computes": True})
"""


TRAINING_PACKAGES = ("TensorFlow", "tf_keras", "tensorflow-model-optimization")


def training() -> list[Check]:
    """TensorFlow, tf_keras and tensorflow-model-optimization in one child, since each needs the one before,
    and the GPU as TensorFlow sees it, since importing TensorFlow twice would double the time.
    """
    environment = {
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    outcome = run_python(_TRAINING_CHILD, TRAINING_LIMIT_S, environment=environment)
    facts = outcome.facts()
    if "versions" not in facts:
        facts["versions"] = dict.fromkeys(TRAINING_PACKAGES, "?")
    checks = [_training_package(name, outcome, facts) for name in TRAINING_PACKAGES]
    return [*checks, _training_gpu(outcome, facts)]


def _training_package(name: str, outcome: Outcome, facts: dict[str, Any]) -> Check:
    versions: dict[str, str] = facts["versions"]
    version = versions.get(name)
    if version is None:
        return Check(name, "missing", "not installed: nothing can be trained or compressed here", TRAIN_EXTRA)
    tensorflow = versions.get("TensorFlow", "?")
    if name == "tf_keras" and tensorflow != "?" and version.split(".")[:2] != tensorflow.split(".")[:2]:
        wanted = ".".join(tensorflow.split(".")[:2])
        detail = f"{version} does not go with TensorFlow {tensorflow}"
        return Check(name, "broken", detail, f'pip install "tf_keras=={wanted}.*"')
    if name in facts:
        return Check(name, "ok", f"{version} {facts[name]}")
    absent = [package for package in TRAINING_PACKAGES if package not in versions]
    if absent:
        return Check(name, "missing", f"{version}, not tried without {' and '.join(absent)}", TRAIN_EXTRA)
    mend = f"pip install --force-reinstall {name.lower()}=={version}" if version != "?" else TRAIN_EXTRA
    return Check(name, "broken", f"{version}: {outcome.fault()}", mend)


def _training_gpu(outcome: Outcome, facts: dict[str, Any]) -> Check:
    gpus = facts.get("gpus", [])
    if facts.get("gpu computes"):
        return Check("TensorFlow GPU", "ok", ", ".join(gpus))
    if "gpus" not in facts:
        return Check("TensorFlow GPU", "optional", "not tried, since TensorFlow does not work here")
    mend = 'pip install "tensorflow[and-cuda]"' if shutil.which("nvidia-smi") else ""
    if gpus:
        return Check("TensorFlow GPU", "broken", f"{', '.join(gpus)}: {outcome.fault()}", mend)
    return Check("TensorFlow GPU", "optional", "TensorFlow sees none", mend)


_FOLDER_CHILD = """
import os, pathlib, shutil, tempfile
folder = pathlib.Path(sys.argv[1])
while not os.path.lexists(folder):
    folder = folder.parent
with tempfile.TemporaryFile(dir=folder) as file:
    file.write(b"edgebig")
    file.flush()
    os.fsync(file.fileno())
tell(free=shutil.disk_usage(folder).free)
"""


def cache() -> list[Check]:
    return [folder_check("cache folder", cache_dir())]


def folder_check(name: str, folder: Path) -> Check:
    """Whether files can be made in `folder`, or where it would be made. In a child, since a dead network
    drive hangs.
    """
    outcome = run_python(_FOLDER_CHILD, TOOL_LIMIT_S, str(folder.absolute()))
    if outcome.code != 0:
        return Check(
            name, "broken", f"{folder}: {outcome.fault()}", "make it writable, or work in another folder"
        )
    free = int(outcome.facts()["free"])
    detail = f"{folder} can be written to, {free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return Check(name, "broken", detail, "free some space: 'edgebig runs rm' removes old runs")
    return Check(name, "ok", detail)


def _reinstall(name: str) -> str:
    return f"pip install --force-reinstall {name}"
