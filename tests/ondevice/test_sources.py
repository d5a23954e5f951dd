"""Sources by their names: pictures, a lossless video, no camera, a busy one, and what is none of these."""

from __future__ import annotations

import os
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig.ondevice import cameras, opencv, picamera, sources
from edgebig.ondevice.faults import Fault
from edgebig.ondevice.frames import Source, frames
from tests.ondevice import films


def opened(source: object) -> Source:
    return sources.open_source({"source": str(source), "size": [64, 48]})


def fault_of(source: object) -> Fault:
    with pytest.raises(Fault) as caught:
        list(opened(source).given)
    assert caught.value.hint
    return caught.value


def test_a_folder_is_its_pictures_by_number_and_a_broken_one_harms_no_other(tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page(shift=n) for n in range(11)])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".page-0.png").write_text("hidden")
    (folder / "page-2.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    given = list(opened(folder).given)
    assert [Path(name).stem for name, _ in given] == [f"page-{n}" for n in range(11)]
    assert isinstance(given[2][1], Fault)
    assert "page-2.png" in given[2][1].problem
    last = given[10][1]
    assert isinstance(last, Image.Image)
    assert np.array_equal(np.asarray(last), films.page(shift=10))


def test_a_pattern_and_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films.pictures(tmp_path / "shots", [films.page()] * 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(list(opened(tmp_path / "shots" / "page-[12].png").given)) == 2
    source = opened("~/shots/page-1.png")
    assert (source.live, source.moves, len(list(source.given))) == (False, False, 1)


@pytest.mark.parametrize(
    ("rotate", "corner"), [(0, (0, 0)), (90, (0, 3)), (180, (2, 3)), (270, (2, 0))], ids=str
)
def test_pictures_are_turned_clockwise(rotate: int, corner: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.zeros((3, 4) if rotate in (0, 180) else (4, 3), np.uint8)
    pixels[0, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    (frame,) = frames(opened(tmp_path / "one.png"), rotate, waits=False)
    assert isinstance(frame.image, Image.Image)
    assert np.argwhere(np.asarray(frame.image) == 255).tolist() == [list(corner)]


def test_a_video_comes_whole_and_without_loss_and_at_its_own_pace(tmp_path: Path) -> None:
    pages = [films.page(shift=n) for n in range(6)]
    path = films.video(tmp_path / "film.mkv", pages, per_s=20)
    source = opened(path)
    assert (source.live, source.moves, source.per_s) == (False, True, 20)
    began_ns = time.monotonic_ns()
    came = list(frames(source, 0, waits=True))
    assert [np.array_equal(np.asarray(f.image.convert("L")), page) for f, page in zip(came, pages, strict=True)
            if isinstance(f.image, Image.Image)] == [True] * 6  # fmt: skip
    assert [frame.at_s for frame in came] == pytest.approx([n / 20 for n in range(6)])
    assert (came[-1].taken_ns - began_ns) / 1e9 >= 0.25


def test_colours_are_in_their_order() -> None:
    blue_green_red = np.zeros((2, 3, 3), np.uint8)
    blue_green_red[..., 2] = 200
    blue_green_red[..., 1] = 10
    assert opencv.picture_of(blue_green_red).getpixel((1, 1)) == (200, 10, 0)
    assert opencv.picture_of(blue_green_red[:, ::-1]).getpixel((1, 1)) == (200, 10, 0)
    assert opencv.picture_of(blue_green_red[..., 2]).getpixel((1, 1)) == 200


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (None, "no such file or folder"),
        ("folder", "no pictures in it"),
        ("text", "is no video that OpenCV can read"),
        ("pipe", "is no regular file"),
        ("huge.pgm", "megapixels are the limit"),
    ],
    ids=str,
)
def test_what_is_no_source_is_the_users_fault(made: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / (made or "absent")
    match made:
        case "folder":
            path.mkdir()
        case "text":
            pytest.importorskip("cv2", reason="needs OpenCV")
            path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
        case "pipe":
            os.mkfifo(path)
        case "huge.pgm":
            path.write_bytes(b"P5 60000 60000 255\n")
    fault = fault_of(path)
    assert fault.code == "source"
    assert told in fault.problem
    assert str(path) in fault.problem


def test_a_device_that_is_no_camera_is_refused() -> None:
    assert "/dev/null is no regular file" in fault_of("/dev/null").problem


@pytest.mark.parametrize("url", ["file:///etc/passwd", "concat://x", "gopher://x/1"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    fault = fault_of(url)
    assert (fault.code, "no such source" in fault.problem) == ("source", True)


def test_a_stream_that_does_not_answer_is_named_without_its_password() -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        fault = fault_of(f"http://ann:secret@127.0.0.1:{nobody.getsockname()[1]}/video")
    assert fault.code == "no-camera"
    assert "ann:***@127.0.0.1" in fault.problem
    assert "secret" not in fault.problem + fault.hint


def test_ffmpeg_reaches_only_what_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Capture:
        def __init__(self, name: str, *_: Any) -> None:
            seen.append((name, os.environ[opencv._OPTIONS]))

        def isOpened(self) -> bool:  # noqa: N802
            return False

    cv2 = types.SimpleNamespace(
        VideoCapture=Capture, CAP_FFMPEG=1, CAP_PROP_OPEN_TIMEOUT_MSEC=2, CAP_PROP_READ_TIMEOUT_MSEC=3
    )
    monkeypatch.setattr(opencv, "load", lambda: cv2)
    monkeypatch.delenv(opencv._OPTIONS, raising=False)
    (tmp_path / "film").write_bytes(b"?")
    fault_of(tmp_path / "film")
    fault_of("rtsp://camera/1")
    assert seen[0] == (str(tmp_path / "film"), "protocol_whitelist;file")
    assert seen[1][0] == "rtsp://camera/1"
    assert "file" not in seen[1][1]
    assert opencv._OPTIONS not in os.environ


def test_no_camera_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    if sys.platform != "linux":
        pytest.skip("needs Linux: Video4Linux")
    monkeypatch.setattr(cameras, "video4linux", lambda _: [])
    assert "camera 63 is not there: this machine has none" in fault_of("63").problem
    other = {"name": "C920", "by": "Video4Linux", "path": "/dev/video2"}
    monkeypatch.setattr(cameras, "video4linux", lambda _: [other])
    fault = fault_of("63")
    assert (fault.code, fault.hint) == ("no-camera", "--source 2")
    assert "there is 2 (C920)" in fault.problem


class Camera:
    """cv2.VideoCapture of a camera that gives `count` pictures."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, *_: Any) -> None:
        pass

    def get(self, _: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, Any]:
        self.count -= 1
        return self.count >= 0, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def cv2_stub() -> Any:
    return types.SimpleNamespace(CAP_PROP_FRAME_WIDTH=3, CAP_PROP_FRAME_HEIGHT=4, CAP_PROP_FPS=5)


def test_a_camera_that_is_unplugged_is_lost_and_let_go() -> None:
    camera = Camera(3)
    source = opencv._opened_camera(cv2_stub(), camera, "camera 0", "", (640, 480))
    with pytest.raises(Fault) as caught:
        for _ in source.given:
            pass
    assert (caught.value.code, source.live, camera.released) == ("camera-lost", True, True)


def test_a_busy_camera_is_told_with_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_text("")
    assert opencv.users_of(str(path)) == []
    import subprocess

    with path.open() as held, subprocess.Popen(["sleep", "30"], stdin=held) as other:
        try:
            source = opencv._opened_camera(cv2_stub(), Camera(0), "camera 0", str(path), (640, 480))
            with pytest.raises(Fault) as caught:
                next(source.given)
        finally:
            other.kill()
    assert caught.value.code == "camera-busy"
    assert f"sleep ({other.pid})" in caught.value.problem


def test_a_node_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Fault, match="may not be opened") as caught:
        opencv._check_node(str(path), "camera 0")
    assert "usermod -aG video" in caught.value.hint


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "film.mp4").write_bytes(b"\0" * 100)
    fault = fault_of(tmp_path / "film.mp4")
    assert fault.code == "no-package"
    assert "pip install opencv-python-headless" in fault.hint
    # Pictures need none.
    assert len(list(opened(films.pictures(tmp_path / "shots", [films.page()])).given)) == 1


class PiCamera:
    """A stand-in for picamera2's class: no Raspberry Pi is at hand."""

    cameras: tuple[dict[str, str], ...] = ({"Model": "imx219"},)
    busy = False
    stopped = 0

    @classmethod
    def global_camera_info(cls) -> list[dict[str, str]]:
        return list(cls.cameras)

    def __init__(self) -> None:
        if self.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.left = 2

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        assert main == {"size": (64, 48), "format": "BGR888"}
        return main

    def configure(self, configuration: dict[str, Any]) -> None:
        self.size = configuration["size"]

    def start(self) -> None:
        pass

    def capture_array(self, stream: str) -> Any:
        assert stream == "main"
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("Camera frontend has timed out!")
        return np.full((48, 64, 3), (200, 10, 0), np.uint8)

    def stop(self) -> None:
        PiCamera.stopped += 1

    def close(self) -> None:
        pass


@pytest.fixture
def pi_camera(monkeypatch: pytest.MonkeyPatch) -> type[PiCamera]:
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=PiCamera))  # type: ignore[arg-type]
    for name, value in {"cameras": PiCamera.cameras, "busy": False, "stopped": 0}.items():
        monkeypatch.setattr(PiCamera, name, value)
    return PiCamera


def test_a_raspberry_pis_camera(pi_camera: type[PiCamera]) -> None:
    source = opened("picamera")
    assert (source.name, source.live) == ("picamera (imx219)", True)
    came = []
    with pytest.raises(Fault, match="timed out") as caught:
        came.extend(image for _, image in source.given)  # extend keeps what came before the fault
    assert caught.value.code == "camera-lost"
    assert pi_camera.stopped == 1


def test_a_raspberry_pis_colours(pi_camera: type[PiCamera]) -> None:
    source = opened("picamera")
    _, image = next(source.given)
    assert isinstance(image, Image.Image)
    assert (image.size, image.getpixel((1, 1))) == ((64, 48), (200, 10, 0))
    source.given.close()
    assert pi_camera.stopped == 1


def test_a_raspberry_pi_without_a_camera_or_with_a_busy_one(
    pi_camera: type[PiCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pi_camera, "busy", True)
    assert fault_of("picamera").code == "camera-busy"
    monkeypatch.setattr(pi_camera, "cameras", ())
    fault = fault_of("picamera")
    assert (fault.code, "ribbon cable" in fault.hint) == ("no-camera", True)


def test_without_picamera2_it_says_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    fault = fault_of("picamera")
    assert fault.code == "no-package"
    assert "python3 -m venv --system-site-packages" in fault.hint
    # It is there, for another Python: only its camera makes it wanted.
    libcamera = [{"name": "imx219", "by": "libcamera", "path": "/base/soc"}]
    monkeypatch.setattr(cameras, "found", lambda: libcamera)
    monkeypatch.setattr(sources.platform, "system", lambda: "Linux")
    assert "imx219 is there, which only picamera2 can read" in fault_of("auto").problem


def test_auto_takes_the_first_camera_that_may_be_opened(
    monkeypatch: pytest.MonkeyPatch, pi_camera: type[PiCamera]
) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda _: object())
    assert opened("auto").name == "picamera (imx219)"
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda _: None)
    two = [
        {"name": "a", "by": "Video4Linux", "path": "/dev/video0", "problem": "no"},
        {"name": "b", "by": "Video4Linux", "path": "/dev/video4"},
    ]
    monkeypatch.setattr(cameras, "found", lambda: two)
    monkeypatch.setattr(sources.platform, "system", lambda: "Linux")
    monkeypatch.setattr(opencv, "node", lambda path, size: (path, size))
    taken: Any = opened("auto")
    assert taken == ("/dev/video4", [64, 48])


def test_a_broken_picamera2_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("picamera2")
    monkeypatch.setitem(sys.modules, "picamera2", broken)
    with pytest.raises(Fault, match="does not load"):
        picamera.load()
