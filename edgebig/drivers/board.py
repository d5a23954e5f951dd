"""A board that commands reach, by ssh or adb: a store of sent files, its lock, and the runner's events.

It needs sh, cat, sha256sum and a Python there. Every script is one line, since a login shell may be any shell.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from edgebig import files
from edgebig.drivers import payload, stream
from edgebig.drivers.protocol import PROTOCOL, Capabilities, DeviceFacts, Event, Job, Provenance
from edgebig.errors import DeviceError
from edgebig.ondevice.store import LOCK
from edgebig.progress import say

# What `devices setup` makes, in the store.
SETUP_PYTHON = "environment/bin/python"
FOLDER = "~/.cache/edgebig"
ANSWER_S = 60.0
KILL_S = 15.0
HEARTBEAT_S = 4.0
# The runner ends where it heard nothing for so long; the host's own link is given up a little earlier.
SILENCE_S = 20.0
SLOWEST_BYTES_S = 50_000
_HASH = 'hash() { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; }'
# Exit codes of the scripts below; sh and what it starts use other ones.
_UNWRITABLE, _NOT_OURS = 73, 75


class Link(Protocol):
    """A way to a board. `name`: what its user calls it."""

    name: str

    def command(self, script: str) -> list[str]:
        """The command here that runs `script`, a line of sh, there, with its stdin, stdout, stderr and exit code."""

    def fault(self, code: int, printed: str) -> DeviceError | None:
        """What went wrong on the way; None where the script itself ended so."""


class LinkFault(DeviceError):
    """The way to the board failed, not the board: nothing can be asked of it now."""


@dataclass(frozen=True)
class Place:
    """Where the runner runs: its store, the words that start its Python, and the processor that uname names."""

    store: str
    python: tuple[str, ...]
    machine: str


@contextlib.contextmanager
def session(link: Link, folder: str, python: str, *, emulated: bool) -> Iterator[BoardSession]:
    """A board, found, with the runner on it and its lock held. `folder`, `python`: as in the device's file, or empty.

    Raises DeviceError, which names the device.
    """
    place = find(link, folder or FOLDER, python)
    store = Store(link, place.store)
    # Before the lock too: the runner is what takes it. The holder may clean it away meanwhile; then it is sent again.
    store.send_runner()
    holding = _runner(link, place, "hold", {"schema": PROTOCOL, "holder": me()}, None)
    try:
        facts = _facts_once_held(holding, link.name)
        yield BoardSession(link, place, facts, emulated=emulated)
    finally:
        holding.close()


def me() -> str:
    """Who holds a lock, for whom else wants it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def wait_for_lock(holding: Iterator[Event], where: str) -> None:
    """Reads the events of ondevice.store.hold until it is held, and says who is waited for."""
    for event in holding:
        if event["event"] == "held":
            return
        for_s = event["for_s"]
        since = (
            "" if for_s is None else f" for {for_s / 60:.0f} min" if for_s >= 90 else f" for {for_s:.0f} s"
        )
        holder = "".join(char for char in event["holder"] if char.isprintable())
        say(f"waiting: {holder} has been measuring on {where}{since}")


def _facts_once_held(holding: Iterator[Event], where: str) -> dict[str, Any]:
    """The facts of the board, once its lock is held."""
    wait_for_lock(holding, where)
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
    facts: dict[str, Any] = ready["facts"]
    return facts


def find(link: Link, folder: str, python: str) -> Place:
    """Makes the store and looks around. Raises DeviceError where it cannot be written to, or there is no Python."""
    told = ask(
        link,
        f"umask 077; mkdir -p {_path(folder)} && cd {_path(folder)} >/dev/null || exit {_UNWRITABLE}; "
        f'[ -e {LOCK} ] || [ -z "$(ls -A)" ] || exit {_NOT_OURS}; '
        f': >>{LOCK} && : >.try-$$ && rm -f .try-$$ || exit {_UNWRITABLE}; pwd -P; echo "$HOME"; uname -m; '
        f'if [ -x {SETUP_PYTHON} ]; then echo "$(pwd -P)/{SETUP_PYTHON}"; else command -v python3; fi; true',
        folder=folder,
    ).split("\n")
    store, home, machine, found = (*told, "", "", "", "")[:4]
    words = [f"{home}{word[1:]}" if word.startswith("~/") else word for word in shlex.split(python)]
    if not words and not found:
        raise DeviceError(
            f"{link.name}: no python3 there",
            f"install it (sudo apt install python3), or give its path as 'python' in {link.name}.toml",
        )
    return Place(store, tuple(words or [found]), machine)


def ask(
    link: Link, script: str, *, deadline_s: float = ANSWER_S, sent: IO[bytes] | None = None, folder: str = ""
) -> str:
    """What a line of sh says on stdout there. `sent`: its stdin; `folder`: the store, for what is said of it.

    Raises LinkFault where the way failed, DeviceError where the script did.
    """
    mark = secrets.token_hex(8)
    command = link.command(f"export LC_ALL=C; printf '\\n%s\\n' {mark}; {script}")
    # Files and not pipes: a connection that is kept open for later would keep those open too.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as printed:
        stdin = subprocess.DEVNULL if sent is None else sent
        try:
            code = subprocess.run(
                command,
                stdin=stdin,
                stdout=out,
                stderr=printed,
                timeout=deadline_s,
                start_new_session=True,
                check=False,
            ).returncode
        except OSError as error:
            raise DeviceError(
                f"{command[0]}: cannot be started: {error.strerror}", "install it, or mend your PATH"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise LinkFault(
                f"{link.name}: no answer within {deadline_s:.0f} s", "is the board alive? try again"
            ) from error
        told, words = (_text(file) for file in (out, printed))
    if (fault := link.fault(code, words)) is not None:
        raise fault
    _, marked, answer = told.partition(f"\n{mark}\n")
    if code != 0:
        raise _refused(link.name, code, words, folder)
    if not marked:
        raise DeviceError(
            f"{link.name}: its shell ran nothing and said: {told.strip()[-200:] or 'nothing'}",
            "the login shell or its start-up files end before they run a command; mend them there",
        )
    return answer.rstrip("\n")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _refused(name: str, code: int, words: str, folder: str) -> DeviceError:
    """The named error of a script that failed there."""
    where = f"{name}: {folder}".rstrip(": ")
    last = (words.strip().splitlines() or [f"exit code {code}"])[-1]
    if "No space left" in words or "Disk quota exceeded" in words:
        return DeviceError(
            f"{where}: the disk is full",
            f"free some space there; 'edgebig devices clean {name}' takes away what edgebig sent; "
            f"or set 'folder' in {name}.toml to another disk",
        )
    if code == _NOT_OURS:
        return DeviceError(
            f"{where}: has files in it that are not edgebig's",
            f"name a folder of its own as 'folder' in {name}.toml",
        )
    if code == _UNWRITABLE:
        return DeviceError(
            f"{where}: cannot be written to ({last})",
            f"set 'folder' in {name}.toml to one that can, as /tmp/edgebig",
        )
    return DeviceError(f"{where}: a command failed there with exit code {code}: {last}", "run it again")


def _path(folder: str) -> str:
    """A path there as a word of sh; ~ is the home there."""
    if folder == "~" or folder.startswith("~/"):
        return f'"$HOME"{shlex.quote(folder[1:])}' if folder[1:] else '"$HOME"'
    return shlex.quote(folder if not folder.startswith("-") else f"./{folder}")


class Store:
    """The folder of a board where files lie, each named by its sha256 and whole."""

    def __init__(self, link: Link, folder: str) -> None:
        self.link = link
        self.folder = folder
        self._there: set[str] = set()

    def put(self, blob: Path) -> str:
        sha256 = files.sha256_file(blob)
        with blob.open("rb") as content:
            self._send(content, blob.stat().st_size, sha256, sha256)
        return sha256

    def send_runner(self) -> str:
        """The path of the runner there."""
        zipapp = payload.zipapp()
        sha256 = files.sha256_bytes(zipapp)
        with tempfile.TemporaryFile() as content:
            content.write(zipapp)
            content.seek(0)
            self._send(content, len(zipapp), sha256, payload.name())
        return f"{self.folder}/{payload.name()}"

    def _send(self, content: IO[bytes], size: int, sha256: str, name: str) -> None:
        """Raises DeviceError where the board has no room, or something else arrives."""
        if name in self._there:
            return
        # The folder is gone after `clean`.
        enter = f"mkdir -p {_path(self.folder)} && cd {_path(self.folder)} >/dev/null && : >>{LOCK}"
        start = f"umask 077; {_HASH}; {enter} || exit {_UNWRITABLE}"
        # The name is a promise that a cut-off disk may have broken: the content is read again.
        told = ask(self.link, f"{start}; if [ -f {name} ]; then hash {name}; fi", folder=self.folder)
        if not told.startswith(sha256):
            temporary = f".{name}-$$"
            told = ask(
                self.link,
                f"{start}; trap 'rm -f {temporary}' EXIT; trap 'exit 74' HUP INT PIPE TERM; "
                f'cat >{temporary} || exit 74; set -- $(hash {temporary}); echo "$1"; '
                f'[ "$1" != {sha256} ] || mv -f {temporary} {name}',
                deadline_s=ANSWER_S + size / SLOWEST_BYTES_S,
                sent=content,
                folder=self.folder,
            )
            if not told.startswith(sha256):
                raise DeviceError(
                    f"{self.link.name}: {name} arrived as other bytes (sha256 {told[:64] or 'unknown'})",
                    "run it again; a start-up file of the shell there may read stdin, or sha256sum is missing",
                )
        self._there.add(name)

    def clean(self) -> None:
        """Takes away the folder with all that is in it; it is edgebig's own, as `find` made sure."""
        self._there.clear()
        folder = shlex.quote(self.folder)
        ask(self.link, f"[ ! -e {folder}/{LOCK} ] || rm -rf {folder}", folder=self.folder)


def _runner(
    link: Link, place: Place, action: str, task: dict[str, Any], deadline_s: float | None
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
        link.command(script), task, deadline_s, own_pipe=False, after=mark, heartbeat_s=HEARTBEAT_S, died=died
    )
    stuck = None
    try:
        for event in events:
            if event["event"] == "started":
                stuck = event["pid"]
            else:
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

    def __init__(self, link: Link, place: Place, facts: dict[str, Any], *, emulated: bool) -> None:
        self._link = link
        self._place = place
        self._store = Store(link, place.store)
        self.facts = DeviceFacts(
            provenance(place.machine, facts, emulated=emulated), facts, Capabilities(True, True, True)
        )

    def put(self, blob: Path) -> str:
        return self._store.put(blob)

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        return self.call("run", job.to_json(), deadline_s)

    def call(self, action: str, task: dict[str, Any], deadline_s: float) -> Iterator[Event]:
        """The events of one of the runner's actions."""
        self._store.send_runner()
        yield from _runner(self._link, self._place, action, task, deadline_s)

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
