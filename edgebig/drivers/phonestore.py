"""The folder on a phone: files under their sha256, a lock that names its holder, and nothing left behind by `clean`."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from edgebig import files
from edgebig.drivers.adbclient import Deadline, Phone
from edgebig.errors import DeviceError, EdgebigError
from edgebig.progress import say

_PUSH_LIMIT_S = 600.0
# Nothing else is ever put there, and nothing else is taken away: `folder` may be one that holds the user's own files.
_OURS = f"{'[0-9a-f]' * 64} .part-* runner-*.pyz lock"
_FOLDER = re.compile(r"/[A-Za-z0-9_./+-]+")


class PhoneStore:
    """`folder` on a phone while its lock is held. Raises EdgebigError where its name would split the tool's flags."""

    def __init__(self, phone: Phone, folder: str) -> None:
        if not _FOLDER.fullmatch(folder) or ".." in folder.split("/"):
            raise EdgebigError(
                f"folder '{folder}' cannot be used on a phone",
                "use a full path of letters, digits and . _ + - / such as /data/local/tmp/edgebig",
            )
        self.phone = phone
        self.folder = folder.rstrip("/")
        self.work = f"{self.folder}/.part-work"

    def path(self, sha256: str) -> str:
        return f"{self.folder}/{sha256}"

    def put(self, blob: Path, *, executable: bool = False) -> str:
        """Its sha256, under which it is there, whole. Raises DeviceError where it cannot be sent."""
        sha256 = files.sha256_file(blob)
        target, part = quote(self.path(sha256)), f"{self.folder}/.part-{sha256[:16]}"
        mode = "755" if executable else "644"
        # The name is a promise that a full disk or a pulled plug may have broken: the content is read again.
        there = f"[ -f {target} ] && sha256sum < {target}"
        if sha256 in self.phone.shell(there, Deadline(_PUSH_LIMIT_S, job=False))[1].split():
            self.phone.ask(f"chmod {mode} {target}")
            return sha256
        self.phone.ask(f"mkdir -p {quote(self.folder)}")
        try:
            self.phone.push(blob, part, Deadline(_PUSH_LIMIT_S, job=False))
            arrived = self.phone.ask(
                f"sha256sum < {quote(part)}", Deadline(_PUSH_LIMIT_S, job=False)
            ).split()[:1]
            if arrived != [sha256]:
                raise DeviceError(
                    f"{blob.name} did not arrive whole on phone {self.phone.serial}", "run it again"
                )
            self.phone.ask(f"chmod {mode} {quote(part)} && mv {quote(part)} {target}")
        except BaseException:
            with contextlib.suppress(DeviceError):
                self.phone.shell(f"rm -f {quote(part)}")
            raise
        return sha256

    def clean(self) -> None:
        """Takes away what was put there, and the folder where nothing else is in it."""
        folder = quote(self.folder)
        self.phone.ask(
            f"cd {folder} 2>/dev/null || exit 0; rm -rf {_OURS}; cd / && rmdir {folder} 2>/dev/null; true",
            Deadline(_PUSH_LIMIT_S, job=False),
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock on the phone; a second host waits for the first, and says for whom.

        A shell on the phone holds it, which ends with its link: a host that dies leaves no lock behind.
        """
        lock, owner = f"{self.folder}/lock", f"process {os.getpid()} of {socket.gethostname()}"
        script = (
            f"mkdir -p {quote(self.folder)} || exit 3\nexec 9>>{quote(lock)} || exit 3\n"
            "command -v flock >/dev/null || { echo without; read line; exit; }\n"
            f"flock -n 9 || {{ echo waiting $(cat {quote(lock)}); flock 9; }}\n"
            f"echo {quote(owner)} >{quote(lock)}\nrm -rf {quote(self.folder)}/.part-*\n"
            f"echo locked\nread line\n[ -f {quote(lock)} ] && : >{quote(lock)}"
        )
        holder = subprocess.Popen(
            self.phone.command("shell", script), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            self._wait_for(holder)
            yield
        finally:
            assert holder.stdin is not None
            assert holder.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                holder.stdin.close()
            try:
                holder.wait(5.0)
            except subprocess.TimeoutExpired:
                holder.kill()
                holder.wait()
            holder.stdout.close()

    def _wait_for(self, holder: subprocess.Popen[bytes]) -> None:
        assert holder.stdout is not None
        said = []
        for raw in holder.stdout:
            line = raw.decode(errors="replace").strip()
            if line == "locked":
                return
            if line == "without":
                say(
                    f"phone {self.phone.serial} has no flock: nothing keeps another host from measuring there too"
                )
                return
            if line.startswith("waiting"):
                say(
                    f"waiting: {line[8:].strip() or 'another host'} is measuring on phone {self.phone.serial}"
                )
            said.append(line)
        raise self.phone.refusal(
            "\n".join(said), f"folder {self.folder} cannot be made on phone {self.phone.serial}"
        )
