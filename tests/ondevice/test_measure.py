"""Latency by a clock of the test's own: when the warm-up ends, how batches are cut, who takes which turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgebig.ondevice import infer, measure
from edgebig.ondevice.infer import Tensor

US = 1_000


class Clock:
    """perf_counter_ns of a machine where nothing takes time but what says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class SlowModel:
    """Stands where infer.Model does: an invoke takes the next of `times_ns`, the other parts `pre_ns` and `post_ns`."""

    def __init__(self, clock: Clock, times_ns: Iterator[int], pre_ns: int = 0, post_ns: int = 0) -> None:
        self.input = Tensor("x", "float32", (1, 2, 2, 1), 0.0, 0)
        self.init_ns = 77
        self.invokes = 0
        self.inputs: list[Any] = []
        self._clock, self._times_ns, self._pre_ns, self._post_ns = clock, times_ns, pre_ns, post_ns

    def invoke(self) -> None:
        self.invokes += 1
        self._clock.now_ns += next(self._times_ns)

    def set_input(self, values: Any) -> None:
        self.inputs.append(values)
        self._clock.now_ns += self._pre_ns

    def get_output(self) -> Any:
        self._clock.now_ns += self._post_ns
        return np.zeros(3, np.float32)

    def scores(self, raw: Any) -> Any:
        return raw


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure.time, "perf_counter_ns", clock)
    # measure() turns the collector off for the life of its process, which here is the tests'.
    monkeypatch.setattr(measure.gc, "disable", lambda: None)
    return clock


def subject(model: SlowModel, name: str = "a", images: Any = None) -> measure.Subject:
    preprocessing = None if images is None else {"low": 0.0, "high": 1.0, "ink_is_high": True}
    return measure.Subject(name, model, preprocessing, images)  # type: ignore[arg-type]


def falling(start_ns: int, factor: float, floor_ns: int) -> Iterator[int]:
    """Each 16 invokes as fast as the last, then `factor` of that, down to `floor_ns`."""
    time_ns = float(start_ns)
    while True:
        yield from itertools.repeat(max(int(time_ns), floor_ns), 16)
        time_ns *= factor


def test_the_first_invoke_is_kept_apart(clock: Clock) -> None:
    model = SlowModel(clock, itertools.chain([9_000 * US], itertools.repeat(40 * US)))
    assert subject(model).first_ns == 9_000 * US
    assert model.invokes == 1


def test_a_steady_model_settles_after_two_windows_but_no_sooner_than_50_ms(clock: Clock) -> None:
    slow = subject(SlowModel(clock, itertools.repeat(5_000 * US)))
    assert measure.settle(slow, 10**12) == (32, True)
    quick = subject(SlowModel(clock, itertools.repeat(100 * US)))
    count, settled = measure.settle(quick, 10**12)
    assert settled
    assert 50_000 * US <= count * 100 * US <= 50_000 * US + 16 * 100 * US


def test_a_model_that_speeds_up_is_waited_for(clock: Clock) -> None:
    # 10 % faster each window, from 10 ms down to 1 ms: 22 windows later it no longer changes.
    model = SlowModel(clock, itertools.chain([0], falling(10_000 * US, 0.9, 1_000 * US)))
    count, settled = measure.settle(subject(model), 10**12)
    assert settled
    assert count == 24 * 16


def test_a_change_within_2_percent_is_settled(clock: Clock) -> None:
    within = SlowModel(clock, itertools.chain([0], falling(10_000 * US, 0.985, 1)))
    assert measure.settle(subject(within), 10**12) == (32, True)
    beyond = SlowModel(clock, itertools.chain([0], falling(10_000 * US, 0.975, 5_000 * US)))
    count, settled = measure.settle(subject(beyond), 10**12)
    assert settled
    assert count > 20 * 16


def test_a_model_that_never_settles_stops_at_its_limit_and_says_so(clock: Clock) -> None:
    def restless() -> Iterator[int]:
        yield 0
        for window in itertools.count():
            yield from itertools.repeat((1_000 if window % 2 else 1_500) * US, 16)

    limit_ns = 2_000_000 * US
    count, settled = measure.settle(subject(SlowModel(clock, restless())), limit_ns)
    assert not settled
    assert limit_ns <= clock.now_ns <= limit_ns + 16 * 1_500 * US
    assert count % 16 == 0


def test_one_slow_invoke_in_a_window_does_not_unsettle(clock: Clock) -> None:
    def stalls() -> Iterator[int]:
        yield 0
        while True:
            yield from itertools.repeat(2_000 * US, 15)
            yield 900_000 * US

    assert measure.settle(subject(SlowModel(clock, stalls())), 10**12) == (32, True)


@pytest.mark.parametrize(
    ("invoke_ns", "batch"),
    [(250 * US, 1), (100 * US, 1), (99 * US, 2), (40 * US, 3), (10 * US, 10), (500, 200)],
)
def test_what_takes_under_100_us_is_timed_in_batches_of_100_us(
    clock: Clock, invoke_ns: int, batch: int
) -> None:
    timed = subject(SlowModel(clock, itertools.repeat(invoke_ns)))
    measure.settle(timed, 5_000 * US)
    assert timed.batch == batch
    assert timed.batch * invoke_ns >= measure.BATCH_BELOW_NS


def test_a_sample_is_the_mean_of_its_batch(clock: Clock) -> None:
    model = SlowModel(clock, itertools.chain([0], itertools.cycle([10 * US, 30 * US])))
    timed = subject(model)
    timed.batch = 4
    assert measure.invoke_samples(timed, 3) == [20 * US] * 3
    assert model.invokes == 1 + 12


def test_a_frame_has_three_parts_and_a_new_picture_each(clock: Clock) -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((3, 2, 2, 1), np.uint8)
    model = SlowModel(clock, itertools.repeat(50 * US), pre_ns=7 * US, post_ns=3 * US)
    timed = subject(model, images=images)
    model.inputs.clear()
    assert measure.frame_samples(timed, 4) == [[7 * US, 50 * US, 3 * US]] * 4
    assert [round(float(values.flat[0]) * 255) for values in model.inputs] == [0, 1, 2, 0]


def test_without_pictures_there_is_no_frame(clock: Clock) -> None:
    assert measure.frame_samples(subject(SlowModel(clock, itertools.repeat(1))), 5) == []


def test_the_models_take_turns(clock: Clock) -> None:
    timed = [
        subject(SlowModel(clock, itertools.repeat(time * US)), name) for name, time in (("a", 200), ("b", 20))
    ]
    asked = []
    events = list(measure.measure(timed, 3, 5, 0.1, lambda: asked.append(clock.now_ns)))
    assert [event["model"] for event in events if event["event"] == "warmup"] == ["a", "b"]
    samples = events[2:]
    assert [(event["round"], event["model"]) for event in samples] == [
        (0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a"), (2, "b"),
    ]  # fmt: skip
    assert {event["event"] for event in samples} == {"sample"}
    for event in samples:
        assert event["ns"] == [(200 if event["model"] == "a" else 20) * US] * 5
        assert event["batch"] == (1 if event["model"] == "a" else 5)
        assert event["frame_ns"] == []
    assert len(asked) == 3  # before each round: does anybody wait for this?
    assert events[0] == {
        "event": "warmup", "model": "a", "invokes": 250 // 16 * 16 + 16, "settled": True, "batch": 1,
        "init_ns": 77, "first_ns": 200 * US,
    }  # fmt: skip


def test_the_batch_that_warms_the_caches_is_in_no_sample(clock: Clock) -> None:
    model = SlowModel(clock, itertools.repeat(200 * US))
    warmup, *samples = measure.measure([subject(model)], 2, 5, 0.1, lambda: None)
    assert model.invokes == 1 + warmup["invokes"] + 2 * (1 + 5)
    assert sum(len(event["ns"]) for event in samples) == 10


def test_the_clock_and_the_loop_weigh_next_to_nothing() -> None:
    class Instant:
        init_ns = 0
        input = Tensor("image", "int8", (1, 2), 0.1, 0)

        def invoke(self) -> None:
            pass

        def set_input(self, values: Any) -> None:
            pass

    timed = measure.Subject("a", Instant(), None, None)  # type: ignore[arg-type]
    measure.settle(timed, 20_000 * US)
    assert timed.batch > 100
    # What an invoke that does nothing takes is Python's call and the loop: a fraction of a microsecond.
    assert np.median(measure.invoke_samples(timed, 20)) < 1_000


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float16", "float32"])
def test_a_model_of_which_nothing_is_known_is_timed_on_the_same_numbers(dtype: str) -> None:
    tensor = Tensor("x", dtype, (1, 40, 50), 0.0, 0)
    values = infer.noise(tensor)
    assert values.dtype == dtype
    assert values.shape == tensor.shape
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 200
    np.testing.assert_array_equal(values, infer.noise(tensor))
