"""edgebig blame over the real sshd and the real adbd: what is really wrong there is what it blames."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import artifact, blame, runs
from edgebig.blame import Asked, Blame
from edgebig.device import Device
from edgebig.drivers.ssh import COMMAND_VARIABLE
from edgebig.report import blame as report
from tests import boards as emulated
from tests.drivers import adbd, benchmark_model_stand_in
from tests.drivers.conftest import device_of
from tests.drivers.sshd import Board, board, gone, on_board

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
KERNELS = ["xnnpack", "reference", "reference", "none", "xnnpack"]


def found(target: Device, count: int | None = 40) -> Blame:
    return blame.blame(artifact.load(GOLDEN / "digits-int8.tflite"), target, Asked(count))


def test_a_board_that_computes_as_this_machine_does(pi: Board) -> None:
    told = found(pi.device())
    assert [step.kernels for step in told.steps] == KERNELS
    assert [step.where for step in told.steps] == ["here"] * 2 + ["pi"] * 3
    assert told.provenance == "real"
    # It is another machine, as far as this one can know; it made the same inputs, and the same numbers of them.
    assert told.changes[1].factors == ("machine",)
    assert told.changes[1].parity is not None
    assert told.changes[1].parity.largest_difference == 0
    assert all(not change.inputs for change in told.changes)
    assert (told.blamed, told.examples, told.skipped) == ((), (), ())
    gone(lambda: not on_board(pi), "what ran there")


def with_start_up_file(pi: Board, text: str) -> str:
    """A command on the board that starts a Python whose installation does that first."""
    (pi.home / "site").mkdir()
    (pi.home / "site" / "sitecustomize.py").write_text(text)
    path = pi.home / "python"
    path.write_text(f'#!/bin/sh\nexport PYTHONPATH="{pi.home}/site"\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


WRONG_PICTURES = """
import numpy
load = numpy.load
numpy.load = lambda *words, **named: 255 - load(*words, **named)
"""
# LiteRT's default kernels alone are asked for without a resolver.
WRONG_KERNELS = """
import numpy
from ai_edge_litert import interpreter

class Wrong(interpreter.Interpreter):
    def __init__(self, *words, **named):
        super().__init__(*words, **named)
        resolver = named.get("experimental_op_resolver_type", interpreter.OpResolverType.AUTO)
        self.wrong = resolver == interpreter.OpResolverType.AUTO

    def get_tensor(self, index, *words):
        values = super().get_tensor(index, *words)
        is_output = index == self.get_output_details()[0]["index"]
        return numpy.roll(values, 1, axis=-1) if self.wrong and is_output else values

interpreter.Interpreter = Wrong
"""


def test_a_board_that_reads_the_pictures_otherwise(pi: Board) -> None:
    told = found(pi.device(python=with_start_up_file(pi, WRONG_PICTURES)))
    assert told.blamed
    assert {one.what for one in told.blamed} == {"preprocessing"}
    assert len(told.changes[1].inputs) == 40
    assert any("pi makes another input of them than here" in line for line in report.lines(told))


def test_a_board_whose_fast_kernels_are_wrong(pi: Board) -> None:
    told = found(pi.device(python=with_start_up_file(pi, WRONG_KERNELS)))
    (one,) = told.blamed
    assert (one.what, len(one.examples)) == ("kernels", 40)
    assert told.changes[one.change].after == told.steps[-1]
    assert any("on pi, against 'none' (40 of 40, step 4)" in line for line in report.lines(told))


@pytest.mark.arm
@pytest.mark.network
def test_an_emulated_raspberry_pi_over_ssh(
    boards: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = boards("emulated-pi-4")
    with board(path=emulated.bare_path(folder)) as pi:
        monkeypatch.setenv(COMMAND_VARIABLE, pi.ssh())
        target = pi.device(python=str(folder / "bin" / "python3"))
        told = blame.blame(
            artifact.load(runs.zoo()["digits-nano"]), target, Asked(count=300, source="digits-5k")
        )
    assert told.provenance == "emulated"
    assert [step.kernels for step in told.steps] == KERNELS
    assert told.steps[2].machine.startswith("emulated aarch64, Raspberry Pi 4")
    # Of the same pictures it makes the same inputs, and by the reference kernels the same numbers of those.
    assert told.changes[1].factors == ("machine",)
    assert told.changes[1].parity is not None
    assert told.changes[1].parity.largest_difference == 0
    assert {one.what for one in told.blamed} <= {"kernels"}
    assert told.skipped == ()


@pytest.mark.network
def test_a_phone_that_computes_as_this_machine_does(phone: adbd.TestPhone) -> None:
    told = found(device_of(phone))
    assert [step.kernels for step in told.steps] == ["xnnpack", "reference", "none", "none", "xnnpack"]
    assert told.provenance == "stand-in"
    assert told.prepares_here
    assert (told.blamed, told.examples) == ((), ())
    assert any("Nothing to blame" in line for line in report.lines(told))


@pytest.mark.network
def test_a_phone_whose_delegate_is_wrong(phone: adbd.TestPhone) -> None:
    """The tool writes other outputs as soon as XNNPACK is asked for."""
    path = benchmark_model_stand_in.write(phone.folder)
    text = path.read_text()
    right = '        Path(flags["output_filepath"]).write_bytes(output.tobytes())\n'
    assert right in text
    rolled = 'output = __import__("numpy").roll(output, int(flags["use_xnnpack"]), axis=-1)'
    path.write_text(text.replace(right, f"        {rolled}\n{right}"))
    told = found(device_of(phone))
    (one,) = told.blamed
    assert (one.what, one.factors, len(one.examples)) == ("kernels", ("kernels",), 40)
    assert told.changes[one.change].after == told.steps[-1]
    assert any("on pixel, against 'none' (40 of 40, step 4)" in line for line in report.lines(told))


@pytest.mark.network
def test_a_phone_that_computes_otherwise_whatever_the_kernels(phone: adbd.TestPhone) -> None:
    """Its input is made here and its tool is of another version than this machine's runtime: one of the two it is."""
    path = benchmark_model_stand_in.write(phone.folder)
    text = path.read_text().replace("write_bytes(output.tobytes())", "write_bytes(output[:, ::-1].tobytes())")
    path.write_text(text)
    told = found(device_of(phone))
    (one,) = [one for one in told.blamed if len(one.examples) > 30]
    assert (one.what, one.factors) == ("unknown", ("runtime", "machine"))
    assert any("cannot be told: runtime, machine changed at once" in line for line in report.lines(told))
