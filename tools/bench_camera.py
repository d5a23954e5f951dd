"""Whether the camera's loop is bound by the camera: frames a second, what is left out, and the latency of a frame.

    python tools/bench_camera.py [MODEL] [--seconds 20] [--per-s 30] [--json OUT]

A lossless video of 640x480 (FFV1) with five digits of the embedded data, moving and in noise, stands for a camera:
it is read at its own pace by the very processes of `edgebig camera`, with the drawn pictures that a window or a page
shows. Latency is from when a frame was taken until its answer and its picture leave the runner. The same video is then
read as fast as it goes, which tells the most that this machine can. Where other programs share the machine, as `load`
tells, these say little; the processor's own time of each stage then does: they run side by side, and even one after
the other must stay under a frame's time (33 ms).
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from edgebig import artifact, camera, device, files, predict, runs
from edgebig.ondevice import camera as on_camera
from edgebig.ondevice import drawing, opencv
from edgebig.ondevice import predict as on_device
from edgebig.ondevice.frames import frames
from edgebig.ondevice.smoothing import Smoother

DIGITS = "31425"
SIZE = (640, 480)
WARM_UP_FRAMES = 30


def page(rng: np.random.Generator, images: Any, shift: int) -> Any:
    """uint8 (480, 640, 3): the digits dark on paper, under light that falls off to one side."""
    light = np.linspace(235, 190, SIZE[0])[None].repeat(SIZE[1], 0)
    ink = np.zeros(SIZE[::-1])
    for place, image in enumerate(images):
        top, left = 190 + shift % 9, 30 + 118 * place + shift % 13
        ink[top : top + 84, left : left + 84] = (
            np.asarray(Image.fromarray(image).resize((84, 84)), float) / 255
        )
    grey = light * (1 - 0.75 * ink) + rng.normal(0, 3, SIZE[::-1])
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def write_video(path: Path, frames: int, per_s: float) -> None:
    rng = np.random.default_rng(0)
    with np.load(runs.ZOO / "digits-5k.npz") as data:
        images, labels = data["images"][data["split"] == 0], data["labels"][data["split"] == 0]
    chosen = [images[labels == int(digit)][7].reshape(28, 28) for digit in DIGITS]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), per_s, SIZE)
    for number in range(frames):
        writer.write(page(rng, chosen, number))
    writer.release()


def measure(model: artifact.Artifact, video: Path, *, live: bool) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    settings = camera.Settings(str(video), every_frame_of="none" if live else "files", jpeg=True)
    answers, end, times_s = [], {}, []
    for event in camera.watch(model, device.load("local"), settings):
        if event["event"] == "frame":
            answers.append(camera.without_pictures(event))
            times_s.append(time.monotonic())
        elif event["event"] == "end":
            end = event
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    settled, spent_s = answers[WARM_UP_FRAMES:], times_s[-1] - times_s[WARM_UP_FRAMES]
    names = ("pre_ms", "inference_ms", "post_ms", "latency_ms")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "frames": len(settled),
        "per_s": round((len(settled) - 1) / spent_s, 2),
        "dropped": end["dropped"],
        "unshown": end["unshown"],
        "read_right": round(sum(frame["label"] == DIGITS for frame in settled) / len(settled), 4),
        **{name: percentiles([frame[name] for frame in settled]) for name in names},
        "cpu_ms_a_frame": round(1000 * cpu_s / len(answers), 1),
    }


def stages(model: artifact.Artifact, video: Path, count: int) -> dict[str, Any]:
    """The processor's time of each stage of a frame in this thread alone, ms: p50 and p90."""
    task = {**predict.task_of(model, device.load("local")), "model": str(model.path)}
    loaded, smoother = on_device.load(task), Smoother(3)
    spent: dict[str, list[int]] = {"capture": [], "work": [], "show": []}
    source = opencv.video(str(video))
    clock = [time.thread_time_ns()]
    for frame in itertools.islice(frames(source, 0, waits=False), count):
        assert isinstance(frame.image, Image.Image)
        clock.append(time.thread_time_ns())
        answer = on_camera.answer(loaded, task, smoother, frame)
        clock.append(time.thread_time_ns())
        packed = drawing.jpeg(frame.image, answer.shown["digits"], 1280, 80)
        json.dumps({**answer.shown, "now": answer.now, "jpeg": base64.b64encode(packed).decode()})
        clock.append(time.thread_time_ns())
        for name, begun, done in zip(spent, clock, clock[1:], strict=False):
            spent[name].append(done - begun)
        clock = [time.thread_time_ns()]
    source.given.close()
    return {name: percentiles(np.array(times[WARM_UP_FRAMES:]) / 1e6) for name, times in spent.items()}


def percentiles(values: Any) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 90)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="digits")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--per-s", type=float, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = artifact.load(runs.resolve_model(arguments.model))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "five.mkv"
        write_video(video, round(arguments.seconds * arguments.per_s), arguments.per_s)
        load = [round(value, 2) for value in os.getloadavg()]
        cpu = stages(model, video, 150)
        live = measure(model, video, live=True)
        fastest = measure(model, video, live=False)
    record = {
        "schema": 1,
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"machine": platform.machine(), "cores": os.cpu_count(), "load": load},
        "model": {"name": model.path.stem, "sha256": model.sha256},
        "camera": {"size": SIZE, "per_s": arguments.per_s, "digits": len(DIGITS)},
        "cpu_ms": cpu,
        "live": live,
        "as_fast_as_it_goes": fastest,
    }
    for name in ("cpu_ms", "live", "as_fast_as_it_goes"):
        print(f"{name}: {record[name]}")
    if arguments.json:
        files.write_json(arguments.json, record)


if __name__ == "__main__":
    main()
