"""A phone's browser by its cable: the real adb and Debian's real adbd; `am`, which Android alone has, is a stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from edgebig.device import BrowserDevice
from edgebig.drivers import reception
from edgebig.drivers.reception import Reception
from edgebig.errors import DeviceError
from tests.drivers import adbd
from tests.phone import client

pytestmark = [pytest.mark.network, pytest.mark.slow]
pytest.importorskip("uvicorn", reason="needs uvicorn")

STARTS = "echo 'Starting: Intent { act=android.intent.action.VIEW dat=http://localhost/... }'"
USB = BrowserDevice(name="phone-usb", usb=True)


@pytest.fixture(autouse=True)
def without_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    packed = client.no_runtime(tmp_path_factory.mktemp("runtime"))
    monkeypatch.setattr(reception.runtime, "ready", lambda cache, given: packed)


@pytest.fixture
def android(phone: adbd.TestPhone) -> adbd.TestPhone:
    """A phone that starts what it is told to, and notes it."""
    _am(phone, STARTS)
    return phone


def _am(phone: adbd.TestPhone, says: str) -> None:
    program = phone.folder / "bin" / "am"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{phone.folder}/am.log"\n{says}\n')
    program.chmod(0o755)


def reversals(phone: adbd.TestPhone) -> str:
    return phone.adb("-s", phone.serial, "reverse", "--list").strip()


def test_the_page_is_opened_on_the_phone_whose_localhost_leads_here(
    android: adbd.TestPhone, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Reception(USB, "bench")
    port, token = opened.served.port, opened.served.token
    try:
        assert reversals(android).endswith(f"tcp:{port} tcp:{port}")
        asked = (android.folder / "am.log").read_text().splitlines()
        url = f"http://localhost:{port}/#t={token}"
        assert asked == ["start", "-a", "android.intent.action.VIEW", "-d", url]
        assert opened.certificate is None  # localhost is a secure context without
        assert "the page opens on phone" in capsys.readouterr().err
    finally:
        opened.release()
    assert reversals(android) == ""


@pytest.mark.parametrize("says", ["echo 'Error: Activity not started, unable to resolve Intent'", "exit 1"])
def test_a_phone_that_opens_nothing_is_told_by_hand(
    android: adbd.TestPhone, capsys: pytest.CaptureFixture[str], says: str
) -> None:
    _am(android, says)
    opened = Reception(USB, "bench")
    try:
        said = capsys.readouterr().err
        assert "did not open the page" in said
        assert f"open it there by hand: http://localhost:{opened.served.port}/#t=" in said
    finally:
        opened.release()


def test_a_port_of_the_phones_that_leads_elsewhere_is_left_alone(android: adbd.TestPhone) -> None:
    android.adb("-s", android.serial, "reverse", "tcp:8790", "tcp:9")
    with pytest.raises(DeviceError, match=r"tcp:8790 of phone .* leads elsewhere already") as raised:
        Reception(USB.model_copy(update={"port": 8790}), "bench")
    assert "reverse --remove tcp:8790" in raised.value.hint
    assert reversals(android).endswith("tcp:8790 tcp:9")


def test_what_a_killed_edgebig_left_behind_is_taken_over(android: adbd.TestPhone) -> None:
    android.adb("-s", android.serial, "reverse", "tcp:8791", "tcp:8791")
    opened = Reception(USB.model_copy(update={"port": 8791}), "bench")
    assert reversals(android).endswith("tcp:8791 tcp:8791")
    opened.release()
    assert reversals(android) == ""


def test_a_phone_that_is_unplugged_meanwhile_hinders_no_end(android: adbd.TestPhone) -> None:
    opened = Reception(USB, "bench")
    android.unplug()
    opened.release()


def test_without_a_phone_there_is_no_page(android: adbd.TestPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(reception, "_show", lambda *told: served.append(told))
    with pytest.raises(DeviceError, match="no phone 'other' is attached"):
        Reception(USB.model_copy(update={"serial": "other"}), "bench")
    assert not served
