"""A phone of arm64: Debian's real adbd for that processor in QEMU, with the tool and the runner of that processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebig import artifact, bench
from edgebig.bench import Settings
from edgebig.device import AdbDevice, LocalDevice
from edgebig.drivers.adb import AdbDriver
from edgebig.errors import EXIT_DEVICE, EdgebigError
from edgebig.measurement import ModelResult
from tests import boards as emulated
from tests.drivers import adbd, benchmark_model_stand_in
from tests.drivers.conftest import device_of

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = [pytest.mark.arm, pytest.mark.network, pytest.mark.slow]

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
MODEL = GOLDEN / "digits-int8.tflite"
EXAMPLES = 100
QUICK: dict[str, Any] = {"processes": 2, "rounds": 2, "samples": 3, "warmup_s": 0.05, "energy": False}


def measured(target: AdbDevice | LocalDevice, **changes: Any) -> tuple[str, ModelResult]:
    settings = Settings(examples=EXAMPLES, **{**QUICK, **changes})
    record = bench.bench([artifact.load(MODEL)], target, settings, None)
    (result,) = record.models
    return record.provenance, result


def test_the_daemon_is_of_that_processor_and_files_come_and_go_whole(
    arm64_phone: adbd.TestPhone, arm64_adbd_root: Path, tmp_path: Path
) -> None:
    program = arm64_phone.folder / "bin" / "adbd"
    machine = int.from_bytes(program.read_bytes()[18:20], "little")
    assert machine == 183  # EM_AARCH64 of elf.h
    assert any(
        "qemu-aarch64-static" in Path(f"/proc/{pid}/exe").resolve().name
        for pid in arm64_phone.processes(str(program))
    )
    content = bytes(range(256)) * 40_000
    (tmp_path / "sent").write_bytes(content)
    arm64_phone.adb("push", str(tmp_path / "sent"), f"{arm64_phone.folder}/store/file")
    arm64_phone.adb("pull", f"{arm64_phone.folder}/store/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    with next(iter(AdbDriver(device_of(arm64_phone)).sessions())) as session:
        assert session.facts.machine["abis"] == ["arm64-v8a", "armeabi-v7a"]


def test_the_tool_answers_as_that_processors_own_kernels(
    arm64_phone: adbd.TestPhone, boards: Callable[[str], Path]
) -> None:
    folder = boards("emulated-pi-4")
    tool = benchmark_model_stand_in.write(arm64_phone.folder)
    source = tool.read_text().split("\n", 1)[1]
    tool.write_text(f'#!/bin/sh\nexec {folder}/bin/python3 {tool}.py "$@"\n')
    Path(f"{tool}.py").write_text(source)
    provenance, there = measured(device_of(arm64_phone), latency=False)
    assert provenance == "stand-in"
    assert there.accuracy is not None
    assert there.accuracy.n == EXAMPLES
    _, pi = measured(emulated.device(folder), latency=False)
    assert there.predictions == pi.predictions
    assert (there.delegate.actual, there.delegate.nodes) == ("xnnpack", pi.delegate.nodes)


def test_the_runner_runs_there_by_a_python_of_that_processor(
    arm64_phone: adbd.TestPhone, boards: Callable[[str], Path]
) -> None:
    folder = boards("emulated-pi-4")
    target = AdbDevice(
        name="pixel",
        runtime="ai-edge-litert",
        python=str(folder / "bin" / "python3"),
        folder=f"{arm64_phone.folder}/store/edgebig",
        delegate="reference",
    )
    provenance, there = measured(target)
    assert provenance == "emulated"
    assert there.latency.kind == "raw"
    assert there.parity is not None
    assert (there.parity.n, there.parity.largest_difference) == (EXAMPLES, 0.0)


def test_it_goes_away_in_the_middle(arm64_phone: adbd.TestPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebig.drivers.benchmark_runs import ToolRuns

    summary = ToolRuns._summary

    def unplugged(self: ToolRuns, *words: Any) -> Any:
        arm64_phone.unplug()
        return summary(self, *words)

    monkeypatch.setattr(ToolRuns, "_summary", unplugged)
    with pytest.raises(EdgebigError, match="went away") as caught:
        measured(device_of(arm64_phone))
    assert caught.value.exit_code == EXIT_DEVICE
