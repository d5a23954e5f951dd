"""A Job as a page reads it: without paths of this machine, its pictures without a header, its levels as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files, flatbuffer
from edgebig.drivers.protocol import Job, JobModel, raise_fault
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault

_EDGES = ("float32", "uint8")
_CONVERTED = "edgebig convert MODEL --for browser makes one that does"


@dataclass(frozen=True)
class PageJob:
    """`told`: the job as JSON values; `tables`: by the model's sha256, 256 values from a pixel to the input; `outputs`:
    likewise, what comes out; `blobs`: models and pictures by their sha256; `steps`: how far its row will go.
    """

    told: Mapping[str, Any]
    tables: Mapping[str, list[float]]
    outputs: Mapping[str, infer.Tensor]
    blobs: Mapping[str, bytes]
    steps: int


def of_job(job: Job, paths: Mapping[str, Path]) -> PageJob:
    """`paths`: of models and pictures, by the sha256 that the job calls them. Raises EdgebigError of a model that no
    browser takes.
    """
    told, tables, outputs, blobs = job.to_json(), {}, {}, {}
    for model, row in zip(job.models, told["models"], strict=True):
        data = paths[model.sha256].read_bytes()
        blobs[model.sha256] = data
        row["name"] = Path(model.name).stem
        source, outputs[model.sha256] = _edges(data, model.name)
        if (table := _table(source, model)) is not None:
            tables[model.sha256] = table
    if job.inputs is not None:
        images_u8 = np.load(paths[job.inputs], mmap_mode="r", allow_pickle=False)[: job.examples]
        raw = np.ascontiguousarray(images_u8).tobytes()
        told["inputs"], told["inputs_shape"] = files.sha256_bytes(raw), list(images_u8.shape)
        blobs[told["inputs"]] = raw
    return PageJob(told, tables, outputs, blobs, _steps(job))


def check_asked(
    cores: str | None, priority: int | None, cool_down_c: float | None, *, profile: bool, probe: bool = False
) -> None:
    """Raises EdgebigError of what no browser gives, all of it at once."""
    asked = {
        "--cores": bool(cores), "--priority": priority is not None, "--cool-down": cool_down_c is not None,
        "--profile": profile, "devices probe": probe,
    }  # fmt: skip
    if wanted := [option for option, value in asked.items() if value]:
        raise EdgebigError(
            f"a browser has nothing for {', '.join(wanted)}: no page chooses cores, reads heat or sees operators",
            "leave it out; --soak shows how long a phone keeps its pace",
        )


def _edges(data: bytes, name: str) -> tuple[infer.Tensor, infer.Tensor]:
    """The input and the output. Raises EdgebigError where a browser takes them not."""
    contract = flatbuffer.io_contract(data, name)
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise EdgebigError(
            f"{name}: {len(contract.inputs)} inputs and {len(contract.outputs)} outputs, not one of each",
            "use a model with one picture in, one row of scores out",
        )
    edges = (contract.inputs[0], contract.outputs[0])
    for edge in edges:
        if edge.dtype not in _EDGES or edge.shape[0] != 1:
            raise EdgebigError(
                f"{name}: {edge.dtype} {tuple(edge.shape)}; LiteRT.js takes float32 or uint8 and a batch of 1",
                _CONVERTED,
            )
    source, scores = (
        infer.Tensor(edge.name, edge.dtype, edge.shape, edge.scale or 0.0, edge.zero_point or 0)
        for edge in edges
    )
    return source, scores


def _table(source: infer.Tensor, model: JobModel) -> list[float] | None:
    """What each of 256 levels becomes in the input; None where no pictures go in. Raises EdgebigError."""
    if model.preprocessing is None:
        return None
    try:
        table = infer.input_table(source, model.preprocessing)
    except Fault as fault:
        raise_fault(fault.event())
    return [float(value) for value in table]


def _steps(job: Job) -> int:
    pictures = job.examples * sum(model.preprocessing is not None for model in job.models)
    turns = (job.processes - job.resume_from) * job.rounds * len(job.models)
    turns += int(job.soak_s) * len(job.models)
    return pictures * ("predictions" in job.want) + turns * ("latency" in job.want)
