"""`edgebig devices`, and bench on several: listed, examined, added and refused, on this machine and over ssh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebig import device, inventory, lookup, measurement, recipe
from edgebig.cli import options
from edgebig.drivers.ssh import COMMAND_VARIABLE
from tests.commandline import Edgebig
from tests.drivers.sshd import ADDRESS, Board, board, gone, on_board

ROOT = Path(__file__).resolve().parent.parent.parent

FEW = ("--examples", "20", "--processes", "2", "--rounds", "2", "--samples", "2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    with board() as running:
        monkeypatch.setenv(COMMAND_VARIABLE, running.ssh())
        yield running


def own(name: str, text: str) -> Path:
    path = inventory.own_folder() / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---------------------------------------------------------------- list, show, rm


def test_list_is_what_devices_says(edgebig: Edgebig) -> None:
    own("pi4", 'kind = "ssh"\naddress = "pi@one"\nabout = "on the shelf"\n')
    assert edgebig("devices") == edgebig("devices", "list")
    assert edgebig("devices", "--json") == edgebig("devices", "list", "--json")
    assert "pi4                  ssh      on the shelf\n" in edgebig("devices").stdout


def test_show_is_toml_that_means_the_same_with_each_key_explained(edgebig: Edgebig) -> None:
    path = own("pi4", 'kind = "ssh"\naddress = "pi@one"\nthreads = 4\n')
    shown = edgebig("devices", "show", "pi4").stdout
    assert shown.startswith(f"# {path}\n# A Linux board that the system's ssh reaches.\n")
    again = own("again", shown)
    assert device.load(str(again)).model_dump() == device.load("pi4").model_dump()
    lines = shown.splitlines()
    assert "threads = 4" in lines
    assert 'runtime = "ai-edge-litert"  # default' in lines
    at = lines.index('address = "pi@one"')
    assert "# what runs the model there; one of: ai-edge-litert, tflite-runtime, tensorflow" in lines
    assert lines[at - 1] == "# what you would give to ssh: a host of your config, or user@host"
    assert {row.split(" = ")[0] for row in lines if " = " in row} >= set(recipe.tomllib.loads(shown))
    told = json.loads(edgebig("devices", "show", "pi4", "--json").stdout)
    assert (told["name"], told["file"], told["threads"]) == ("pi4", str(path), 4)


def test_every_device_that_ships_can_be_shown(edgebig: Edgebig) -> None:
    for name in lookup.available("devices"):
        done = edgebig("devices", "show", name)
        assert done.code == 0
        assert recipe.tomllib.loads(done.stdout)["kind"] == device.load(name).kind


def test_rm_takes_the_users_own_and_nothing_else(edgebig: Edgebig, here: Path) -> None:
    path = own("pi4", 'kind = "ssh"\naddress = "pi@one"\n')
    assert edgebig("devices", "rm", "pi4").stdout == f"{path}: deleted\n"
    assert not path.exists()
    (here / "devices").mkdir()
    (here / "devices" / "mine.toml").write_text('kind = "local"\n')
    (here / "victim.toml").write_text('kind = "local"\n')
    for name, problem in (
        ("pi4", "no device 'pi4'"),
        ("local", "local: not in"),
        ("mine", "mine: not in"),
        ("../../victim", "../../victim"),
        ("victim.toml", "victim.toml"),
    ):
        done = edgebig("devices", "rm", name)
        assert (done.code, done.stdout) == (1, "")
        assert problem in done.stderr
    assert (here / "victim.toml").is_file()
    assert (here / "devices" / "mine.toml").is_file()


# ---------------------------------------------------------------- add


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["x"], "how is it reached?"),
        (["x", "--local", "--adb"], "--adb and --local: one way only"),
        (["x", "--ssh", ""], "--ssh: no address"),
        (["x", "--ssh", "-oProxyCommand=touch pwned"], "x"),
        (["x", "--local", "--port", "22"], "unknown key 'port'"),
        (["../x", "--local"], "'../x': no name for a device"),
        ([".x", "--local"], "'.x': no name for a device"),
        (["a,b", "--local"], "'a,b': no name for a device"),
        (["x.toml", "--local"], "'x.toml': no name for a device"),
        (["x\n", "--local"], r"'x\n': no name for a device"),
        (["", "--local"], "'': no name for a device"),
        (["x" * 99, "--local"], "no name for a device"),
        (["local", "--local"], "local: edgebig has a device of that name"),
    ],
)
def test_what_is_not_added(edgebig: Edgebig, here: Path, arguments: list[str], problem: str) -> None:
    done = edgebig("devices", "add", *arguments)
    assert done.code in (1, 4)
    assert problem in done.stderr
    assert done.stdout == ""
    assert not inventory.own_folder().exists()
    assert not (here / "pwned").exists()


def test_a_board_that_does_not_answer_is_not_added(edgebig: Edgebig, pi: Board) -> None:
    pi.stop()
    done = edgebig("devices", "add", "gone", "--ssh", ADDRESS)
    assert done.code == 4
    assert "gone: " in done.stderr
    assert not inventory.own_folder().exists()


@pytest.mark.slow
def test_this_machine_is_probed_and_added(edgebig: Edgebig) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    probed = json.loads(edgebig("devices", "probe", "local", "--json").stdout)
    assert (probed["schema"], probed["device"], probed["provenance"]) == (1, "local", "real")
    tried = {(one["runtime"], one["delegate"]): one for one in probed["tried"]}
    assert tried["ai-edge-litert", "xnnpack"]["works"] == "works"
    assert tried["ai-edge-litert", "reference"]["works"] == "works"
    assert tried["ai-edge-litert", "edgetpu"]["works"] == "does not work"
    assert tried["ai-edge-litert", "edgetpu"]["hint"]
    assert set(probed["board"]) == {"cameras", "power", "clusters", "compiled_model"}

    done = edgebig("devices", "add", "mine", "--local")
    path = inventory.own_folder() / "mine.toml"
    assert done.code == 0, done.stderr
    assert f"added: {path}" in done.stdout
    assert device.load("mine").model_dump(exclude={"about"}) == device.load("local").model_dump(
        exclude={"about"}
    )
    before = path.read_bytes()
    assert "is there already" in edgebig("devices", "add", "mine", "--local").stderr
    assert path.read_bytes() == before
    assert edgebig("devices", "add", "mine", "--local", "--force").code == 0


@pytest.mark.slow
def test_a_board_is_added_measured_and_cleaned(edgebig: Edgebig, pi: Board) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    done = edgebig("devices", "add", "pi4", "--ssh", ADDRESS, "--python", sys.executable)
    assert done.code == 0, done.stderr
    assert "xnnpack      works" in done.stdout
    added = device.load("pi4").model_dump()
    assert (added["kind"], added["address"], added["runtime"]) == ("ssh", ADDRESS, "ai-edge-litert")

    done = edgebig("bench", "digits-nano", "--device", "pi4,local,gone", *FEW)
    assert (done.code, done.stdout) == (1, "")
    assert "no device 'gone'" in done.stderr
    own("gone", f'kind = "ssh"\naddress = "{ADDRESS}"\nport = 1\n')
    done = edgebig("bench", "digits-nano", "--device", "pi4,local,gone", *FEW)
    assert done.code == 4
    assert "gone: failed: " in done.stdout
    assert "no record: gone" in done.stderr
    records = sorted(Path("runs/zoo/bench").glob("*.json"))
    assert [path.name.split("-")[0] for path in records] == ["local", "pi4"]
    assert [measurement.load(path).models[0].verdict for path in records] == ["PARTIAL", "PARTIAL"]

    assert any(pi.store.iterdir())
    assert edgebig("devices", "clean", "pi4").code == 0
    assert not pi.store.exists()


@pytest.mark.slow
def test_a_board_without_a_runtime_is_added_and_told_what_it_lacks(
    edgebig: Edgebig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    # -S: without any package.
    (programs / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (programs / "python3").chmod(0o755)
    with board(path=f"{programs}:/usr/bin:/bin") as bare:
        monkeypatch.setenv(COMMAND_VARIABLE, bare.ssh())
        done = edgebig("devices", "add", "bare", "--ssh", ADDRESS)
    assert done.code == 0, done.stderr
    assert "any delegate does not work: " in done.stdout
    assert done.stdout.endswith("no runtime works there yet: edgebig devices setup bare\n")
    assert device.load("bare").runtime == "ai-edge-litert"


# ---------------------------------------------------------------- several


@pytest.mark.slow
def test_settings_are_tried_and_recorded(edgebig: Edgebig, here: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    sweep = ("bench", "digits-nano", "--threads", "1,2", "--delegate", "cpu,./missing.so", *FEW)
    done = edgebig(*sweep, "--out", "records", "--json")
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["setting"] for row in told["rows"]] == [
        "xnnpack with 1 thread", "xnnpack with 2 threads",
        "./missing.so with 1 thread", "./missing.so with 2 threads",
    ]  # fmt: skip
    assert ["failure" in row for row in told["rows"]] == [False, False, True, True]
    records = [measurement.load(Path(row["record"])) for row in told["rows"][:2]]
    assert sorted(os.listdir("records")) == [
        "local-xnnpack-with-1-thread.json",
        "local-xnnpack-with-2-threads.json",
    ]
    assert [record.device.model_dump()["threads"] for record in records] == [1, 2]
    (best,) = told["best"]
    assert best["setting"] in ("xnnpack with 1 thread", "xnnpack with 2 threads")
    assert len(best["others"]) == 1


def test_one_setting_stands_in_place_of_the_devices_own(edgebig: Edgebig) -> None:
    done = edgebig(
        "bench", "digits-nano", "--device", "fake", "--threads", "3", "--delegate", "none", *FEW, "--json"
    )
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)["device"]
    assert (told["threads"], told["delegate"]) == (3, "none")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--device", "fake,fake"], "fake: named twice"),
        (["--device", "fake", "--all"], "--all and --device name devices in two ways"),
        (["--device", "fake", "--threads", "1,two"], "--threads 1,two: wants numbers from 1 to 256"),
        (["--device", "fake", "--threads", "0"], "--threads 0: wants numbers"),
        (["--device", "fake", "--delegate", "cpu,gqu"], "fake, gqu: delegate"),
        (["--device", "fake", "--threads", "1,2", "--soak", "1m"], "--soak goes with one setting"),
        (["--device", "fake,local", "--out", "record.json"], "--out record.json: one file for several"),
    ],
)
def test_what_is_not_measured(edgebig: Edgebig, here: Path, arguments: list[str], problem: str) -> None:
    done = edgebig("bench", "digits-nano", *arguments)
    assert (done.code, done.stdout) == (1, "")
    assert problem in done.stderr
    assert list(here.iterdir()) == []


def test_completion_of_several_devices() -> None:
    own("pi4", 'kind = "ssh"\naddress = "pi@one"\n')
    own("pi5", 'kind = "ssh"\naddress = "pi@two"\n')
    assert options.complete_devices("pi") == ["pi4", "pi5"]
    assert options.complete_devices("pi4,pi") == ["pi4,pi5"]
    assert options.complete_devices("nope") == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_ctrl_c_ends_a_group_and_keeps_what_was_recorded(here: Path, pi: Board) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    own("pi4", f'kind = "ssh"\naddress = "{ADDRESS}"\npython = "{sys.executable}"\n')
    running = subprocess.Popen(
        [sys.executable, "-m", "edgebig", "bench", "digits-nano", "--device", "fake,pi4", "--processes", "500"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    recorded = here / "runs" / "zoo" / "bench"
    gone(lambda: bool(list(recorded.glob("fake-*.json")) and on_board(pi)), "no runner on the board yet")
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    records = {record.name.partition("-")[0]: record for record in recorded.iterdir()}
    assert err.startswith(f"record: {records['fake'].relative_to(here)}\n")
    assert err.endswith("\nedgebig: stopped; nothing else was recorded\n")
    assert measurement.load(records.pop("fake")).incomplete is None
    # What had come from the board by then is kept too, and named.
    for record in records.values():
        assert f"kept in {record.relative_to(here)} (go on with: edgebig bench --resume" in err
        assert measurement.load(record).incomplete is not None
    gone(lambda: not on_board(pi), "the runner on the board")
