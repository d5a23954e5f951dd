"""Files on a board: a folder of edgebig's own, where each lies whole under its sha256. It needs cat and sha256sum."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgebig import files
from edgebig.drivers import payload
from edgebig.drivers.shell import ANSWER_S, NOT_OURS, UNWRITABLE, Link, ask, path_word
from edgebig.errors import DeviceError
from edgebig.ondevice import sharedlock
from edgebig.ondevice.store import LOCK

# What `devices setup` makes, in the store.
SETUP_PYTHON = "environment/bin/python"
SLOWEST_BYTES_S = 50_000
_HASH = 'hash() { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; }'


@dataclass(frozen=True)
class Place:
    """Where the runner runs: its store, the words that start its Python, and the processor that uname names."""

    store: str
    python: tuple[str, ...]
    machine: str


def find(link: Link, folder: str, python: str) -> Place:
    """Makes the store and looks around. Raises DeviceError where it cannot be written to, or there is no Python."""
    told = ask(
        link,
        f"umask 077; mkdir -p {path_word(folder)} && cd {path_word(folder)} >/dev/null || exit {UNWRITABLE}; "
        f'[ -e {LOCK} ] || [ -z "$(ls -A)" ] || exit {NOT_OURS}; '
        f': >>{LOCK} && : >.try-$$ && rm -f .try-$$ || exit {UNWRITABLE}; pwd -P; echo "$HOME"; uname -m; '
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
        enter = f"mkdir -p {path_word(self.folder)} && cd {path_word(self.folder)} >/dev/null && : >>{LOCK}"
        start = f"umask 077; {_HASH}; {enter} || exit {UNWRITABLE}"
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
        folder, locks = shlex.quote(self.folder), " ".join(sharedlock.FOLDERS)
        # The lock that users of the board share is its maker's to take away, and held here now.
        shared = f'for one in "${sharedlock.FOLDER_VARIABLE}" {locks}; do one="$one/{sharedlock.NAME}"; '
        shared += '[ ! -O "$one" ] || [ -h "$one" ] || rm -f "$one"; done'
        ask(self.link, f"[ ! -e {folder}/{LOCK} ] || rm -rf {folder} && {{ {shared}; }}", folder=self.folder)
