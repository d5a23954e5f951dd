"""The sheet of how digits were found shows each step, and what became of each thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.ondevice import explain
from edgebig.ondevice.preprocess import Digit, find_digits

Bytes = npt.NDArray[np.uint8]


def answer(found: list[Digit], rejected: int = 0) -> dict[str, Any]:
    """As predict.answer tells it, all of label 7; the last `rejected` of them are no digits."""
    things = [{"label": "7", "confidence": 0.9, "box": list(d.box), "line": d.line} for d in found]
    known = len(things) - rejected
    return {"digits": things[:known], "rejected": things[known:]}


def shows(page: Any, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(page) == colour).all(2).any())


def test_the_steps_are_shown_in_order(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    steps = explain.steps_of(255 - grey)
    assert [caption.split()[0].rstrip(",:") for caption, _ in steps] == [
        "Grey",
        "Paper",
        "Ink",
        "Over",
        "Strokes",
    ]
    assert all(step.shape == grey.shape and step.dtype == np.uint8 for _, step in steps)
    assert (steps[0][1] == grey).all()  # dark on light, whatever it was
    strokes = steps[-1][1] == 255
    assert np.abs(int(strokes.sum()) - int((grey < 130).sum())) < 0.5 * int((grey < 130).sum())


def test_a_rejected_thing_is_crossed_out(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110), ("7", 180, 60, 110)])
    found = find_digits(grey)
    assert not shows(explain.sheet(grey, answer(found)), explain.REJECTED)
    page = explain.sheet(grey, answer(found, rejected=1))
    assert shows(page, explain.REJECTED)
    assert shows(page, explain.LINES[0])


def test_what_the_model_saw_is_on_the_sheet(draw: Callable[..., Bytes]) -> None:
    grey = draw([("4", 60, 60, 110)])
    (digit,) = find_digits(grey)
    page = np.asarray(explain.sheet(grey, answer([digit])).convert("L"))
    top = page.shape[0] - explain.GAP * 2 - explain.CAPTION - explain.INPUT
    seen = page[top : top + explain.INPUT : 3, explain.GAP : explain.GAP + explain.INPUT : 3]
    assert (seen == digit.image_u8).all()


def test_pictures_of_any_form_have_a_sheet(mnist: Bytes, draw: Callable[..., Bytes]) -> None:
    assert explain.steps_of(mnist[0]) == []
    many = draw([("1", 3 + 9 * i, 5 + 60 * line, 40) for line in range(4) for i in range(34)], pen=2)
    pictures = [mnist[0], np.full((1, 1), 9, np.uint8), np.full((3, 700), 200, np.uint8), many]
    widths = {explain.sheet(picture, answer(find_digits(picture))).width for picture in pictures}
    assert len(find_digits(many)) > explain.INPUTS
    assert len(widths) == 1
