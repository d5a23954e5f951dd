"""Pythons of their own for packages that do not go together with edgebig's: made when asked for by name, in the cache.

tflite-runtime wants numpy < 2, MediaPipe brings OpenCV and much else, and all of them pull in what nobody needs who
does not use them. Nothing here is made on the way to something else: `add` alone installs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebig import files, lookup
from edgebig.errors import EdgebigError
from edgebig.progress import say

INSTALL_LIMIT_S = 1800.0
PROBE_LIMIT_S = 20.0
# Written last: an environment without it was left half made by a kill, and is made anew.
MARKER = "edgebig.json"
MARKER_SCHEMA = 1
_LINES_SHOWN = 8


@dataclass(frozen=True)
class Environment:
    """What is installed into it, the minor versions of Python 3 that can have it, and what it is for."""

    requirements: tuple[str, ...]
    python_minors: range
    about: str


ENVIRONMENTS: Mapping[str, Environment] = {
    # Its last wheels, built against numpy 1. Pillow is for `predict`.
    "tflite-runtime": Environment(
        ("tflite-runtime==2.14.0", "numpy<2", "pillow>=10.3"), range(9, 12), "the runtime of older boards"
    ),
    # Nightly builds, of which the index keeps only the last few: an exact pin would be gone in a month.
    "tflite-micro": Environment(
        ("tflite-micro>=0.dev20260101", "numpy<3"), range(10, 14), "TFLite Micro's interpreter, for export and check"
    ),
    "vela": Environment(("ethos-u-vela==5.2.0", "numpy<3"), range(10, 14), "Arm's compiler for the Ethos-U"),
    "mediapipe": Environment(
        ("mediapipe==1.2.3", "numpy<3"), range(10, 14), "MediaPipe Tasks, as on Android, iOS and the web"
    ),
}  # fmt: skip


def python(name: str) -> Path:
    """The interpreter of the environment `name`. Raises EdgebigError where it is not made, or its Python is gone."""
    folder = _folder(name)
    interpreter = folder / "bin" / "python"
    again = f"edgebig environment add {name}"
    if not (folder / MARKER).is_file():
        raise EdgebigError(f"needs the environment '{name}'", f"make it once: {again}")
    if not interpreter.exists():
        raise EdgebigError(
            f"the environment '{name}' is broken: its Python is gone", f"make it anew: {again}"
        )
    return interpreter


def add(name: str) -> Path:
    """The interpreter of the environment `name`, which is made if it is not there: whole, or not at all.

    Raises EdgebigError where no Python here fits, or pip fails: with its command, exit code and last lines.
    """
    folder = _folder(name)
    with _locked(name):
        if (folder / MARKER).is_file() and (folder / "bin" / "python").exists():
            return python(name)
        base = _suitable_python(name)
        requirements = ENVIRONMENTS[name].requirements
        say(f"environment '{name}': {', '.join(requirements)} with {base}, in {folder}")
        try:
            # --clear: what a killed one left behind.
            _install([str(base), "-m", "venv", "--clear", str(folder)], name)
            pip = [str(folder / "bin" / "python"), "-m", "pip"]
            _install([*pip, "install", "--only-binary", ":all:", *requirements], name)
            installed = _install([*pip, "list", "--format", "json"], name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        versions = {row["name"]: row["version"] for row in json.loads(installed)}
        marker = {"schema": MARKER_SCHEMA, "requirements": requirements, "packages": versions}
        files.write_json(folder / MARKER, marker)
    return python(name)


def remove(name: str) -> list[Path]:
    """Deletes the environment `name`, older forms of it too; gives the folders that were there."""
    _known(name)
    if not _root().is_dir():
        return []
    with _locked(name):
        # tflite-runtime-* is no form of an environment called tflite: the digest alone may follow.
        gone = sorted(
            path
            for path in _root().glob(f"{name}-*")
            if path.is_dir() and len(path.name) == len(_folder(name).name)
        )
        for folder in gone:
            (folder / MARKER).unlink(missing_ok=True)
            shutil.rmtree(folder)
    return gone


def listed() -> list[dict[str, Any]]:
    """Every environment that can be had: what it is for, and where it is if it was made."""
    rows = []
    for name, environment in ENVIRONMENTS.items():
        folder = _folder(name)
        minors = environment.python_minors
        rows.append(
            {
                "environment": name,
                "about": environment.about,
                "requirements": list(environment.requirements),
                "python": f"3.{minors[0]} to 3.{minors[-1]}",
                "made": (folder / MARKER).is_file(),
                "folder": str(folder),
            }
        )
    return rows


def versions(name: str) -> dict[str, str]:
    """The packages in the environment `name` and their versions. Raises EdgebigError where it is not made."""
    python(name)
    found: dict[str, str] = json.loads((_folder(name) / MARKER).read_text("utf-8"))["packages"]
    return found


def run(name: str, script: Path, request: Any = None, *, deadline_s: float = 120.0) -> Any:
    """The JSON that `script` prints as its last line, run by the environment `name` with `request`, JSON, as its input.

    The script sees neither edgebig nor the user's packages. Raises EdgebigError where the environment is not made, or
    the script fails, dies, does not end in time or prints something else.
    """
    what = f"{Path(script).name} in the environment '{name}'"
    done = call([str(python(name)), "-I", str(script)], what, json.dumps(request), deadline_s=deadline_s)
    lines = [line for line in done.splitlines() if line.strip()]
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        raise EdgebigError(
            f"{what} gave no JSON but: {lines[-1:] or 'nothing'}", "please report this"
        ) from None


def call(
    command: list[str],
    what: str,
    stdin: str = "",
    *,
    deadline_s: float,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The stdout of a command that ends in time and well, else EdgebigError: `what` failed, how, its last lines."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
            env={**os.environ, **environ} if environ else None,
        )  # fmt: skip
        try:
            with contextlib.suppress(BrokenPipeError):
                child.communicate(stdin.encode(), timeout=deadline_s)
        except subprocess.TimeoutExpired:
            raise EdgebigError(f"{what} did not end within {deadline_s:g} s", "try again") from None
        finally:
            _kill(child)
        stdout, stderr = _read(out), _read(err)
    if child.returncode:
        said = [line for line in f"{stdout}\n{stderr}".splitlines() if line.strip()][-_LINES_SHOWN:]
        died = f"died of signal {-child.returncode}" if child.returncode < 0 else f"exit {child.returncode}"
        raise EdgebigError(f"{what} failed ({died}): {' '.join(command)}", "\n  ".join(said))
    return stdout


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it started, whatever became of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


def _install(command: list[str], name: str) -> str:
    # A PYTHONPATH or a user's site would be taken for what is in the environment.
    clean = {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    return call(command, f"making the environment '{name}'", deadline_s=INSTALL_LIMIT_S, environ=clean)


def _known(name: str) -> Environment:
    if name not in ENVIRONMENTS:
        raise EdgebigError(f"no environment '{name}'", f"one of: {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[name]


def _root() -> Path:
    return lookup.cache_dir() / "environments"


def _folder(name: str) -> Path:
    """Named by what is in it, so that another edgebig with other requirements makes another one."""
    digest = files.sha256_bytes("\n".join(_known(name).requirements).encode())
    return _root() / f"{name}-{digest[:8]}"


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Holds the environment `name`; waits where another process makes or removes it."""
    _root().mkdir(parents=True, exist_ok=True)
    with (_root() / f".{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"environment '{name}': another process is at it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _suitable_python(name: str) -> Path:
    """The Python that runs this where it fits, else the newest that does, on PATH or of pyenv. Raises EdgebigError."""
    minors = _known(name).python_minors
    if sys.version_info[0] == 3 and sys.version_info[1] in minors:
        return Path(sys.executable)
    for minor in reversed(minors):
        for candidate in _pythons(minor):
            if _minor_of(candidate) == minor:
                return candidate
    wanted = f"Python 3.{minors[0]} to 3.{minors[-1]}"
    raise EdgebigError(
        f"the environment '{name}' needs {wanted}, this is {sys.version_info[0]}.{sys.version_info[1]}",
        f"install one of them so that python3.{minors[-1]} is on PATH (or by pyenv), and try again",
    )


def _pythons(minor: int) -> Iterator[Path]:
    found = shutil.which(f"python3.{minor}")
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or lookup.home_dir() / ".pyenv") / "versions"
    yield from sorted(pyenv.glob(f"3.{minor}.*/bin/python"), reverse=True)


def _minor_of(candidate: Path) -> int | None:
    """The minor version of a Python 3 that runs and has venv: pyenv's shims are there for versions that are not."""
    code = "import sys, venv, ensurepip; print(sys.version_info[1])"
    try:
        done = subprocess.run(
            [str(candidate), "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) if done.returncode == 0 else None
