"""What browsers say of themselves, in a few words."""

from __future__ import annotations

import pytest

from edgebig.phone import facts, qr

AGENTS = {
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36": (
        "Android 10", "Chrome 143", "",
    ),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1": ("iOS 18", "Safari 26", "iPhone"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Safari/605.1.15": ("macOS", "Safari 26", ""),
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0": ("Android 15", "Firefox 145", ""),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 "
    "Mobile Safari/537.36": ("Android 10", "Samsung Internet 29", ""),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36 "
    "Edg/143.0.0.0": ("Windows", "Edge 143", ""),
    "curl/8": ("unknown", "a browser", ""),
}  # fmt: skip


@pytest.mark.parametrize(("agent", "told"), AGENTS.items(), ids=[told[1] for told in AGENTS.values()])
def test_user_agents(agent: str, told: tuple[str, str, str]) -> None:
    found = {"user_agent": agent}
    assert (facts.system(found), facts.browser(found), facts.model(found)) == told


def test_the_model_that_is_told_comes_first() -> None:
    agent = next(iter(AGENTS))
    assert facts.about({"user_agent": agent, "model": "Pixel 8"}) == "Pixel 8, Android 10, Chrome 143"


@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ({"user_agent": "HeadlessChrome/143"}, True), ({"user_agent": "Chrome/143", "automated": True}, True),
        ({"user_agent": "Chrome/143", "automated": False}, False), ({}, False), ({"user_agent": 7}, False),
    ],
)  # fmt: skip
def test_a_browser_that_nobody_holds_is_a_stand_in(told: dict[str, object], is_one: bool) -> None:
    assert facts.is_stand_in(told) is is_one


@pytest.mark.parametrize("colour", [True, False])
def test_the_code_is_read_back(colour: bool) -> None:
    """By the picture that a terminal with light letters on dark makes of it; with colours dark on light."""
    segno = pytest.importorskip("segno", reason="needs segno")
    url = "https://192.168.100.100:8765/#t=abcdefghijklmnopqrstuv"
    wanted = [list(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    lines = qr.text(url, colour=colour).splitlines()
    halves = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    drawn: list[list[int]] = []
    for line in lines:
        cells = [halves[one] for one in line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m")]
        drawn += [[upper for upper, _ in cells], [lower for _, lower in cells]]
    dark = [[int(bool(one) == colour) for one in row] for row in drawn]
    assert dark[: len(wanted)] == [[int(bool(one)) for one in row] for row in wanted]
    assert max(len(line) for line in drawn) <= 60
