"""A device's kind -> the driver that reaches it."""

from __future__ import annotations

from edgebig.device import Device
from edgebig.drivers.protocol import Driver


def connect(device: Device) -> Driver:
    match device.kind:
        case "local":
            from edgebig.drivers.local import LocalDriver

            return LocalDriver(device)
        case "fake":
            from edgebig.drivers.fake import FakeDriver

            return FakeDriver(device)
