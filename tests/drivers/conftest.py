"""Fixtures of the drivers' test beds."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig.device import AdbDevice
from edgebig.drivers.ssh import COMMAND_VARIABLE
from tests.drivers import adbd, benchmark_model_stand_in
from tests.drivers.sshd import Board, board


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board that ssh reaches."""
    with board() as running:
        monkeypatch.setenv(COMMAND_VARIABLE, running.ssh())
        yield running


@pytest.fixture(scope="session")
def adbd_root(tmp_path_factory: pytest.TempPathFactory, users_environment: dict[str, str]) -> Path:
    """Debian's adbd, unpacked once for all workers."""
    return _adbd_root(tmp_path_factory, users_environment, adbd.NATIVE)


@pytest.fixture(scope="session")
def arm64_adbd_root(tmp_path_factory: pytest.TempPathFactory, users_environment: dict[str, str]) -> Path:
    """That for arm64, which QEMU runs (mark it `arm`)."""
    return _adbd_root(tmp_path_factory, users_environment, adbd.EMULATED)


def _adbd_root(
    tmp_path_factory: pytest.TempPathFactory,
    users_environment: dict[str, str],
    processor: adbd.Processor | None,
) -> Path:
    if sys.platform != "linux":
        pytest.skip("needs Linux: network namespaces")
    if os.geteuid() != 0:
        pytest.skip("needs root: adbd and network namespaces do")
    for program in ("adb", "unshare", "setpriv", "ip", "apt-get"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    folder = tmp_path_factory.getbasetemp()
    # Each worker of xdist has a folder of its own in one that they share.
    folder = folder.parent if "PYTEST_XDIST_WORKER" in users_environment else folder
    with (folder / "adbd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return adbd.unpacked(folder, processor)
        except adbd.Unavailable as error:
            pytest.skip(f"needs Debian's adbd: {error}")


@pytest.fixture
def phone(tmp_path: Path, adbd_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[adbd.TestPhone]:
    """One phone, which every adb of this test reaches."""
    with adbd.started(adbd_root, tmp_path / "phone") as started:
        _reached(started, monkeypatch)
        yield started


@pytest.fixture
def arm64_phone(
    tmp_path: Path, arm64_adbd_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[adbd.TestPhone]:
    """As that, with a daemon for the processor of real phones, in QEMU."""
    with adbd.started(arm64_adbd_root, tmp_path / "phone", processor=adbd.EMULATED) as started:
        _reached(started, monkeypatch)
        yield started


def _reached(phone: adbd.TestPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADB_SERVER_SOCKET", "HOME"):
        monkeypatch.setenv(name, phone.environment[name])


def device_of(phone: adbd.TestPhone, **changes: Any) -> AdbDevice:
    """That phone as a device, with the stand-in for its tool."""
    tool = phone.folder / "benchmark_model_tflite"
    if not tool.exists():
        benchmark_model_stand_in.write(phone.folder)
    values = {"name": "pixel", "benchmark_model": str(tool), "folder": f"{phone.folder}/store/edgebig"}
    return AdbDevice(**{**values, **changes})
