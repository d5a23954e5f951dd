"""Real models in real processes, on this machine with another's /sys: energy, soak, throttling, pinning, priority."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig import energy, files, soak, throttling
from edgebig.ondevice import cooling, runner
from edgebig.ondevice.faults import Fault
from tests.ondevice import machines

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ENTRY = [sys.executable, "-m", "edgebig.ondevice"]
Event = dict[str, Any]

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: its scheduler's calls")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    folder = tmp_path / "store"
    folder.mkdir()
    for name in ("digits-int8", "digits-float32"):
        path = GOLDEN / f"{name}.tflite"
        shutil.copyfile(path, folder / files.sha256_file(path))
    return folder


def job(store: Path) -> Event:
    return {
        "schema": 1, "inputs": None, "examples": 0, "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "gpu_precision": "float32", "delegate_options": {}, "processes": 2, "rounds": 1, "samples": 2,
        "warmup_s": 0.1, "want": ["latency"],
        "models": [{"sha256": path.name, "name": path.name, "preprocessing": None} for path in sorted(store.iterdir())],
    }  # fmt: skip


def run(store: Path, root: str = "/", **changes: Any) -> list[Event]:
    return list(stepwise(store, root, **changes))


def stepwise(store: Path, root: str, **changes: Any) -> Iterator[Event]:
    return runner.run({**job(store), **changes}, str(store), ENTRY, root)


def of_kind(events: list[Event], kind: str, **values: Any) -> list[Event]:
    return [event for event in events if event["event"] == kind and values.items() <= event.items()]


@contextlib.contextmanager
def happening(step: Any) -> Iterator[None]:
    """Calls `step` with the seconds since it began, a hundred times a second, while the block runs."""
    done, began_s = threading.Event(), time.monotonic()

    def go() -> None:
        while not done.wait(0.01):
            step(time.monotonic() - began_s)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def written(path: Path, text: str) -> None:
    """In one step, as a reader of /sys sees it."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


@pytest.mark.slow
@linux
def test_joules_of_real_inferences_by_a_counter_that_wraps(store: Path, tmp_path: Path) -> None:
    root = machines.make(tmp_path / "laptop", machines.INTEL_LAPTOP)
    counter = Path(root) / "sys/class/powercap/intel-rapl:0/energy_uj"
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    others = set(children.read_text().split())  # of tests before this one
    joules, before_s = 262_143.3, 0.0

    def draw(now_s: float) -> None:
        """3 W, and 10 W more while a process that the runner started lives; begins again after 262 kJ, as that CPU."""
        nonlocal joules, before_s
        joules += (13.0 if set(children.read_text().split()) - others else 3.0) * (now_s - before_s)
        before_s = now_s
        written(counter, f"{int(joules * 1e6) % 262_143_328_850}\n")

    with happening(draw):
        events = run(store, root, want=["latency", "energy"])
    (told,) = of_kind(events, "energy_source")
    assert told["source"] == "RAPL package-0"
    for sha256 in {event["model"] for event in of_kind(events, "loaded")}:
        phases = of_kind(events, "energy", model=sha256)
        assert [phase["process"] for phase in phases] == [0, 1]
        for phase in phases:
            assert phase["invokes"] > 1000
            assert phase["seconds"] >= 1
            assert phase["idle_watts"] == pytest.approx(3.0, rel=0.4)
            assert phase["watts"] == pytest.approx(13.0, rel=0.3)
        found = energy.measured(told, phases)
        assert found.joules == pytest.approx(10 * phases[0]["seconds"] / phases[0]["invokes"], rel=0.8)


@pytest.mark.slow
@linux
def test_a_soak_in_which_a_raspberry_pi_grows_hot_and_throttles(store: Path, tmp_path: Path) -> None:
    root = machines.make(tmp_path / "pi", machines.PI_4)
    limit = Path(root) / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    zone = Path(root) / "sys/class/thermal/thermal_zone0/temp"
    program = Path(root) / "usr/bin/vcgencmd"
    calm, hot = program.read_text(), program.read_text().replace("0x0'", "0xe0008'")
    soaking = threading.Event()

    def heat(_: float) -> None:
        if soaking.is_set() and not zone.read_text().startswith("82"):
            program.with_suffix(".new").write_text(hot)
            program.with_suffix(".new").chmod(0o755)
            program.with_suffix(".new").replace(program)
            written(limit, "1000000\n")
            written(zone, "82100\n")

    events: list[Event] = []
    assert hot != calm
    with happening(heat):
        for event in stepwise(store, root, processes=1, soak_s=4.0):
            events.append(event)
            if event["event"] == "soak" and event["at_s"] >= 2:
                soaking.set()
    conditions = of_kind(events, "condition")
    assert [event["when"] for event in conditions if event["when"] != "soak"] == [
        "before",
        "process",
        "after",
    ]
    soaked = [event for event in conditions if event["when"] == "soak"]
    assert len(soaked) == 4
    assert (soaked[0]["temperatures_c"], soaked[-1]["temperatures_c"]) == (
        {"cpu-thermal": 48.686},
        {"cpu-thermal": 82.1},
    )
    assert "soft temperature limit" in throttling.cause(conditions)
    assert "the clock of cores 0-3 was limited" in throttling.cause(conditions)
    moments = throttling.moments(conditions)
    assert min(at_s for at_s, _ in moments) >= 2
    for sha256 in {event["model"] for event in of_kind(events, "loaded")}:
        points = of_kind(events, "soak", model=sha256)
        assert len(points) == 4
        assert all(0 < point["p50_ns"] <= point["p90_ns"] and point["invokes"] > 0 for point in points)
        found = soak.measured(points, moments)
        assert found is not None
        assert found.throttled[0][0] >= 2


@pytest.mark.slow
@linux
def test_each_measurement_is_where_it_was_asked_to_be(store: Path) -> None:
    core = max(os.sched_getaffinity(0))
    here = os.getpriority(os.PRIO_PROCESS, 0)
    events = run(store, cores=str(core), priority=here + 3, soak_s=1.0)
    placed = of_kind(events, "condition", when="placed")
    assert [(event["cores"], event["nice"]) for event in placed] == [(str(core), here + 3)] * 3
    assert os.getpriority(os.PRIO_PROCESS, 0) == here  # the runner itself stays as it was


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such core": ({"cores": "77"}, "cores", "no core 77: this machine has 0-3"),
    "no big cores": ({"cores": "big"}, "cores", "no big cores"),
    "no thermometer": ({"cool_down_c": 50.0}, "conditions", "no temperature can be read"),
}


@pytest.mark.parametrize(("asked", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_before_anything_runs(
    asked: dict[str, Any], code: str, words: str, store: Path, tmp_path: Path
) -> None:
    cool = {name: text for name, text in machines.PI_4.items() if "thermal" not in name}
    root = machines.make(tmp_path / "pi", cool)
    steps = stepwise(store, root, **asked)
    assert next(steps)["event"] == "ready"
    with pytest.raises(Fault, match=words) as caught:
        next(steps)
    assert caught.value.code == code


@pytest.mark.slow
def test_a_hot_board_is_waited_for(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooling, "_STEP_S", 0.05)
    root = machines.make(tmp_path / "pi", machines.PI_5)
    events = []
    for event in stepwise(store, root, cool_down_c=50.0):
        events.append(event)
        if event["event"] == "cooling":
            assert (event["zone"], event["hottest_c"], event["wanted_c"]) == ("cpu-thermal", 61.15, 50.0)
            written(Path(root) / "sys/class/thermal/thermal_zone0/temp", "49900\n")
    waited = of_kind(events, "condition", when="cool-down")
    assert [(event["reached"], event["hottest_c"]) for event in waited] == [(True, 49.9), (True, 49.9)]
    assert len(of_kind(events, "cooling")) == 1


@pytest.mark.slow
def test_the_memory_of_a_model_is_told_with_what_was_there_before(store: Path) -> None:
    events = run(store)
    memory = of_kind(events, "memory")
    assert len(memory) == 2
    for event in memory:
        assert 1000 < event["baseline_kb"] < event["peak_kb"]
        assert event["mapped"] is (True if sys.platform == "linux" else None)
