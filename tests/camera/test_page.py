"""The page over real sockets: who gets in, what slow and many viewers cost, and what a browser shows of it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgebig.camera import page as pages
from edgebig.camera.page import Newest, Page
from edgebig.errors import EdgebigError
from edgebig.ondevice import opencv
from edgebig.ondevice.faults import Fault


def jpeg(shade: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", size, (shade, 200, 0)).save(packed, "JPEG")
    return packed.getvalue()


def frame(label: str = "42", picture: bytes | None = None) -> dict[str, Any]:
    digits = [
        {"label": char, "confidence": 0.9, "box": [0, 0, 9, 9], "line": 0, "track": n} for n, char in enumerate(label)
    ]  # fmt: skip
    return {
        "event": "frame", "frame": 0, "label": label, "confidence": 0.9, "digits": digits, "now": {}, "pre_ms": 9.25,
        "inference_ms": 0.4, "post_ms": 0.1, "latency_ms": 12.0, "per_s": 30.0,
        "jpeg": base64.b64encode(jpeg() if picture is None else picture).decode(), "png": "x",
    }  # fmt: skip


OPENED = {"event": "opened", "source": "camera 0", "width": 640, "height": 480, "per_s": 30.0, "live": True}


@pytest.fixture
def page() -> Iterator[Page]:
    with contextlib.closing(Page()) as opened:
        yield opened


def ask(
    page: Page, path: str | None = None, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    """`path`: behind the token, or from the root where it begins with /."""
    port = int(page.url.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    path = path if path and path.startswith("/") else f"/{page.token}/{path or ''}"
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return connection.getresponse(), connection


def status(page: Page, path: str | None = None, method: str = "GET", **headers: str) -> int:
    response, connection = ask(page, path, method, **headers)
    connection.close()
    return response.status


def test_the_page_and_its_files(page: Page) -> None:
    for name, kind in {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}.items():
        response, connection = ask(page, name)
        assert (response.status, response.headers["Content-Type"].split(";")[0]) == (200, kind)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Cache-Control"] == "no-store"
        assert len(response.read()) > 300
        connection.close()


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/", {}, 404),
        ("/wrong/stream", {}, 404),
        ("/%s/../../etc/passwd", {}, 404),
        ("/%s/page.html", {}, 404),
        ("/%s/stream/", {}, 404),
        ("/%s/", {"Host": "evil.example"}, 421),
        ("/%s/", {"Host": "evil.example:8765"}, 421),
        ("/%s/", {"Host": "127.0.0.1.evil.example"}, 421),
        ("/%s/", {"Host": ""}, 421),
        ("/%s/", {"Host": "localhost:9999"}, 200),  # by ssh -L
        ("/%s/", {"Host": "LOCALHOST"}, 200),
        ("/%s/stream", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/%s/stream", {"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_who_gets_in(page: Page, path: str, headers: dict[str, str], code: int) -> None:
    assert status(page, path.replace("%s", page.token), **headers) == code


@pytest.mark.parametrize(
    "line", [b"GET /\xe9\xff/ HTTP/1.0", b"GET  HTTP/1.0", b"GET / HTTP/9.9", b"\x16\x03\x01"]
)
def test_what_is_no_request_is_refused(page: Page, line: bytes) -> None:
    with socket.create_connection(page._server.server_address[:2], timeout=10) as client:
        client.sendall(line + b"\r\nHost: localhost\r\n\r\n")
        assert b"200" not in client.recv(1000).split(b"\r\n")[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get(page: Page, method: str) -> None:
    assert status(page, "", method) == 501


def test_the_token_is_another_each_time_and_long() -> None:
    with contextlib.closing(Page()) as one, contextlib.closing(Page()) as other:
        assert one.token != other.token
        assert len(one.token) >= 24
        assert one.url != other.url  # The second found another port.


def test_it_listens_on_this_machine_alone(page: Page) -> None:
    assert page._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            EdgebigError, match=f"port {taken.getsockname()[1]}: Address already in use"
        ) as caught:
            Page(taken.getsockname()[1])
    assert "--port" in caught.value.hint


def test_answers_are_told_without_pictures_and_who_comes_late_gets_the_last(page: Page) -> None:
    page.show(OPENED)
    page.show(frame("42"))
    response, connection = ask(page, "answers")
    line = response.readline()
    told = json.loads(line.removeprefix(b"data: "))
    assert told["frame"]["label"] == "42"
    assert told["opened"] == OPENED
    assert "jpeg" not in line.decode()
    assert "png" not in told["frame"]
    connection.close()


def parts(response: http.client.HTTPResponse, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        assert response.readline() == b"--frame\r\n"
        assert response.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(response.readline().split(b":")[1])
        assert response.readline() == b"\r\n"
        found.append(response.read(length))
        assert response.readline() == b"\r\n"
    return found


def test_the_stream_is_the_newest_pictures_and_one_that_stands_still_is_sent_again(page: Page) -> None:
    page.show(frame(picture=jpeg(10)))
    response, connection = ask(page, "stream")
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert parts(response, 2) == [jpeg(10)] * 2
    page.show(frame(picture=jpeg(200)))
    assert parts(response, 1) == [jpeg(200)]
    connection.close()


def test_it_tells_when_somebody_watches_and_when_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_AGAIN_S", 0.02)
    monkeypatch.setattr(pages, "_KEPT_ALIVE_S", 0.02)
    told: list[bool] = []
    with contextlib.closing(Page(watched=told.append)) as page:
        page.show(frame())
        # The page itself and what is read are no picture.
        answers, reading = ask(page, "answers")
        assert (status(page, ""), answers.status, told) == (200, 200, [])
        first, one = ask(page, "stream")
        parts(first, 1)
        second, other = ask(page, "stream")
        parts(second, 1)
        assert told == [True]
        for response, connection in ((first, one), (second, other)):
            assert told == [True]
            response.close()
            connection.close()
        until(lambda: told == [True, False])
        response, connection = ask(page, "stream")
        parts(response, 1)
        assert told == [True, False, True]
        connection.close()
        reading.close()


def test_a_viewer_that_reads_nothing_holds_nobody_up(page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    packed = io.BytesIO()
    Image.fromarray(noise).save(packed, "JPEG", quality=95)
    _, asleep = ask(page, "stream")  # It never reads on.
    response, awake = ask(page, "stream")
    began_s = time.monotonic()
    for number in range(60):
        page.show(frame(picture=packed.getvalue() + bytes([number])))
    assert time.monotonic() - began_s < 5
    newest = b""
    while not newest.endswith(bytes([59])):
        (newest,) = parts(response, 1)
    asleep.close()
    awake.close()


def test_there_is_a_most_of_viewers_and_their_places_become_free(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_AGAIN_S", 0.02)
    monkeypatch.setattr(pages, "_KEPT_ALIVE_S", 0.02)
    page.show(frame())
    came = [ask(page, "stream") for _ in range(2 * pages.VIEWERS)]
    assert {response.status for response, _ in came} == {200}
    assert status(page, "stream") == 503
    assert status(page, "") == 200
    for response, connection in came:
        response.close()
        connection.close()
    until(lambda: status(page, "stream") == 200)


def test_a_connection_that_says_nothing_is_closed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages._Handler, "timeout", 0.1)
    with socket.create_connection(page._server.server_address[:2], timeout=10) as silent:
        silent.sendall(b"GET / HT")
        assert silent.recv(100) == b""


def test_streams_end_with_the_page() -> None:
    page = Page()
    page.show(frame())
    response, connection = ask(page, "answers")
    assert response.readline().startswith(b"data: ")
    page.close()
    assert b"data" not in response.read()
    connection.close()


def test_the_newest_is_waited_for_and_ends() -> None:
    newest = Newest()
    assert newest.newer(0, 0.001) == (0, b"")
    newest.put(b"a")
    newest.put(b"b")
    assert newest.newer(0, 1) == (2, b"b")
    assert newest.newer(2, 0.001) == (2, b"")
    newest.end()
    assert newest.newer(0, 1) == (2, b"b")
    assert newest.newer(2, 1) is None


def test_it_is_a_source_as_a_camera_in_the_network_is(page: Page) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    ended = threading.Event()

    def feed() -> None:
        while not ended.wait(0.01):
            page.show(frame(picture=jpeg(90)))

    threading.Thread(target=feed, daemon=True).start()
    source = opencv.stream(f"{page.url}stream")
    came = [next(source.given)[1] for _ in range(3)]
    page.close()
    ended.set()
    with pytest.raises(Fault, match="gives no pictures any more"):
        list(source.given)
    assert (source.live, {image.size for image in came if isinstance(image, Image.Image)}) == (
        True,
        {(64, 48)},
    )


def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.browser
def test_a_browser_shows_it(page: Page, playwright: Any) -> None:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    page.show(OPENED)
    page.show(frame("42"))
    options = {"executable_path": path, "args": ["--no-sandbox", "--disable-background-networking"]}
    browser = playwright.chromium.launch(**options)
    tab = browser.new_page(viewport={"width": 320, "height": 568})
    faults: list[str] = []
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.goto(page.url, wait_until="commit")
    until(lambda: tab.evaluate("document.getElementById('live').naturalWidth") == 64)
    until(lambda: tab.inner_text("#reading") == "42")
    assert tab.inner_text("#state") == "camera 0, 640 × 480"
    assert (tab.inner_text("#pre_ms"), tab.inner_text("#per_s")) == ("9.3 ms", "30.0")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    time.sleep(0.2)
    page.show(frame("<b>7</b>"))
    until(lambda: tab.inner_text("#reading") == "<b>7</b>")
    hidden = (
        "(is) => { Object.defineProperty(document, 'hidden', {value: is, configurable: true}); "
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    tab.evaluate(hidden, True)
    until(lambda: page._watching == 0)
    tab.evaluate(hidden, False)
    until(lambda: page._watching == 1)
    until(lambda: tab.evaluate("document.getElementById('live').naturalWidth") == 64)
    assert faults == []
    page.close()
    until(lambda: tab.get_attribute("#state", "class") == "lost")
    browser.close()
