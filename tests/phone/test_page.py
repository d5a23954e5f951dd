"""The page in Chromium: the camera, photographs, paper to write on, models to choose from."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import SIZES, WRITTEN, Phone, embedded, paper

pytestmark = pytest.mark.browser


# The threshold that the reader was asked for last.
ASKED = """
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, ...rest) {
  if (message.step === "read") self.asked = message.threshold;
  return post.call(this, message, ...rest);
};"""


def stroke(page: Any, points: list[tuple[float, float]]) -> None:
    """A stroke by a pointer, `points` as shares of the paper."""
    box = page.locator("#paper").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_digits_that_a_finger_draws(page: Phone) -> None:
    page.page.tap("#tab-draw")
    stroke(page.page, [(0.2, 0.2), (0.35, 0.2), (0.25, 0.8)])
    page.reads("#draw-answer", lambda text: text == "7")
    stroke(page.page, [(0.6, 0.15), (0.6, 0.85)])
    page.reads("#draw-answer", lambda text: text == "71")
    assert all(
        word in page.text("#draw-times") for word in ("pre-processing", "inference", "post-processing")
    )
    page.page.tap("#draw-undo")
    page.reads("#draw-answer", lambda text: text == "7")
    page.page.tap("#draw-clear")
    page.reads("#draw-answer", lambda text: text == "")
    assert page.page.locator("#draw-clear").is_disabled()
    assert page.told == []


def test_digits_by_their_keys_and_what_a_screen_reader_hears(page: Phone) -> None:
    """No pointer at all: tabs by arrows, the paper by Tab, digits by their keys."""
    page.page.focus("#tab-camera")
    page.page.keyboard.press("ArrowRight")
    assert page.page.evaluate("document.activeElement.id") == "tab-draw"
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.id") == "paper"
    for key in "3708":
        page.page.keyboard.press(key)
    page.reads("#draw-answer", lambda text: text == "3708")
    page.reads("#spoken", lambda text: text == "3708")
    page.page.keyboard.press("Backspace")
    page.reads("#draw-answer", lambda text: text == "370")
    page.page.keyboard.press("Escape")
    page.reads("#draw-answer", lambda text: text == "")


def test_another_model_reads_what_is_there(page: Phone) -> None:
    page.page.tap("#tab-draw")
    page.page.focus("#paper")
    page.page.keyboard.press("5")
    page.reads("#draw-answer", lambda text: text == "5")
    assert page.page.locator("#model option").all_inner_texts()[1].startswith("digits-nano")
    page.page.select_option("#model", "1")
    page.reads("#status", lambda text: text.startswith("WASM (simd); loaded in"))
    page.reads("#draw-answer", lambda text: text == "5")


def test_on_webgpu(page: Phone) -> None:
    """What really runs is said, with the adapter: here one that the processor plays."""
    page.page.tap("#tab-draw")
    page.page.focus("#paper")
    page.page.keyboard.press("2")
    page.page.select_option("#accelerator", "webgpu")
    page.reads("#status", lambda text: text.startswith("WebGPU (google swiftshader)"), 60)
    page.reads("#draw-answer", lambda text: text == "2")
    page.page.select_option("#accelerator", "wasm")
    page.reads("#status", lambda text: text.startswith("WASM (simd)"))
    page.page.keyboard.press("2")
    page.reads("#draw-answer", lambda text: text == "22")


def test_a_photograph(page: Phone, tmp_path: Path) -> None:
    picture = io.BytesIO()
    paper("2046", 900, 600).save(picture, "JPEG")
    page.page.set_input_files(
        "#photo-file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()}
    )
    page.reads("#camera-answer", lambda text: text == "2046")
    page.page.set_input_files(
        "#photo-file", {"name": "<b>.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    )
    assert page.reads("#camera-problem", bool) == "<b>.jpg is no picture that this browser reads."


def test_a_photograph_is_read_as_the_slider_stands_at_last(phone: Callable[..., Phone], site: int) -> None:
    """It is moved while the reader works for where it stood before, and another photograph is opened meanwhile."""
    here = phone()
    here.page.add_init_script(ASKED)
    here.open(f"http://127.0.0.1:{site}/")
    for number, text in enumerate(("2046", "571")):
        picture = io.BytesIO()
        paper(text, 900, 600).save(picture, "JPEG")
        here.page.set_input_files(
            "#photo-file", {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()}
        )
        if number == 0:
            here.reads("#camera-answer", lambda text: text == "2046")
            here.page.locator("#sure").evaluate(
                "slider => { for (const value of [99, 98, 20, 7]) {"
                "  slider.value = value; slider.dispatchEvent(new Event('input')); } }"
            )
    here.reads("#camera-answer", lambda text: text == "571")
    here.page.wait_for_timeout(500)
    assert here.text("#camera-answer") == "571"
    assert here.page.evaluate("self.asked") == 0.07
    assert here.page.locator("#camera-problem").is_hidden()


def test_boxes_lie_where_the_digits_are_when_the_phone_is_turned(page: Phone) -> None:
    picture = io.BytesIO()
    paper("57", 600, 900).save(picture, "PNG")
    page.page.set_input_files(
        "#photo-file", {"name": "a.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    )
    page.reads("#camera-answer", lambda text: text == "57")
    drawn = "canvas => [canvas.width / canvas.clientWidth, canvas.height / canvas.clientHeight]"
    for size in SIZES.values():
        page.page.set_viewport_size({"width": size[0], "height": size[1]})
        end_s = time.monotonic() + 10
        while np.ptp(scales := page.page.locator("#camera-boxes").evaluate(drawn)) > 0.02:
            assert time.monotonic() < end_s, (size, scales)
            page.page.wait_for_timeout(100)


def test_a_model_of_whole_pictures(phone: Callable[..., Phone], exported: Path, site: int) -> None:
    """It is shown the middle of the picture, averaged down, and no digit is sought."""
    here = phone()
    rows = (exported / "models.json").read_text().replace('"framing": "ink"', '"framing": "whole"')
    here.context.route(
        "**/models.json", lambda route: route.fulfill(body=rows, content_type="application/json")
    )
    here.open(f"http://127.0.0.1:{site}/")
    train, picture = embedded(0), io.BytesIO()
    five = train.images[np.flatnonzero(train.labels == 5)[0], :, :, 0]
    wide = np.pad(np.kron(five, np.ones((20, 20), np.uint8)), ((0, 0), (120, 120)))
    Image.fromarray(wide).save(picture, "PNG")
    here.page.set_input_files(
        "#photo-file", {"name": "five.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    )
    here.reads("#camera-answer", lambda text: text == "5")


def test_what_the_camera_sees(page: Phone) -> None:
    page.page.tap("#camera-start")
    page.reads("#camera-answer", lambda text: text == WRITTEN)
    page.reads("#camera-times", lambda text: "frames a second" in text)
    video = "document.getElementById('video')"
    assert page.page.evaluate(f"{video}.muted && {video}.playsInline && {video}.videoWidth > 0")
    assert page.page.locator("#camera-stage").evaluate("stage => stage.style.aspectRatio") == "640 / 480"
    drawn = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    )
    assert page.page.locator("#camera-boxes").evaluate(drawn)
    page.page.tap("#camera-start")
    assert page.page.evaluate(f"{video}.srcObject") is None
    assert not page.page.locator("#camera-boxes").evaluate(drawn)


def test_the_camera_is_given_back_where_nobody_looks(page: Phone) -> None:
    page.page.tap("#camera-start")
    page.reads("#camera-answer", lambda text: text == WRITTEN)
    page.page.evaluate("self.track = document.getElementById('video').srcObject.getVideoTracks()[0]")
    page.page.tap("#tab-draw")
    assert page.page.evaluate("self.track.readyState") == "ended"
    page.page.tap("#tab-camera")
    page.reads("#camera-answer", lambda text: text == WRITTEN)


def test_the_threshold_of_a_model_is_its_own_to_the_bit(
    phone: Callable[..., Phone], exported: Path, site: int
) -> None:
    """Half a step of an int8 model's answers, which the slider's whole percents would take for a half."""
    rows = json.loads((exported / "models.json").read_text())
    here = phone()
    here.page.add_init_script(ASKED)
    for row in rows:
        row["threshold"] = 128.5 / 256
    here.context.route(
        "**/models.json", lambda route: route.fulfill(body=json.dumps(rows), content_type="application/json")
    )
    here.open(f"http://127.0.0.1:{site}/")
    assert here.page.locator("#sure-value").text_content() == "50 %"
    here.page.tap("#tab-draw")
    here.page.focus("#paper")
    here.page.keyboard.press("4")
    here.reads("#draw-answer", lambda text: text == "4")
    assert here.page.evaluate("self.asked") == 128.5 / 256


def test_nothing_less_sure_than_the_user_wants(page: Phone) -> None:
    page.page.tap("#tab-draw")
    page.page.focus("#paper")
    page.page.keyboard.press("4")
    page.reads("#draw-answer", lambda text: text == "4")
    # Two strokes that are no digit.
    page.page.keyboard.press("Escape")
    page.page.locator("#sure").evaluate(
        "slider => { slider.value = 99; slider.dispatchEvent(new Event('input')); }"
    )
    stroke(page.page, [(0.3, 0.2), (0.5, 0.8), (0.4, 0.8), (0.45, 0.2), (0.3, 0.8), (0.55, 0.4), (0.3, 0.5)])
    page.reads("#draw-times", lambda text: "pre-processing" in text)
    assert page.text("#draw-answer") == ""
