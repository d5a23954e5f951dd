"""An emulated Raspberry Pi under the circumstances that were asked for, from the command to its record's conditions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import artifact, bench
from edgebig.bench import Settings
from edgebig.errors import EdgebigError
from tests import boards as emulated

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = [pytest.mark.arm, pytest.mark.network, pytest.mark.slow]

NANO = emulated.ROOT / "edgebig" / "zoo" / "digits-nano.tflite"
FEW = {"examples": 20, "processes": 2, "rounds": 1, "samples": 2, "warmup_s": 0.1}


def test_a_soak_on_one_core_of_a_board_that_is_cool_enough(boards: Callable[[str], Path]) -> None:
    target = emulated.device(boards("emulated-pi-4"))
    settings = Settings(**FEW, cores="0", priority=3, cool_down_c=60.0, soak_s=3.0)  # type: ignore[arg-type]
    record = bench.bench([artifact.load(NANO)], target, settings, None, "digits-5k")
    (result,) = record.models
    readings = [reading.model_dump() for reading in record.conditions]
    assert [reading["when"] for reading in readings if reading["when"] != "soak"] == [
        "before", *["cool-down", "process", "placed"] * 2, "cool-down", "placed", "after",
    ]  # fmt: skip
    assert {(r["cores"], r["nice"]) for r in readings if r["when"] == "placed"} == {("0", 3)}
    assert all(r["reached"] for r in readings if r["when"] == "cool-down")
    assert readings[0]["temperatures_c"]["cpu-thermal"] < 60
    assert readings[0]["governor"] == "ondemand"
    assert result.soak is not None
    assert len(result.soak.points) == sum(reading["when"] == "soak" for reading in readings) > 0
    assert result.energy.why.startswith("not measurable here: ")
    assert result.model_mapped
    assert record.provenance == "emulated"


def test_a_board_without_big_cores_says_so(boards: Callable[[str], Path]) -> None:
    target = emulated.device(boards("emulated-pi-4"))
    with pytest.raises(EdgebigError, match="no big cores: the ") as caught:
        bench.bench([artifact.load(NANO)], target, Settings(**FEW, cores="big"), None, "digits-5k")  # type: ignore[arg-type]
    assert caught.value.exit_code == 1
