"""A trained run -> a smaller model, pass by pass. The order of the passes is this file's, not the recipe's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from edgebig import artifact, convert, train
from edgebig.artifact import Artifact, PassRecord
from edgebig.check import tflite
from edgebig.compress import distil, preflight, prune, qat
from edgebig.compress.context import Context, kernel_sparsity
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Recipe
from edgebig.runs import Run

# Each trains, or cuts, the Keras model that it is given and hands it on.
PASSES: dict[str, Callable[[Context, Any, Any], tuple[Any, PassRecord]]] = {
    "distil": distil.distil,
    "prune": prune.prune,
    "qat": qat.qat,
}


def compress(
    run: Run,
    spec: Recipe,
    splits: Splits,
    seed: int | None = None,
    measure: Callable[[bytes, bytes, str], float] | None = None,
) -> Artifact:
    """Runs the passes of `spec.compress` on the trained model of `run` and writes the variant they make into it.

    `seed`: of the passes; None is the training's. `measure`: see `Context`.

    Raises EdgebigError before any training where a pass cannot take the model, and where one missed what it was asked.
    """
    wanted = tuple(name for name in PASSES if getattr(spec.compress, name) is not None)
    if not wanted:
        raise EdgebigError(
            f"{spec.name}: nothing to do, no pass is asked for", "as in edgebig compress --int8"
        )
    model = train.load_model(run)
    preflight.check(model, wanted)
    context = Context(
        splits, spec, wanted, spec.train.seed if seed is None else seed,
        distil.taught(run, spec, splits), measure,
    )  # fmt: skip
    parent = artifact.load(run.folder / "float32.tflite")
    records: list[PassRecord] = []
    for name in wanted:
        settings = getattr(spec.compress, name)
        model, record = PASSES[name](context, model, settings)
        # With these it can be made again; a recipe changes, and flags are in no file.
        records.append(
            record.model_copy(
                update={
                    "seed": context.seed,
                    "settings": settings.model_dump(),
                    **_bought(context, model, name),
                }
            )
        )
    int8 = "qat" in wanted
    layers = list(kernel_sparsity(model))
    data = convert.to_tflite(model, int8=int8, io=spec.convert.io)
    shipped = convert.layer_sparsity(data, layers)
    _check_zeros_kept(records, shipped)
    records[-1] = records[-1].model_copy(
        update={"shipped_sparsity": {name: round(share, 4) for name, share in shipped.items()}}
    )
    stem = "-".join([*(name for name in wanted if name != "qat"), "int8" if int8 else "float32"])
    variant = artifact.free_variant(run.folder, stem)
    agreement = tflite.agreement(
        parent.path.read_bytes(), data, splits.validation, convert.preprocessing(spec, splits).model_dump()
    )
    records.append(
        PassRecord.model_validate({"name": "check", "against": parent.sha256, **asdict(agreement)})
    )
    say(f"check: float32 and {variant} agree on {agreement.same_label} of {agreement.n} validation examples")
    return convert.publish(
        run.folder, variant, data, spec, splits,
        parameters=model.count_params(), passes=records, parent=parent.sha256,
    )  # fmt: skip


def _bought(context: Context, model: Any, name: str) -> dict[str, Any]:
    """What the model is after a pass: parameters, the bytes of its .tflite, and how it does on validation."""
    data = convert.to_tflite(model, int8=name == "qat")
    labels = tflite.labels(
        data, context.splits.validation, convert.preprocessing(context.recipe, context.splits).model_dump()
    )
    return {
        "parameters": int(model.count_params()),
        "size_bytes": len(data),
        "deflated_bytes": len(zlib.compress(data, 9)),
        "validation_correct": int(np.sum(labels == context.splits.validation.labels)),
        "validation_n": len(context.splits.validation),
    }


def _check_zeros_kept(records: list[PassRecord], shipped: dict[str, float]) -> None:
    """Raises EdgebigError where a layer has fewer zeros in the .tflite than pruning gave it; rounding adds some."""
    pruned = [record.model_dump() for record in records if record.name == "prune"]
    reached = pruned[0]["sparsity_by_layer"] if pruned else {}
    lost = [
        f"{name} {share:.1%} became {shipped.get(name, 0.0):.1%}"
        for name, share in reached.items()
        if round(shipped.get(name, 0.0), 4) < share
    ]
    if lost:
        raise EdgebigError(
            f"the .tflite lost zeros that pruning made: {', '.join(lost)}",
            "please report this; nothing was written",
        )
