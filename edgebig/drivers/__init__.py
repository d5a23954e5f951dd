"""A device's kind -> the driver that reaches it."""

from __future__ import annotations

from edgebig.device import AdbDevice, BrowserDevice, Device, FakeDevice, LocalDevice, McuDevice, SshDevice
from edgebig.drivers.protocol import Driver
from edgebig.errors import EdgebigError


def connect(device: Device) -> Driver:
    match device:
        case LocalDevice():
            from edgebig.drivers.local import LocalDriver

            return LocalDriver(device)
        case McuDevice():
            from edgebig.drivers.mcu import McuDriver

            return McuDriver(device)
        case SshDevice():
            from edgebig.drivers.ssh import SshDriver

            return SshDriver(device)
        case AdbDevice():
            from edgebig.drivers.adb import AdbDriver

            return AdbDriver(device)
        case BrowserDevice():
            from edgebig.drivers.browser import BrowserDriver

            return BrowserDriver(device)
        case FakeDevice():
            from edgebig.drivers.fake import FakeDriver

            return FakeDriver(device)
        case _:
            raise EdgebigError(f"{device.name}: kind '{device.kind}' cannot be reached yet", "use 'local'")
