"""The server in a thread of its own, on one address of this machine, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgebig.errors import EdgebigError
from edgebig.phone import server
from edgebig.phone.address import in_url
from edgebig.phone.certificate import Certificate
from edgebig.phone.hub import Hub
from edgebig.phone.server import Site

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# What a browser keeps of a page it keeps by the port.
PORTS = range(8765, 8785)
LOOPBACK = ("127.0.0.1", "localhost")
_MOST_CONNECTIONS = 600
_START_LIMIT_S = 20.0
_END_LIMIT_S = 3.0
# In so many looks, a connection must have sent the whole of its headers, or of its body.
_LOOK_EVERY_S = 5.0
_MOST_LOOKS = 6


@dataclass(frozen=True)
class Served:
    """`origin`: as in https://192.168.1.7:8765; `url`: what a phone opens, its token behind a # that is never sent."""

    origin: str
    token: str
    port: int

    @property
    def url(self) -> str:
        return f"{self.origin}/#t={self.token}"

    @property
    def dashboard(self) -> str:
        return f"{self.origin}/dashboard.html#t={self.token}"


def check_installed() -> None:
    """Raises EdgebigError where the extra `phone` is not."""
    for name in ("starlette", "uvicorn", "segno", "cryptography"):
        if importlib.util.find_spec(name) is None:
            raise EdgebigError(
                f"a phone needs the extra 'phone' ({name} is not installed)", "pip install 'edgebig[phone]'"
            )


@contextlib.contextmanager
def serving(
    site: Site,
    hub: Hub,
    address: str,
    certificate: Certificate | None,
    port: int | None = None,
    names: Sequence[str] = (),
) -> Iterator[Served]:
    """Serves until the block ends; the pages are told that it ends. `port`: None for the first that is free; `names`:
    what this machine may be called besides.

    Raises EdgebigError where the port is taken.
    """
    import uvicorn

    with _bound(address, port) as listener:
        number = listener.getsockname()[1]
        scheme = "https" if certificate else "http"
        served = Served(f"{scheme}://{in_url(address)}:{number}", secrets.token_urlsafe(16), number)
        application = server.app(site, hub, served.token, _origins(scheme, [address, *names], number))
        running = uvicorn.Server(_config(uvicorn, application, certificate))
        thread = threading.Thread(
            target=running.run, kwargs={"sockets": [listener]}, name="edgebig-phone", daemon=True
        )
        thread.start()
        try:
            _wait_until(lambda: running.started or not thread.is_alive(), _START_LIMIT_S)
            if not running.started:
                raise RuntimeError("the server did not start")
            yield served
        finally:
            hub.close("the host has ended")
            _wait_until(hub.are_told, _END_LIMIT_S)
            running.should_exit = True
            thread.join(_END_LIMIT_S)
            running.force_exit = True
            thread.join(_END_LIMIT_S)


def _origins(scheme: str, called: Sequence[str], number: int) -> frozenset[str]:
    """What a browser may call the page that it has from here; a port that is the scheme's own it leaves out."""
    names = {in_url(name).lower() for name in called} | (set(LOOPBACK) if called[0] in LOOPBACK else set())
    usual = {"https": 443, "http": 80}[scheme]
    return frozenset(f"{scheme}://{name}" + ("" if number == usual else f":{number}") for name in names)


def _wait_until(holds: Any, limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.02)


@contextlib.contextmanager
def _bound(address: str, port: int | None) -> Iterator[socket.socket]:
    """A socket that listens on that address alone. Raises EdgebigError where it cannot."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wanted = [*PORTS, 0] if port is None else [port]
    refused: OSError | None = None
    for number in wanted:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, number))
            listener.listen(256)
        except OSError as error:
            listener.close()
            refused = error
            continue
        with listener:
            yield listener
            return
    assert refused is not None
    raise EdgebigError(
        f"{address} port {port or 'any'}: {refused.strerror}", "another --port, or another --address"
    ) from refused


def _config(uvicorn: Any, application: ASGIApp, certificate: Certificate | None) -> Any:
    secure = (
        {"ssl_certfile": str(certificate.certificate), "ssl_keyfile": str(certificate.key)}
        if certificate
        else {}
    )
    return uvicorn.Config(
        application, http=_patient_protocol(), ws="none", lifespan="off", log_config=None, log_level="critical",
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=30,
        limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1, **secure,
    )  # fmt: skip


def _patient_protocol() -> Any:
    """HTTP/1.1 that gives a connection up which sends its headers or body a byte at a time, or nothing at all."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        _look: asyncio.TimerHandle | None = None
        _mark: tuple[object, ...] = ()
        _looks = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._look = self.loop.call_later(_LOOK_EVERY_S, self._look_again)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._look is not None:
                self._look.cancel()
            super().connection_lost(exc)

        def _look_again(self) -> None:
            waits = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
            mark = (self.conn.their_state, id(self.cycle))
            self._looks = self._looks + 1 if waits and mark == self._mark else 0
            self._mark = mark
            if self._looks >= _MOST_LOOKS:
                self.transport.abort()
                return
            self._look = self.loop.call_later(_LOOK_EVERY_S, self._look_again)

    return Patient
