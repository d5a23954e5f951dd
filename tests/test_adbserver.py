"""Whether adb's server runs is found out without starting it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgebig import adbserver


def test_a_server_is_found_by_the_port_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADB_SERVER_SOCKET")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.getsockname()[1]))
        assert adbserver.is_up()
    assert not adbserver.is_up()


def test_a_server_is_found_at_a_socket_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{tmp_path}/adb")
    assert not adbserver.is_up()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/adb")
        server.listen()
        assert adbserver.is_up()


@pytest.mark.parametrize("spec", ["tcp:127.0.0.1:1", "tcp:many", "tcp:99999", "what"])
def test_where_nothing_listens_none_is_up(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", spec)
    assert not adbserver.is_up()
