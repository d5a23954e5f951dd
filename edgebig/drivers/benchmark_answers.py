"""A model's answers by benchmark_model: an input's bytes go to it in one file, and its outputs come back in another."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from shlex import quote
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from edgebig import files, lookup
from edgebig.drivers import benchmark_model
from edgebig.drivers.adbclient import Deadline
from edgebig.drivers.phonestore import PhoneStore
from edgebig.drivers.protocol import Event, JobModel
from edgebig.errors import DeviceError, EdgebigError
from edgebig.flatbuffer import TensorContract, io_contract
from edgebig.ondevice import infer
from edgebig.ondevice.faults import Fault
from edgebig.progress import say

_TOGETHER, _ALONE = 100, 2
_SLICE_BYTES = 64_000_000  # as many pictures go over at once as fit
_CHUNK = 500
_SLOW = 200
# Exit codes of the loop's own commands; the tool itself and the shell give none of these.
_LOOP_FAILED = (91, 92)


class Answers:
    """Raw outputs of one model for pictures, by one loop on the phone over as many as fit into a file.

    Where the model takes more than one picture at once, and then answers bit for bit as it does to each alone, it is
    given many: to start the tool takes longer than most inferences.
    """

    def __init__(
        self,
        store: PhoneStore,
        command: Callable[[list[str]], str],
        model: JobModel,
        content: bytes,
        images_u8: npt.NDArray[np.uint8],
        deadline: Deadline,
    ) -> None:
        """`command`: the words for files -> the tool's command line; `images_u8`: (N, H, W, C).

        Raises EdgebigError where the pictures do not fit the model.
        """
        self._store, self._command, self._model = store, command, model
        self._images_u8, self._deadline = images_u8, deadline
        contract = io_contract(content, model.name)
        self._input = _only(contract.inputs, model.name, "input")
        self._output = _only(contract.outputs, model.name, "output")
        if self._input.shape[0] != 1 or images_u8.shape[1:] != self._input.shape[1:]:
            raise EdgebigError(
                f"{model.name}: it takes {self._input.shape}, the pictures are {images_u8.shape[1:]} each",
                "use the data that the model was trained for",
            )
        assert model.preprocessing is not None
        try:
            self._table = infer.input_table(self._input, model.preprocessing)
        except Fault as fault:
            raise EdgebigError(f"{model.name}: {fault.problem}", fault.hint) from fault

    def events(self, *, raw: bool, first: int = 0) -> Iterator[Event]:
        """`outputs` of every picture from the `first` on, in chunks; with the outputs' bytes where `raw` is set."""
        n = len(self._images_u8)
        picture_bytes = int(np.prod(self._input.shape)) * self._table.itemsize
        step = max(1, min(n, _SLICE_BYTES // picture_bytes))
        batch = self._batch(min(_TOGETHER, step))
        if batch == 1 and n - first > _SLOW:
            say(f"{self._model.name}: one picture at a time: {n - first:,} starts of benchmark_model")
        for start in range(first, n, step):
            code, text, outputs = self._through(self._images_u8[start : start + step], batch)
            if outputs is None:
                self._raise(code, text)
            for chunk in range(0, len(outputs), _CHUNK):
                yield self._event(start + chunk, outputs[chunk : chunk + _CHUNK], raw=raw)

    def _event(self, start: int, outputs: npt.NDArray[Any], *, raw: bool) -> Event:
        labels = np.argmax(infer.dequantize(outputs, self._output), axis=1)
        event: Event = {
            "event": "outputs",
            "model": self._model.sha256,
            "start": start,
            "of": len(self._images_u8),
            "labels": [int(label) for label in labels],
        }
        if raw:
            event["raw"] = base64.b64encode(np.ascontiguousarray(outputs).tobytes()).decode()
            event["dtype"] = str(outputs.dtype)
        return event

    def _batch(self, most: int) -> int:
        """`most`, if the model answers to so many at once as to each alone; else 1."""
        few = self._images_u8[:most]
        if len(few) <= 2 * _ALONE:
            return 1
        code, text, alone = self._through(few[:_ALONE], 1)
        if alone is None:
            self._raise(code, text)
        _, _, together = self._through(few, len(few))
        return len(few) if together is not None and np.array_equal(together[:_ALONE], alone) else 1

    def _through(
        self, images_u8: npt.NDArray[np.uint8], batch: int
    ) -> tuple[int, str, npt.NDArray[Any] | None]:
        """The loop's exit code, what it printed, and the outputs (N, classes) of the pictures; None where it failed."""
        phone, work = self._store.phone, self._store.work
        with files.scratch(lookup.cache_dir() / "scratch") as folder:
            inputs, outputs = folder / "inputs", folder / "outputs"
            self._table[images_u8].tofile(inputs)
            phone.ask(f"rm -rf {quote(work)}; mkdir -p {quote(work)}")
            phone.push(inputs, f"{work}/all", self._deadline)
            loop = self._loop(len(images_u8), inputs.stat().st_size // len(images_u8), batch)
            code, text = phone.shell(loop, self._deadline)
            if code != 0:
                return code, text, None
            phone.pull(f"{work}/outputs", outputs, self._deadline)
            phone.ask(f"rm -rf {quote(work)}")
            values = np.fromfile(outputs, self._output.dtype)
        classes = int(np.prod(self._output.shape[1:]))
        if values.size != len(images_u8) * classes:
            problem = f"{values.size} numbers came back for {len(images_u8)} pictures of {classes} classes"
            return 0, problem, None
        return 0, text, values.reshape(len(images_u8), classes)

    def _loop(self, n: int, picture_bytes: int, batch: int) -> str:
        shape = ["$b", *map(str, self._input.shape[1:])]
        command = self._command(
            benchmark_model.with_files(shape, f"{self._store.work}/in", f"{self._store.work}/out")
        )
        return (
            f"cd {quote(self._store.work)} || exit 91\ni=0\nwhile [ $i -lt {n} ]; do\n"
            f"b={batch}; [ $(({n} - i)) -lt $b ] && b=$(({n} - i))\n"
            f"dd if=all of=in bs={picture_bytes} skip=$i count=$b 2>log || {{ cat log; exit 91; }}\n"
            f"rm -f out\n{command} >log 2>&1\nc=$?\n"
            "[ $c = 0 ] || { cat log; exit $c; }\n"
            "cat out >>outputs || { tail -n 20 log; exit 92; }\n"
            "i=$((i + b))\ndone"
        )

    def _raise(self, code: int, text: str) -> NoReturn:
        if code in _LOOP_FAILED:
            raise self._store.phone.refusal(text, f"{self._model.name}: its outputs cannot be had")
        if code == 0:
            raise DeviceError(
                f"{self._model.name}: {text}", "is 'benchmark_model' the official tool, of one version?"
            )
        benchmark_model.raise_failure(code, text, self._model.name)


def _only(tensors: tuple[TensorContract, ...], name: str, what: str) -> infer.Tensor:
    if len(tensors) != 1:
        raise EdgebigError(
            f"{name}: {len(tensors)} {what}s, not one", "use a model with one picture in, one row out"
        )
    tensor = tensors[0]
    if what == "input" and tensor.dtype not in infer.INPUT_DTYPES:
        raise EdgebigError(
            f"{name}: its input is {tensor.dtype}, and no picture can be made into that",
            "use a model whose input is one of: " + ", ".join(infer.INPUT_DTYPES),
        )
    return infer.Tensor(tensor.name, tensor.dtype, tensor.shape, tensor.scale or 0.0, tensor.zero_point or 0)
