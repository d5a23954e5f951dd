"""Devices: passive facts about a target, as TOML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgebig import lookup
from edgebig.errors import EdgebigError
from edgebig.recipe import Spec, read_toml, validate


class Device(Spec):
    """Facts about a target. What is done with them stands in drivers/."""

    name: str = Field(exclude=True)
    kind: Literal["local", "fake"]
    about: str = ""
    address: str = Field("", description="where it is; a local device has none")
    python: str = Field("", description="the Python that runs there; empty is the one that runs edgebig")
    runtime: Literal["ai-edge-litert", "tflite-runtime"] = "ai-edge-litert"
    delegate: Literal["xnnpack", "none", "reference"] = Field(
        "xnnpack", description="reference: slow, exact kernels"
    )
    threads: int = Field(1, ge=1, le=256)


def load(name: str) -> Device:
    """The device of that name or path. Raises EdgebigError."""
    path = lookup.find("devices", name)
    tables = read_toml(path)
    if "name" in tables:
        raise EdgebigError(f"{path.name}: unknown key 'name'", "a device is named by its file")
    return validate(Device, {**tables, "name": path.stem}, path.name)
