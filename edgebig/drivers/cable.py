"""An Android phone's browser by its cable: the phone's localhost leads to this machine, and a page is opened there."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator

from edgebig.drivers.adbclient import Phone
from edgebig.errors import DeviceError


@contextlib.contextmanager
def reversed_port(phone: Phone, port: int) -> Iterator[None]:
    """While the block runs, localhost:`port` on the phone is localhost:`port` here. Raises DeviceError."""
    same = f"tcp:{port}"
    # Not over another's, who would lose it. One that leads to our own port was left behind by who was killed.
    if not any(line.split()[1:] == [same, same] for line in _adb(phone, "reverse", "--list").splitlines()):
        _adb(phone, "reverse", "--no-rebind", same, same)
    try:
        yield
    finally:
        with contextlib.suppress(DeviceError):  # an unplugged phone has forgotten it
            _adb(phone, "reverse", "--remove", same)


def open_url(phone: Phone, url: str) -> None:
    """Opens it in the phone's browser. Raises DeviceError where the phone says that it does not."""
    code, told = phone.shell(f"am start -a android.intent.action.VIEW -d {shlex.quote(url)}")
    # `am` ends with 0 where it finds nobody who takes the address.
    if code != 0 or "Error" in told:
        last = told.strip().splitlines()[-1:] or ["nothing"]
        raise DeviceError(f"phone {phone.serial} did not open the page; 'am start' said: {last[0]}", "")


def _adb(phone: Phone, *words: str) -> str:
    code, told = phone.adb(*words)
    if "cannot rebind" in told:
        raise DeviceError(
            f"{words[-1]} of phone {phone.serial} leads elsewhere already",
            f"adb -s {phone.serial} reverse --remove {words[-1]}, or another port",
        )
    if code != 0:
        raise phone.refusal(told, f"'adb {' '.join(words)}' on phone {phone.serial} failed")
    return told
