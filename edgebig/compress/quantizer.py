"""The one door to Google's quantizer library, litert-quantizer (ai-edge-quantizer until 0.10): smaller .tflite.

Its algorithms give the numbers of weights and biases; the ranges of activations are handed to it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgebig.errors import EdgebigError
from edgebig.progress import quiet
from edgebig.tflitefile import attached_files, pack_model, unpack_model

PACKAGE = "litert-quantizer"
# What 4 bits are built for; elsewhere weights take 8 (a convolution by depth, say).
_INT4_OPERATORS = ("CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP")


def version() -> str:
    """Of the library. Raises EdgebigError where it is not installed."""
    load()
    return importlib.metadata.version(PACKAGE)


def load() -> Any:
    """The library. Raises EdgebigError where it is not installed."""
    try:
        import litert_quantizer.algorithm_manager
        import litert_quantizer.quantizer
        import litert_quantizer.recipe_manager
    except ImportError as error:
        raise EdgebigError(
            f"this quantization needs {PACKAGE}, which is not installed here ({error})",
            'pip install "edgebig[quantize]"; from a checkout: pip install ".[quantize]"',
        ) from error
    return litert_quantizer


def quantize(
    model: bytes, dtype: str, ranges: Mapping[str, tuple[float, float]] | None = None, name: str = "model"
) -> bytes:
    """A float32 .tflite in `dtype` of the recipe's [compress.ptq]; int8 and int16x8 have I/O of that type.

    `ranges`: lowest and highest of each activation by its tensor's name, for int8 and int16x8. Raises EdgebigError.
    """
    library = load()
    # A bytearray: the library writes into what it reads.
    worker = library.quantizer.Quantizer(bytearray(model), _recipe(library, dtype))
    found = {
        tensor: {"min": np.array(low, np.float32), "max": np.array(high, np.float32)}
        for tensor, (low, high) in (ranges or {}).items()
    }
    try:
        with quiet():
            result = worker.quantize(found or None, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise EdgebigError(
            f"{name}: {PACKAGE} refuses to make it {dtype}: {(str(error).splitlines() or ['no reason given'])[0]}",
            "another dtype may do (--set compress.ptq.dtype=float16)",
        ) from error
    # The library says every equal vector anew, and leaves out the attached files.
    return pack_model(unpack_model(bytes(result.quantized_model), name), attached_files(model, name))


def _recipe(library: Any, dtype: str) -> Any:
    recipe = library.recipe_manager.RecipeManager()
    match dtype:
        case "int8" | "int16x8":
            bits = 8 if dtype == "int8" else 16
            recipe.add_static_config(".*", "*", activation_num_bits=bits, weight_num_bits=8)
        case "dynamic":
            recipe.add_dynamic_config(".*", "*", num_bits=8)
        case "float16":
            casting = library.algorithm_manager.AlgorithmName.FLOAT_CASTING
            recipe.add_weight_only_config(".*", "*", num_bits=16, algorithm_key=casting)
        case "weights-int8" | "weights-int4":
            recipe.add_weight_only_config(".*", "*", num_bits=8)
            # With 15 levels the scale that clips a little errs less than the one that holds the largest weight:
            # 19 errors of 3,000 against 33, float 13 (digits-small, seed 0, MNIST's validation digits).
            octav = library.algorithm_manager.AlgorithmName.OCTAV
            for operator in _INT4_OPERATORS if dtype == "weights-int4" else ():
                recipe.add_weight_only_config(".*", operator, num_bits=4, algorithm_key=octav)
    return recipe.get_quantization_recipe()
