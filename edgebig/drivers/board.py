"""A board that commands reach, by ssh or adb: its lock, and the runner's events. It needs sh and a Python there."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shlex
import signal
import socket
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgebig.drivers import payload, stream
from edgebig.drivers.boardfiles import Place, Store, find
from edgebig.drivers.protocol import PROTOCOL, Capabilities, DeviceFacts, Event, Job, Provenance
from edgebig.drivers.shell import Link, LinkFault, ask
from edgebig.errors import DeviceError
from edgebig.progress import say

FOLDER = "~/.cache/edgebig"
KILL_S = 15.0
HEARTBEAT_S = 4.0
# The runner ends where it heard nothing for so long; the host's own link is given up a little earlier.
SILENCE_S = 20.0


@contextlib.contextmanager
def session(link: Link, folder: str, python: str, *, emulated: bool) -> Iterator[BoardSession]:
    """A board, found, with the runner on it and its lock held. `folder`, `python`: as in the device's file, or empty.

    Raises DeviceError, which names the device.
    """
    place = find(link, folder or FOLDER, python)
    store = Store(link, place.store)
    store.send_runner()
    holding = _runner(link, place, "hold", {"schema": PROTOCOL, "holder": me()}, None)
    try:
        facts, waited = _facts_once_held(holding, link.name)
        # Who was waited for may have cleaned, the runner too.
        yield BoardSession(
            link, place, Store(link, place.store) if waited else store, facts, emulated=emulated
        )
    finally:
        holding.close()


def me() -> str:
    """Who holds a lock, for whom else wants it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def wait_for_lock(holding: Iterator[Event], where: str) -> bool:
    """Reads the events of ondevice.store.hold until it is held, and says who is waited for. -> whether one was."""
    waited = False
    for event in holding:
        if event["event"] == "held":
            if event.get("why"):
                say(f"{where}: nothing keeps its other users from measuring too: {event['why']}")
            break
        waited = True
        for_s = event["for_s"]
        since = (
            "" if for_s is None else f" for {for_s / 60:.0f} min" if for_s >= 90 else f" for {for_s:.0f} s"
        )
        holder = "".join(char for char in event["holder"] if char.isprintable())
        say(f"waiting: {holder} has been measuring on {where}{since}")
    return waited


def _facts_once_held(holding: Iterator[Event], where: str) -> tuple[dict[str, Any], bool]:
    """The facts of the board, once its lock is held, and whether another was waited for."""
    waited = wait_for_lock(holding, where)
    ready = next(holding, None)
    if ready is None:
        raise DeviceError(
            f"{where}: its Python ended well and said nothing", f"mend 'python' in {where}.toml"
        )
    if ready["protocol"] != PROTOCOL:
        raise DeviceError(
            f"{where}: its runner speaks protocol {ready['protocol']}, this edgebig {PROTOCOL}",
            "run one edgebig on both sides",
        )
    return ready["facts"], waited


def _runner(
    link: Link,
    place: Place,
    action: str,
    task: dict[str, Any],
    deadline_s: float | None,
    says: stream.Says | None = None,
) -> Generator[Event, None, None]:
    """The events of the runner's `action` there. What start-up files print, before it or on its stdout, is no event."""
    mark = secrets.token_hex(8)
    words = [
        *place.python, f"{place.store}/{payload.name()}", action, "--store", place.store, "--attached", "--events", "3",
        "--heartbeat", f"{SILENCE_S:g}", "--python", json.dumps(list(place.python)),
    ]  # fmt: skip

    def died(code: int, printed: str) -> DeviceError:
        return link.fault(code, printed) or _death(link.name, place, code, printed)

    # Not by exec: a shell that lives on tells by what its child was killed.
    started = '{"event":"started","pid":%d}'
    script = f"exec 3>&1 1>&2; printf '\\n%s\\n{started}\\n' {mark} $$ >&3; {shlex.join(words)}; exit $?"
    events = stream.events(
        link.command(script), task, deadline_s,
        own_pipe=False, after=mark, heartbeat_s=HEARTBEAT_S, says=says, died=died,
    )  # fmt: skip
    stuck = None
    try:
        for event in events:
            if event["event"] == "started":
                stuck = event["pid"]
                continue
            if action == "hold" and event.get("protocol") == PROTOCOL:
                stuck = None  # It is ours, and does nothing but wait for that end.
            yield event
        stuck = None
    except LinkFault:
        stuck = None
        raise
    finally:
        events.close()
        # A runner ends with its stdin; one that hangs, or is none, does not.
        if stuck is not None:
            with contextlib.suppress(DeviceError):
                ask(link, f"kill -9 -{stuck} 2>/dev/null || true", deadline_s=KILL_S)


def _death(name: str, place: Place, code: int, printed: str) -> DeviceError:
    """The named error of a runner that ended with `code`, as sh tells it."""
    python = shlex.join(place.python)
    if code in (126, 127):
        return DeviceError(
            f"{name}: {python}: cannot be started there\n{printed}".rstrip(),
            f"mend 'python' in {name}.toml: the command that starts the board's Python",
        )
    if code == 128 + signal.SIGKILL:
        return DeviceError(
            f"{name}: the runner was killed there (SIGKILL)\n{printed}".rstrip(),
            "most often the board has run out of memory: 'dmesg' tells there; end other programs, or bench one model",
        )
    return DeviceError(
        f"{name}: the runner ended with exit code {code}: {python}\n{printed}".rstrip(),
        "is it a Python 3.9 or newer? see what it printed",
    )


class BoardSession:
    """A board while its lock is held."""

    def __init__(
        self, link: Link, place: Place, store: Store, facts: dict[str, Any], *, emulated: bool
    ) -> None:
        self._link = link
        self._place = place
        self._store = store
        self.facts = DeviceFacts(
            provenance(place.machine, facts, emulated=emulated), facts, Capabilities(True, True, True)
        )

    def put(self, blob: Path) -> str:
        return self._store.put(blob)

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        return self.call("run", job.to_json(), deadline_s)

    def call(
        self, action: str, task: dict[str, Any], deadline_s: float | None, says: stream.Says | None = None
    ) -> Iterator[Event]:
        """The events of one of the runner's actions."""
        self._store.send_runner()
        yield from _runner(self._link, self._place, action, task, deadline_s, says)

    def clean(self) -> None:
        self._store.clean()


def provenance(machine: str, facts: Mapping[str, Any], *, emulated: bool) -> Provenance:
    """A Python that takes itself for another processor than the one that `uname -m` names there runs in an emulator."""
    return "emulated" if emulated or _family(machine) != _family(str(facts["machine"])) else "real"


def _family(machine: str) -> str:
    """x86_64 and i686 -> x86; aarch64, arm64, armv7l -> arm: a kernel of 64 bits may run a Python of 32."""
    if machine in ("x86_64", "amd64", "AMD64", "i386", "i486", "i586", "i686"):
        return "x86"
    return "arm" if machine.startswith(("aarch64", "arm")) else machine.rstrip("0123456789")
