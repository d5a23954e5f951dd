"""`edgebig camera` as its user runs it: what it prints, its exit codes, and that nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from edgebig import artifact, camera, device, runs
from edgebig.drivers.protocol import Event
from edgebig.drivers.ssh import COMMAND_VARIABLE
from edgebig.drivers.stream import Says
from tests import boards as emulated
from tests.commandline import exit_code
from tests.drivers.sshd import board, gone, on_board
from tests.ondevice import films

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copyfile(films.GOLDEN.with_suffix(suffix), (tmp_path / "m").with_suffix(suffix))
    return tmp_path / "m.tflite"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], list[str]]:
    code = exit_code("camera", *arguments)
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def test_a_video_as_json_lines(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = films.video(tmp_path / "film.mkv", [films.page("314", shift=n) for n in range(5)])
    code, out, err = run(capsys, model, "--source", film, "--json", "--record", tmp_path / "kept")
    opened, *frames, end = map(json.loads, out)
    assert (code, opened["event"], end["event"], end["frames"]) == (0, "opened", "end", 5)
    assert [frame["label"] for frame in frames] == ["", "", "314", "314", "314"]
    assert not {"jpeg", "png"} & set(frames[0])
    (folder,) = (tmp_path / "kept").iterdir()
    assert err == [f"recording: {folder}/"]
    kept = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [line.pop("file") for line in kept] == [f"frame-{n:06}.png" for n in range(5)]
    assert kept == frames
    # Read again, a frame that was kept gives the answer that was kept.
    (answer,) = (
        event
        for event in camera.watch(
            artifact.load(model), device.load("local"), camera.Settings(str(folder / "frame-000003.png"))
        )
        if event["event"] == "frame"
    )
    assert answer["now"] == kept[3]["now"]


def test_pictures_are_packed_only_while_somebody_watches(model: Path, tmp_path: Path) -> None:
    # A minute long, so that it goes on while this is told what it asked for.
    film = films.video(tmp_path / "film.mkv", [films.page("314", size=(320, 160))] * 600, per_s=10)
    says = Says()
    running = camera.watch(
        artifact.load(model), device.load("local"), camera.Settings(str(film), jpeg=True), says
    )
    frames = (event for event in running if event["event"] == "frame")
    assert not any("jpeg" in next(frames) for _ in range(3))
    says.say({"watched": True})
    assert any("jpeg" in frame for frame in frames)
    says.say({"watched": False})
    assert any("jpeg" not in frame for frame in frames)
    running.close()


def test_pictures_as_lines_and_exit_1_where_one_failed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("31"), films.page("4")])
    (folder / "broken.png").write_text("no picture")
    code, out, err = run(capsys, model, "--source", folder, "--show", "none", "--smooth", 1)
    assert code == 1
    assert [line.rpartition(" (")[0] for line in out] == [
        f"{folder}/page-0.png: 31",
        f"{folder}/page-1.png: 4",
    ]
    assert any("broken.png is no picture" in line for line in err)
    assert err[-1] == "the source has ended: 3 read, 0 left out"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--source", "nowhere/"], 1, "nowhere/: no such file or folder"),
        (["--source", "63", "--json"], 4, "camera 63 is not there"),
        (["--source", "picamera"], 4, "has no picamera2"),
        (["--device", "fake"], 1, "no camera is read on a device of kind 'fake'"),
        (["--device", "pixel"], 1, "on a phone: edgebig phone"),
        (["--device", "local-tensorflow"], 1, "TensorFlow runs Keras models"),
        (["--size", "640"], 2, "'640' is no size"),
        (["--size", "9x99999"], 2, "a side has 16 to 8192 pixels"),
        (["--rotate", "45"], 2, "use 0, 90, 180 or 270"),
        (["--record-limit", "lots"], 2, "'lots' is no size"),
        (["--show", "window"], 1, "there is no screen here"),
        (["--install-service", "--device", "fake"], 1, "a service reads this machine's own camera"),
    ],
    ids=str,
)
def test_one_clear_error(
    arguments: list[str], code: int, told: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pixel.toml").write_text('kind = "adb"\n')
    (tmp_path / "devices" / "local-tensorflow.toml").write_text('kind = "local"\nruntime = "tensorflow"\n')
    got, out, err = run(capsys, model, *arguments)
    text = "\n".join(err)
    assert (got, out) == (code, [])
    assert told in text
    assert "Traceback" not in text
    assert "watch:" not in text  # Where nothing can be seen, no page is told of.


def test_without_a_model_it_is_the_one_that_learned_from_photographs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = {name: path for name, path in runs.zoo().items() if name != "digits-camera"}
    taken = []

    def watch(item: artifact.Artifact, *_: object) -> Generator[Event, None, None]:
        taken.append(item.path)
        yield from ()

    monkeypatch.setattr(camera, "watch", watch)
    # Stands for the file of that name, which an older package lacks.
    for zoo in (shipped, {**shipped, "digits-camera": shipped["digits-nano"]}):
        monkeypatch.setattr(runs, "zoo", lambda zoo=zoo: zoo)
        assert run(capsys, "--json") == (0, [], [])
    assert taken == [shipped["digits"], shipped["digits-nano"]]


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgebig", "camera", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(films.ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_however_it_ends_nothing_runs_on(how: signal.Signals, code: int, model: Path, tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("3")] * 60)
    running = child(model, "--source", folder, "--json", "--real-time", "--record", tmp_path / "kept")
    assert running.stdout is not None
    for line in running.stdout:
        if json.loads(line)["event"] == "frame":
            break
    running.send_signal(how)
    out, err = running.communicate(timeout=30)
    assert running.returncode == code
    assert "Traceback" not in err
    gone(lambda: not _runners(os.environ["XDG_CACHE_HOME"]), "the runner")
    assert all(line == json.dumps(json.loads(line)) for line in out.splitlines())


def _runners(cache: str) -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if cache.encode() in words and b"camera" in words:
            found.append(words)
    return found


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it(model: Path, tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("3")] * 40)
    running = child(model, "--source", folder, "--json")
    assert running.stdout is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(60) == 1
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()
    gone(lambda: not _runners(os.environ["XDG_CACHE_HOME"]), "the runner")


@pytest.mark.slow
def test_over_ssh_it_runs_on_the_board_and_is_shown_here(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with board() as pi:
        monkeypatch.setenv(COMMAND_VARIABLE, pi.ssh())
        films.pictures(pi.home / "shots", [films.page("314", shift=n) for n in range(3)])
        settings = camera.Settings("~/shots", every_frame_of="files", jpeg=True, png=True)
        events = list(camera.watch(artifact.load(model), pi.device(), settings))
        frames = [event for event in events if event["event"] == "frame"]
        assert [frame["label"] for frame in frames] == ["314"] * 3
        assert {Path(frame["image"]).parent for frame in frames} == {pi.home / "shots"}
        assert all(frame["png"] for frame in frames)
        assert "jpeg" in frames[0]
        assert camera.without_pictures(events[-1]) == {
            "event": "end", "frames": 3, "dropped": 0, "unshown": 0,
        }  # fmt: skip
        # A fault there is told here as it is.
        with pytest.raises(Exception, match=r"nowhere: no such file or folder") as caught:
            list(camera.watch(artifact.load(model), pi.device(), camera.Settings("nowhere")))
        assert getattr(caught.value, "exit_code", None) == 1
        # And who has seen enough leaves nothing there.
        running = camera.watch(artifact.load(model), pi.device(), camera.Settings("~/shots"))
        assert any(event["event"] == "frame" for event in running)
        running.close()
        gone(lambda: not on_board(pi), "the runner on the board")


@pytest.mark.slow
def test_a_link_that_drops_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with board() as pi:
        monkeypatch.setenv(COMMAND_VARIABLE, pi.ssh())
        films.pictures(pi.home / "shots", [films.page("3")] * 60)
        running = camera.watch(artifact.load(model), pi.device(), camera.Settings("~/shots"))
        assert any(event["event"] == "frame" for event in running)
        pi.kill()
        with pytest.raises(Exception, match="connection to board was lost") as caught:
            list(running)
        assert getattr(caught.value, "exit_code", None) == 4
        gone(lambda: not on_board(pi), "the runner on the board")


@pytest.mark.arm
@pytest.mark.network
@pytest.mark.slow
def test_an_emulated_raspberry_pi_reads_as_this_machine_does(
    boards: Callable[[str], Path], model: Path, tmp_path: Path
) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("314"), films.page("42", shift=5)])
    settings = camera.Settings(str(folder), every_frame_of="files", jpeg=True)
    pi = emulated.device(boards("emulated-pi-4"))
    there, here = (
        [event for event in camera.watch(artifact.load(model), target, settings) if event["event"] == "frame"]
        for target in (pi, device.load("local"))
    )
    assert [frame["label"] for frame in there] == ["314", "42"]
    for far, near in zip(there, here, strict=True):
        assert "jpeg" in far
        # One step of the int8 outputs, where the kernels of the two round otherwise.
        assert far["confidence"] == pytest.approx(near["confidence"], abs=2 / 256)
        assert [digit["box"] for digit in far["digits"]] == [digit["box"] for digit in near["digits"]]
