"""The live loop: right answers of a lossless video, and a latency that does not grow however slow the work is."""

from __future__ import annotations

import base64
import io
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from edgebig.ondevice import camera, drawing, predict
from edgebig.ondevice.camera import Answer
from edgebig.ondevice.faults import Fault
from edgebig.ondevice.frames import Frame, Source
from tests.ondevice import films

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def events(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in camera.run(task) if event["event"] != "waiting"]


def test_a_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    film = films.video(tmp_path / "film.mkv", [films.page("314", shift=n) for n in range(6)])
    opened, *frames, end = events(films.task(film))
    assert opened == {
        "event": "opened", "schema": 1, "source": str(film), "live": False, "moves": True, "per_s": 30.0,
        "width": 320, "height": 240,
    }  # fmt: skip
    assert [frame["frame"] for frame in frames] == list(range(6))
    assert [frame["label"] for frame in frames] == ["", "", "314", "314", "314", "314"]
    assert [frame["now"]["label"] for frame in frames] == ["314"] * 6
    assert end == {"event": "end", "frames": 6, "dropped": 0, "unshown": 0}
    for digit, place in zip(frames[-1]["digits"], range(3), strict=True):
        assert list(digit) == ["label", "confidence", "box", "line", "track"]
        x, y, width, height = digit["box"]
        assert 12 + 98 * place <= x < x + width <= 12 + 98 * place + 90
        assert 60 <= y < y + height <= 150
    times = [frames[-1][name] for name in ("pre_ms", "inference_ms", "post_ms")]
    assert all(time_ms > 0 for time_ms in times)
    assert sum(times) < frames[-1]["latency_ms"]


def test_pictures_stand_for_themselves_and_a_broken_one_is_told(tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("3"), films.page("1"), films.page("44")])
    (folder / "page-1.png").write_text("no picture")
    told = events(films.task(folder, rotate=180))
    assert [event["event"] for event in told] == ["opened", "frame", "error", "frame", "end"]
    assert Path(told[2]["image"]).name == "page-1.png"
    told = events(films.task(folder))
    assert [event["label"] for event in told if event["event"] == "frame"] == ["3", "44"]
    assert told[1]["image"] == str(folder / "page-0.png")


def test_an_answer_is_what_predict_tells_of_the_frame_that_is_kept(tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("314")])
    task = films.task(folder, png=True, jpeg={"side": 160, "quality": 80, "per_s": 60.0})
    (frame,) = (event for event in events(task) if event["event"] == "frame")
    kept = tmp_path / "kept.png"
    kept.write_bytes(base64.b64decode(frame["png"]))
    assert np.array_equal(np.asarray(Image.open(kept)), films.page("314"))
    (read,) = predict.predict({**task, "images": [str(kept)]})
    assert {key: read[key] for key in frame["now"]} == frame["now"]
    drawn = Image.open(io.BytesIO(base64.b64decode(frame["jpeg"])))
    assert (drawn.format, drawn.size) == ("JPEG", (160, 120))


def test_where_nobody_watches_only_the_last_picture_is_made(tmp_path: Path) -> None:
    folder = films.pictures(tmp_path / "shots", [films.page("3"), films.page("1")])
    task = films.task(folder, png=True, jpeg={"side": 160, "quality": 80, "per_s": 60.0})
    watched = threading.Event()
    *frames, end = (event for event in camera.run(task, watched) if event["event"] in ("frame", "end"))
    assert [("jpeg" in frame, "png" in frame) for frame in frames] == [(False, True)] * 2
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(end["jpeg"]))).convert("L"), int)
    shown = [np.asarray(Image.fromarray(films.page(text)).resize((160, 120)), int) for text in "31"]
    assert abs(drawn - shown[1]).mean() < abs(drawn - shown[0]).mean()
    watched.set()
    first, *_, end = (event for event in camera.run(task, watched) if event["event"] in ("frame", "end"))
    assert "jpeg" in first
    # Without a wish for any there is none, whoever watches.
    assert not any("jpeg" in event for event in camera.run(films.task(folder), watched))


def test_who_looks_while_a_camera_is_silent_sees_its_last_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = threading.Event()

    def given() -> Iterator[Any]:
        yield "", Image.new("L", (32, 24))
        silent.wait(20)

    monkeypatch.setattr(camera, "WAITING_S", 0.02)
    monkeypatch.setattr(camera, "open_source", lambda task: Source("camera 0", True, True, 30, given()))
    monkeypatch.setattr(camera.predict, "load", lambda task: None)
    monkeypatch.setattr(camera, "answer", slow(0))
    watched = threading.Event()
    task = films.task("0", every_frame_of="none", jpeg={"side": 160, "quality": 80, "per_s": 60.0})
    running = camera.run(task, watched)
    # Nothing may have come yet when it first waits.
    while (event := next(running))["event"] != "frame":
        assert "jpeg" not in event
    assert "jpeg" not in event
    assert next(running) == {"event": "waiting"}
    watched.set()
    assert [sorted(next(running)) for _ in range(2)] == [["event", "jpeg"], ["event"]]
    silent.set()
    running.close()  # type: ignore[attr-defined]


def test_a_model_of_whole_pictures_tells_one_class(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (0, 255, 0)).save(tmp_path / "green.png")
    preprocessing = {"low": 0.0, "high": 1.0, "ink_is_high": True, "framing": "whole", "fit": "crop"}
    changes = {"model": str(films.ROOT / "tests/golden/pixels-int8.tflite"), "preprocessing": preprocessing}
    task = films.task(tmp_path / "green.png", classes=["red", "green", "blue"], **changes)
    (frame,) = (event for event in events(task) if event["event"] == "frame")
    assert (frame["label"], frame["digits"], frame["now"]["top"][0]["label"]) == ("green", [], "green")
    assert frame["confidence"] == pytest.approx(frame["now"]["confidence"], abs=1e-4)


def slow(work_s: float) -> Any:
    def answer(model: object, task: object, smoother: object, frame: Frame) -> Answer:
        time.sleep(work_s)
        return Answer(frame, {"label": ""}, {"label": "", "confidence": 0.0, "digits": []}, {})

    return answer


def live(monkeypatch: pytest.MonkeyPatch, every_s: float, count: int | None = None) -> None:
    """A camera in place of every source, which gives `count` pictures and then is lost."""

    def given() -> Any:
        for _ in itertools.count() if count is None else range(count):
            time.sleep(every_s)
            yield "", Image.new("L", (32, 24))
        raise Fault("camera-lost", "gone")

    monkeypatch.setattr(
        camera, "open_source", lambda task: Source("camera 0", True, True, 1 / every_s, given())
    )
    monkeypatch.setattr(camera.predict, "load", lambda task: None)


def test_latency_does_not_grow_with_slow_work(monkeypatch: pytest.MonkeyPatch) -> None:
    work_s, frame_s = 0.03, 0.003
    live(monkeypatch, frame_s)
    monkeypatch.setattr(camera, "answer", slow(work_s))
    running = camera.run(films.task("0", every_frame_of="none"))
    frames = list(itertools.islice((event for event in running if event["event"] == "frame"), 25))
    running.close()  # type: ignore[attr-defined]
    numbers = [frame["frame"] for frame in frames]
    assert numbers == sorted(numbers)
    dropped = frames[-1]["dropped"]
    assert dropped > 2 * len(frames)
    # Each of the others is accounted for; the camera went on while the last was looked at.
    assert numbers[-1] < dropped + frames[-1]["unshown"] + len(frames)
    # Each was new when work began on it, so that it took two works of 25; in a queue of all frames it would be nine
    # tenths of all the time that has passed.
    latencies = sorted(frame["latency_ms"] for frame in frames[-15:])
    assert latencies[len(latencies) // 2] < 1000 * frames[-1]["at_s"] / 3


def test_a_slow_viewer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, 0.002)
    answer = slow(0.002)
    made: list[Frame] = []

    def counted(model: object, task: object, smoother: object, frame: Frame) -> Answer:
        made.append(frame)
        return answer(model, task, smoother, frame)  # type: ignore[no-any-return]

    monkeypatch.setattr(camera, "answer", counted)
    running = (
        event for event in camera.run(films.task("0", every_frame_of="none")) if event["event"] == "frame"
    )
    frames = []
    for frame in running:
        frames.append(frame)
        if len(frames) == 12:
            break
        # It looks on at each for as long as eight others take, however slow this machine is.
        until, end_s = len(made) + 8, time.monotonic() + 60
        while len(made) < until:
            assert time.monotonic() < end_s
            time.sleep(0.001)
    assert frames[-1]["unshown"] > len(frames)
    latencies = sorted(frame["latency_ms"] for frame in frames[-6:])
    assert latencies[3] < 1000 * frames[-1]["at_s"] / 3


def test_a_camera_that_is_lost_is_one_clear_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, 0.001, count=3)
    monkeypatch.setattr(camera, "answer", slow(0.0))
    with pytest.raises(Fault, match="gone") as caught:
        list(camera.run(films.task("0", every_frame_of="none")))
    assert caught.value.code == "camera-lost"


def test_a_camera_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def given() -> Iterator[tuple[str, Image.Image]]:
        yield "", Image.new("L", (32, 24))
        hangs.wait(20)

    monkeypatch.setattr(camera, "SILENT_S", 0.2)
    monkeypatch.setattr(camera, "WAITING_S", 0.02)
    source = Source("camera 0", True, True, 30.0, given())  # type: ignore[arg-type]
    monkeypatch.setattr(camera, "open_source", lambda task: source)
    monkeypatch.setattr(camera.predict, "load", lambda task: None)
    monkeypatch.setattr(camera, "answer", slow(0.0))
    told = []
    with pytest.raises(Fault, match="camera 0: no picture for") as caught:  # noqa: PT012
        for event in camera.run(films.task("0", every_frame_of="none")):
            told.append(event["event"])
    hangs.set()
    assert caught.value.code == "camera-lost"
    assert "waiting" in told


def test_a_stream_that_never_opens_is_given_up_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(camera, "OPENING_S", 0.1)
    monkeypatch.setattr(camera, "WAITING_S", 0.02)
    monkeypatch.setattr(camera, "open_source", lambda task: hangs.wait(20))
    monkeypatch.setattr(camera.predict, "load", lambda task: None)
    with pytest.raises(Fault, match=r"rtsp://ann:\*+@camera/1: no picture for") as caught:
        list(camera.run(films.task("rtsp://ann:secret@camera/1")))
    hangs.set()
    assert "secret" not in caught.value.problem


def test_a_camera_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, 0.001)
    with pytest.raises(Fault, match="waits for nobody") as caught:
        list(camera.run(films.task("0", every_frame_of="all")))
    assert caught.value.code == "source"


def test_a_model_that_is_none_ends_it(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    folder = films.pictures(tmp_path / "shots", [films.page()])
    with pytest.raises(Fault) as caught:
        list(camera.run(films.task(folder, model=str(tmp_path / "m.tflite"))))
    assert caught.value.code == "bad-model"


def test_what_was_begun_ends_with_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, 0.001)
    monkeypatch.setattr(camera, "answer", slow(0.0))
    before = threading.active_count()
    running = camera.run(films.task("0", every_frame_of="none"))
    assert next(event for event in running if event["event"] == "frame")["frame"] >= 0
    running.close()  # type: ignore[attr-defined]
    end_s = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_boxes_and_labels_are_drawn_and_the_picture_is_left_as_it_was() -> None:
    grey = Image.new("RGB", (200, 100), (128, 128, 128))
    digits = [{"label": "7", "box": [60, 40, 30, 40]}, {"label": "<script>" * 9, "box": [-5, 0, 500, 400]}]
    drawn = np.asarray(Image.open(io.BytesIO(drawing.jpeg(grey, digits[:1], 640, 95)))).astype(int)
    green = (drawn[..., 1] - drawn[..., 0] > 60) & (drawn[..., 1] - drawn[..., 2] > 40)
    ys, xs = np.nonzero(green)
    assert (xs.min(), xs.max()) == pytest.approx((59, 91), abs=2)
    assert green[10:38, 55:95].sum() > 20  # the label above it
    assert ys.max() == pytest.approx(81, abs=2)
    assert grey.getcolors() == [(20000, (128, 128, 128))]
    assert Image.open(io.BytesIO(drawing.jpeg(grey, digits, 50, 80))).size == (50, 25)


@pytest.mark.parametrize(
    "fault",
    [
        TypeError("load_default() got an unexpected keyword argument 'size'"),
        ImportError("The _imagingft C module is not installed"),
    ],
    ids=["before 10.1", "without FreeType"],
)
def test_labels_are_as_high_with_another_pillow(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    load = ImageFont.load_default

    def other(*arguments: Any, **keywords: Any) -> Any:
        if keywords:
            raise fault
        return load()

    monkeypatch.setattr(drawing.ImageFont, "load_default", other)
    drawing._label.cache_clear()
    assert drawing._label("7", 40).height == 40
    drawing._label.cache_clear()
