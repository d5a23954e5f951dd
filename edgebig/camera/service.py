"""A systemd unit that starts the camera with the machine. It is written, and what to run is told."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from edgebig import files
from edgebig.artifact import Artifact
from edgebig.camera import Settings
from edgebig.camera.viewers import Wanted
from edgebig.errors import EXIT_USAGE, EXIT_USER, EdgebigError
from edgebig.ondevice import sources

NAME = "edgebig-camera.service"
SYSTEM = Path("/etc/systemd/system")
# Where a service that has a user of its own may keep what it recorded; systemd makes it.
STATE = Path("/var/lib/edgebig-camera")
_MARK = "# Written by 'edgebig camera --install-service'; run it again to change it.\n"

_UNIT = """\
[Unit]
Description=edgebig camera: reads digits by {what}
{network}# A camera may be plugged in late: it is tried again and again.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
WorkingDirectory=/
{identity}
# Where the camera's nodes belong to that group.
SupplementaryGroups=video
CacheDirectory=edgebig-camera
Environment=XDG_CACHE_HOME=/var/cache/edgebig-camera PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
Restart=on-failure
RestartSec=5
# What only its user can mend does not mend itself.
RestartPreventExitStatus={for_users}
TimeoutStopSec=5
UMask=0077
Nice=5

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={home}
{writes}PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# Netlink: by it libcamera and OpenCV hear of cameras.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
{addresses}SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(arguments: Sequence[str], *, what: str, user: str, record: Path | None, network: bool) -> str:
    """`arguments`: of `edgebig camera`, their paths absolute; `user`: whom it runs as, "" for one of its own.

    `network`: its source is a URL. Raises EdgebigError where systemd could not take a path.
    """
    writes = "" if record is None else f"ReadWritePaths={_word(str(record))}\n"
    if record is not None and not user:
        if record != STATE:
            raise EdgebigError(f"{record}: the service's own user could not write there", f"--record {STATE}")
        writes = f"StateDirectory={STATE.name}\n"
    only_here = "IPAddressDeny=any\nIPAddressAllow=localhost\n"
    return _MARK + _UNIT.format(
        what=_plain(what),
        network="Wants=network-online.target\nAfter=network-online.target\n" if network else "",
        command=" ".join(map(_word, [sys.executable, "-m", "edgebig", "camera", *arguments])),
        identity=f"User={_word(user)}" if user else "DynamicUser=yes",
        # A user's environment lies in the user's home.
        home="read-only" if user else "yes",
        for_users=f"{EXIT_USER} {EXIT_USAGE}",
        writes=writes,
        addresses="" if network else only_here,
    )


def _word(text: str) -> str:
    """One word of systemd.syntax: quoted, and with its own signs doubled."""
    if not text.isprintable():
        raise EdgebigError(f"{text!a}: a unit file cannot name it", "use a path of printable characters")
    doubled = text.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w./:@%+,=$-]+", doubled):
        return doubled
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    return re.sub(r"[^\w ./:-]", "?", text)


def install(arguments: Sequence[str], model: Artifact, settings: Settings, wanted: Wanted) -> list[str]:
    """Writes the unit: as root where systemd looks for it, else into this folder. -> what is to be run, line by line.

    `arguments`: those of `edgebig camera`, with what `instead` gives.
    Raises EdgebigError where another file has its name, or root's edgebig lies where no other user may read it.
    """
    record = None if wanted.record is None else wanted.record.absolute()
    as_root = os.geteuid() == 0
    folder = SYSTEM if as_root else Path.cwd()
    path = folder / NAME
    if sys.platform != "linux" or (as_root and not SYSTEM.is_dir()):
        raise EdgebigError("there is no systemd here", "run it on the Raspberry Pi")
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        raise EdgebigError(f"{path}: not written by edgebig", "move it away, and run this again")
    if as_root:
        _check_readable()
    user = "" if as_root else getpass.getuser()
    network = sources.is_url(settings.source)
    text = unit(arguments, what=model.path.stem, user=user, record=record, network=network)
    # A stream's password stands in it.
    files.write_bytes(path, text.encode(), 0o600 if "@" in settings.source else None)
    start = ["systemctl daemon-reload", f"systemctl enable --now {NAME}"]
    if not as_root:
        start = [f"sudo {line}" for line in [f"cp {shlex.quote(str(path))} {SYSTEM}/", *start]]
        if record is not None:
            start.insert(0, f"mkdir -p {shlex.quote(str(record))}")
    return [
        f"written: {path}",
        *start,
        f"journalctl -u {NAME} -f    # tells the page's address, and what goes wrong",
    ]


def instead(model: Artifact, settings: Settings, wanted: Wanted) -> dict[str, str | None]:
    """Of the parameters of `edgebig camera` those that are others in a service: it has no screen, and any folder."""
    source = settings.source
    if sources.is_path(source):
        source = str(Path(source).expanduser().absolute())
    return {
        "model": str(model.path.absolute()),
        "device": None,
        "source": source,
        "show": "page" if wanted.pictures else "none",
        "record": None if wanted.record is None else str(wanted.record.absolute()),
        "install_service": None,
    }


def _check_readable() -> None:
    for home in ("/root", "/home"):
        for path in (sys.prefix, __file__, os.path.realpath(sys.executable)):
            if path.startswith(f"{home}/"):
                raise EdgebigError(
                    f"{path}: in a home, which a service of the system's own cannot read",
                    "run this as the user who has edgebig (it asks for no root), or install edgebig in /opt",
                )
