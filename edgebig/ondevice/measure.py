"""Latency in one fresh process: warm-up until it settles, then rounds in which the models take turns, or a soak."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np

from . import infer

# Below this an invoke is timed in batches, so that the clock and the loop weigh nothing.
BATCH_BELOW_NS = 100_000
_WINDOW = 16
_SETTLED_WITHIN = 0.02
_WARMUP_LEAST_NS = 50_000_000


class Subject:
    """A model under measurement, with its pictures prepared for the whole frame."""

    def __init__(
        self, sha256: str, model: infer.Loaded, preprocessing: dict[str, Any] | None, images_u8: Any
    ) -> None:
        self.sha256 = sha256
        self.model = model
        self.images_u8 = images_u8
        self.table = None
        if preprocessing is None:
            # What lies in fresh memory may be NaNs or denormals, which have times of their own.
            model.set_input(infer.noise(model.input))
        else:
            infer.check_fit(model, images_u8)
            self.table = infer.input_table(model.input, preprocessing)
            model.set_input(self.table[images_u8[0]])
        with infer.invoke_faults():
            started_ns = time.perf_counter_ns()
            model.invoke()
            self.first_ns = time.perf_counter_ns() - started_ns
        self.batch = 1
        self.next_image = 0


def settle(subject: Subject, limit_ns: int) -> tuple[int, bool]:
    """Invokes until the medians of two windows in a row differ by less than 2 %; at least 50 ms, at most `limit_ns`.

    Returns the number of invokes and whether it settled, and sets the batch by the last window's median.
    """
    invoke, clock = subject.model.invoke, time.perf_counter_ns
    started_ns, count, before, settled = clock(), 0, 0.0, False
    while True:
        window = np.empty(_WINDOW)
        for index in range(_WINDOW):
            t = clock()
            invoke()
            window[index] = clock() - t
        count += _WINDOW
        median = float(np.median(window))
        settled = before > 0 and abs(median - before) <= _SETTLED_WITHIN * before
        spent_ns = clock() - started_ns
        if spent_ns >= limit_ns or (settled and spent_ns >= _WARMUP_LEAST_NS):
            break
        before = median
    subject.batch = 1 if median >= BATCH_BELOW_NS else int(np.ceil(BATCH_BELOW_NS / max(median, 1.0)))
    return count, settled


def invoke_samples(subject: Subject, count: int) -> list[int]:
    """`count` times in ns of one invoke alone, each the mean over a batch."""
    invoke, clock, batch = subject.model.invoke, time.perf_counter_ns, subject.batch
    samples = [0] * count
    turns = range(batch)
    for index in range(count):
        t = clock()
        for _ in turns:
            invoke()
        samples[index] = (clock() - t) // batch
    return samples


def frame_samples(subject: Subject, count: int) -> list[list[int]]:
    """`count` whole frames as [pre-processing, inference, post-processing] in ns, a new picture each.

    From uint8 pixels to the label: look-up into the input's dtype and copy in; invoke; copy out, scores, argmax.
    """
    model, table, images, clock = subject.model, subject.table, subject.images_u8, time.perf_counter_ns
    if table is None:
        return []
    samples = []
    for _ in range(count):
        image = images[subject.next_image]
        subject.next_image = (subject.next_image + 1) % len(images)
        t0 = clock()
        model.set_input(table[image])
        t1 = clock()
        model.invoke()
        t2 = clock()
        int(np.argmax(model.scores(model.get_output())))
        t3 = clock()
        samples.append([t1 - t0, t2 - t1, t3 - t2])
    return samples


def measure(
    subjects: list[Subject], rounds: int, samples: int, warmup_s: float, still_wanted: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """Events of one process: `warmup` for each subject, then `sample` for each subject in each round, A B A B."""
    gc.collect()
    gc.disable()
    for subject in subjects:
        count, settled = settle(subject, int(warmup_s * 1e9))
        yield {
            "event": "warmup",
            "model": subject.sha256,
            "invokes": count,
            "settled": settled,
            "batch": subject.batch,
            "init_ns": subject.model.init_ns,
            "first_ns": subject.first_ns,
        }
    for round_index in range(rounds):
        still_wanted()
        for subject in subjects:
            # The other model's turn left its own weights in the caches: one batch brings this one's back.
            invoke_samples(subject, 1)
            yield {
                "event": "sample",
                "model": subject.sha256,
                "round": round_index,
                "batch": subject.batch,
                "ns": invoke_samples(subject, samples),
                "frame_ns": frame_samples(subject, samples),
            }


def drain(subjects: list[Subject], seconds: float) -> Iterator[dict[str, Any]]:
    """Inferences of each subject for so long, one after another; the events mark where they begin and end."""
    for subject in subjects:
        yield {"event": "energy_begin", "model": subject.sha256}
        invokes, took_ns = _invoke_for(subject, int(seconds * 1e9))
        yield {"event": "energy", "model": subject.sha256, "invokes": invokes, "seconds": took_ns / 1e9}


def _invoke_for(subject: Subject, limit_ns: int) -> tuple[int, int]:
    """Invokes until the limit is reached; gives their number and the time they took together."""
    invoke, clock, count, took_ns = subject.model.invoke, time.perf_counter_ns, 0, 0
    started_ns = clock()
    while took_ns < limit_ns:
        for _ in range(subject.batch):
            invoke()
        count += subject.batch
        took_ns = clock() - started_ns
    return count, took_ns


def soak(
    subjects: list[Subject], seconds: float, warmup_s: float, still_wanted: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """An event `soak` each second for each subject, who share the second: the median and p90 of its samples."""
    gc.collect()
    gc.disable()
    for subject in subjects:
        settle(subject, int(warmup_s * 1e9))
    clock = time.perf_counter_ns
    started_ns, turn, share_ns = clock(), 0, int(1e9 / len(subjects))
    while clock() - started_ns < seconds * 1e9:
        still_wanted()
        for subject in subjects:
            turn += 1
            samples = invoke_samples(subject, 1)
            while clock() < started_ns + turn * share_ns:
                samples += invoke_samples(subject, 1)
            yield {
                "event": "soak",
                "model": subject.sha256,
                "at_s": round((clock() - started_ns) / 1e9, 3),
                "invokes": len(samples) * subject.batch,
                "p50_ns": round(float(np.median(samples))),
                "p90_ns": round(float(np.quantile(samples, 0.9))),
            }
