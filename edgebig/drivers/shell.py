"""Lines of sh on a board that commands reach, by ssh or adb, and what they say; a login shell may be any shell."""

from __future__ import annotations

import secrets
import shlex
import subprocess
import tempfile
from typing import IO, Protocol

from edgebig.errors import DeviceError

ANSWER_S = 60.0
# Exit codes of the scripts of boardfiles.py; sh and what it starts use other ones.
UNWRITABLE, NOT_OURS = 73, 75


class Link(Protocol):
    """A way to a board. `name`: what its user calls it."""

    name: str

    def command(self, script: str) -> list[str]:
        """The command here that runs `script`, a line of sh, there, with its stdin, stdout, stderr and exit code."""

    def fault(self, code: int, printed: str) -> DeviceError | None:
        """What went wrong on the way; None where the script itself ended so."""


class LinkFault(DeviceError):
    """The way to the board failed, not the board: nothing can be asked of it now."""


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
    if code == NOT_OURS:
        return DeviceError(
            f"{where}: has files in it that are not edgebig's",
            f"name a folder of its own as 'folder' in {name}.toml",
        )
    if code == UNWRITABLE:
        return DeviceError(
            f"{where}: cannot be written to ({last})",
            f"set 'folder' in {name}.toml to one that can, as /tmp/edgebig",
        )
    return DeviceError(f"{where}: a command failed there with exit code {code}: {last}", "run it again")


def path_word(folder: str) -> str:
    """A path there as a word of sh; ~ is the home there."""
    if folder == "~" or folder.startswith("~/"):
        return f'"$HOME"{shlex.quote(folder[1:])}' if folder[1:] else '"$HOME"'
    return shlex.quote(folder if not folder.startswith("-") else f"./{folder}")
