"""What the page's modules have in common with Python's comes out the same in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edgebig.ondevice import infer
from edgebig.ondevice.smoothing import Smoother
from edgebig.phone import assets

from .conftest import Phone, hosted

pytestmark = pytest.mark.browser

TENSORS = (
    infer.Tensor("", "float32", (1, 28, 28, 1), 0.0, 0),
    infer.Tensor("", "uint8", (1, 28, 28, 1), 1 / 255, 0),
    infer.Tensor("", "uint8", (1, 28, 28, 1), 0.0078125, 128),
    infer.Tensor("", "uint8", (1, 28, 28, 1), 0.0123, 7),
    infer.Tensor("", "uint8", (1, 28, 28, 1), 0.0, 0),
)
RANGES = ((0.0, 1.0, True), (-1.0, 1.0, True), (0.0, 255.0, False), (-0.42, 2.8, True), (1.0, 0.0, True))

TABLES = """async (cases) => {
  const { inputTable } = await import("/app/levels.js");
  return cases.map(([tensor, preprocessing]) => {
    try { return [...inputTable(tensor, preprocessing)]; } catch (error) { return error.name; }
  });
}"""
SMOOTH = """async ({ hold, frames }) => {
  const { Smoother } = await import("/app/smoothing.js");
  const smoother = new Smoother(hold);
  return frames.map((frame) => smoother.update(frame));
}"""


@pytest.fixture
def modules(phone: Callable[..., Phone]) -> Iterator[Phone]:
    """A page that may import each of our modules by itself."""
    with hosted(assets.STATIC) as port:
        here = phone()
        here.page.goto(f"http://127.0.0.1:{port}/app/manifest.webmanifest")
        yield here


def table(tensor: infer.Tensor, preprocessing: dict[str, Any]) -> list[float] | str:
    try:
        return infer.input_table(tensor, preprocessing).tolist()  # type: ignore[no-any-return]
    except infer.Fault:
        return "RangeError"


def test_what_a_pixel_becomes(modules: Phone) -> None:
    cases = [
        (tensor, {"low": low, "high": high, "ink_is_high": ink})
        for tensor in TENSORS
        for low, high, ink in RANGES
    ]
    expected = [table(*case) for case in cases]
    found = modules.page.evaluate(
        TABLES, [[tensor._asdict(), preprocessing] for tensor, preprocessing in cases]
    )
    assert expected == found
    assert "RangeError" in expected
    assert expected.count("RangeError") < len(TENSORS)


def frames(seed: int, count: int = 40) -> list[dict[str, Any]]:
    """Digits that tremble, are misread, go, come and pass each other, as a camera's do."""
    draw = np.random.default_rng(seed)
    things = [[*draw.uniform(0, 500, 2), *draw.uniform(8, 90, 2)] for _ in range(9)]
    told = []
    for frame in range(count):
        answer: dict[str, Any] = {"digits": [], "rejected": []}
        for number, (x, y, width, height) in enumerate(things):
            if draw.random() < 0.15:
                continue
            label = str(number if draw.random() < 0.8 else draw.integers(10))
            box = [int(x + frame * (number % 3) * 4 + draw.normal(0, 2)), int(y), int(width), int(height)]
            thing = {"label": label, "confidence": float(draw.uniform(0.3, 1)), "box": box, "line": 0}
            answer["digits" if draw.random() < 0.9 else "rejected"].append(thing)
        told.append(answer)
    return told


@pytest.mark.parametrize("hold", [1, 3])
def test_digits_hold_still_in_both(modules: Phone, hold: int) -> None:
    """Where a box lies exactly between two pixels, Python goes to the even one and JavaScript up."""
    seen = frames(seed=hold)
    smoother = Smoother(hold)
    expected = [smoother.update(frame) for frame in seen]
    found = modules.page.evaluate(SMOOTH, {"hold": hold, "frames": seen})
    assert sum(map(len, expected)) > 100
    for ours, theirs in zip(expected, found, strict=True):
        by_track = [{one["track"]: one for one in shown} for shown in (ours, theirs)]
        assert by_track[0].keys() == by_track[1].keys()
        for track, one in by_track[0].items():
            other = by_track[1][track]
            assert (one["label"], one["confidence"]) == (
                other["label"],
                pytest.approx(other["confidence"], abs=1e-4),
            )
            assert np.abs(np.subtract(one["box"], other["box"])).max() <= 1
