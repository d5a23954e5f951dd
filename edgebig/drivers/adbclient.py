"""The adb client: which phones there are, and one of them as a place for commands and files, with deadlines."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgebig import adbserver
from edgebig.drivers.shell import LinkFault
from edgebig.errors import DeviceError, EdgebigError

_SHORT_S = 30.0
_GONE = "plug it in again (look at the cable and the screen), then run it again"
_NO_ADB = EdgebigError(
    "adb is not installed",
    "apt install adb, brew install android-platform-tools, or Android's SDK Platform-Tools, on the PATH",
)
# What each state of `adb devices` that cannot be worked with means, and what mends it.
_STATES = {
    "unauthorized": (
        "has not allowed this computer",
        "unlock it and tap Allow at 'Allow USB debugging?'; if it does not ask: adb kill-server, and plug it in again",
    ),
    "authorizing": ("is being asked whether it allows this computer", "unlock it, tap Allow, and run it again"),
    "offline": ("is offline: it is attached and does not answer", "adb reconnect offline, or plug it in again"),
    "no permissions": (
        "may not be opened by this user",
        "apt install android-sdk-platform-tools-common (udev rules), join the group plugdev, and plug it in again",
    ),
    "recovery": ("is in recovery", "start Android on it"),
    "sideload": ("is in recovery", "start Android on it"),
    "bootloader": ("is in its bootloader", "start Android on it"),
}  # fmt: skip


def attached() -> dict[str, str]:
    """serial -> state, of every phone that adb knows; starts adb's server.

    Raises EdgebigError without adb, DeviceError where it fails.
    """
    try:
        done = subprocess.run(
            ["adb", "devices"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SHORT_S, check=False
        )
    except FileNotFoundError:
        raise _NO_ADB from None
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"'adb devices' was not done after {_SHORT_S:.0f} s", "adb kill-server") from error
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise DeviceError(f"'adb devices' ended with exit code {done.returncode}:\n{said}", "adb kill-server")
    return adbserver.phones(text)


def choose(wanted: str, phones: dict[str, str]) -> str:
    """The serial of the phone to use: `wanted`, or the only one. Raises where none or several answer to that."""
    listed = ", ".join(phones)
    if not phones:
        raise DeviceError(
            "no phone is attached",
            "plug it in, turn on Developer options > USB debugging, and look at 'adb devices'"
            + (f"; over the network: adb connect {wanted}" if ":" in wanted else ""),
        )
    if wanted and wanted not in phones:
        raise DeviceError(f"no phone '{wanted}' is attached", f"attached: {listed}")
    if not wanted and len(phones) > 1:
        raise EdgebigError(
            f"{len(phones)} phones are attached: {listed}", "say which, by 'serial' in the device's file"
        )
    serial = wanted or listed
    state = phones[serial]
    if state != "device":
        what, hint = _STATES.get(state, (f"is in the state '{state}'", _GONE))
        raise DeviceError(f"phone {serial} {what}", hint)
    return serial


class Phone:
    """A phone that adb reaches under `serial`."""

    def __init__(self, serial: str) -> None:
        self.serial = serial

    def command(self, *words: str) -> list[str]:
        return ["adb", "-s", self.serial, *words]

    def shell(self, script: str, deadline: Deadline | None = None) -> tuple[int, str]:
        """The exit code of a shell script on the phone, and all that it printed. Raises as `lines` does."""
        run = Lines(self, script, deadline or Deadline(_SHORT_S, job=False))
        printed = "\n".join(run)
        return run.code, printed

    def ask(self, script: str, deadline: Deadline | None = None) -> str:
        """What a script that must not fail printed. Raises DeviceError where it does."""
        code, text = self.shell(script, deadline)
        if code != 0:
            raise self.refusal(text, f"a command on phone {self.serial} ended with exit code {code}")
        return text

    def push(self, source: Path, target: str, deadline: Deadline) -> None:
        """Raises DeviceError where it cannot be copied: no space, no right, no phone."""
        self._transfer(["push", str(source), target], deadline)

    def pull(self, source: str, target: Path, deadline: Deadline) -> None:
        self._transfer(["pull", source, str(target)], deadline)

    def _transfer(self, words: list[str], deadline: Deadline) -> None:
        code, text = self.adb(*words, deadline=deadline)
        if code != 0:
            raise self.refusal(text, f"'adb {words[0]}' with phone {self.serial} failed")

    def adb(self, *words: str, deadline: Deadline | None = None) -> tuple[int, str]:
        """The exit code of an adb command for it, and all that it printed. Raises DeviceError past the deadline."""
        deadline = deadline or Deadline(_SHORT_S, job=False)
        try:
            done = subprocess.run(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=deadline.left_s(), check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise deadline.late() from error
        return done.returncode, done.stdout.decode(errors="replace")

    def gone(self) -> tuple[str, str]:
        return f"phone {self.serial} went away", _GONE

    def refusal(self, text: str, what: str) -> DeviceError:
        """What adb or the phone's shell said as the error that the user sees."""
        shown = "\n".join(text.strip().splitlines()[-4:])
        if "No space left on device" in text:
            return DeviceError(
                f"phone {self.serial} is full: no space is left where 'folder' is", "free some space on it"
            )
        if "Read-only file system" in text or "Permission denied" in text:
            return DeviceError(
                f"phone {self.serial} does not let files be written:\n{shown}",
                "use a 'folder' under /data/local/tmp",
            )
        if is_gone(text):
            return LinkFault(*self.gone())
        return DeviceError(f"{what}:\n{shown}".rstrip(":\n"), "run it again")


class Lines:
    """The lines that a shell script prints on a phone, stdout and stderr, as they come; then `code`.

    Raises DeviceError where the phone goes away before the script ends, or the deadline passes: what the script
    started ends with it, since its shell is hung up.
    """

    def __init__(self, phone: Phone, script: str, deadline: Deadline) -> None:
        self._phone, self._script, self._deadline = phone, script, deadline
        self.code = -1

    def __iter__(self) -> Iterator[str]:
        # Not adb's own exit code: phones before Android 7 always give 0, and adb gives 1 for a lost phone too.
        left_s = self._deadline.left_s()
        mark = f"edgebig-exit-{secrets.token_hex(8)}"
        # A lost link hangs the shell up, which would leave its children: `wait` alone lets a trap run at once.
        wrapped = (
            f"trap 'kill -9 0' HUP\n( {self._script}\n) 2>&1 &\nwait $!\nedgebig_code=$?\n"
            f"echo; echo {mark}:$edgebig_code"
        )
        process = subprocess.Popen(
            self._phone.command("shell", wrapped), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        passed = threading.Event()

        def stop() -> None:
            passed.set()
            _kill(process)

        watchdog = threading.Timer(left_s, stop)
        watchdog.daemon = True
        watchdog.start()
        pending: str | None = None
        said: list[str] = []
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\r\n")
                if line.startswith(f"{mark}:"):
                    self.code = int(line.partition(":")[2])
                    break
                said = [*said[-3:], line]
                if pending is not None:
                    yield pending
                pending = line
        finally:
            watchdog.cancel()
            _kill(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self.code < 0:
            if passed.is_set():
                raise self._deadline.late()
            raise self._phone.refusal(
                "\n".join(said) or "closed", f"phone {self._phone.serial} did not answer"
            )
        if pending:  # the blank that stands before the mark is none of the script's
            yield pending


def is_gone(text: str) -> bool:
    """Whether adb says that the phone is there no more."""
    return bool(
        re.search(
            r"device .*(not found|offline)|no devices|error: closed|protocol fault|^closed$|disconnected",
            text,
        )
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Deadline:
    """What is left of a number of seconds: of a whole job's, or else of one step's that never takes long."""

    def __init__(self, seconds: float, *, job: bool = True) -> None:
        self._seconds, self._job = seconds, job
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """Raises DeviceError where nothing is."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise self.late()
        return left_s

    def late(self) -> DeviceError:
        if self._job:
            return DeviceError(
                f"not done after {self._seconds:.0f} s, stopped", "fewer --examples, or a longer --deadline"
            )
        return DeviceError(f"the phone did not answer within {self._seconds:.0f} s", _GONE)
