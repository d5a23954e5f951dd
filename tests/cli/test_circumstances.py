"""bench's options for cores, priority, cool-down and soak: what is taken, and what is refused with which exit code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from edgebig import measurement
from edgebig.cli import options
from tests.commandline import exit_code

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@given(st.integers(0, 24), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("", 1)]))
def test_a_duration_is_its_seconds(count: int, unit: tuple[str, int]) -> None:
    assert options.duration(f"{count}{unit[0]}") == count * unit[1]


@pytest.mark.parametrize(
    "text", ["", "m", "10x", "-5s", "1e3", "inf", "nan", "5 m", "1.2345s", "9999999", "٣s"]
)
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no duration: use as in 90s, 10m or 1h"):
        options.duration(text)


def test_a_day_is_the_longest() -> None:
    assert options.duration("24h") == options.duration("86400") == 86_400
    with pytest.raises(typer.BadParameter, match="longer than a day"):
        options.duration("1441m")


@pytest.fixture
def stray(tmp_path: Path) -> Path:
    """A model without a card: nothing of it has to be computed first."""
    return Path(shutil.copyfile(GOLDEN / "digits-int8.tflite", tmp_path / "stray.tflite"))


@pytest.mark.parametrize(
    "asked", [("--soak", "10x"), ("--priority", "20"), ("--priority", "-21"), ("--cool-down", "-3")]
)
def test_usage_is_checked_before_anything(asked: tuple[str, str], stray: Path) -> None:
    assert exit_code("bench", str(stray), *asked) == 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--cores", "5000"), "no core 5000: this machine has "),
        (("--cores", "nope"), "cores 'nope': 'nope' is no core number and no range such as 0-3"),
        (("--cores", "0;reboot"), "is no core number"),
    ],
)
def test_what_this_machine_has_not_is_the_users_fault(
    asked: tuple[str, str], words: str, stray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    assert exit_code("bench", str(stray), *asked) == 1
    assert words in capsys.readouterr().err
    assert not list(stray.parent.rglob("*.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: its scheduler's calls")
def test_a_soaked_and_pinned_bench_from_command_to_record(
    stray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    few = ("--processes", "2", "--rounds", "1", "--samples", "2")
    out = stray.with_name("record.json")
    assert (
        exit_code(
            "bench", str(stray), *few, "--cores", "0", "--priority", "5", "--soak", "3s", "--out", str(out)
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "ran on cores 0 at nice 5" in shown
    assert "stray: soak of 3 s, p50 in us" in shown
    record = measurement.load(out)
    (result,) = record.models
    assert result.soak is not None
    assert len(result.soak.points) == 3
    assert result.peak_memory_kb is not None
    assert record.settings.model_dump()["soak_s"] == 3.0
    moments = [reading.model_dump()["when"] for reading in record.conditions]
    assert moments.count("soak") == 3


def test_a_fake_device_soaks_without_waiting(stray: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("bench", str(stray), "--device", "fake", "--soak", "10m", "--json") == 0
    assert '"soak"' in capsys.readouterr().out
