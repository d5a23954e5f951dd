"""Where phones come in: the page is served and shown, and each phone that asks for a job is handed over.

The server lives as long as somebody holds it: whoever waits for phones, and each session with one.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgebig import lookup
from edgebig.device import BrowserDevice
from edgebig.drivers import adbclient, cable
from edgebig.errors import DeviceError, EdgebigError
from edgebig.phone import address, announcing, assets, certificate, runtime
from edgebig.phone.handset import Handset
from edgebig.phone.hub import Hub
from edgebig.phone.server import Site
from edgebig.phone.serving import LOOPBACK, Served, check_installed, serving
from edgebig.progress import is_shown_here, say

_LOOK_S = 0.2
# Beside those that are waited for: whoever looks on, or has loaded the page anew in another tab.
_MORE_PHONES = 16
# So many at once on a page that is open to all.
_VISITORS = 64


@dataclass(frozen=True)
class Models:
    """What the page may choose from: `rows` of models.json, and each model's bytes by its sha256."""

    rows: Sequence[Mapping[str, Any]] = ()
    contents: Mapping[str, bytes] | None = None


class Reception:
    """The page, served as `device` says. `mode` as in Hub.

    Raises EdgebigError where something for it is not installed or not as the user says it is, DeviceError where
    LiteRT.js cannot be fetched or no phone is at the cable.
    """

    def __init__(
        self, device: BrowserDevice, mode: Literal["bench", "page"], models: Models | None = None
    ) -> None:
        check_installed()  # before LiteRT.js is fetched
        models = models or Models()
        self.hub = Hub(mode, device.phones + _MORE_PHONES if mode == "bench" else _VISITORS)
        self.stopping = threading.Event()
        self._holders = 1
        self._lock = threading.Lock()
        with contextlib.ExitStack() as opened:
            folder = Path(device.runtime_dir).expanduser() if device.runtime_dir else None
            site = Site(
                assets.load(runtime.ready(lookup.cache_dir(), folder)),
                [dict(row) for row in models.rows],
                dict(models.contents or {}),
            )
            where, names = _called(device)
            self.certificate = None
            if not (device.usb or device.plain_http):
                # One for each address: at home and at work a browser knows its own again.
                kept = lookup.cache_dir() / "phone" / where.replace(":", "-")
                self.certificate = certificate.ready(kept, [where, *names])
            self.served = opened.enter_context(
                serving(site, self.hub, where, self.certificate, device.port, names)
            )
            if device.usb:
                _by_cable(device, self.served, opened)
            else:
                _show(self.served, self.certificate)
            self._opened = opened.pop_all()

    def hold(self) -> None:
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """Ends the server where nobody holds it any more."""
        with self._lock:
            self._holders -= 1
            is_last = self._holders == 0
        if is_last:
            self._opened.close()

    def stop(self) -> None:
        """Every session of it fails from now on."""
        self.stopping.set()

    def arrival(self, limit_s: float) -> Handset | None:
        """The next phone that asks for a job, None where none does in time, or it is stopped."""
        end_s = time.monotonic() + limit_s
        while not self.stopping.is_set() and (left_s := end_s - time.monotonic()) > 0:
            phone = self.hub.arrival(min(_LOOK_S, left_s))
            if phone is not None:
                return phone
        return None


def _called(device: BrowserDevice) -> tuple[str, list[str]]:
    """The address under which it is served, and what names of this machine lead there too."""
    if device.usb:
        if device.address not in ("", *LOOPBACK):
            raise EdgebigError(
                "usb goes with no address: the phone reaches this machine's localhost", "leave it out"
            )
        return "127.0.0.1", []
    where = address.checked(device.address) if device.address else address.of_lan()
    name = socket.gethostname().lower()
    if where in LOOPBACK or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9-]+)*", name):
        return where, []
    # The second one by multicast DNS.
    return where, [name, *([f"{name}.local"] if "." not in name else [])]


def _show(served: Served, secured: certificate.Certificate | None) -> None:
    colour = is_shown_here()
    text = announcing.text(served, secured, colour=colour)
    # say() escapes what could steer a terminal, and the colours of the code do.
    print(text, file=sys.stderr, flush=True) if colour else say(text)


def _by_cable(device: BrowserDevice, served: Served, opened: contextlib.ExitStack) -> None:
    """The phone's own localhost leads here while it is served, and the page opens there."""
    phone = adbclient.Phone(adbclient.choose(device.serial, adbclient.attached()))
    opened.enter_context(cable.reversed_port(phone, served.port))
    url = replace(served, origin=f"http://localhost:{served.port}").url
    try:
        cable.open_url(phone, url)
    except DeviceError as error:
        say(f"{error.problem}\nopen it there by hand: {url}")
    else:
        say(f"the page opens on phone {phone.serial}; unlock it, and keep its screen on")
