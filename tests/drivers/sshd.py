"""A real sshd on 127.0.0.1 with throw-away keys, and a home of its own: the board of the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgebig.device import SshDevice

SSHD = "/usr/sbin/sshd"
ADDRESS = "board"

_SERVER = """
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes no
PermitRootLogin prohibit-password
SetEnv HOME={home} LANG=C.UTF-8 PATH={path} EDGEBIG_LOCKS={home}
"""
_CLIENT = """
Host {name}
    HostName {address}
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""


@dataclass
class Board:
    """The daemon, what a user's configuration would say of it, and the home that its sessions have."""

    folder: Path
    port: int
    home: Path
    address: str = "127.0.0.1"
    inside: Sequence[str] = ()
    """A command that runs another one, as in a network namespace; empty: here."""
    path: str = os.environ["PATH"]
    """Where its sessions find python3 and all else."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def store(self) -> Path:
        return self.home / ".cache" / "edgebig"

    def ssh(self) -> str:
        """For EDGEBIG_SSH."""
        return f"ssh -F {self.folder}/ssh_config"

    def device(self, name: str = "pi", **keys: object) -> SshDevice:
        return SshDevice(**{"name": name, "address": ADDRESS, "python": sys.executable, **keys})

    def start(self) -> None:
        command = [*self.inside, SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end_s = time.monotonic() + 20
        while "Server listening" not in (self.folder / "sshd.log").read_text():
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"no sshd: {(self.folder / 'sshd.log').read_text()}")
            time.sleep(0.02)

    def sessions(self) -> list[int]:
        """The daemon and all that it started, the youngest last."""
        assert self.process is not None
        return descendants(self.process.pid)

    def kill(self) -> None:
        """The daemon and its connections, by kill -9, as where the board loses its power. What ran there lives on."""
        assert self.process is not None
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if Path(f"/proc/{pid}/exe").resolve().name.startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        (self.folder / "sshd.log").write_text("")


def descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += parents.get(parent, [])
    return found


def on_board(board: Board) -> list[int]:
    """What runs there on its store: sshd's own processes and shells left out."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = cmdline.read_bytes().split(b"\0")
            named = any(str(board.store).encode() in word for word in words)
            if named and words[0].split(b"/")[-1] not in (b"sh", b"bash", b"ssh", b"sshd"):
                found.append(int(cmdline.parent.name))
    return found


def gone(is_gone: Callable[[], bool], what: str) -> None:
    """Waits: a process that was killed is gone when the system has come round to it."""
    end_s = time.monotonic() + 30
    while not is_gone():
        assert time.monotonic() < end_s, f"still there: {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def board(
    address: str = "127.0.0.1", inside: Sequence[str] = (), path: str = os.environ["PATH"]
) -> Iterator[Board]:
    """A board that runs, known to its user by its host key and he to it by his."""
    if not os.access(SSHD, os.X_OK):
        pytest.skip("needs openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where its package's start-up makes it for the daemon
    folder = Path(tempfile.mkdtemp(prefix="edgebig-sshd-"))
    try:
        made = Board(folder, free_port(), folder / "home", address, inside, path)
        made.home.mkdir()
        _write(made)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


def _write(board: Board) -> None:
    folder = board.folder
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    know(board)
    values = {
        "folder": folder, "home": board.home, "port": board.port, "address": board.address, "name": ADDRESS,
        "user": getpass.getuser(), "path": board.path,
    }  # fmt: skip
    (folder / "sshd_config").write_text(_SERVER.format(**values))
    (folder / "ssh_config").write_text(_CLIENT.format(**values))


def know(board: Board) -> None:
    """Writes its host key down as the one that is known."""
    kind, key, *_ = (board.folder / "host_key.pub").read_text().split()
    (board.folder / "known_hosts").write_text(f"[{board.address}]:{board.port} {kind} {key}\n")
