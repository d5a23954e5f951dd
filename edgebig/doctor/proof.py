"""A check of the doctor, and the child process that proves it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Literal

State = Literal["ok", "missing", "broken", "optional"]

TOOL_LIMIT_S = 10.0
OUTPUT_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing that may work here, and what to type (`mend`, empty where there is nothing to do).

    ok: it was proven. missing: an extra of edgebig brings it, and it is not installed. broken: it is installed and
    does not work. optional: it is not here, and nothing that was installed promises it.
    """

    name: str
    state: State
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a child ended: `code` is None where it did not end in time, negative where a signal ended it."""

    code: int | None
    stdout: str
    stderr: str
    limit_s: float

    def facts(self) -> dict[str, Any]:
        """What the child told until it ended, however it ended. Other lines are somebody's stray prints."""
        facts: dict[str, Any] = {}
        for line in self.stdout.splitlines():
            if line.startswith(_TOLD) and line.endswith("}}"):
                facts.update(json.loads(line)["told"])
        return facts

    def fault(self) -> str:
        if self.code is None:
            return f"did not answer within {self.limit_s:g} s"
        if self.code < 0:
            names = {known.value: known.name for known in signal.Signals}
            return f"died of {names.get(-self.code, f'signal {-self.code}')}"
        said = [line.strip() for line in f"{self.stdout}\n{self.stderr}".splitlines()]
        said = [line for line in said if line and not line.startswith(_TOLD)]
        return f"exit {self.code}: {said[-1][:300]}" if said else f"exit {self.code}, and it said nothing"


_children: set[subprocess.Popen[bytes]] = set()


def run(command: list[str], limit_s: float, environment: dict[str, str] | None = None) -> Outcome:
    """Run a command in an empty folder and a session of its own; kill the session when the time is up.

    The output goes to files: a daemon that the command leaves behind would hold a pipe open.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        try:
            child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(126, "", str(error), limit_s)
        _children.add(child)
        code: int | None = None
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            child.wait()
        finally:
            _children.discard(child)
        return Outcome(code, _read(out), _read(err), limit_s)


def run_python(
    script: str, limit_s: float, *arguments: str, environment: dict[str, str] | None = None
) -> Outcome:
    """Run a script with this Python; it tells what it finds by `tell`, `found` and `version` of _TELL."""
    return run([sys.executable, "-c", _TELL + script, *arguments], limit_s, environment)


def kill_children() -> None:
    for child in list(_children):
        _kill(child)


def install(apt: str, brew: str) -> str:
    """How this system installs a package, empty where it has none."""
    if platform.system() == "Darwin":
        return f"brew install {brew}" if brew else ""
    return f"sudo apt install {apt}"


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(OUTPUT_LIMIT_BYTES).decode(errors="replace")


_TOLD = '{"told": {'
# A child tells facts as it finds them, so that a crash does not take the earlier ones along.
_TELL = """
import json, sys
def tell(**facts):
    print(json.dumps({"told": facts}), flush=True)
def found(module):
    import importlib.util
    there = importlib.util.find_spec(module) is not None
    tell(found=there)
    return there
def version(*distributions):
    from importlib import metadata
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            pass
    return "?"
"""
