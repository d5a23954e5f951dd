"""The unit: what systemd itself says of it, what it starts, and that no path or name breaks out of its line."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from edgebig.artifact import Artifact
from edgebig.camera import Settings, service
from edgebig.camera.viewers import Wanted
from edgebig.errors import EdgebigError
from edgebig.runs import zoo
from tests.commandline import Edgebig

MODEL = Artifact(zoo()["digits"], "0" * 64, None)


def unit(**changes: object) -> str:
    values = {"what": "digits", "user": "pi", "record": None, "network": False}
    return service.unit(["digits.tflite"], **{**values, **changes})  # type: ignore[arg-type]


def key(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def complaints(path: Path) -> list[str]:
    """What systemd says of the unit; of others of the machine it tells too."""
    command = ["systemd-analyze", "verify", "--man=no", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr).splitlines()
    return [line for line in told if path.name in line or "Failed" in line]


@pytest.mark.parametrize("user", ["", "root"], ids=["one of its own", "a user"])
@pytest.mark.parametrize("network", [False, True])
def test_systemd_takes_it(user: str, network: bool, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    path = tmp_path / service.NAME
    record = Path("/var/lib/my digits 100% $HOME") if user else service.STATE
    text = unit(user=user, network=network, record=record)
    path.write_text(text)
    assert complaints(path) == []
    path.write_text(text.replace("PrivateTmp=yes", "PrivateTemp=yes"))
    assert len(complaints(path)) == 1


def test_it_is_closed_as_far_as_a_camera_lets_it_be() -> None:
    text = unit(record=Path("/srv/digits"))
    for name, value in {
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "read-only", "Restart": "on-failure",
        "User": "pi", "SupplementaryGroups": "video", "ReadWritePaths": "/srv/digits", "CapabilityBoundingSet": "",
        "IPAddressDeny": "any", "RestartPreventExitStatus": "1 2", "CacheDirectory": "edgebig-camera",
    }.items():  # fmt: skip
        assert key(text, name) == value
    assert "DynamicUser" not in text
    assert key(text, "ExecStart") == f"{sys.executable} -m edgebig camera digits.tflite"
    own = unit(user="")
    assert (key(own, "DynamicUser"), key(own, "ProtectHome")) == ("yes", "yes")
    far = unit(network=True)
    assert "IPAddressDeny" not in far
    assert "network-online.target" in far


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/a/b-c_1.tflite", "/a/b-c_1.tflite"),
        ("my file", '"my file"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\c', '"a\\"b\\\\c"'),
        (";", '";"'),
        ("", '""'),
    ],
)
def test_a_word_is_one_word(text: str, word: str) -> None:
    assert service._word(text) == word


@pytest.mark.parametrize("text", ["a\nExecStartPre=/bin/sh", "a\x1b[2J", "a\r"])
def test_no_path_breaks_out_of_its_line(text: str) -> None:
    with pytest.raises(EdgebigError, match="a unit file cannot name it"):
        unit(record=Path(text))
    assert "\x1b" not in unit(what=text)
    assert "\nExecStartPre" not in unit(what=text)


# Of each parameter of the command but those that choose or replace: other words than its defaults, where it has some.
GIVEN = {
    "model": [], "device": [], "show": ["--show", "page"], "install_service": ["--install-service"],
    "source": ["--source", "shots/*.png"], "size": ["--size", "320x240"], "rotate": ["--rotate", "180"],
    "port": ["--port", "9000"], "json": ["--json"], "every_frame": ["--real-time"], "smooth": ["--smooth", "3"],
    "record": ["--record", "kept"], "record_limit": ["--record-limit", "5MB"],
}  # fmt: skip


def started_by(unit: Path) -> dict[str, Any]:
    """The command's parameters as its own parser takes them from the unit's line."""
    words = shlex.split(key(unit.read_text(), "ExecStart").replace("%%", "%").replace("$$", "$"))
    assert words[:4] == [sys.executable, "-m", "edgebig", "camera"]
    with command().make_context("camera", words[4:]) as context:
        return {name: getattr(value, "value", value) for name, value in context.params.items()}


def command() -> Any:
    from edgebig import cli

    return typer.main.get_command(cli.app).commands["camera"]  # type: ignore[attr-defined]


def test_the_service_is_started_with_all_that_was_given(edgebig: Edgebig, as_user: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux: systemd")
    # A new parameter needs words of its own here; that they reach the unit is then seen below.
    assert {parameter.name for parameter in command().params} == set(GIVEN)
    done = edgebig("camera", *(word for words in GIVEN.values() for word in words))
    assert done.code == 0, done.stderr
    found = started_by(as_user / service.NAME)
    assert {name: str(value) for name, value in found.items()} == {
        "model": str(zoo()["digits-camera"].absolute()), "device": "local", "show": "page", "install_service": "False",
        "source": f"{as_user}/shots/*.png", "size": "320x240", "rotate": "180", "port": "9000", "json": "True",
        "every_frame": "False", "smooth": "3", "record": f"{as_user}/kept", "record_limit": "5MB",
    }  # fmt: skip
    for flag, value in (("--every-frame", True), ("--real-time", False)):
        assert edgebig("camera", "--install-service", flag).code == 0
        assert started_by(as_user / service.NAME)["every_frame"] is value
    assert edgebig("camera", "--install-service", "--json").code == 0
    # Nobody says it: it is by what the service shows, as it is here.
    assert started_by(as_user / service.NAME)["every_frame"] is None
    assert started_by(as_user / service.NAME)["show"] == "none"


def test_arguments_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def source_of(source: str) -> str | None:
        return service.instead(MODEL, Settings(source=source), Wanted())["source"]

    for source in ("auto", "picamera", "0", "rtsp://camera/1"):
        assert source_of(source) == source
    # As the runner takes them: a number of more digits is a file, and so is what only has :// in it.
    for source in ("20261127", "a b://c"):
        assert source_of(source) == str(tmp_path / Path(source))


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(service.getpass, "getuser", lambda: "pi")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_user_is_told_what_to_run_and_nothing_is_run(as_user: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux: systemd")
    told = service.install([], MODEL, Settings(), Wanted(record=as_user / "kept"))
    path = as_user / service.NAME
    assert told == [
        f"written: {path}",
        f"mkdir -p {as_user}/kept",
        f"sudo cp {path} /etc/systemd/system/",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now edgebig-camera.service",
        "journalctl -u edgebig-camera.service -f    # tells the page's address, and what goes wrong",
    ]
    assert key(path.read_text(), "User") == "pi"
    service.install(["--rotate", "90"], MODEL, Settings(), Wanted())  # Its own may be written again.
    assert "--rotate 90" in path.read_text()
    service.install([], MODEL, Settings("rtsp://ann:secret@camera/1"), Wanted())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_is_left_alone(as_user: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux: systemd")
    (as_user / service.NAME).write_text("[Unit]\n")
    with pytest.raises(EdgebigError, match="not written by edgebig"):
        service.install([], MODEL, Settings(), Wanted())
    assert (as_user / service.NAME).read_text() == "[Unit]\n"


def test_root_has_it_where_systemd_looks_unless_it_lies_in_a_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux: systemd")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(service, "SYSTEM", tmp_path)
    monkeypatch.setattr(service.sys, "prefix", "/opt/edgebig")
    monkeypatch.setattr(service, "__file__", "/opt/edgebig/service.py")
    monkeypatch.setattr(service.sys, "executable", "/opt/edgebig/bin/python")
    told = service.install([], MODEL, Settings(), Wanted())
    assert told[:2] == [f"written: {tmp_path / service.NAME}", "systemctl daemon-reload"]
    assert "DynamicUser=yes" in (tmp_path / service.NAME).read_text()
    service.install([], MODEL, Settings(), Wanted(record=service.STATE))
    assert key((tmp_path / service.NAME).read_text(), "StateDirectory") == "edgebig-camera"
    with pytest.raises(EdgebigError, match="could not write there"):
        service.install([], MODEL, Settings(), Wanted(record=Path("/srv/kept")))
    monkeypatch.setattr(service.sys, "prefix", "/root/venv")
    with pytest.raises(EdgebigError, match="/root/venv: in a home"):
        service.install([], MODEL, Settings(), Wanted())
