"""Labelled pictures through .tflite files: on a device, or in this process for one that was just made here."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import artifact, drivers, files, lookup
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.device import Device
from edgebig.drivers.protocol import Event, Job, JobModel, Session
from edgebig.errors import DeviceError, EdgebigError
from edgebig.evaluation import chosen
from edgebig.evaluation.chosen import Chosen
from edgebig.evaluation.scores import Evaluation
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.progress import quiet, track


@dataclass(frozen=True)
class Result:
    """What each of `artifacts` said of the same examples, on which device, and what is known of those examples."""

    artifacts: tuple[Artifact, ...]
    evaluations: tuple[Evaluation, ...]
    data: dict[str, Any]
    device: dict[str, Any]


def of(item: Artifact, examples: Examples, split: str = "") -> Evaluation:
    """What a model that was just made here says of `examples`, whose labels index its classes; in this process.

    A file from elsewhere is run by a driver, in a process that may die: `run`. Raises EdgebigError where the model has
    no card or does not run.
    """
    (card,) = chosen.cards_of([item])
    preprocessing = card.preprocessing.model_dump()
    try:
        with quiet():
            model = infer.Model(str(item.path), infer.RUNTIMES[0], "xnnpack", threads=1)
        parts = []
        with track(f"look at the {split} examples".replace("  ", " "), len(examples)) as advance:
            for images_u8 in examples.chunks():
                parts.append(model.scores(infer.classify(model, images_u8, preprocessing)))
                advance(len(images_u8))
    except Fault as fault:
        raise EdgebigError(fault.problem, fault.hint) from fault
    return _checked(item, examples.labels, np.concatenate(parts), model.output.scale, split)


def run(artifacts: Sequence[Artifact], which: Chosen, target: Device, deadline_s: float) -> Result:
    """What each model says of the same examples, on `target`, in processes that may die.

    Raises EdgebigError where a model is at fault or its card is of another one, DeviceError where the device is.
    """
    driver = drivers.connect(target)
    with next(iter(driver.sessions())) as session:
        job = _job(session, artifacts, which.examples, target)
        scores = _scores(session.run(job, deadline_s), job, target)
        device = {**target.facts(), "provenance": session.facts.provenance}
    split = chosen.word_of(which.facts["split"])
    evaluations = tuple(
        _checked(item, which.labels_of(card), *scores[item.sha256], split)
        for item, card in zip(artifacts, chosen.cards_of(artifacts), strict=True)
    )
    return Result(tuple(artifacts), evaluations, which.facts, device)


def _checked(
    item: Artifact,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    scale: float,
    split: str,
) -> Evaluation:
    """Raises EdgebigError where the outputs are not those that the card tells of."""
    (card,) = chosen.cards_of([item])
    if probabilities.shape[1] != len(card.classes):
        raise EdgebigError(
            f"{item.path}: {probabilities.shape[1]} outputs, and its card names {len(card.classes)} classes",
            "the card is of another model; make them again",
        )
    return Evaluation(card.classes, labels, probabilities, card.output_step or scale, split)


def _job(session: Session, artifacts: Sequence[Artifact], examples: Examples, target: Device) -> Job:
    models = []
    for item in artifacts:
        card = artifact.require_card(item, "which says what a picture must be made into")
        if session.put(item.path) != item.sha256:
            raise EdgebigError(f"{item.path}: was changed while it was being evaluated", "run it again")
        models.append(
            JobModel(sha256=item.sha256, name=str(item.path), preprocessing=card.preprocessing.model_dump())
        )
    with files.scratch(lookup.cache_dir() / "scratch") as folder:
        path = folder / "inputs.npy"
        examples.write_npy(path)
        inputs = session.put(path)
    return Job(
        models=tuple(models), inputs=inputs, examples=len(examples), runtime=target.runtime,
        delegate=target.delegate, threads=target.threads, processes=0, rounds=0, samples=0, warmup_s=0.0,
        want=("predictions", "outputs"),
    )  # fmt: skip


def _scores(events: Any, job: Job, target: Device) -> dict[str, tuple[npt.NDArray[np.float32], float]]:
    """sha256 -> real outputs, float32 (N, C), and the step of a quantized output, of each model of the job."""
    output: dict[str, infer.Tensor] = {}
    parts: dict[str, list[npt.NDArray[np.float32]]] = defaultdict(list)
    finished = False
    with track(f"evaluate on {target.name}", job.examples * len(job.models)) as advance:
        for event in events:
            if event["event"] == "loaded" and "output" in event:
                output[event["model"]] = infer.Tensor(**event["output"])
            elif event["event"] == "outputs":
                parts[event["model"]].append(_real(event, output, target))
                advance(len(event["labels"]))
            finished = finished or event["event"] == "result"
    if not finished:
        raise DeviceError(f"{target.name}: the runner ended before its result", "run it again")
    found = {sha256: np.concatenate(rows) for sha256, rows in parts.items()}
    for model in job.models:
        n = len(found.get(model.sha256, ()))
        if n != job.examples:
            raise DeviceError(
                f"{model.name}: {n} answers came back for {job.examples} pictures", "run it again"
            )
    return {sha256: (rows, output[sha256].scale) for sha256, rows in found.items()}


def _real(event: Event, output: dict[str, infer.Tensor], target: Device) -> npt.NDArray[np.float32]:
    if "raw" not in event or event["model"] not in output:
        raise DeviceError(
            f"{target.name}: it tells the classes alone, and not the outputs", "use --device local"
        )
    raw = np.frombuffer(base64.b64decode(event["raw"]), event["dtype"]).reshape(len(event["labels"]), -1)
    real: npt.NDArray[np.float32] = infer.dequantize(raw, output[event["model"]])
    return real
