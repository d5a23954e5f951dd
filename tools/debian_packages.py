"""Debian's packages for any architecture and release, by this machine's own sources and keys; nothing is installed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgebig.errors import EdgebigError

LIMIT_S = 900.0
_LINES_SHOWN = 8


def unpack(
    root: Path,
    packages: Sequence[str],
    architecture: str,
    release: str = "",
    environ: Mapping[str, str] | None = None,
) -> None:
    """The packages and all that they depend on, under `root`. `architecture`: as Debian names it; `release`: the
    codename of another Debian than this machine's; `environ`: that of apt.

    Raises EdgebigError where apt cannot bring them.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        for package in _download(Path(scratch), packages, architecture, release, environ):
            call(["dpkg-deb", "-x", str(package), str(root)], environ)


def _download(
    scratch: Path, packages: Sequence[str], architecture: str, release: str, environ: Mapping[str, str] | None
) -> list[Path]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "state" / "status").touch()
    settings = scratch / "apt.conf"
    settings.write_text(
        f"""
        Dir::State "{scratch}/state";
        Dir::State::status "{scratch}/state/status";
        Dir::Cache "{scratch}/cache";
        #clear APT::Architectures;
        APT::Architecture "{architecture}";
        APT::Architectures {{ "{architecture}"; }};
        APT::Install-Recommends "false";
        APT::Sandbox::User "root";
        Acquire::Languages "none";
        Acquire::Retries "3";
        """
        + (_other_sources(scratch, release) if release else ""),
        encoding="utf-8",
    )
    environ = {**(os.environ if environ is None else environ), "APT_CONFIG": str(settings)}
    # One source of several may not serve this architecture, or be behind: the next step tells what is missing then.
    updated = subprocess.run(
        ["apt-get", "update"], capture_output=True, text=True, timeout=LIMIT_S, env=environ, check=False
    )
    try:
        call(["apt-get", "install", "--yes", "--download-only", *packages], environ)
    except EdgebigError as error:
        raise EdgebigError(
            f"{error.problem}\n{_tail(updated.stderr)}".rstrip(),
            f"/etc/apt must name a Debian source that serves {release} {architecture}",
        ) from error
    return sorted((scratch / "cache" / "archives").glob("*.deb"))


def _other_sources(scratch: Path, release: str) -> str:
    """apt's settings for this machine's own Debian sources in another release, without its updates."""
    here = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    folder = scratch / "sources"
    folder.mkdir()
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".list":
            kept = [line for line in text.splitlines() if line.startswith("deb ") and here in line.split()]
            text = "\n".join(re.sub(rf"\s{re.escape(here)}\s", f" {release} ", line) for line in kept)
        else:
            stanzas = [
                re.sub(rf"(?m)^Suites:.*\s{re.escape(here)}(?=\s).*$", f"Suites: {release}", stanza)
                for stanza in re.split(r"\n\s*\n", text)
            ]
            text = "\n\n".join(stanza for stanza in stanzas if f"Suites: {release}" in stanza.splitlines())
        (folder / path.name).write_text(f"{text}\n", encoding="utf-8")
    return f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{folder}";'


def call(command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    """Raises EdgebigError, with its last lines, where it ends with another exit code than 0."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, env=environ, check=False
    )  # fmt: skip
    if done.returncode:
        raise EdgebigError(
            f"exit code {done.returncode}: {' '.join(command)}\n{_tail(done.stderr)}".rstrip(),
            "mend what it says, and run it again",
        )


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES_SHOWN:])
