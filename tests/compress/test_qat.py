"""Quantization-aware training: the scheme it takes, what it gives back, and tfmot's own reason where it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError
from edgebig.recipe import Qat

pytestmark = pytest.mark.tf


@pytest.mark.parametrize("passes", [("qat",), ("prune", "qat")])
def test_zeros_stay_only_where_they_were_asked_for(trained: Any, passes: tuple[str, ...]) -> None:
    from edgebig import convert, train
    from edgebig.compress.context import Context
    from edgebig.compress.qat import qat

    model = train.load_model(trained.run)
    for name in ("down1", "stage2_1", "probabilities"):
        kernel, *others = model.get_layer(name).get_weights()
        kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
        model.get_layer(name).set_weights([kernel, *others])
    quantized, record = qat(
        Context(trained.splits, trained.spec, passes, 0), model, Qat(epochs=2, batch_size=32)
    )
    made = record.model_dump()
    assert (made["name"], made["epochs"]) == ("qat", 2)
    assert made["scheme"] == ("int8, prune-preserving" if "prune" in passes else "int8")
    assert 0 < made["validation_accuracy"] <= 1
    shares = convert.layer_sparsity(
        convert.to_tflite(quantized, int8=True), ["down1", "stage2_1", "probabilities", "down2"]
    )
    assert set(shares) == {"down1", "stage2_1", "probabilities", "down2"}
    for name in ("down1", "stage2_1", "probabilities"):
        assert (shares[name] >= 0.5) == ("prune" in passes), shares
    assert shares["down2"] < 0.2


def test_tfmots_own_reason_is_told() -> None:
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras

    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Conv1D(2, 2)], name="net")
    for preserve in (False, True):
        with pytest.raises(EdgebigError, match=r"net: quantization-aware training refuses it: .*conv1d"):
            apply_qat(model, preserve_sparsity=preserve)
