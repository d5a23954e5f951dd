"""A Linux board that the system's ssh reaches, by the user's own configuration, keys and agent."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from edgebig import lookup
from edgebig.device import SshDevice
from edgebig.drivers import board
from edgebig.drivers.board import BoardSession
from edgebig.drivers.shell import LinkFault
from edgebig.errors import DeviceError

# The command that is used for ssh, with options of the user's, as in "ssh -F lab.conf".
COMMAND_VARIABLE = "EDGEBIG_SSH"
CONNECT_S = 10
# A link that brings nothing is given up after ALIVE_S * ALIVE_COUNT.
ALIVE_S, ALIVE_COUNT = 4, 3
# A connection is kept open between two commands; it ends by itself where edgebig was killed.
PERSIST_S = 60
_CLOSE_S = 10
# A socket's path may have 103 characters (macOS; Linux 107), of which ssh needs 17 for a name of its own.
LONGEST_SOCKET = 86


class SshDriver:
    """One session on the board."""

    def __init__(self, device: SshDevice) -> None:
        self.device = device

    def sessions(self) -> Iterator[AbstractContextManager[BoardSession]]:
        yield self._session()

    @contextlib.contextmanager
    def _session(self) -> Iterator[BoardSession]:
        device = self.device
        with (
            connection(device) as link,
            board.session(link, device.folder, device.python, emulated=device.emulated) as opened,
        ):
            yield opened


@contextlib.contextmanager
def connection(device: SshDevice) -> Iterator[SshLink]:
    """A way to the board that is connected once, by the first command, and closed at the end."""
    with _socket() as socket:
        link = SshLink(device, socket)
        try:
            yield link
        finally:
            link.close()


@contextlib.contextmanager
def _socket() -> Iterator[Path]:
    """Where the connection can be shared. ssh removes it at the end, and some time after edgebig was killed."""
    socket = lookup.cache_dir() / "ssh" / secrets.token_hex(4)
    with contextlib.ExitStack() as stack:
        if len(str(socket)) > LONGEST_SOCKET:
            folder = tempfile.TemporaryDirectory(prefix="edgebig-", dir="/tmp", ignore_cleanup_errors=True)
            socket = Path(stack.enter_context(folder)) / "ssh"
        else:
            socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield socket


class SshLink:
    """Commands to one board over one connection."""

    def __init__(self, device: SshDevice, socket: Path) -> None:
        self.name = device.name
        self._address = device.address
        self._port = device.port
        self._socket = socket

    def command(self, script: str) -> list[str]:
        return [*self._ssh(), "-T", "--", self._address, f"exec sh -c {shlex.quote(script)}"]

    def _ssh(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": CONNECT_S,
            "ServerAliveInterval": ALIVE_S,
            "ServerAliveCountMax": ALIVE_COUNT,
            "ControlMaster": "auto",
            "ControlPersist": PERSIST_S,
            "ControlPath": self._socket,
            # What a configuration has for a person at a terminal.
            "ClearAllForwardings": "yes",
            "RemoteCommand": "none",
            "LogLevel": "INFO",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [*ssh_words(), *words, *(["-p", str(self._port)] if self._port else [])]

    def close(self) -> None:
        if self._socket.exists():
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*self._ssh(), "-O", "exit", "--", self._address],
                    stdin=subprocess.DEVNULL, capture_output=True, timeout=_CLOSE_S, check=False,
                )  # fmt: skip

    def fault(self, code: int, printed: str) -> DeviceError | None:
        if _CHANGED.search(printed):
            return self._changed_key(printed)
        # 255 is ssh's own; a script never ends so.
        if code != 255:
            return None
        for pattern, problem, hint in FAULTS:
            if re.search(pattern, printed):
                where = {"at": self._address, "by_hand": self._by_hand(), "name": self.name}
                return LinkFault(f"{self.name}: {problem.format(**where)}", hint.format(**where))
        last = (printed.strip().splitlines() or ["ssh said nothing"])[-1]
        return LinkFault(
            f"{self.name}: the connection to {self._address} was lost: {last}",
            f"is it on, and in the network? by hand: {self._by_hand()}",
        )

    def _by_hand(self) -> str:
        port = ["-p", str(self._port)] if self._port else []
        return shlex.join([*ssh_words(), *port, self._address])

    def _changed_key(self, printed: str) -> LinkFault:
        # ssh names the file and the host as they stand there.
        told = re.search(r"ssh-keygen -f .*", printed)
        mend = told[0].strip() if told else f"ssh-keygen -R {shlex.quote(self._address.rpartition('@')[2])}"
        return LinkFault(
            f"{self.name}: {self._address} shows another host key than the one that is known: "
            "it was installed anew, or another machine answers in its place",
            f"only if you know why it changed: {mend} && {self._by_hand()}",
        )


def ssh_words() -> list[str]:
    return shlex.split(os.environ.get(COMMAND_VARIABLE, "")) or ["ssh"]


_CHANGED = re.compile(
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for .* has changed and you have requested"
)

# What ssh says -> what is wrong, and what to do.
FAULTS = (
    (
        r"Host key verification failed|No .* host key is known for",
        "the host key of {at} is not known yet, and edgebig accepts none unseen",
        "connect once by hand and compare its fingerprint: {by_hand}",
    ),
    (
        r"Permission denied \(|Too many authentication failures|No more authentication methods",
        "{at} takes none of your keys, and edgebig asks for no password",
        "ssh-copy-id {at} (once, with its password), or ssh-add the key that it knows; by hand: {by_hand}",
    ),
    (
        r"Could not resolve hostname",
        "no host of that name: {at}",
        "mend 'address' in {name}.toml, or try its IP address; a Pi is often raspberrypi.local",
    ),
    (
        r"Connection refused",
        "{at} is there, and nothing listens for ssh at that port",
        "start it there (on a Pi: sudo systemctl enable --now ssh), or mend 'port' in {name}.toml",
    ),
    (
        r"Connection timed out|Operation timed out|No route to host|Network is unreachable|Connection to .* timed out",
        "{at} does not answer",
        "is it on, and in this network? by hand: {by_hand}",
    ),
    (
        r"Bad owner or permissions|[Bb]ad configuration option|no argument after keyword",
        "ssh refuses its own configuration",
        "see what it says: {by_hand}",
    ),
)  # fmt: skip
