"""Quantization-aware training to full int8 by tensorflow-model-optimization."""

from __future__ import annotations

from typing import Any

from edgebig.artifact import PassRecord
from edgebig.compress.context import Context
from edgebig.errors import EdgebigError
from edgebig.keras import load_tfmot
from edgebig.recipe import Qat


def qat(context: Context, model: Any, spec: Qat) -> tuple[Any, PassRecord]:
    """Trains on with int8 rounding in the graph. After `prune`, zeros stay zeros, and that is checked."""
    preserve = "prune" in context.passes
    quantized = apply_qat(model, preserve_sparsity=preserve)
    fitted = context.fit(quantized, spec, "qat")
    record: dict[str, Any] = {
        "name": "qat",
        "scheme": "int8, prune-preserving" if preserve else "int8",
        **fitted.facts(),
    }
    return quantized, PassRecord.model_validate(record)


def apply_qat(model: Any, *, preserve_sparsity: bool) -> Any:
    """The model with fake quantization in it. Raises EdgebigError with tfmot's own reason where it cannot be done."""
    tfmot = load_tfmot()
    try:
        if not preserve_sparsity:
            return tfmot.quantization.keras.quantize_model(model)
        annotated = tfmot.quantization.keras.quantize_annotate_model(model)
        scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
        return tfmot.quantization.keras.quantize_apply(annotated, scheme)
    except (ValueError, RuntimeError) as error:
        raise EdgebigError(
            f"{model.name}: quantization-aware training refuses it: {str(error).splitlines()[0]}",
            "nothing was trained; 'edgebig compress' without --int8 still prunes",
        ) from error
