"""Which viewers are opened, what they print, and a window on a real (virtual) screen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig import camera
from edgebig.camera import Closed, viewers, window
from edgebig.camera.page import Page
from edgebig.camera.record import Recorder
from edgebig.camera.terminal import JsonLines, Lines, reading
from edgebig.camera.viewers import Wanted
from edgebig.drivers.protocol import Event
from edgebig.drivers.stream import Says
from edgebig.errors import EdgebigError

ROOT = Path(__file__).resolve().parent.parent.parent


def frame(label: str = "42", **changes: Any) -> Event:
    digits = [{"label": char, "confidence": 0.9, "box": [0, 0, 9, 9], "line": n // 2, "track": n}
              for n, char in enumerate(label)]  # fmt: skip
    values = {
        "event": "frame", "frame": 0, "label": label, "confidence": 0.9, "digits": digits, "now": {}, "pre_ms": 9.25,
        "inference_ms": 0.4, "post_ms": 0.1, "latency_ms": 12.0, "per_s": 30.0,
    }  # fmt: skip
    return {**values, **changes}


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def kinds(wanted: Wanted) -> list[type]:
    with viewers.opened(wanted, Says()) as opened:
        return [type(viewer) for viewer in opened]


def test_which_viewers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_screen", lambda: False)
    assert kinds(Wanted()) == [Lines, Page]
    assert kinds(Wanted(json=True)) == [JsonLines]
    assert kinds(Wanted(json=True, show="page")) == [JsonLines, Page]
    assert kinds(Wanted(show="none", record=tmp_path)) == [Recorder, Lines]
    with pytest.raises(EdgebigError, match="there is no screen here") as caught:
        kinds(Wanted(show="window"))
    assert "--show page" in caught.value.hint


@pytest.mark.parametrize(
    ("wanted", "flag", "left_out"),
    [
        (Wanted(show="page"), None, "none"),
        (Wanted(show="page"), True, "all"),
        (Wanted(json=True), None, "files"),
        (Wanted(json=True), False, "none"),
        (Wanted(json=True, show="page"), None, "none"),
        (Wanted(show="none"), None, "files"),
    ],
)
def test_who_looks_on_sees_a_file_at_its_own_pace(wanted: Wanted, flag: bool | None, left_out: str) -> None:
    assert wanted.every_frame_of(flag) == left_out


def test_json_lines_have_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    for event in ({"event": "waiting"}, frame(jpeg="x", png="y"), {"event": "end", "frames": 1}):
        JsonLines().show(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [frame(), {"event": "end", "frames": 1}]


def test_without_a_terminal_a_line_is_what_changes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for label in ("", "", "42", "42", "137", "42"):
        lines.show(frame(label))
    lines.show(frame("42", image="a\x1b[2J.png"))
    lines.show({"event": "error", "problem": "b.png is no picture", "hint": "look"})
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "no digit", "42 (90%)", "13 / 7 (90%)", "42 (90%)", "a\\x1b[2J.png: 42 (90%)"
    ]  # fmt: skip
    assert "b.png is no picture" in printed.err


def test_a_whole_picture_is_a_class() -> None:
    assert reading(frame("cat", digits=[], now={"top": []})) == "cat (90%)"
    assert reading(frame("", digits=[], now={"top": []})) == "nothing read"


def test_what_closes_a_viewer_ends_what_is_shown_and_is_no_fault() -> None:
    ended = []

    def events() -> Generator[Event, None, None]:
        try:
            while True:
                yield frame()
        finally:
            ended.append(True)

    class Shut:
        def show(self, event: Event) -> None:
            raise Closed

        def stay(self) -> None:
            raise AssertionError

    assert camera.live(events(), [Shut()]) == 0
    assert ended == [True]


@pytest.fixture
def screen() -> Iterator[str]:
    """The name of an X server of its own."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    pytest.importorskip("tkinter", reason="needs tkinter")
    readable, writable = os.pipe()
    command = ["Xvfb", "-displayfd", str(writable), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, pass_fds=[writable], **quiet) as server:
        os.close(writable)
        try:
            with os.fdopen(readable) as told:
                yield f":{told.readline().strip()}"
        finally:
            server.terminate()


def on_screen(screen: str, code: str) -> str:
    """What the code prints in a process of its own: Tk keeps its screen as long as a process lives."""
    environment = {**os.environ, "DISPLAY": screen, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_window_shows_the_picture_and_can_be_closed(screen: str) -> None:
    code = """
        import base64, io, time
        from PIL import Image, ImageGrab
        from edgebig.camera import Closed, window
        packed = io.BytesIO()
        Image.new("RGB", (320, 240), (0, 200, 0)).save(packed, "JPEG")
        event = {"event": "frame", "label": "42", "confidence": 0.9, "digits": [], "now": {}, "pre_ms": 9.0,
                 "inference_ms": 0.4, "post_ms": 0.1, "latency_ms": 12.0, "per_s": 30.0,
                 "jpeg": base64.b64encode(packed.getvalue()).decode()}
        shown = window.Window()
        shown.show({"event": "waiting"})
        end_s, green = time.monotonic() + 20, 0
        while green != 320 * 240 and time.monotonic() < end_s:
            shown.show(event)
            seen = ImageGrab.grab(xdisplay="").getcolors(1 << 20)
            green = sum(count for count, (r, g, b) in seen if g > 180 and r < 30 and b < 30)
        shown._root.focus_force()
        shown._root.event_generate("<Escape>", when="tail")
        try:
            shown.show(event)
        except Closed:
            shown.stay()
            shown.close()
            print(green, "closed")
    """
    assert on_screen(screen, code) == f"{320 * 240} closed"


@pytest.mark.slow
def test_auto_is_a_window_where_there_is_a_screen_that_answers(screen: str) -> None:
    code = """
        import os
        from edgebig.camera import viewers
        from edgebig.drivers.stream import Says
        from edgebig.errors import EdgebigError
        def kinds(**wanted):
            says = Says()
            with viewers.opened(viewers.Wanted(**wanted), says) as opened:
                watched = [] if says.lines.empty() else [says.lines.get()]
                assert watched == ([b'{"watched": true}\\n'] if type(opened[-1]).__name__ == "Window" else [])
                return [type(viewer).__name__ for viewer in opened]
        print(kinds(), kinds(json=True, show="window"))
        os.environ["DISPLAY"] = ":9999"
        print(kinds())
        try:
            kinds(show="window")
        except EdgebigError as error:
            print(error.problem)
    """
    first, second, third = on_screen(screen, code).splitlines()
    assert first == "['Lines', 'Window'] ['JsonLines', 'Window']"
    assert second == "['Lines', 'Page']"
    assert third.startswith("no window can be opened")
