"""Whether a model fits: what is counted against which limit, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.micro.fit import Fit
from edgebig.micro.vela import Npu


def fit(**changes: Any) -> Fit:
    values: dict[str, Any] = {
        "interpreter": "tflite-micro 1", "flash_bytes": 5000, "flash_limit_bytes": 8192, "arena_bytes": 2000,
        "scratch_bytes": 500, "arena_limit_bytes": 4096,
    }  # fmt: skip
    return Fit(**{**values, **changes})


def npu(**changes: Any) -> Npu:
    values: dict[str, Any] = {
        "accelerator": "ethos-u55-128", "compiler": "ethos-u-vela 5", "system": "S", "memory_mode": "M",
        "clock_hz": 500e6, "cycles": 1000, "sram_bytes": 900, "dram_bytes": 0, "flash_bytes": 4000, "nodes": 4,
        "of": 4, "partitions": 1, "left": (),
    }  # fmt: skip
    return Npu(**{**values, **changes})


@given(flash=st.integers(0, 9000), arena=st.integers(0, 5000), scratch=st.integers(0, 500))
def test_it_fits_where_file_and_memory_do(flash: int, arena: int, scratch: int) -> None:
    found = fit(flash_bytes=flash, arena_bytes=arena, scratch_bytes=scratch)
    assert (found.shortage() == "") == (flash <= 8192 and arena + scratch <= 4096)


def test_a_shortage_says_of_what_and_how_much() -> None:
    found = fit(arena_bytes=4000)
    assert found.shortage() == "takes 4,500 bytes of RAM, 404 more than the 4,096 that it may"
    both = fit(arena_bytes=4000, flash_bytes=9000).shortage()
    assert both.startswith("takes 9,000 bytes of flash, 808 more than the 8,192 that it may; takes 4,500")
    assert not fit(flash_bytes=1 << 30, flash_limit_bytes=None).shortage()


def test_an_accelerated_model_is_what_vela_made_of_it() -> None:
    found = fit(flash_bytes=9000, arena_bytes=9000, npu=npu())
    assert not found.shortage()
    assert "flash 4,000 of 8,192 bytes; SRAM 900 of 4,096 bytes" in found.sentence()
    assert found.sentence().endswith("4 of 4 operators on it")


def test_a_model_of_which_the_accelerator_takes_nothing_needs_its_whole_arena() -> None:
    none = npu(cycles=0, sram_bytes=0, nodes=0, partitions=0, left=("CONV_2D",))
    found = fit(arena_bytes=4000, npu=none)
    assert found.shortage().startswith("takes 4,500 bytes of RAM")
    assert "0 of 4 operators on it, CONV_2D on the CPU" in found.sentence()


@pytest.mark.parametrize(
    ("changes", "time_ns"), [({}, 2000.0), ({"left": ("COS",)}, None), ({"cycles": 0}, None)]
)
def test_cycles_are_a_time_only_where_the_cpu_has_no_part(changes: Any, time_ns: float | None) -> None:
    assert npu(**changes).time_ns == time_ns
