"""What an emulated board computes, held against this machine: on all test digits, and kernel by kernel where they part.

    python tools/bench_board.py --data MNIST_FOLDER [--board emulated-pi-4] [--examples N] [--json OUT] [MODEL...]

Models: those that come with edgebig. The board is made if it is not there (tools/make_board.py). Outputs of the whole
models are compared number by number, in steps of the int8 output; then each operator is cut out of the model, fed with
the reference kernels' own numbers for 500 digits (those that differ before others), and run by both sets of kernels,
here and there: that tells which kernel a difference comes from. No times: an emulator's say nothing. FAIL (exit 3)
where the board's reference kernels differ from this machine's in a single number.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from make_board import BOARDS, Board, boards_dir, make

from edgebig import artifact, environment, files, stats
from edgebig.artifact import Artifact
from edgebig.check import activations, cut
from edgebig.data import source as sources
from edgebig.data.examples import Examples, per_class
from edgebig.errors import EdgebigError
from edgebig.ondevice import infer
from edgebig.recipe import Data
from edgebig.tflitefile import unpack_model
from edgebig.tflitegraph import Graph, read_graphs

Numbers = npt.NDArray[Any]
ZOO = Path(artifact.__file__).parent / "zoo"
KERNEL_EXAMPLES = 500
LIMIT_S = 3600.0
SIDES = (
    ("host reference", "host", "reference"), ("host xnnpack", "host", "xnnpack"),
    ("board reference", "board", "reference"), ("board xnnpack", "board", "xnnpack"),
)  # fmt: skip
PAIRS = (
    ("board reference", "host reference"),
    ("board xnnpack", "board reference"),
    ("board xnnpack", "host xnnpack"),
)


class Machine:
    """A Python with a runtime, here or on the board."""

    def __init__(self, python: Path, runtime: str) -> None:
        self.python = python
        self.runtime = runtime

    def run(self, delegate: str, runs: list[dict[str, Any]]) -> None:
        task = {"runtime": self.runtime, "delegate": delegate, "arena_bytes": 0, "runs": runs}
        what = f"{self.python} with {delegate}"
        said = environment.call(
            [str(self.python), activations.__file__], what, json.dumps(task), deadline_s=LIMIT_S
        )
        answer = json.loads(said.splitlines()[-1])
        if "problem" in answer:
            raise SystemExit(f"{what}: {answer['problem']}")


class Subject:
    """A model and its pictures, prepared for its input."""

    def __init__(self, item: Artifact, examples: Examples, folder: Path) -> None:
        self.item = item
        self.examples = examples
        self.data = item.path.read_bytes()
        (self.graph,) = read_graphs(self.data, item.path.name)
        self.folder = folder
        source = self.graph.tensors[self.graph.inputs[0]]
        assert item.card is not None
        tensor = infer.Tensor("input", source.dtype, (), source.scales[0], source.zero_points[0])
        examples.write_npy(folder / "images.npy")
        np.save(folder / "table.npy", infer.input_table(tensor, item.card.preprocessing.model_dump()))

    def outputs(self, machine: Machine, delegate: str) -> Numbers:
        """(N, classes) of the output's dtype."""
        made = {"tensor": self.graph.outputs[0], "path": str(self.folder / "out.npy")}
        machine.run(delegate, [self._run(self.item.path, self.folder / "images.npy", [made])])
        return np.load(self.folder / "out.npy").reshape(len(self.examples), -1)

    def tensors(self, machine: Machine, chosen: Numbers) -> dict[int, Path]:
        """What the reference kernels compute for the `chosen` digits: each computed tensor's .npy."""
        computed = [index for operator in self.graph.operators for index in operator.outputs]
        exposed, few = self.folder / "exposed.tflite", self.folder / "few.npy"
        exposed.write_bytes(cut.exposed(unpack_model(self.data, self.item.path.name), computed))
        np.save(few, np.load(self.folder / "images.npy")[chosen])
        paths = {index: self.folder / f"tensor-{index}.npy" for index in computed}
        made = [{"tensor": index, "path": str(path)} for index, path in paths.items()]
        machine.run("reference", [self._run(exposed, few, made)])
        paths[self.graph.inputs[0]] = self.folder / "input.npy"
        np.save(paths[self.graph.inputs[0]], np.load(self.folder / "table.npy")[np.load(few)])
        return paths

    def _run(self, model: Path, images: Path, made: list[dict[str, Any]]) -> dict[str, Any]:
        given = {
            "tensor": self.graph.inputs[0], "values": str(images), "table": str(self.folder / "table.npy"),
        }  # fmt: skip
        return {"model": str(model), "keep": False, "inputs": [given], "outputs": made}


def difference(a: Numbers, b: Numbers) -> dict[str, Any]:
    """Of (N, ...) against (N, ...): how many differ, and by how many steps at most."""
    steps = np.abs(a.astype(np.int64) - b.astype(np.int64))
    rows = steps.reshape(len(steps), -1)
    sizes, counts = np.unique(rows[rows > 0], return_counts=True)
    return {
        "examples": len(rows),
        "examples_that_differ": int(rows.any(axis=1).sum()),
        "numbers": int(rows.size),
        "numbers_that_differ": int((rows > 0).sum()),
        "by_steps": {str(size): int(count) for size, count in zip(sizes, counts, strict=True)},
    }


def kernels(subject: Subject, host: Machine, board: Machine, chosen: Numbers) -> Iterator[dict[str, Any]]:
    """Each operator alone, fed with the reference's numbers: both sets of kernels, here and on the board."""
    paths = subject.tensors(host, chosen)
    tree, graph, folder = unpack_model(subject.data, subject.item.path.name), subject.graph, subject.folder
    names = graph.layer_names
    for operator in graph.operators:
        target = operator.outputs[0]
        model, inputs, place = cut.cut(tree, graph, set(paths), target)
        (folder / "part.tflite").write_bytes(model)
        given = [
            {"tensor": number, "values": str(paths[index]), "table": None}
            for number, index in enumerate(inputs)
        ]
        made = {"tensor": place, "path": str(folder / "part.npy")}
        run = {"model": str(folder / "part.tflite"), "keep": False, "inputs": given, "outputs": [made]}
        found = {}
        for name, machine, delegate in SIDES:
            (host if machine == "host" else board).run(delegate, [run])
            found[name] = np.load(folder / "part.npy").reshape(len(chosen), -1)
        yield {
            "operator": operator.kind,
            "layer": names[operator.index],
            "output": _described(graph, target),
            **{f"{a} / {b}": difference(found[a], found[b]) for a, b in PAIRS},
        }


def _described(graph: Graph, target: int) -> str:
    tensor = graph.tensors[target]
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape))}"


def compare(subject: Subject, host: Machine, board: Machine) -> dict[str, Any]:
    labels = subject.examples.labels
    sides = {"host": host, "board": board}
    outputs = {name: subject.outputs(sides[machine], delegate) for name, machine, delegate in SIDES}
    answers = {name: np.argmax(numbers, axis=1) for name, numbers in outputs.items()}
    # Those that differ first, most of all where XNNPACK's do between the two machines.
    oddness = sum(
        weight * (outputs[a] != outputs[b]).any(axis=1).astype(int)
        for weight, (a, b) in zip((4, 1, 2), PAIRS, strict=True)
    )
    chosen = np.sort(np.argsort(-oddness, kind="stable")[:KERNEL_EXAMPLES])
    return {
        "model": subject.item.path.name,
        "sha256": subject.item.sha256,
        "accuracy": {
            name: asdict(stats.accuracy_interval(int((found == labels).sum()), len(labels)))
            for name, found in answers.items()
        },
        "outputs": {
            f"{a} / {b}": {
                **difference(outputs[a], outputs[b]),
                "labels_that_differ": int((answers[a] != answers[b]).sum()),
            }
            for a, b in PAIRS
        },
        "kernels": list(kernels(subject, host, board, chosen)),
    }


def facts_of(python: Path) -> dict[str, Any]:
    """What the board says of itself, without what only its times could need."""
    with tempfile.TemporaryDirectory() as folder:
        from edgebig.drivers import local

        (ready,) = local.run_ondevice([str(python)], "facts", None, Path(folder), 120.0)
    return {
        name: ready["facts"][name]
        for name in ("machine", "board", "python", "bits", "libc", "runtimes", "packages")
    }


def load(paths: list[Path], data: Path | None, count: int | None) -> tuple[list[Artifact], Examples]:
    items = [artifact.load(path) for path in paths]
    assert items[0].card is not None
    examples = sources.load(Data(source="mnist"), data).test
    if count is not None and count < len(examples):
        examples = examples[per_class(examples.labels, count, seed=0)]
    return items, examples


def shown(result: dict[str, Any]) -> Iterator[str]:
    yield result["model"]
    for pair, found in result["outputs"].items():
        yield (
            f"  {pair}: {found['examples_that_differ']} of {found['examples']} digits differ, "
            f"{found['labels_that_differ']} in their label; numbers by steps: {found['by_steps'] or 'none'}"
        )
    for kernel in result["kernels"]:
        told = "; ".join(f"{a} / {b}: {kernel[f'{a} / {b}']['by_steps'] or 'none'}" for a, b in PAIRS)
        count = kernel["board xnnpack / board reference"]["numbers"]
        yield f"    {kernel['operator']:18} {kernel['layer']:24} {count:8} numbers; {told}"


def record(board: Board, python: Path, results: list[dict[str, Any]], count: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "provenance": "emulated",
        "board": {"name": board.name, "processor": board.processor, "emulator": board.architecture.emulator},
        "machine": facts_of(python),
        "data": {"source": "mnist", "split": "test", "n": count},
        "models": results,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--board", default="emulated-pi-4", choices=[board.name for board in BOARDS])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    board = next(board for board in BOARDS if board.name == arguments.board)
    make(boards_dir(), board.architecture)
    python = boards_dir() / board.name / "bin" / "python3"
    runtime = "tflite-runtime" if board.architecture.name == "armhf" else "ai-edge-litert"
    host, emulated = Machine(Path(sys.executable), "ai-edge-litert"), Machine(python, runtime)
    paths = arguments.models or [ZOO / f"{name}.tflite" for name in ("digits-nano", "digits-small", "digits")]
    items, examples = load(paths, arguments.data, arguments.examples)
    results = []
    for item in items:
        with tempfile.TemporaryDirectory(prefix="edgebig-board-") as folder:
            results.append(compare(Subject(item, examples, Path(folder)), host, emulated))
        print("\n".join(shown(results[-1])), flush=True)
        if arguments.json:
            files.write_json(arguments.json, record(board, python, results, len(examples)))
    exact = all(
        result["outputs"]["board reference / host reference"]["numbers_that_differ"] == 0
        for result in results
    )
    print("PASS: the board's reference kernels give this machine's numbers" if exact else "FAIL")
    return 0 if exact else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgebigError as fault:
        sys.exit(f"bench_board: {fault.problem}\n  {fault.hint}")
