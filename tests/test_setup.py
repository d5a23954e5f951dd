"""devices setup: which runtime a board can have, its wheels, and the environment on a real sshd's board."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import device, drivers, files, lookup, setup
from edgebig.device import LocalDevice, McuDevice, SshDevice
from edgebig.drivers.protocol import Job, JobModel
from edgebig.drivers.ssh import COMMAND_VARIABLE
from edgebig.errors import DeviceError, EdgebigError
from edgebig.ondevice import environment
from edgebig.ondevice.faults import Fault
from edgebig.setup import choice, wheels
from edgebig.setup.choice import System
from tests import boards as emulated
from tests.drivers.sshd import Board, board

Boards = Callable[[str], Path]
NANO = emulated.ROOT / "edgebig" / "zoo" / "digits-nano.tflite"


def facts(**changes: Any) -> dict[str, Any]:
    """Those of a Pi 4 with bookworm."""
    bookworm = {
        "system": "Linux", "machine": "aarch64", "bits": 64, "python": "3.11.2", "libc": "glibc 2.36",
        "packages": {},
    }  # fmt: skip
    return {**bookworm, **changes}


BULLSEYE = {"python": "3.9.2", "libc": "glibc 2.31"}
BITS_32 = {"bits": 32, "packages": {"numpy": "1.24.2"}}


@pytest.mark.parametrize(
    ("changes", "asked", "runtime", "packages"),
    [
        ({}, None, "ai-edge-litert", 9),
        ({}, "tflite-runtime", "tflite-runtime", 3),
        ({"machine": "x86_64", "python": "3.13.1"}, None, "ai-edge-litert", 9),
        (BULLSEYE, None, "tflite-runtime", 3),
        ({"libc": "glibc 2.31"}, None, "tflite-runtime", 3),
        (BITS_32, None, "tflite-runtime", 1),
        ({**BITS_32, "machine": "armv7l"}, "tflite-runtime", "tflite-runtime", 1),
    ],
)
def test_the_facts_of_a_board_choose_its_runtime(
    changes: dict[str, Any], asked: str | None, runtime: str, packages: int
) -> None:
    plan = choice.choose("pi", facts(**changes), asked)
    assert (plan.runtime, len(plan.packages)) == (runtime, packages)
    assert plan.python == ".".join(facts(**changes)["python"].split(".")[:2])


@pytest.mark.parametrize(
    ("changes", "asked", "problem", "hint"),
    [
        (BULLSEYE, "ai-edge-litert", "wants Python 3.10 to 3.13, there it is 3.9", 'runtime = "tflite-runtime"'),
        ({"libc": "glibc 2.31"}, "ai-edge-litert", "wants glibc 2.34, there it is 2.31", "tflite-runtime"),
        ({"python": "3.14.0"}, None, "3.14", "bookworm"),
        ({"python": "3.8.10"}, None, "3.8", "bookworm"),
        ({"libc": ""}, None, "wants glibc, there it is another libc", "with glibc"),
        ({**BITS_32, "python": "3.13.5"}, None, "has no wheels for 32-bit ARM; tflite-runtime wants", "64 bits"),
        ({"bits": 32}, None, "NumPy is missing", "sudo apt install python3-numpy"),
        ({**BITS_32, "packages": {"numpy": "2.2.1"}}, None, "its NumPy is 2.2.1", "pip uninstall"),
        ({"machine": "armv6l", "bits": 32}, None, "no TFLite runtime has wheels for Linux on armv6l", "'python'"),
        ({"machine": "riscv64"}, None, "riscv64, 64 bits", "build one there"),
        ({"system": "Darwin", "machine": "arm64"}, None, "Darwin on arm64", "build one there"),
        ({}, "tensorflow", "setup does not install tensorflow", "ai-edge-litert or tflite-runtime"),
    ],
)  # fmt: skip
def test_a_board_that_can_have_none_is_told_why_and_what_to_do(
    changes: dict[str, Any], asked: str | None, problem: str, hint: str
) -> None:
    with pytest.raises(EdgebigError) as refused:
        choice.choose("pi", facts(**changes), asked)
    assert refused.value.problem.startswith("pi: ")
    assert problem in refused.value.problem
    assert hint in refused.value.hint


@given(
    st.sampled_from(["aarch64", "x86_64", "armv7l"]), st.integers(0, 20), st.none() | st.integers(0, 60),
    st.sampled_from([None, *choice.RUNTIMES]),
)  # fmt: skip
def test_a_plan_is_what_can_be_had_and_no_worse_than_another(
    machine: str, python: int, glibc: int | None, asked: str | None
) -> None:
    told = facts(
        machine=machine, bits=32 if machine == "armv7l" else 64, python=f"3.{python}.1",
        libc="" if glibc is None else f"glibc 2.{glibc}", packages={"numpy": "1.24.2"},
    )  # fmt: skip
    system = System(machine, python, glibc)
    possible = [r for r in choice.RUNTIMES if not choice.why_not(r, system) and asked in (None, r)]
    if not possible:
        with pytest.raises(EdgebigError):
            choice.choose("pi", told, asked)
        return
    plan = choice.choose("pi", told, asked)
    assert plan.runtime == possible[0]
    assert set(wheels.pins(plan)) == set(plan.packages)
    assert f"manylinux_2_17_{machine}" in plan.platforms
    # Every requirement comes with hashes, and none comes with it that was not asked for.
    lines = wheels.requirements(plan).splitlines()
    assert sum("==" in line for line in lines) == len(plan.packages)
    assert sum("--hash=sha256:" in line for line in lines) == len(lines) - len(plan.packages)


def test_a_damaged_wheel_in_the_cache_is_not_taken(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"whole")
    wanted = f"a==1 \\\n    --hash=sha256:{files.sha256_file(wheel)}\n"
    assert wheels._whole(tmp_path, wanted, 1) == [wheel]
    assert wheels._whole(tmp_path, wanted, 2) == []
    wheel.write_bytes(b"half")
    assert wheels._whole(tmp_path, wanted, 1) == []


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (LocalDevice(name="local"), "is this machine"),
        (McuDevice(name="mcu"), "kind 'mcu' has no environment"),
        (SshDevice(name="pi", address="pi", python="/opt/python3"), "names a Python of yours"),
    ],
)
@pytest.mark.parametrize("call", [setup.install, setup.uninstall])
def test_what_needs_no_environment_is_told_so(
    call: Callable[[device.Device], Any], target: device.Device, problem: str
) -> None:
    with pytest.raises(EdgebigError, match=problem):
        call(target)


# The board's side, by this Python and wheels that are made here.


def wheel(store: Path, text: str = "VALUE = 1\n", **more: str) -> dict[str, str]:
    """A wheel with the module `thing` in the store, under its hash."""
    path = store / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"thing.py": text, **more}.items():
            archive.writestr(name, content)
    sha256 = files.sha256_file(path)
    path.rename(store / sha256)
    return {"name": "thing-1-py3-none-any.whl", "sha256": sha256}


def perform(store: Path, do: str, *sent: dict[str, str], key: str = "k") -> dict[str, Any]:
    task = {"do": do, "wheels": sent, "key": key, "packages": {"thing": "1"}, "proof": ["thing"]}
    told, result = environment.steps(task, str(store), [sys.executable])
    assert result == {"event": "result", "complete": True}
    return told


def value(store: Path) -> str:
    code = "import thing; print(thing.VALUE)"
    done = subprocess.run(
        [store / "environment/bin/python", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_an_environment_is_made_replaced_and_taken_away(tmp_path: Path) -> None:
    store = tmp_path / "it's a store"
    store.mkdir()
    assert perform(store, "look")["record"] is None
    told = perform(store, "install", wheel(store))
    assert (told["before"], told["record"]["key"]) == (None, "k")
    assert value(store) == "1"
    again = perform(store, "install", wheel(store, **{"thing-1.data/platlib/lib.py": "VALUE = 2\n"}), key="l")
    assert (again["before"]["key"], again["record"]["key"]) == ("k", "l")
    assert (store / "environment" / "site" / "lib.py").read_text() == "VALUE = 2\n"
    assert {path.name for path in store.iterdir()} == {"environment"}  # the wheels went
    assert perform(store, "remove")["before"]["key"] == "l"
    assert perform(store, "remove")["before"] is None
    assert list(store.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda path: path.write_bytes(b"no zip"), "bad-wheel", "arrived damaged"),
        (lambda path: path.unlink(), "bad-wheel", "arrived damaged"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"VALUE = 3", b"VALUE = 4")), "bad-wheel", "CRC"),
    ],
)  # fmt: skip
def test_a_damaged_wheel_leaves_the_environment_that_was_there(
    damage: Callable[[Path], Any], code: str, words: str, tmp_path: Path
) -> None:
    perform(tmp_path, "install", wheel(tmp_path))
    sent = wheel(tmp_path, "VALUE = 3\n")
    damage(tmp_path / sent["sha256"])
    with pytest.raises(Fault, match=words) as caught:
        perform(tmp_path, "install", sent)
    assert caught.value.code == code
    assert value(tmp_path) == "1"
    assert {path.name for path in tmp_path.iterdir()} == {"environment"}


def test_what_does_not_load_is_not_installed(tmp_path: Path) -> None:
    perform(tmp_path, "install", wheel(tmp_path))
    with pytest.raises(
        Fault, match=r"does not load with .* \(exit code 1\)\n(.*\n)*ImportError: libthing"
    ) as caught:
        perform(tmp_path, "install", wheel(tmp_path, "raise ImportError('libthing.so.3: not found')\n"))
    assert caught.value.code == "broken-environment"
    with pytest.raises(Fault, match="died of signal 4"):
        perform(tmp_path, "install", wheel(tmp_path, "import os\nos.kill(os.getpid(), 4)\n"))
    assert value(tmp_path) == "1"


def test_where_there_is_no_room_nothing_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 3 << 20)
    )  # type: ignore[attr-defined]
    with pytest.raises(Fault, match=r"takes 8 MiB, and 3 MiB are free") as caught:
        perform(tmp_path, "install", wheel(tmp_path))
    assert "'folder'" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_writes_nowhere_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    perform(store, "install", wheel(store, **{"../../../outside.py": "", "/absolute.py": ""}))
    assert not list(tmp_path.glob("outside.py"))
    assert not Path("/absolute.py").exists()


def test_what_was_cut_off_is_not_found_and_goes_with_the_next(tmp_path: Path) -> None:
    for left in (".environment-new", ".environment-old"):
        (tmp_path / left / "bin").mkdir(parents=True)
    (tmp_path / "environment").mkdir()  # a launcher without a marker is none of ours
    assert perform(tmp_path, "look")["record"] is None
    assert {path.name for path in tmp_path.iterdir()} == {"environment"}
    perform(tmp_path, "install", wheel(tmp_path))
    assert value(tmp_path) == "1"


# Over a real sshd.


@pytest.fixture
def wheels_cache(users_environment: dict[str, str]) -> None:
    """The user's own cache of wheels, where the next run finds them."""
    users = users_environment.get("XDG_CACHE_HOME") or f"{users_environment['HOME']}/.cache"
    (Path(users) / "edgebig" / "wheels").mkdir(parents=True, exist_ok=True)
    lookup.cache_dir().mkdir(parents=True)
    (lookup.cache_dir() / "wheels").symlink_to(Path(users) / "edgebig" / "wheels")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, wheels_cache: None) -> Iterator[Callable[[str], Board]]:
    """A board whose sessions have that PATH."""
    with contextlib.ExitStack() as stack:

        def run(path: str) -> Board:
            running = stack.enter_context(board(path=path))
            monkeypatch.setenv(COMMAND_VARIABLE, running.ssh())
            return running

        yield run


def runs_there(target: SshDevice) -> None:
    """digits-nano runs there by the environment."""
    with next(iter(drivers.connect(target).sessions())) as session:
        model = JobModel(sha256=session.put(NANO), name=NANO.name, preprocessing=None)
        job = Job(
            models=(model,), inputs=None, examples=0, runtime=target.runtime, delegate="reference", threads=1,
            processes=1, rounds=1, samples=1, warmup_s=0.01, want=("latency",),
        )  # fmt: skip
        events = list(session.run(job, 300.0))
    assert events[-1] == {"event": "result", "complete": True}


arm = pytest.mark.arm
network = pytest.mark.network
slow = pytest.mark.slow


@arm
@network
@slow
def test_setup_on_an_emulated_pi_installs_once_and_is_taken_away(
    boards: Boards, opened: Callable[[str], Board]
) -> None:
    pi = opened(emulated.bare_path(boards("emulated-pi-4")))
    target = pi.device(python="")
    with pytest.raises(EdgebigError, match=r"numpy|NumPy"):
        runs_there(target)
    done = setup.install(target)
    assert (done["did"], done["runtime"], done["advice"]) == ("installed", "ai-edge-litert", "")
    launcher = pi.store / "environment" / "bin" / "python"
    written_ns = launcher.stat().st_mtime_ns
    # The model stays, and no wheel does.
    assert [path.name for path in pi.store.glob("[0-9a-f]" * 64)] == [files.sha256_file(NANO)]
    assert setup.install(target)["did"] == "nothing"
    assert launcher.stat().st_mtime_ns == written_ns
    runs_there(target)
    assert setup.uninstall(target)["did"] == "removed"
    assert not (pi.store / "environment").exists()
    assert setup.uninstall(target)["did"] == "nothing"


@arm
@network
@slow
def test_setup_on_a_32_bit_pi_takes_debians_numpy(boards: Boards, opened: Callable[[str], Board]) -> None:
    pi = opened(emulated.bare_path(boards("emulated-pi-32bit")))
    done = setup.install(pi.device(python=""))
    assert (done["did"], done["runtime"]) == ("installed", "tflite-runtime")
    assert done["packages"] == {"tflite-runtime": "2.14.0"}
    assert done["advice"] == 'runtime = "tflite-runtime"'
    runs_there(pi.device(python="", runtime="tflite-runtime"))


@arm
@network
@slow
def test_setup_on_bullseye_installs_tflite_runtime(boards: Boards, opened: Callable[[str], Board]) -> None:
    """Debian 11 itself: Python 3.9, glibc 2.31, and a wheel whose tag says 2.34."""
    pi = opened(emulated.bare_path(boards("emulated-pi-bullseye")))
    with pytest.raises(EdgebigError, match=r"ai-edge-litert wants Python 3.10 to 3.13, there it is 3.9"):
        setup.install(pi.device(python="", runtime="ai-edge-litert"))
    target = pi.device(python="", runtime="tflite-runtime")
    assert setup.install(target)["packages"] == {
        "tflite-runtime": "2.14.0", "numpy": "1.26.4", "pillow": "11.3.0",
    }  # fmt: skip
    runs_there(target)


@network
@slow
def test_a_board_that_goes_away_while_it_installs_has_nothing_half_made(
    opened: Callable[[str], Board],
) -> None:
    bare = Path(sys.base_prefix) / "bin"
    pi = opened(f"{bare}:{os.environ['PATH']}")
    target, half = pi.device(python=""), pi.store / ".environment-new"
    caught: list[EdgebigError] = []

    def install() -> None:
        try:
            setup.install(target)
        except DeviceError as error:
            caught.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    while thread.is_alive() and not half.exists():
        time.sleep(0.002)
    pi.kill()
    thread.join()
    assert len(caught) == 1
    assert "lost" in caught[0].problem
    assert not (pi.store / "environment").exists()
    pi.start()
    assert setup.install(target)["did"] == "installed"
    assert {path.name for path in pi.store.iterdir() if path.name.startswith(".")} == set()
    record = json.loads((pi.store / "environment" / environment.MARKER).read_text())
    assert record["packages"]["ai-edge-litert"] == "2.3.0"
    runs_there(target)
