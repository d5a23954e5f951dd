"""Arm's compiler Vela: what a model takes of an Ethos-U and its memories, and what it leaves to the CPU beside it.

Cycles, bandwidths and sizes are Vela's own estimates for a system of its vela.ini, not of a chip that was measured.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

from edgebig import environment, files, lookup, tflitefile
from edgebig.errors import EdgebigError
from edgebig.recipe import Spec

ENVIRONMENT = "vela"
# What Vela takes of its vela.ini where it is told of none, and warns about.
SYSTEMS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
}
_NPU_OPERATOR = "ethos-u"
_KIB = 1024


class Npu(Spec):
    """A model as Vela compiled it: `nodes` of its `of` operators in `partitions` on the Ethos-U, `left` on the CPU.

    `cycles` are of the Ethos-U alone; `flash_bytes` is the file that goes to the board, its weights packed.
    """

    accelerator: str
    compiler: str
    system: str
    memory_mode: str
    clock_hz: float
    cycles: int
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    nodes: int
    of: int
    partitions: int
    left: tuple[str, ...]

    @property
    def time_ns(self) -> float | None:
        """Of one inference; None where the CPU has a part in it, whose time nobody estimates."""
        return None if self.left or not self.cycles else self.cycles / self.clock_hz * 1e9


def compile_for(model: bytes, accelerator: str, name: str, deadline_s: float) -> Npu:
    """`accelerator`: as Vela names it, "ethos-u55-128". Raises EdgebigError where its environment is not made, or it
    refuses the model, dies or is late.
    """
    system, memory_mode = SYSTEMS[accelerator.rpartition("-")[0]]
    of = len(operators(model, name))
    python = environment.python(ENVIRONMENT)
    with files.scratch(lookup.cache_dir() / "scratch") as folder:
        path = folder / "model.tflite"
        path.write_bytes(model)
        command = [
            str(python), "-I", "-m", "ethosu.vela", str(path), "--output-dir", str(folder), "--config", "Arm/vela.ini",
            "--accelerator-config", accelerator, "--system-config", system, "--memory-mode", memory_mode,
        ]  # fmt: skip
        environment.call(command, f"{name}: Vela", deadline_s=deadline_s)
        compiled = (folder / "model_vela.tflite").read_bytes()
        with (folder / f"model_summary_{system}.csv").open(encoding="utf-8", newline="") as file:
            told = next(csv.DictReader(file))
    made = operators(compiled, f"{name} by Vela")
    left = [operator for operator in made if operator != _NPU_OPERATOR]
    return Npu(
        accelerator=accelerator,
        compiler=f"ethos-u-vela {environment.versions(ENVIRONMENT).get('ethos-u-vela', '')}".strip(),
        system=system,
        memory_mode=memory_mode,
        clock_hz=float(told["core_clock"]),
        cycles=round(float(told["cycles_total"])),
        sram_bytes=round(float(told["sram_memory_used"]) * _KIB),
        dram_bytes=round(float(told["dram_memory_used"]) * _KIB),
        flash_bytes=len(compiled),
        nodes=max(0, of - len(left)),
        of=of,
        partitions=len(made) - len(left),
        left=tuple(sorted(set(left))),
    )


def operators(model: bytes, name: str) -> Sequence[str]:
    """The name of each operator, in order; "ethos-u" of what Vela took. Raises EdgebigError where there is none."""
    parsed = tflitefile.parse_model(model, name)
    graph = parsed["subgraphs"][0]
    if not graph["operators"]:
        raise EdgebigError(f"{name}: no operators in it", "use a model that computes something")
    codes = [
        code["custom_code"] or tflitefile.builtin_name(code["deprecated_builtin_code"], code["builtin_code"])
        for code in parsed["operator_codes"]
    ]
    return [codes[operator["opcode_index"]] for operator in graph["operators"]]
