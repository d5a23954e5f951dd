"""A microcontroller, simulated here: TFLite Micro's interpreter runs the model, Vela compiles it for an Ethos-U.

Nothing is timed: the interpreter's reference kernels on this machine say nothing of a Cortex-M. Where Vela puts the
whole model on an Ethos-U, its cycles give an estimate. No host runs what Vela makes, so the answers are always the
interpreter's, of which Arm says that the Ethos-U gives the same.
"""

from __future__ import annotations

import base64
import contextlib
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from edgebig import environment, files, flatbuffer, lookup
from edgebig.device import McuDevice
from edgebig.drivers import stream
from edgebig.drivers.protocol import PROTOCOL, Capabilities, DeviceFacts, Event, Job, JobModel, raise_fault
from edgebig.errors import EdgebigError
from edgebig.micro import arena, interpreter, vela
from edgebig.micro.fit import Fit
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault

_KIB = 1024
_OUTPUTS = "outputs.npy"


class McuDriver:
    """One session. Raises EdgebigError where an environment that it needs is not made."""

    def __init__(self, device: McuDevice) -> None:
        self.device = device
        for name in (interpreter.ENVIRONMENT, *([vela.ENVIRONMENT] if device.delegate != "none" else [])):
            environment.python(name)

    def sessions(self) -> Iterator[AbstractContextManager[McuSession]]:
        yield self._session()

    @contextlib.contextmanager
    def _session(self) -> Iterator[McuSession]:
        with files.scratch(lookup.cache_dir() / "scratch") as folder:
            yield McuSession(self.device, folder)


class McuSession:
    """A store that goes with the session: a board that is not there keeps nothing."""

    def __init__(self, device: McuDevice, store: Path) -> None:
        self._device = device
        self._store = store
        runtimes = {interpreter.ENVIRONMENT: interpreter.version()}
        if device.delegate != "none":
            runtimes["ethos-u-vela"] = environment.versions(vela.ENVIRONMENT).get("ethos-u-vela", "")
        machine = {
            "machine": f"simulated on {platform.machine()}",
            "system": "bare metal",
            "cpu": None,
            "cores": 1,
            "python": platform.python_version(),
            "runtimes": runtimes,
        }
        self.facts = DeviceFacts("simulated", machine, Capabilities(False, True, False))

    def put(self, blob: Path) -> str:
        sha256 = files.sha256_file(blob)
        shutil.copyfile(blob, self._store / sha256)
        return sha256

    def clean(self) -> None:
        for path in self._store.iterdir():
            path.unlink()

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        known = get_args(McuDevice.model_fields["delegate"].annotation)
        if job.delegate not in known:
            raise EdgebigError(
                f"a microcontroller has no delegate '{job.delegate}'", f"use one of: {', '.join(known)}"
            )
        _check_asked(job)
        end_s = time.monotonic() + deadline_s
        yield {"event": "ready", "protocol": PROTOCOL, "facts": self.facts.machine}
        yield {"event": "condition", "when": "before"}
        for model in job.models:
            try:
                yield from self._model(job, model, end_s)
            except Fault as fault:
                raise_fault(fault.event())
        yield {"event": "condition", "when": "after"}
        yield {"event": "result", "complete": True}

    def _model(self, job: Job, model: JobModel, end_s: float) -> Iterator[Event]:
        data = (self._store / model.sha256).read_bytes()
        edges = _edges(data, model.name)
        npu = None
        if job.delegate != "none":
            npu = vela.compile_for(data, job.delegate, model.name, _left_s(end_s))
        yield {"event": "loaded", "model": model.sha256, **_loaded(data, edges, npu, model.name)}
        with tempfile.TemporaryDirectory(prefix="edgebig-", dir=self._store) as folder:
            request = self._request(job, model, edges[0], Path(folder))
            written = Path(folder) / _OUTPUTS
            for event in self._interpreted(request, end_s, model.name):
                if event["event"] == "rows" and model.preprocessing is not None and "predictions" in job.want:
                    yield _outputs(job, model, np.load(written, mmap_mode="r"), event)
                elif event["event"] == "ran":
                    yield {"event": "fit", "model": model.sha256, "fit": self._fit(data, event, npu)}

    def _request(
        self, job: Job, model: JobModel, tensor: infer.Tensor, folder: Path
    ) -> dict[str, str | None]:
        """Of pictures for a model with preprocessing, of noise for one without: its arena is the same."""
        request: dict[str, str | None] = {
            "model": str(self._store / model.sha256),
            "inputs": str(folder / "inputs.npy"),
            "table": None,
            "outputs": str(folder / _OUTPUTS),
        }
        if model.preprocessing is None or job.inputs is None:
            np.save(folder / "inputs.npy", infer.noise(tensor))
            return request
        images_u8 = np.load(self._store / job.inputs, mmap_mode="r", allow_pickle=False)[: job.examples]
        if images_u8.shape[1:] != tensor.shape[1:] or tensor.shape[0] != 1:
            raise Fault(
                "shape",
                f"{model.name}: takes {tensor.shape}, the pictures are {images_u8.shape[1:]} each",
                "use the data that the model was trained for",
            )
        np.save(folder / "inputs.npy", images_u8)
        np.save(folder / "table.npy", infer.input_table(tensor, model.preprocessing))
        return {**request, "table": str(folder / "table.npy")}

    def _interpreted(self, request: dict[str, str | None], end_s: float, name: str) -> Iterator[Event]:
        command = [str(environment.python(interpreter.ENVIRONMENT)), "-I", str(interpreter.CHILD)]
        try:
            yield from stream.events(
                command,
                request,
                _left_s(end_s),
                own_pipe=False,
                failed="the file is damaged, or TFLite Micro cannot run it: 'edgebig convert --for mcu' tells",
            )
        except EdgebigError as error:
            raise type(error)(f"{name}: {error.problem}", error.hint) from error

    def _fit(self, data: bytes, ran: Event, npu: vela.Npu | None) -> dict[str, Any]:
        flash_kb, arena_kb = self._device.flash_kb, self._device.arena_kb
        return Fit(
            interpreter=f"{interpreter.ENVIRONMENT} {interpreter.version()}",
            flash_bytes=len(data),
            flash_limit_bytes=flash_kb * _KIB if flash_kb else None,
            arena_bytes=ran["arena_bytes"],
            scratch_bytes=arena.scratch_bytes(data),
            arena_limit_bytes=arena_kb * _KIB if arena_kb else None,
            npu=npu,
        ).model_dump(mode="json")


def _check_asked(job: Job) -> None:
    """Raises EdgebigError where the job wants what a simulation has not: cores, heat, time that passes."""
    asked = {
        "--cores": job.cores, "--priority": job.priority is not None,
        "--cool-down": job.cool_down_c is not None, "--soak": job.soak_s,
    }  # fmt: skip
    if wanted := [option for option, value in asked.items() if value]:
        raise EdgebigError(
            f"a simulated microcontroller has nothing for {', '.join(wanted)}",
            "leave it out, or bench a board",
        )


def _left_s(end_s: float) -> float:
    return max(1.0, end_s - time.monotonic())


def _edges(data: bytes, name: str) -> tuple[infer.Tensor, infer.Tensor]:
    """The one input and the one output. Raises EdgebigError where there are others."""
    contract = flatbuffer.io_contract(data, name)
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise EdgebigError(
            f"{name}: {len(contract.inputs)} inputs and {len(contract.outputs)} outputs, not one of each",
            "use a model with one picture in, one row of scores out",
        )
    tensors = [
        infer.Tensor(edge.name, edge.dtype, edge.shape, edge.scale or 0.0, edge.zero_point or 0)
        for edge in (contract.inputs[0], contract.outputs[0])
    ]
    for tensor, known in zip(tensors, (infer.INPUT_DTYPES, interpreter.TOLERANCES), strict=True):
        if tensor.dtype not in known:
            raise EdgebigError(
                f"{name}: an input or output is {tensor.dtype}", f"a board is given {', '.join(known)}"
            )
    return tensors[0], tensors[1]


def _loaded(
    data: bytes, edges: tuple[infer.Tensor, infer.Tensor], npu: vela.Npu | None, name: str
) -> dict[str, Any]:
    operators = vela.operators(data, name)
    taken = {
        "delegate": "none",
        "nodes": 0,
        "of": len(operators),
        "partitions": 0,
        "left": sorted(set(operators)),
    }
    if npu is not None and npu.partitions:
        taken = {
            "delegate": npu.accelerator, "nodes": npu.nodes, "of": npu.of, "partitions": npu.partitions,
            "left": list(npu.left),
        }  # fmt: skip
    return {
        "input": edges[0]._asdict(),
        "output": edges[1]._asdict(),
        "delegated": taken,
        "largest_allowed": interpreter.largest_allowed(data, name),
    }


def _outputs(job: Job, model: JobModel, raw: npt.NDArray[Any], rows: Event) -> Event:
    part = np.ascontiguousarray(raw[rows["start"] : rows["end"]])
    event = {
        "event": "outputs",
        "model": model.sha256,
        "start": rows["start"],
        "of": len(raw),
        "labels": [int(label) for label in np.argmax(part, axis=1)],
    }
    if "outputs" in job.want:
        event |= {"raw": base64.b64encode(part.tobytes()).decode(), "dtype": str(part.dtype)}
    return event
