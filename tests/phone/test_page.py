"""The page in Chromium: paper and photographs, keyboard and screen reader, small screens, and what is not there."""

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

from .conftest import SWITCHES, WRITTEN, Phone, embedded, launched, paper

pytestmark = pytest.mark.browser

SIZES = {"small": (320, 568), "tall": (412, 915), "small on its side": (568, 320), "wide": (915, 412)}


@pytest.fixture
def page(phone: Callable[..., Phone], site: int) -> Phone:
    opened = phone()
    opened.open(f"http://127.0.0.1:{site}/")
    return opened


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
    here.page.add_init_script(
        "const post = Worker.prototype.postMessage;"
        "Worker.prototype.postMessage = function (message, ...rest) {"
        "  if (message.step === 'read') self.asked = message.threshold;"
        "  return post.call(this, message, ...rest); };"
    )
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


# ---------------------------------------------------------------- what is not there


def test_without_a_secure_context_it_says_why_and_the_rest_works(
    phone: Callable[..., Phone], site: int
) -> None:
    here = phone()
    here.open(f"http://phone.test:{site}/")
    assert "https and localhost only" in here.text("#camera-problem")
    assert here.page.locator("#camera-start").is_disabled()
    here.page.tap("#tab-draw")
    here.page.focus("#paper")
    here.page.keyboard.press("6")
    here.reads("#draw-answer", lambda text: text == "6")
    assert here.page.evaluate("self.isSecureContext") is False


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        (("--use-fake-ui-for-media-stream",), "This device has no camera that the browser knows of."),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "The camera was not allowed."),
    ],
    ids=["none", "denied"],
)
def test_a_camera_that_cannot_be_had(
    playwright: Any, site: int, switches: tuple[str, ...], words: str
) -> None:
    with launched(playwright, *switches) as browser:
        here = Phone(browser)
        here.open(f"http://127.0.0.1:{site}/")
        here.page.tap("#camera-start")
        assert here.reads("#camera-problem", bool).startswith(words)
        assert here.text("#camera-start") == "Start the camera"


def test_a_model_that_litertjs_refuses_is_named(phone: Callable[..., Phone], site: int) -> None:
    here = phone()

    def damaged(route: Any) -> None:
        route.fulfill(body=b"no model" * 100, content_type="application/octet-stream")

    here.context.route("**/models/*.tflite", damaged)
    here.page.goto(f"http://127.0.0.1:{site}/")
    assert "LiteRT.js refuses it" in here.reads("#status", lambda text: "refuses" in text)


def test_a_name_is_text_and_never_html(phone: Callable[..., Phone], exported: Path, site: int) -> None:
    here = phone()
    rows = (
        (exported / "models.json")
        .read_text()
        .replace("digits-nano distil-int8", "<img src=x onerror=alert(1)>")
    )
    here.context.route(
        "**/models.json", lambda route: route.fulfill(body=rows, content_type="application/json")
    )
    here.open(f"http://127.0.0.1:{site}/")
    assert here.page.locator("#model option").all_inner_texts()[1].startswith("<img src=x")
    here.page.tap("#tab-bench")
    here.page.tap("#bench-start")
    assert "<img src=x" in here.reads("#bench-rows", lambda text: "<img" in text)
    assert here.page.locator("#bench-rows img").count() == 0


# ---------------------------------------------------------------- small screens, colours, names


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_touched_and_read(page: Phone, scheme: str) -> None:
    page.page.emulate_media(color_scheme=scheme)
    page.page.tap("#tab-bench")
    page.page.locator("summary").click()
    for size, (width, height) in SIZES.items():
        page.page.set_viewport_size({"width": width, "height": height})
        for tab in ("camera", "draw", "bench"):
            page.page.tap(f"#tab-{tab}")
            assert page.page.evaluate(EXAMINE) == [], f"{size}, {scheme}, {tab}"


# What a user could not touch, not read, or whose name a screen reader would not say; and what is wider than the screen.
EXAMINE = """() => {
  const faults = [];
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wide: ${document.documentElement.scrollWidth}`);
  const shown = [...document.querySelectorAll('button, select, input, .button, summary, canvas[tabindex]')].filter(
    (one) => one.getClientRects().length && !one.closest('.visually-hidden'));
  for (const one of shown) {
    const { width, height } = one.getBoundingClientRect();
    if (Math.min(width, height) < 44) faults.push(`small: ${one.id || one.textContent} ${width}x${height}`);
    const name = one.ariaLabel || one.labels?.[0]?.textContent || one.textContent;
    if (!name.trim()) faults.push(`nameless: ${one.id}`);
  }
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => value / 255).map(
      (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    const { backgroundColor } = getComputedStyle(one);
    return /, 0\\)$/.test(backgroundColor) && one.parentElement ? behind(one.parentElement) : backgroundColor;
  };
  const texts = [...document.querySelectorAll('h1, label, p, button, .button, select, output, summary, dt, dd')].filter(
    (one) => one.getClientRects().length && one.textContent.trim() && !one.disabled);
  for (const one of texts) {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`pale: ${one.id || one.textContent.trim().slice(0, 20)} ${contrast.toFixed(1)}`);
  }
  return faults;
}"""


def test_the_switches_of_the_tests_leave_the_page_s_policy_alone() -> None:
    """A test that turned the browser's rules off would show nothing of a phone."""
    assert not any("web-security" in switch or "bypass" in switch for switch in SWITCHES)
