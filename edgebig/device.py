"""Devices: passive facts about a target, as TOML. A class for each kind holds the keys that it has."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from edgebig import lookup
from edgebig.errors import EdgebigError
from edgebig.recipe import Spec, read_toml, validate

NAMED_DELEGATES = ("xnnpack", "none", "reference", "gpu", "nnapi", "edgetpu")
# A name, or the path of a library that TFLite loads as an external delegate.
Delegate = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(NAMED_DELEGATES)}|.*/[^/]+|[^/]+\.(so(\.[0-9]+)*|dylib))$")
]
HostRuntime = Literal["ai-edge-litert", "tflite-runtime", "tensorflow"]


def _is_command(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a control character")
    shlex.split(text)  # ValueError: No closing quotation
    return text


# Words as a shell splits them.
Command = Annotated[str, AfterValidator(_is_command)]
# A path there, on one line.
Folder = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]*$")]


class Device(Spec):
    """Facts about a target that every kind has. What is done with them stands in drivers/."""

    name: str = Field(exclude=True)
    kind: str = Field(description="how it is reached")
    about: str = Field("", description="a few words for 'edgebig devices'")
    runtime: str = Field(description="what runs the model there")
    delegate: Delegate = Field(
        "xnnpack", description="reference: slow, exact kernels; a path: the library of an external delegate"
    )
    threads: int = Field(1, ge=1, le=256, description="of the runtime, on its processor")
    gpu_precision: Literal["float32", "float16"] = Field(
        "float32", description="what a GPU computes in; float16 is faster on most and less exact"
    )
    delegate_options: dict[str, str] = Field(
        default_factory=dict, description="for an external delegate's library, as its manual names them"
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        description="how far outputs may be from the reference kernels', root mean square, in steps of a quantized "
        "output; empty: what edgebig declares for the delegate",
    )
    emulated: bool = Field(
        False, description="an emulator plays this board: its times say nothing of a real one"
    )

    def facts(self) -> dict[str, Any]:
        """All of its keys and its name, which `of_facts` reads."""
        return {"name": self.name, **self.model_dump()}


class LocalDevice(Device):
    """The machine that edgebig runs on."""

    kind: Literal["local"] = "local"
    python: Command = Field(
        "",
        description="the command that starts the Python that runs there; empty is the one that runs edgebig",
    )
    runtime: HostRuntime = "ai-edge-litert"


class SshDevice(Device):
    """A Linux board that the system's ssh reaches."""

    kind: Literal["ssh"] = "ssh"
    address: str = Field(
        min_length=1, description="what you would give to ssh: a host of your config, or user@host"
    )
    port: int | None = Field(None, ge=1, le=65535)
    python: Command = Field(
        "", description="the command that starts its Python; empty: what 'devices setup' made, else python3"
    )
    folder: Folder = Field("", description="where files are kept on the board; empty is ~/.cache/edgebig")
    runtime: HostRuntime = "ai-edge-litert"


class AdbDevice(Device):
    """An Android phone that adb reaches."""

    kind: Literal["adb"] = "adb"
    serial: str = Field(
        "", description="which phone, as 'adb devices' names it; empty where there is one only"
    )
    benchmark_model: str = Field(
        "", description="the official tool on this machine; empty: what 'devices setup' fetched"
    )
    python: Command = Field(
        "", description="a Python on the phone (Termux, a rooted board) that runs the runner instead"
    )
    folder: Folder = Field(
        "/data/local/tmp/edgebig", min_length=1, description="where files are kept on the phone"
    )
    runtime: Literal["benchmark_model", "ai-edge-litert", "tflite-runtime"] = "benchmark_model"


class McuDevice(Device):
    """A microcontroller, simulated on the machine that edgebig runs on."""

    kind: Literal["mcu"] = "mcu"
    runtime: Literal["tflite-micro"] = "tflite-micro"
    delegate: Literal[
        "none",
        "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512",
    ] = Field("none", description="an Ethos-U beside it, which Vela compiles for")  # fmt: skip
    flash_kb: int | None = Field(None, ge=1, description="what a model may take there, KiB")
    arena_kb: int | None = Field(None, ge=1, description="the RAM that a model may take there, KiB")


class BrowserDevice(Device):
    """Any phone, by its browser: it opens a page that this machine serves, and nothing is installed on it."""

    kind: Literal["browser"] = "browser"
    runtime: Literal["litert.js"] = "litert.js"
    delegate: Literal["wasm", "webgpu", "webnn"] = Field(
        "wasm",
        description="what LiteRT.js computes by: the processor (by XNNPACK), the GPU, or what WebNN has",
    )
    phones: int = Field(1, ge=1, le=64, description="so many are waited for, and measured side by side")
    wait_s: float = Field(300.0, gt=0, le=86_400, description="seconds until no more phones are waited for")
    address: str = Field(
        "", description="of this machine, as phones reach it; empty: the one by which it is in its network"
    )
    port: int | None = Field(None, ge=1, le=65535, description="empty: 8765, or the next one that is free")
    plain_http: bool = Field(
        False, description="no certificate, and then no camera, no threads and a clock that steps by 100 us"
    )
    usb: bool = Field(False, description="by a cable and adb, which opens the page on the phone too")
    serial: str = Field(
        "", description="with usb, which phone, as 'adb devices' names it; empty where there is one only"
    )
    runtime_dir: str = Field(
        "", description="a folder that holds LiteRT.js's packages; empty: they are fetched once"
    )


class FakeDevice(Device):
    """Measures nothing; for tests."""

    kind: Literal["fake"] = "fake"
    runtime: HostRuntime = "ai-edge-litert"


KINDS: dict[str, type[Device]] = {
    kind.model_fields["kind"].default: kind
    for kind in (LocalDevice, SshDevice, AdbDevice, BrowserDevice, McuDevice, FakeDevice)
}


def load(name: str) -> Device:
    """The device of that name or path. Raises EdgebigError."""
    path = lookup.find("devices", name)
    tables = read_toml(path)
    if "name" in tables:
        raise EdgebigError(f"{path.name}: unknown key 'name'", "a device is named by its file")
    return of_facts({**tables, "name": path.stem}, path.name)


def of_facts(facts: dict[str, Any], file: str) -> Device:
    """The device of these keys, its kind and name among them; `file`: where they stand. Raises EdgebigError."""
    if "kind" not in facts:
        raise EdgebigError(f"{file}: 'kind' is missing", f"one of: {', '.join(KINDS)}")
    kind = KINDS.get(str(facts["kind"]))
    if kind is None:
        raise EdgebigError(f"{file}: no kind '{facts['kind']}'", f"use one of: {', '.join(KINDS)}")
    return validate(kind, facts, file)
