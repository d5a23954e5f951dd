"""The page where something is not there, on small screens, and as those meet it who see or point badly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import SIZES, SWITCHES, Phone, launched

pytestmark = pytest.mark.browser


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


def test_no_other_text_runs_as_a_part_of_the_page(phone: Callable[..., Phone], site: int) -> None:
    """Whatever is kept, or comes, in place of the page's script: the browser holds it against the page's policy."""
    here = phone()
    here.context.route("**/app/bundle.js", lambda route: route.fulfill(body="self.evil = true;"))
    here.page.goto(f"http://127.0.0.1:{site}/")
    wanted = "The page could not be loaded: its script did not start. Load it again."
    here.reads("#status", lambda text: text == wanted)
    assert here.page.evaluate("self.evil") is None
    for way in (
        "import(URL.createObjectURL(new Blob(['self.evil = true'], { type: 'text/javascript' })))",
        "new Promise((yes, no) => { const script = document.createElement('script');"
        " script.src = URL.createObjectURL(new Blob(['self.evil = true'])); script.onerror = no; script.onload = yes;"
        " document.head.append(script); })",
    ):
        assert here.page.evaluate(f"(async () => {way})().then(() => 'ran', () => 'refused')") == "refused"
    assert here.page.evaluate("self.evil") is None


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
