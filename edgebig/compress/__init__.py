"""A trained run -> a smaller model, pass by pass. The order of the passes is this file's, not the recipe's."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, convert, cost, train
from edgebig.artifact import Artifact, PassRecord
from edgebig.check import tflite
from edgebig.compress import cluster, distil, preflight, prune, ptq, qat, shipped, sizes, slim
from edgebig.compress.context import Context, layers_with_kernels
from edgebig.data.examples import Splits
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Recipe
from edgebig.runs import Run

# Each trains, or cuts, the Keras model that it is given and hands it on.
PASSES: dict[str, Callable[[Context, Any, Any], tuple[Any, PassRecord]]] = {
    "slim": slim.slim,
    "distil": distil.distil,
    "prune": prune.prune,
    "cluster": cluster.cluster,
    "qat": qat.qat,
}
# The last one gives bytes: from there on there is no Keras model.
ORDER = (*PASSES, "ptq")


@dataclass(frozen=True)
class Compressed:
    """What came of a compression: the last variant, and those after the passes before it where they were kept."""

    artifact: Artifact
    steps: tuple[Artifact, ...] = ()


def compress(
    run: Run,
    spec: Recipe,
    splits: Splits,
    seed: int | None = None,
    *,
    measure: Callable[[bytes, bytes, str], float] | None = None,
    keep_steps: bool = False,
) -> Compressed:
    """Runs the passes of `spec.compress` on the trained model of `run` and writes the variant they make into it.

    `seed`: of the passes; None is the training's. `measure`: see `Context`. `keep_steps`: after each pass a variant.

    Raises EdgebigError before any training where a pass cannot take the model, and where one missed what it was asked.
    """
    wanted = tuple(name for name in ORDER if getattr(spec.compress, name) is not None)
    seed = spec.train.seed if seed is None else seed
    if not (run.folder / "float32.tflite").is_file():
        raise EdgebigError(
            f"{run.folder}: was adopted as it is, and has nothing to train or quantize in it",
            "adopt the float model that it was made from",
        )
    parent = artifact.load(run.folder / "float32.tflite")
    started_from = artifact.starts_of(_passes(parent))
    model = _checked(run, spec, splits, wanted, seed)
    context = Context(splits, spec, wanted, seed, distil.taught(run, spec, splits), measure)
    records: list[PassRecord] = []
    steps: list[Artifact] = []
    size = _size(model, parent)
    of_parent = _read(context, parent.path.read_bytes())
    for number, name in enumerate(wanted, start=1):
        settings = getattr(spec.compress, name)
        if name == "ptq":
            data, record = ptq.ptq(context, model, settings, None if model else parent.path.read_bytes())
        else:
            model, record = PASSES[name](context, model, settings)
            data = convert.to_tflite(model, int8=name == "qat", io=spec.convert.io)
            # Quantization wraps the layers, and changes neither.
            size = size if name == "qat" else _size(model, parent)
        # With these it can be made again; a recipe changes, and flags are in no file.
        made_by = {"seed": seed, "settings": settings.model_dump()}
        read = _read(context, data)
        bought = _bought(context, model, data, read, wanted[:number])
        records.append(record.model_copy(update={**made_by, **size, **bought}))
        last = number == len(wanted)
        if last and model is not None:
            told = shipped.facts(data, layers_with_kernels(model), records, spec.compress)
            records[-1] = records[-1].model_copy(update=told)
        if last or keep_steps:
            variant = artifact.free_variant(run.folder, _stem(wanted[:number], spec))
            agreement = tflite.agreement(of_parent, read, splits.validation.labels)
            say(
                f"check: float32 and {variant} agree on {agreement.same_label} of {agreement.n} validation examples"
            )
            check = PassRecord.model_validate(
                {"name": "check", "against": parent.sha256, **asdict(agreement)}
            )
            made = convert.publish(
                run.folder, variant, data, spec, splits, parameters=size["parameters"],
                passes=[*started_from, *records, check], parent=parent.sha256, stripped=spec.convert.strip,
            )  # fmt: skip
            steps.append(made)
    return Compressed(steps[-1], tuple(steps[:-1]))


def _checked(run: Run, spec: Recipe, splits: Splits, wanted: Sequence[str], seed: int) -> Any:
    """The model of the run, or None where it is a .tflite alone. Raises EdgebigError where a pass cannot take it."""
    if not wanted:
        raise EdgebigError(
            f"{spec.name}: nothing to do, no pass is asked for", "as in edgebig compress --int8"
        )
    if "qat" in wanted and "ptq" in wanted:
        raise EdgebigError(
            "qat and ptq both quantize", "ask for one of them: --int8 trains on, --ptq does not"
        )
    if not run.model_path.is_file():
        if training := [name for name in wanted if name != "ptq"]:
            raise EdgebigError(
                f"{run.folder}: a .tflite has no weights that could be trained on: {', '.join(training)} cannot be",
                "adopt the Keras model that it was made from, or quantize it by --ptq int8",
            )
        ptq.preflight(spec, splits, seed, None, (run.folder / "float32.tflite").read_bytes())
        return None
    model, done = preflight.ready(train.load_model(run), spec.compress)
    for line in done:
        say(f"rewritten: {line}")
    preflight.check(model, spec.compress)
    if spec.compress.ptq:
        ptq.preflight(spec, splits, seed, model)
    return model


def _passes(parent: Artifact) -> tuple[PassRecord, ...]:
    return parent.card.passes if parent.card else ()


def _stem(passes: Sequence[str], spec: Recipe) -> str:
    """What a variant is called: its passes in order, and last the type that it has."""
    dtype = "int8" if passes[-1] == "qat" else "float32"
    if passes[-1] == "ptq":
        assert spec.compress.ptq
        dtype = ptq.VARIANT[spec.compress.ptq.dtype]
    return "-".join([*(name for name in passes if name not in ("qat", "ptq")), dtype])


def _size(model: Any, parent: Artifact) -> dict[str, int]:
    """Multiplications and parameters; of a run that is a .tflite alone, what its card says."""
    if model is None:
        return {"parameters": artifact.require_card(parent, "which says what is in it").parameters}
    return {"macs": cost.macs(model), "parameters": int(model.count_params())}


def _read(context: Context, data: bytes) -> npt.NDArray[np.intp]:
    """(N,): the class that .tflite bytes give each validation example."""
    preprocessing = convert.preprocessing(context.recipe, context.splits).model_dump()
    return tflite.labels(data, context.splits.validation, preprocessing)


def _bought(
    context: Context, model: Any, data: bytes, read: npt.NDArray[np.intp], passes: Sequence[str]
) -> dict[str, Any]:
    """What the model is after `passes`: bytes, each kind by itself, and how it does on validation (`read`)."""
    int8, zeros = passes[-1] == "qat", bool({"prune", "cluster"} & set(passes)) and passes[-1] != "ptq"
    return {
        "size_bytes": len(data),
        "deflated_bytes": len(zlib.compress(data, 9)),
        **({"bytes": sizes.bytes_of(model, data, int8=int8)} if zeros else {}),
        "validation_correct": int(np.sum(read == context.splits.validation.labels)),
        "validation_n": len(context.splits.validation),
    }
