"""A board's facts -> the TFLite runtime that can be installed there, and the wheels that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebig.errors import EdgebigError

# ai-edge-litert 2.3's wheels say manylinux_2_27, and their libraries ask for GLIBC_2.34.
LITERT_PYTHONS, LITERT_GLIBC = range(10, 14), 34
# tflite-runtime 2.14's say manylinux_2_34 on ARM, and their libraries ask for GLIBC_2.27: it runs on bullseye.
TFLITE_PYTHONS, TFLITE_GLIBC = range(9, 12), 27
RUNTIMES = ("ai-edge-litert", "tflite-runtime")  # the better one first
# A system of 32 bits under a kernel of 64 is one of 32.
_ARCHITECTURES = {
    ("aarch64", 64): "aarch64",
    ("x86_64", 64): "x86_64",
    ("aarch64", 32): "armv7l",
    ("armv8l", 32): "armv7l",
    ("armv7l", 32): "armv7l",
}
_MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


@dataclass(frozen=True)
class Plan:
    """What is installed: of the lock of `runtime` these packages, for this Python and these platform tags of wheels."""

    runtime: str
    packages: tuple[str, ...]
    python: str
    platforms: tuple[str, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """What must load then, the runtime last: it is named best by what it needs."""
        return ("numpy", _MODULES[self.runtime])


@dataclass(frozen=True)
class System:
    """Of a board: its processor as wheels name it, Python 3's minor and glibc 2's; None where it is another libc."""

    architecture: str
    python_minor: int
    glibc_minor: int | None


def choose(name: str, facts: Mapping[str, Any], asked: str | None) -> Plan:
    """The plan for the board `name`; `asked`: the runtime that must be it. Raises EdgebigError where there is none."""
    if asked is not None and asked not in RUNTIMES:
        raise EdgebigError(
            f"{name}: setup does not install {asked}",
            f"'runtime' in {name}.toml can be {' or '.join(RUNTIMES)}; or give a Python that has it as 'python'",
        )
    system = system_of(name, facts)
    causes = {runtime: why_not(runtime, system) for runtime in ((asked,) if asked else RUNTIMES)}
    runtime = next((runtime for runtime, cause in causes.items() if not cause), None)
    if runtime is None:
        told = "; ".join(f"{runtime} {cause}" for runtime, cause in causes.items())
        raise EdgebigError(f"{name}: no TFLite runtime can be installed: {told}", _mend(name, system, asked))
    packages = {"ai-edge-litert": _LITERT, "tflite-runtime": _TFLITE}[runtime]
    if system.architecture == "armv7l":
        _check_own_numpy(name, facts)
        packages = ("tflite-runtime",)
    return Plan(runtime, packages, f"3.{system.python_minor}", _platforms(runtime, system))


_LITERT = (
    "ai-edge-litert", "backports-strenum", "flatbuffers", "ml-dtypes", "numpy", "pillow", "protobuf", "tqdm",
    "typing-extensions",
)  # fmt: skip
_TFLITE = ("tflite-runtime", "numpy", "pillow")


def system_of(name: str, facts: Mapping[str, Any]) -> System:
    """Raises EdgebigError where the board is of a kind for which there are no wheels at all."""
    architecture = _ARCHITECTURES.get((facts["machine"], facts["bits"]))
    if facts["system"] != "Linux" or architecture is None:
        raise EdgebigError(
            f"{name}: no TFLite runtime has wheels for {facts['system']} on {facts['machine']}, {facts['bits']} bits",
            "build one there, and give its Python as 'python' in the device's file",
        )
    major, minor = (int(part) for part in facts["python"].split(".")[:2])
    if major != 3:
        raise EdgebigError(f"{name}: its Python is {facts['python']}", "give a Python 3 as 'python'")
    library, _, version = facts["libc"].partition(" ")
    return System(architecture, minor, int(version.split(".")[1]) if library == "glibc" else None)


def why_not(runtime: str, system: System) -> str:
    """Why that runtime cannot be had there; empty where it can."""
    litert = runtime == "ai-edge-litert"
    pythons = LITERT_PYTHONS if litert else TFLITE_PYTHONS
    glibc = LITERT_GLIBC if litert else TFLITE_GLIBC
    if litert and system.architecture == "armv7l":
        return "has no wheels for 32-bit ARM"
    if system.python_minor not in pythons:
        return f"wants Python 3.{pythons[0]} to 3.{pythons[-1]}, there it is 3.{system.python_minor}"
    if system.glibc_minor is None:
        return "wants glibc, there it is another libc"
    if system.glibc_minor < glibc:
        return f"wants glibc 2.{glibc}, there it is 2.{system.glibc_minor}"
    return ""


def _mend(name: str, system: System, asked: str | None) -> str:
    if asked and (other := next((other for other in RUNTIMES if not why_not(other, system)), None)):
        return f'{other} can be had there: runtime = "{other}" in {name}.toml'
    if system.glibc_minor is None:
        return "use a system with glibc: Raspberry Pi OS, Debian, Ubuntu"
    bits = " (64 bits)" if system.architecture == "armv7l" else ""
    return f"use Raspberry Pi OS bookworm or Debian 12{bits}; their Python and glibc fit"


def _check_own_numpy(name: str, facts: Mapping[str, Any]) -> None:
    """No index has wheels of NumPy 1 for 32-bit ARM: it must be the system's own."""
    version = facts["packages"].get("numpy")
    if version is None:
        raise EdgebigError(
            f"{name}: NumPy is missing, and has no wheels for 32-bit ARM",
            "install Debian's own there: sudo apt install python3-numpy python3-pil",
        )
    if int(version.split(".")[0]) >= 2:
        raise EdgebigError(
            f"{name}: its NumPy is {version}, and tflite-runtime needs one older than 2",
            "use Debian's own there: sudo apt install python3-numpy, and pip uninstall the other",
        )


def _platforms(runtime: str, system: System) -> tuple[str, ...]:
    """The tags that pip would take there, the newest first; tflite-runtime's is newer than what it asks for."""
    assert system.glibc_minor is not None
    newest = max(system.glibc_minor, 34) if runtime == "tflite-runtime" else system.glibc_minor
    minors = range(newest, 16, -1)
    tags = [f"manylinux_2_{minor}_{system.architecture}" for minor in minors]
    return (*tags, f"manylinux2014_{system.architecture}")
