"""What a device is and what works there: found by trying here, and in folders that play another machine's /dev."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgebig import device, probe
from edgebig.device import LocalDevice
from edgebig.ondevice import cameras
from edgebig.ondevice import probe as ondevice
from edgebig.probe import Probe, Tried
from edgebig.report import probe as report

MODEL = Path(__file__).resolve().parent.parent / "edgebig" / "zoo" / "digits-nano.tflite"
# Of a Raspberry Pi 4 with two cameras; rpicam-apps 1.5.
RPICAM = """Available cameras
-----------------
0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]

1 : ov5647 [2592x1944] (/base/soc/i2c0mux/i2c@0/ov5647@36)
    Modes: 'SGBRG10_CSI2P' : 640x480 [58.92 fps - (16, 0)/2560x1920 crop]

"""


def python(folder: Path, script: str) -> list[str]:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return [str(path)]


# ---------------------------------------------------------------- around the processor


def test_cameras_that_libcamera_lists() -> None:
    assert cameras.listed(RPICAM) == [
        {
            "name": "imx219 [3280x2464 10-bit RGGB]",
            "by": "libcamera",
            "path": "/base/soc/i2c0mux/i2c@1/imx219@10",
        },
        {"name": "ov5647 [2592x1944]", "by": "libcamera", "path": "/base/soc/i2c0mux/i2c@0/ov5647@36"},
    ]
    assert cameras.listed("No cameras available!\n") == []


def test_the_tool_of_the_board_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "rpicam-hello"
    (tmp_path / "listed").write_text(RPICAM)
    tool.write_text(f'#!/bin/sh\n[ "$1" = --list-cameras ] && cat {tmp_path}/listed\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert [camera["name"].split()[0] for camera in cameras.found(str(tmp_path))] == ["imx219", "ov5647"]


def test_a_file_that_is_no_camera_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "video0").write_text("")
    assert cameras.found(str(tmp_path)) == []
    assert cameras.found(str(tmp_path / "nothing")) == []


def test_a_processor_without_the_instructions_is_told_by_its_signal(tmp_path: Path) -> None:
    for script in ("kill -ILL $$", "exit 132"):
        found = ondevice.compiled_model(python(tmp_path, script), str(MODEL))
        assert not found["works"]
        assert found["why"].startswith("it dies of SIGILL")
        assert "Interpreter is the way here" in found["why"]
    found = ondevice.compiled_model(python(tmp_path, "echo first >&2; echo why >&2; exit 1"), str(MODEL))
    assert found == {"works": False, "why": "why"}
    found = ondevice.compiled_model(python(tmp_path, "exit 3"), str(MODEL))
    assert found == {"works": False, "why": "it ended with exit code 3"}


@pytest.mark.slow
def test_compiled_model_runs_here_or_says_why_not(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    found = ondevice.compiled_model([sys.executable], str(MODEL))
    assert found["works"] or found["why"]
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(MODEL.read_bytes()[:500])
    assert not ondevice.compiled_model([sys.executable], str(damaged))["works"]


# ---------------------------------------------------------------- which answer


@pytest.mark.slow
def test_those_that_answer_and_why_the_others_do_not(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    targets = [
        LocalDevice(name="here"),
        LocalDevice(name="no-python", python=f"{tmp_path}/nothing"),
        LocalDevice(name="no-library", delegate=f"{tmp_path}/none.so"),
        device.load("fake"),
    ]
    answering, silent = probe.answering(targets)
    assert [target.name for target in answering] == ["here", "fake"]
    assert set(silent) == {"no-python", "no-library"}
    assert "cannot be started" in silent["no-python"]
    assert "none.so" in silent["no-library"]


# ---------------------------------------------------------------- for people


def found(**board: Any) -> Probe:
    machine = {
        "board": "Raspberry Pi 5", "cpu": "Cortex-A76", "machine": "aarch64", "system": "Linux", "cores": 4,
        "memory_kb": 8_000_000, "python": "3.11.2", "runtimes": {"ai-edge-litert": "2.3.0"},
    }  # fmt: skip
    whole = {
        "cameras": [],
        "power": {"source": None, "why": "nothing tells it"},
        "clusters": [{"cores": "0-3", "speed": 0}],
        "compiled_model": {"works": True, "why": ""},
    }
    tried = (
        Tried("ai-edge-litert", "xnnpack", "works", "xnnpack: 9 of 10 operators", ""),
        Tried("ai-edge-litert", "gpu", "does not work", "no GPU", "buy one"),
    )
    return Probe("pi5", "ssh", "emulated", machine, tried, {**whole, **board})


def test_a_probe_for_people() -> None:
    lines = report.lines(found())
    assert lines == [
        "pi5 (emulated): Raspberry Pi 5, Cortex-A76, aarch64, Linux, 4 cores, 8.0 GB, Python 3.11.2",
        "  ai-edge-litert 2.3.0",
        "    xnnpack      works: xnnpack: 9 of 10 operators",
        "    gpu          does not work: no GPU",
        "                 buy one",
        "  CompiledModel  works",
        "  cores          all alike: 0-3",
        "  power          not measurable: nothing tells it",
        "  camera         none",
    ]


def test_clusters_and_cameras_are_named() -> None:
    speeds = [{"cores": "0-3", "speed": 1}, {"cores": "4-6", "speed": 2}, {"cores": "7", "speed": 3}]
    camera = {"name": "USB", "by": "Video4Linux", "path": "/dev/video0", "problem": "may not be opened"}
    lines = report.lines(found(clusters=speeds, cameras=[camera], power={"source": "ina219 VDD"}))
    assert "  cores          little 0-3, middle 4-6, big 7" in lines
    assert "  camera         USB, by Video4Linux /dev/video0: may not be opened" in lines
    assert "  power          ina219 VDD" in lines


def test_the_record_of_a_probe_is_json_values() -> None:
    import json

    record = json.loads(json.dumps(found().record()))
    assert next(iter(record)) == "schema"
    assert record["tried"][1]["works"] == "does not work"
