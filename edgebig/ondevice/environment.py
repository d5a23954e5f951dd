"""An environment on this machine: wheels that the host sent, unpacked, and a launcher of the Python that is here.

Neither pip nor venv is asked for: Debian packs both apart. It is there whole or not at all: it gets its name last.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

from .faults import Fault

FOLDER = "environment"
MARKER = "edgebig.json"
_HALF_MADE = ".environment-new"
_OLD = ".environment-old"
_LINES_SHOWN = 6
_SLACK_BYTES = 8 << 20


def steps(task: dict[str, Any], store: str, python: list[str]) -> Iterator[dict[str, Any]]:
    """One `environment` event: the records of what was there `before`, and is there after `task["do"]`.

    That is look, install or remove; a record is None where there is none. `python`: the words that start the Python of
    this machine. Raises Fault where there is no room, a wheel is damaged, or what was installed does not load: what was
    there before stays then.
    """
    for left in (_HALF_MADE, _OLD):
        shutil.rmtree(os.path.join(store, left), ignore_errors=True)
    before = record(store)
    try:
        if task["do"] == "install":
            _install(task, store, python)
        elif task["do"] == "remove":
            _remove(store)
    except OSError as error:
        shutil.rmtree(os.path.join(store, _HALF_MADE), ignore_errors=True)
        raise Fault(
            "disk",
            f"the environment could not be written: {error.strerror}",
            "free some space there, or set 'folder' in the device's file to another disk",
        ) from error
    yield {"event": "environment", "before": before, "record": record(store)}
    yield {"event": "result", "complete": True}


def record(store: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(store, FOLDER, MARKER), encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except (OSError, ValueError):
        return None


def _remove(store: str) -> None:
    folder = os.path.join(store, FOLDER)
    if os.path.lexists(folder):
        os.rename(
            folder, os.path.join(store, _OLD)
        )  # at once no longer found, though a removal takes its time
        shutil.rmtree(os.path.join(store, _OLD))


def _install(task: dict[str, Any], store: str, python: list[str]) -> None:
    """task: wheels [{name, sha256}] that lie in the store, `key`, `packages`, and `proof`, the modules to load."""
    new, final = os.path.join(store, _HALF_MADE), os.path.join(store, FOLDER)
    wheels = [(wheel["name"], os.path.join(store, wheel["sha256"])) for wheel in task["wheels"]]
    try:
        _check_room([path for _, path in wheels], store)
        for name, path in wheels:
            _unpack(name, path, os.path.join(new, "site"))
        _write_launcher(new, python, os.path.join(new, "site"))
        _prove(os.path.join(new, "bin", "python"), task["proof"])
        _write_launcher(new, python, os.path.join(final, "site"))
        with open(os.path.join(new, MARKER), "w", encoding="utf-8") as file:
            json.dump({"key": task["key"], "packages": task["packages"], "python": python}, file)
        os.sync()  # a power cut must not leave a marker over empty files
        old = os.path.join(store, _OLD)
        if os.path.lexists(final):
            os.rename(final, old)
        os.rename(new, final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        # Unpacked they are twice there, and cards are small.
        for _, path in wheels:
            if os.path.exists(path):
                os.unlink(path)


def _check_room(paths: list[str], store: str) -> None:
    needed = _SLACK_BYTES
    for path in paths:
        with _opened(path, path) as archive:
            needed += sum(entry.file_size for entry in archive.infolist())
    free = shutil.disk_usage(store).free
    if free < needed:
        raise Fault(
            "disk",
            f"the environment takes {needed >> 20} MiB, and {free >> 20} MiB are free in {store}",
            "free some space there, or set 'folder' in the device's file to another disk",
        )


def _opened(name: str, path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise Fault("bad-wheel", f"{name} arrived damaged: {error}", "run it again") from error


def _unpack(name: str, path: str, site: str) -> None:
    with _opened(name, path) as archive:
        try:
            archive.extractall(site)
        except zipfile.BadZipFile as error:
            raise Fault("bad-wheel", f"{name} arrived damaged: {error}", "run it again") from error
    # A wheel may keep its libraries in NAME.data/platlib; headers and scripts beside it nobody needs here.
    for entry in os.listdir(site):
        if entry.endswith(".data"):
            for kind in ("purelib", "platlib"):
                folder = os.path.join(site, entry, kind)
                for part in os.listdir(folder) if os.path.isdir(folder) else []:
                    os.rename(os.path.join(folder, part), os.path.join(site, part))
            shutil.rmtree(os.path.join(site, entry))


def _write_launcher(folder: str, python: list[str], site: str) -> None:
    path = os.path.join(folder, "bin", "python")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # Whatever PATH a later session has.
    first = shutil.which(python[0]) or python[0]
    words = " ".join(map(shlex.quote, [first, *python[1:]]))
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(site)} PYTHONNOUSERSITE=1\n"
            f'export PYTHONPATH PYTHONNOUSERSITE\nexec {words} "$@"\n'
        )
    os.chmod(path, 0o755)


def _prove(launcher: str, modules: list[str]) -> None:
    """What was installed loads: libraries of another system, or for another processor, are seen here."""
    code = "import " + ", ".join(modules)
    done = subprocess.run(
        [launcher, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()[-_LINES_SHOWN:]
        how = f"died of signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise Fault(
            "broken-environment",
            "\n".join([f"what was installed does not load with {sys.executable} ({how})", *said]),
            "another Python there may do: give it as 'python' in the device's file",
        )
