"""The one place between two threads: what is taken is the newest, and what is left out is counted."""

from __future__ import annotations

import threading

import pytest

from edgebig.ondevice.faults import Fault
from edgebig.ondevice.pipeline import Ended, Slot


def test_the_newest_is_taken_and_the_others_are_counted() -> None:
    slot: Slot[int] = Slot()
    for number in range(5):
        slot.put(number)
    assert (slot.take(), slot.dropped) == (4, 4)
    assert slot.take(0.001) is None


def test_one_that_keeps_makes_its_giver_wait() -> None:
    slot: Slot[int] = Slot(keeps=True)

    def give() -> None:
        for number in range(50):
            slot.put(number)
        slot.end()

    thread = threading.Thread(target=give)
    thread.start()
    assert [slot.take(5) for _ in range(50)] == list(range(50))
    with pytest.raises(Ended):
        slot.take(5)
    thread.join(5)
    assert slot.dropped == 0


def test_what_lies_there_is_taken_before_the_end_and_then_the_fault_again_and_again() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    slot.end(Fault("camera-lost", "gone"))
    slot.end()  # The first reason stands.
    assert slot.take() == 1
    for _ in range(2):
        with pytest.raises(Fault, match="gone"):
            slot.take()
    with pytest.raises(Ended):
        slot.put(2)


def test_an_end_wakes_a_giver_that_waits() -> None:
    slot: Slot[int] = Slot(keeps=True)
    slot.put(1)
    ended = threading.Event()

    def give() -> None:
        with pytest.raises(Ended):
            slot.put(2)
        ended.set()

    threading.Thread(target=give, daemon=True).start()
    slot.end()
    assert ended.wait(5)
