"""Whether a model fits a microcontroller: its file in the flash, its working memory in the RAM that it may take."""

from __future__ import annotations

from edgebig.micro.vela import Npu
from edgebig.recipe import Spec


class Fit(Spec):
    """Bytes that a model takes of a simulated microcontroller, and those that it may take; None is no limit.

    `arena_bytes`: the smallest arena in which TFLite Micro's interpreter ran it on this 64-bit machine, whose
    structures are larger than a board's; `scratch_bytes`: what CMSIS-NN's kernels ask for on a board besides. Where an
    Ethos-U takes the model (`npu`), the file and the memory are those of what Vela made of it.
    """

    interpreter: str
    flash_bytes: int
    flash_limit_bytes: int | None
    arena_bytes: int
    scratch_bytes: int
    arena_limit_bytes: int | None
    npu: Npu | None = None

    @property
    def flash_needed_bytes(self) -> int:
        return self.npu.flash_bytes if self.npu else self.flash_bytes

    @property
    def ram_needed_bytes(self) -> int:
        # Without a single operator on the Ethos-U the interpreter runs the model as it is.
        return (
            self.npu.sram_bytes if self.npu and self.npu.partitions else self.arena_bytes + self.scratch_bytes
        )

    def shortage(self) -> str:
        """What it takes more of than there is, or nothing."""
        return "; ".join(
            f"takes {needed:,} bytes of {what}, {needed - limit:,} more than the {limit:,} that it may"
            for what, needed, limit in (
                ("flash", self.flash_needed_bytes, self.flash_limit_bytes),
                ("RAM", self.ram_needed_bytes, self.arena_limit_bytes),
            )
            if limit is not None and needed > limit
        )

    def sentence(self) -> str:
        """What it takes, for people."""
        flash = f"flash {_of(self.flash_needed_bytes, self.flash_limit_bytes)}"
        if self.npu is None:
            return (
                f"{flash}; RAM {_of(self.ram_needed_bytes, self.arena_limit_bytes)}: an arena of {self.arena_bytes:,} "
                f"as {self.interpreter} ran it on 64 bits, {self.scratch_bytes:,} for CMSIS-NN's kernels"
            )
        npu = self.npu
        dram = f" and {npu.dram_bytes:,} of DRAM" if npu.dram_bytes else ""
        cpu = f", {', '.join(npu.left)} on the CPU" if npu.left else ""
        return (
            f"{flash}; SRAM {_of(self.ram_needed_bytes, self.arena_limit_bytes)}{dram}, the interpreter's own not "
            f"counted; {npu.cycles:,} cycles at {npu.clock_hz / 1e6:g} MHz by {npu.compiler} for {npu.accelerator} "
            f"({npu.system}, {npu.memory_mode}): {npu.nodes} of {npu.of} operators on it{cpu}"
        )


def _of(needed: int, limit: int | None) -> str:
    return f"{needed:,} bytes" if limit is None else f"{needed:,} of {limit:,} bytes"
