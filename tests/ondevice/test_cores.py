"""Big and little as real machines tell them, and processes that are really put where they were asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.ondevice import cores, sysfs
from edgebig.ondevice.faults import Fault
from tests.ondevice import machines

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: its scheduler's calls")
not_root = 65534


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_cores_is_read_as_it_is_written(numbers: set[int]) -> None:
    assert sysfs.cores_of(sysfs.listed(numbers)) == sorted(numbers)


@pytest.mark.parametrize("listed", ["", "a", "0,", "-1", "3-1", "0-", "0;1", "1.5", "0x1", "99999"])
def test_what_is_no_list_of_cores_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=r"no core number|backwards"):
        sysfs.cores_of(listed)


ALIKE = {"pi 4": machines.PI_4, "pi 5": machines.PI_5, "laptop with favoured cores": machines.INTEL_LAPTOP}


@pytest.mark.parametrize("files", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("asked", ["big", "little"])
def test_where_all_cores_are_alike_none_is_big(files: machines.Files, asked: str, tmp_path: Path) -> None:
    root = machines.make(tmp_path, files)
    assert [len(cluster.cores) for cluster in cores.clusters(root)] == [len(cores.online(root))]
    with pytest.raises(Fault, match=rf"no {asked} cores: the \d of this machine \(0-\d\) are alike"):
        cores.chosen(asked, root)


def test_a_phone_has_its_clusters_by_capacity(tmp_path: Path) -> None:
    root = machines.make(tmp_path, machines.PHONE)
    assert [(c.cores, c.speed) for c in cores.clusters(root)] == [
        ([0, 1, 2, 3], 250),
        ([4, 5], 620),
        ([6, 7], 1024),
    ]
    assert cores.chosen("big", root) == [6, 7]
    assert cores.chosen("little", root) == [0, 1, 2, 3]


def test_a_phone_without_capacities_has_them_by_its_clocks(tmp_path: Path) -> None:
    files = {name: text for name, text in machines.PHONE.items() if "cpu_capacity" not in name}
    root = machines.make(tmp_path, files)
    assert [sysfs.listed(cluster.cores) for cluster in cores.clusters(root)] == ["0-3", "4-5", "6-7"]


def test_an_intel_hybrid_has_two_kinds(tmp_path: Path) -> None:
    root = machines.make(tmp_path, machines.INTEL_HYBRID)
    assert cores.chosen("big", root) == list(range(8))
    assert cores.chosen("little", root) == list(range(8, 16))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("4", "no core 4: this machine has 0-3"),
        ("2-9", "no core 4-9: this machine has 0-3"),
        ("huge", "cores 'huge': 'huge' is no core number"),
        ("3-0", "the range 3-0 runs backwards"),
    ],
)
def test_cores_that_are_not_there_are_refused_by_name(asked: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=re.escape(words)) as caught:
        cores.chosen(asked, machines.make(tmp_path, machines.PI_4))
    assert caught.value.hint


def test_nothing_asked_is_nothing_chosen() -> None:
    assert cores.chosen("") == []


def in_a_child(code: str, user: int | None = None) -> str:
    """What a process of its own prints: a place is for good."""
    prologue = "from edgebig.ondevice import cores\nfrom edgebig.ondevice.faults import Fault\nimport os\n"
    drop = f"os.setgid({user}); os.setuid({user})\n" if user and os.geteuid() == 0 else ""
    done = subprocess.run(
        [sys.executable, "-c", prologue + drop + code], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    return done.stdout.strip()


@linux
def test_the_process_and_its_threads_are_where_they_were_asked_to_be() -> None:
    last = max(os.sched_getaffinity(0))
    told, thread = in_a_child(
        f"""if True:
        import threading
        print(cores.place([{last}], 7))
        seen = lambda: print((os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        worker = threading.Thread(target=seen); worker.start(); worker.join()
        """
    ).splitlines()
    assert told == str({"cores": str(last), "nice": 7})
    assert thread == str(({last}, 7))


@linux
def test_what_the_kernel_refuses_is_told() -> None:
    refused = "try: print(cores.place({}, {}))\nexcept Fault as fault: print(fault.code, fault.problem)"
    assert in_a_child(refused.format([], -10), not_root) == (
        "priority the kernel refuses the nice value -10: Permission denied"
    )
    assert in_a_child(refused.format([9000], None)).startswith(
        "cores this process may not run on cores 9000: "
    )


@linux
def test_a_list_that_the_kernel_cuts_short_is_refused() -> None:
    there = max(os.sched_getaffinity(0))
    said = in_a_child(f"try: cores.place([{there}, 1000], None)\nexcept Fault as fault: print(fault.problem)")
    assert said.startswith(f"this process may not run on cores {there},1000: ")


def test_where_nothing_pins_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pinning: Callable[..., None] | None = getattr(os, "sched_setaffinity", None)
    if pinning is not None:
        monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(Fault, match="this system cannot pin"):
        cores.place([0], None)
