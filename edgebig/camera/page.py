"""A page on this machine alone that shows the camera: its picture as Motion JPEG, and what is read beside it.

Who may see it: whoever knows its address, which holds a token, from this machine (or through `ssh -L`). Another
machine cannot reach it; a page of another site can neither read it, nor reach it by a name of its own.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgebig.camera import without_pictures
from edgebig.drivers.protocol import Event
from edgebig.errors import EdgebigError
from edgebig.progress import say

PORT = 8765
VIEWERS = 16
ANSWERS_PER_S = 10.0
_HOST = "127.0.0.1"
_STALLED_S = 10.0
_KEPT_ALIVE_S = 5.0
_AGAIN_S = 0.3
_LOOK_S = 0.05  # for the end
_STATIC = Path(__file__).parent / "static"
_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_BOUNDARY = "frame"


class Newest:
    """The newest of what comes, for any number of threads that each wait for one newer than their last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._thing: bytes = b""
        self._ended = False

    def put(self, thing: bytes) -> None:
        with self._changed:
            self._number += 1
            self._thing = thing
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def newer(self, than: int, timeout_s: float) -> tuple[int, bytes] | None:
        """It and its number, from 1; b"" where none came in that time; None where no more will."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > than or self._ended, timeout_s)
            if self._number > than:
                return self._number, self._thing
            return None if self._ended else (than, b"")


class Page:
    """The server, from when it is made. Raises EdgebigError where `port` is taken; without one it finds another.

    `watched` is called when the first begins to watch the picture, and when the last has ceased to.
    """

    def __init__(self, port: int | None = None, watched: Callable[[bool], None] = lambda _: None) -> None:
        self.pictures = Newest()
        self.answers = Newest()
        self.token = secrets.token_urlsafe(18)
        self.places = threading.BoundedSemaphore(VIEWERS * 2)  # A viewer has a picture and the answers.
        self._server = _bound(port, self)
        self._state: dict[str, Event] = {}
        self._watched = watched
        self._watching = 0
        self._lock = threading.Lock()
        self.url = f"http://{_HOST}:{self._server.server_port}/{self.token}/"
        threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), daemon=True).start()

    def show(self, event: Event) -> None:
        """One encoded picture serves all viewers. Its address is told once there is something to see."""
        if event["event"] == "opened":
            port = self._server.server_port
            say(f"watch: {self.url}")
            say(f"  from another machine, the same after: ssh -L {port}:{_HOST}:{port} THIS_MACHINE")
        if "jpeg" in event:
            self.pictures.put(base64.b64decode(event["jpeg"]))
        if event["event"] != "waiting":
            # Who comes later is told all that holds now.
            self._state[event["event"]] = without_pictures(event)
            self.answers.put(json.dumps(self._state).encode())

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """While somebody watches the picture."""
        with self._lock:
            self._watching += 1
            if self._watching == 1:
                self._watched(True)
        try:
            yield
        finally:
            with self._lock:
                self._watching -= 1
                if not self._watching:
                    self._watched(False)

    def stay(self) -> None:
        """Until Ctrl-C, where there is somebody to press it."""
        if sys.stdout.isatty():
            say("the page shows the last picture; Ctrl-C ends it")
            threading.Event().wait()

    def close(self) -> None:
        self.pictures.end()
        self.answers.end()
        self._server.shutdown()
        self._server.server_close()


def _bound(port: int | None, page: Page) -> ThreadingHTTPServer:
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            return _Server(wanted, page)
        except OSError as error:
            if port is not None:
                raise EdgebigError(
                    f"port {port}: {error.strerror}", "name another --port, or none: a free one is found"
                ) from error
    raise EdgebigError("no free port on this machine", "end other programs")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, page: Page) -> None:
        self.page = page
        super().__init__((_HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that goes away in the middle of a picture is no event; anything else is a bug, and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """GET alone. A connection that stalls is closed; each has a thread, and there are not many."""

    server: _Server
    timeout = _STALLED_S
    server_version = "edgebig"
    sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
        pass

    def do_GET(self) -> None:
        page = self.server.page
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host", "")
        if host.lower() not in ("localhost", _HOST):
            # A name of another site that leads here (DNS rebinding).
            return self._refuse(421, "this page is at " + _HOST)
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return self._refuse(403, "no other site may show this")
        token, _, name = self.path[1:].partition("/")
        if not hmac.compare_digest(token.encode(), page.token.encode()):
            return self._refuse(404, "the address stands in the terminal, with its token")
        if name in _FILES:
            return self._file(*_FILES[name])
        if name not in ("stream", "answers"):
            return self._refuse(404, "no such page")
        if not page.places.acquire(blocking=False):
            return self._refuse(503, f"{VIEWERS} watch already")
        try:
            return self._stream() if name == "stream" else self._answers()
        finally:
            page.places.release()

    def _refuse(self, code: int, why: str) -> None:
        self._start(code, "text/plain; charset=utf-8", len(why.encode()))
        self.wfile.write(why.encode())

    def _file(self, file: str, kind: str) -> None:
        content = (_STATIC / file).read_bytes()
        self._start(200, kind, len(content))
        self.wfile.write(content)

    def _start(self, code: int, kind: str, length: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        self.end_headers()

    def _stream(self) -> None:
        self._start(200, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        last = b""
        with self.server.page.looking():
            for jpeg in self._each(self.server.page.pictures):
                # A browser shows a picture when the next begins: one that stands still is sent again.
                last = jpeg or last
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(last)}\r\n\r\n"
                self.wfile.write(head.encode() + last + b"\r\n" if last else b"")

    def _answers(self) -> None:
        self._start(200, "text/event-stream; charset=utf-8")
        for answer in self._each(self.server.page.answers):
            self.wfile.write(b"data: " + answer + b"\n\n" if answer else b": still here\n\n")
            time.sleep(1 / ANSWERS_PER_S)

    def _each(self, newest: Newest) -> Iterator[bytes]:
        """What is newest whenever the viewer has taken the last; b"" at times where nothing is new."""
        # What is on its way to a slow viewer is old when it arrives: little is.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        number, thing = 0, b""
        while (got := newest.newer(number, _AGAIN_S if thing else _KEPT_ALIVE_S)) is not None:
            number, thing = got
            yield thing
