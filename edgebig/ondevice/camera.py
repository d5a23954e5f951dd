"""A camera read live: capture, work and show, each in a thread of its own, always at work on the newest frame.

A stage that is slower than the one before it leaves out frames and never lags behind: between two stages there is room
for one thing (pipeline.Slot). Where every frame is asked for, the faster one waits instead.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from . import drawing, infer, opencv, predict, preprocess, whole
from .faults import Fault
from .frames import Frame, Source, frames
from .pipeline import Ended, Slot
from .smoothing import Smoother
from .sources import open_source

SCHEMA = 1
WAITING_S = 0.25
SILENT_S = 15.0
OPENING_S = 30.0
_RATE_S = 2.0
_HOLD = 3  # frames, of what moves; a picture that stands for itself is shown as it is read


class Answer(NamedTuple):
    """A frame and what was read in it: `now` of it alone, `digits` and `label` over the last frames; `times_ms`."""

    frame: Frame
    now: dict[str, Any]
    shown: dict[str, Any]
    times_ms: dict[str, float]


class Capture(threading.Thread):
    """Opens the source and hands on its frames, from when they are `wanted`.

    `source` is None until it is open; `last_ns` is the time of the last frame.
    """

    def __init__(self, task: dict[str, Any], taken: Slot[Frame], answers: Slot[Answer]) -> None:
        super().__init__(daemon=True)
        self.source: Source | None = None
        self.wanted = threading.Event()
        self.last_ns = time.monotonic_ns()
        self._task = task
        self._taken = taken
        self._slots: tuple[Slot[Any], ...] = (taken, answers)

    def run(self) -> None:
        try:
            self.source = open_source(self._task)
            every = self._every(self.source)
            with closing(self.source.given):
                # Of a file no frame passes while the model is loaded.
                self.wanted.wait()
                for slot in self._slots:
                    slot.keeps = every
                for frame in frames(self.source, self._task["rotate"], waits=not every):
                    self.last_ns = frame.taken_ns
                    self._taken.put(frame)
            self._taken.end()
        except Ended:
            pass
        except BaseException as fault:  # noqa: BLE001  # Whoever takes raises it.
            self._taken.end(fault)

    def _every(self, source: Source) -> bool:
        """Whether none of its frames is left out."""
        wanted = self._task["every_frame_of"]
        if source.live and wanted == "all":
            raise Fault(
                "source", f"{source.name} waits for nobody", "leave out --every-frame, which is for files"
            )
        return not source.live and wanted != "none"

    def want(self) -> None:
        self.last_ns = time.monotonic_ns()
        self.wanted.set()

    def check_alive(self) -> None:
        """Raises Fault where a camera has been silent for long: some drivers wait for ever."""
        live = self.source is None or (self.source.live and self.wanted.is_set())
        limit_s = OPENING_S if self.source is None else SILENT_S
        if live and self.is_alive() and (time.monotonic_ns() - self.last_ns) / 1e9 > limit_s:
            name = opencv.shown(self._task["source"]) if self.source is None else self.source.name
            raise Fault(
                "camera-lost",
                f"{name}: no picture for {limit_s:.0f} s",
                "unplug it, plug it in, and start again",
            )


class Work(threading.Thread):
    """Reads each frame that it comes to. A model that cannot be had ends it as a source that cannot."""

    def __init__(
        self, task: dict[str, Any], capture: Capture, taken: Slot[Frame], answers: Slot[Answer]
    ) -> None:
        super().__init__(daemon=True)
        self._task = task
        self._capture = capture
        self._taken = taken
        self._answers = answers

    def run(self) -> None:
        try:
            model = predict.load(self._task)
            self._capture.want()
            smoother = None
            while True:
                frame = self._taken.take()
                source = self._capture.source
                assert frame is not None
                assert source is not None
                if smoother is None:
                    smoother = Smoother(self._task["hold"] or (_HOLD if source.moves else 1))
                self._answers.put(answer(model, self._task, smoother, frame))
        except Ended:
            self._answers.end()
        except BaseException as fault:  # noqa: BLE001  # Whoever takes raises it.
            self._answers.end(fault)
        self._taken.end()
        self._capture.want()


def answer(model: infer.Loaded, task: dict[str, Any], smoother: Smoother, frame: Frame) -> Answer:
    """Reads it. A file that gave no picture is an answer too."""
    if isinstance(frame.image, Fault):
        return Answer(frame, {}, {}, {})
    clock = [time.perf_counter_ns()]
    if predict.finds_digits(task):
        found = preprocess.find_digits(np.asarray(frame.image.convert("L")))
        clock.append(time.perf_counter_ns())
        scores = predict.score(model, task, found)
        clock.append(time.perf_counter_ns())
        now = predict.answer(task, found, scores)
        digits = smoother.update(now)
    else:
        _, height, width, channels = model.input.shape
        image_u8 = whole.fitted(frame.image, (height, width, channels), task["preprocessing"]["fit"])
        clock.append(time.perf_counter_ns())
        scores = model.scores(infer.classify(model, image_u8[np.newaxis], task["preprocessing"]))
        clock.append(time.perf_counter_ns())
        now = predict.answer_whole(task, scores)
        # All of the picture is one thing, that is always there.
        digits = smoother.update({"digits": [{**now["top"][0], "box": [0, 0, *frame.image.size]}]})
    shown = {**predict.together(digits), "digits": digits if predict.finds_digits(task) else []}
    clock.append(time.perf_counter_ns())
    names = ("pre_ms", "inference_ms", "post_ms")
    times_ms = {name: round((b - a) / 1e6, 3) for name, a, b in zip(names, clock, clock[1:])}
    return Answer(frame, now, shown, times_ms)


def run(task: dict[str, Any], watched: threading.Event | None = None) -> Iterator[dict[str, Any]]:
    """The events: opened, a `frame` for each answer, `waiting` where none comes, and `end` after the last of a file.

    `watched`: JPEGs are made only while it is set; None is always. The last frame's comes with `waiting` or `end` where
    it did not come with its answer, so that who looks later sees what holds now.

    task: as of predict.load, and {source, size: [width, height] that is asked of a camera, rotate: degrees clockwise,
    every_frame_of: "none", "files" or "all" (no frame is left out, as fast as it goes), hold: see smoothing, or 0 for
    what suits the source, jpeg: {side, quality, per_s: at most} or None, png: bool}.
    Raises Fault where the source or the model cannot be had, or a camera is lost.
    """
    taken: Slot[Frame] = Slot()
    answers: Slot[Answer] = Slot()
    capture = Capture(task, taken, answers)
    work = Work(task, capture, taken, answers)
    show = _Show(task, taken, answers, watched)
    capture.start()
    work.start()
    opened = False
    try:
        while True:
            capture.check_alive()
            got = answers.take(WAITING_S)
            if got is None:
                yield {"event": "waiting", **show.last_picture()}
                continue
            if not opened and capture.source is not None and not isinstance(got.frame.image, Fault):
                opened = True
                yield _opened(capture.source, got.frame.image.size)
            yield show.event(got)
    except Ended:
        yield {"event": "end", **show.counts(), **show.last_picture(ended=True)}
    finally:
        answers.end()
        taken.end()


def _opened(source: Source, size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    facts = {
        "source": source.name,
        "live": source.live,
        "moves": source.moves,
        "per_s": round(source.per_s, 3),
    }
    return {"event": "opened", "schema": SCHEMA, **facts, "width": width, "height": height}


class _Show:
    """Answers -> events, with the pictures that are wanted and the figures of the loop."""

    def __init__(
        self,
        task: dict[str, Any],
        taken: Slot[Frame],
        answers: Slot[Answer],
        watched: threading.Event | None,
    ) -> None:
        self._task = task
        self._taken = taken
        self._answers = answers
        self._watched = watched
        self._undrawn: Answer | None = None
        self._at_s: deque[float] = deque()
        self._frames = 0
        self._drawn_s = float("-inf")

    def counts(self) -> dict[str, int]:
        """`dropped`: frames that were never read, since a newer one was there; `unshown`: answers, likewise."""
        return {
            "frames": self._frames, "dropped": self._taken.dropped, "unshown": self._answers.dropped,
        }  # fmt: skip

    def event(self, got: Answer) -> dict[str, Any]:
        frame = got.frame
        self._frames += 1
        if isinstance(frame.image, Fault):
            return {**frame.image.event(), "image": frame.file}
        pictures = self._pictures(got)
        now_s = time.monotonic()
        self._at_s.append(now_s)
        while self._at_s[0] < now_s - _RATE_S:
            self._at_s.popleft()
        spent_s = now_s - self._at_s[0]
        return {
            "event": "frame",
            "frame": frame.number,
            **({"image": frame.file} if frame.file else {}),
            "at_s": round(frame.at_s, 3),
            **got.shown,
            "now": got.now,
            **got.times_ms,
            "latency_ms": round((time.monotonic_ns() - frame.taken_ns) / 1e6, 3),
            "per_s": round((len(self._at_s) - 1) / spent_s, 1) if spent_s > 0 else 0.0,
            "dropped": self._taken.dropped,
            "unshown": self._answers.dropped,
            **pictures,
        }

    def _pictures(self, got: Answer) -> dict[str, str]:
        assert not isinstance(got.frame.image, Fault)
        pictures = {}
        wanted = self._task["jpeg"]
        self._undrawn = got if wanted is not None else None
        # A little early counts as in time: a camera of 30 frames a second is no clock.
        if wanted is not None and time.monotonic() - self._drawn_s > 0.9 / wanted["per_s"]:
            pictures = self.last_picture()
        if self._task["png"]:
            pictures["png"] = base64.b64encode(drawing.png(got.frame.image)).decode()
        return pictures

    def last_picture(self, ended: bool = False) -> dict[str, str]:
        """That of the last answer, where it is wanted and was not made yet."""
        got, wanted = self._undrawn, self._task["jpeg"]
        if got is None or not (ended or self._watched is None or self._watched.is_set()):
            return {}
        assert not isinstance(got.frame.image, Fault)
        self._undrawn = None
        self._drawn_s = time.monotonic()
        drawn = drawing.jpeg(got.frame.image, got.shown["digits"], wanted["side"], wanted["quality"])
        return {"jpeg": base64.b64encode(drawn).decode()}
