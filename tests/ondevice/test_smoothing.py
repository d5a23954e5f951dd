"""Digits that hold still: what flickers is not shown, what is shown does not flicker, and lines keep their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebig.ondevice.smoothing import THINGS, Smoother, matched

Box = tuple[int, int, int, int]
HERE: Box = (100, 100, 40, 60)


def answer(
    *things: tuple[str, Box], confidence: float = 0.9, rejected: tuple[Box, ...] = ()
) -> dict[str, Any]:
    return {
        "digits": [
            {"label": label, "confidence": confidence, "box": list(box), "line": 0} for label, box in things
        ],
        "rejected": [{"label": "8", "confidence": 0.3, "box": list(box), "line": 0} for box in rejected],
    }


def text(shown: list[dict[str, Any]]) -> str:
    return "".join(digit["label"] for digit in shown)


def moved(box: Box, dx: int, dy: int = 0) -> Box:
    return box[0] + dx, box[1] + dy, box[2], box[3]


def test_a_digit_is_shown_when_it_has_held() -> None:
    smoother = Smoother(3)
    seen = [text(smoother.update(answer(("7", HERE)))) for _ in range(4)]
    assert seen == ["", "", "7", "7"]


def test_a_speck_that_flickers_is_never_shown() -> None:
    smoother = Smoother(3)
    for frame in range(30):
        assert smoother.update(answer(("1", HERE)) if frame % 3 == 0 else answer()) == []


def test_one_wrong_frame_changes_nothing_and_a_new_digit_takes_over() -> None:
    smoother = Smoother(3)
    for _ in range(10):
        smoother.update(answer(("7", HERE)))
    assert text(smoother.update(answer(("1", HERE)))) == "7"
    seen = [text(smoother.update(answer(("2", HERE)))) for _ in range(12)]
    first = seen.index("2")
    assert 2 <= first <= 7
    assert seen == ["7"] * first + ["2"] * (12 - first)  # It changes once.


def test_two_labels_that_take_turns_do_not_flicker() -> None:
    smoother = Smoother(3)
    seen = [text(smoother.update(answer(("47"[frame % 2], HERE)))) for frame in range(60)]
    shown = [label for label in seen if label]
    assert len(set(shown)) <= 1


def test_a_digit_that_is_missed_once_stays_and_one_that_is_gone_goes() -> None:
    smoother = Smoother(3)
    for _ in range(5):
        smoother.update(answer(("7", HERE)))
    assert [text(smoother.update(answer())) for _ in range(3)] == ["7", "7", ""]


def test_what_is_rejected_for_some_frames_is_hidden() -> None:
    smoother = Smoother(3)
    for _ in range(5):
        smoother.update(answer(("7", HERE)))
    seen = [text(smoother.update(answer(rejected=(HERE,)))) for _ in range(30)]
    assert (seen[0], seen[-1]) == ("7", "")


def test_a_track_keeps_its_number_while_it_moves_and_its_box_follows() -> None:
    smoother = Smoother(3)
    (shown,) = [smoother.update(answer(("1", moved((100, 100, 8, 60), 6 * n)))) for n in range(20)][-1]
    assert shown["track"] == 0
    assert 100 + 6 * 19 - 12 <= shown["box"][0] <= 100 + 6 * 19
    (jumped,) = smoother.update(answer(("1", (214, 132, 8, 60))))
    assert (jumped["track"], jumped["box"]) == (0, [214, 132, 8, 60])


def test_confidence_is_the_share_of_the_votes() -> None:
    smoother = Smoother(1)
    (sure,) = smoother.update(answer(("7", HERE), confidence=0.8))
    assert sure["confidence"] == pytest.approx(0.8)
    smoother = Smoother(2)
    for _ in range(40):
        smoother.update(answer(("7", HERE), confidence=0.9))
    for _ in range(2):
        (less,) = smoother.update(answer(("2", HERE), confidence=0.9))
    assert less["label"] == "7"
    assert less["confidence"] == pytest.approx(0.9 * 0.8**2, abs=0.01)


def test_with_hold_1_every_frame_stands_for_itself() -> None:
    smoother = Smoother(1)
    assert text(smoother.update(answer(("7", HERE)))) == "7"
    assert text(smoother.update(answer(("2", HERE)))) == "2"
    assert smoother.update(answer()) == []


@pytest.mark.parametrize("tilt", [0, 12])
def test_lines_are_read_one_after_another(tilt: int) -> None:
    smoother = Smoother(1)
    boxes: list[tuple[str, Box]] = [
        (str((row * 5 + place) % 10), (20 + 70 * place, 40 + 120 * row + tilt * place, 40, 60))
        for row in range(3)
        for place in range(5)
    ]
    shuffled = [boxes[n] for n in np.random.default_rng(0).permutation(len(boxes))]
    shown = smoother.update(answer(*shuffled))
    assert text(shown) == "012345678901234"
    assert [digit["line"] for digit in shown] == [0] * 5 + [1] * 5 + [2] * 5


def test_a_digit_that_is_written_lower_stays_in_its_line() -> None:
    """As the preprocessing has them; by their middles alone, one below another begins a line."""
    boxes: list[tuple[str, Box]] = [
        ("3", (220, 205, 40, 62)), ("0", (273, 234, 61, 55)), ("1", (413, 199, 42, 60)), ("8", (470, 206, 44, 62)),
    ]  # fmt: skip
    shown = Smoother(1).update(answer(*boxes))
    assert text(shown) == "3018"
    assert [digit["line"] for digit in shown] == [0] * 4


def test_two_digits_beside_each_other_are_never_one() -> None:
    pairs = matched([(0, 0, 20, 60), (40, 0, 20, 60)], [(42, 0, 20, 60), (1, 0, 20, 60)])
    assert pairs == {0: 1, 1: 0}


def test_a_frame_full_of_things_is_bounded() -> None:
    rng = np.random.default_rng(0)
    things = [("1", (int(x), int(y), 5, 9)) for x, y in rng.integers(0, 2000, (5 * THINGS, 2))]
    smoother = Smoother(2)
    for _ in range(2):
        shown = smoother.update(answer(*things))
    assert len(smoother.tracks) <= THINGS
    assert 0 < len(shown) <= THINGS
