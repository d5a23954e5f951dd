"""`devices add`: a device's file out of as little as how to reach it. The rest is found out on the device itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebig import inventory, probe
from edgebig.device import KINDS, AdbDevice, Device, SshDevice
from edgebig.probe import Probe
from edgebig.recipe import validate


@dataclass(frozen=True)
class Added:
    """The device as it stands in `path`; `probe`: None where nothing could be tried; `advice`: what is to be done."""

    target: Device
    path: Path
    probe: Probe | None
    advice: str


def add(name: str, kind: str, keys: Mapping[str, Any], *, force: bool = False) -> Added:
    """Examines the device that `keys` reach, and writes its file into the user's own folder.

    Raises EdgebigError where the name is none or taken, or a key is at fault, and what the driver raises where the
    device cannot be reached; then nothing is written.
    """
    path = inventory.check_new(name, force=force)
    hint = "edgebig devices add --help"
    target = validate(KINDS[kind], {"kind": kind, **keys, "name": name}, name, hint=hint)
    if isinstance(target, AdbDevice) and not target.benchmark_model and not target.python:
        target, advice = _phone(target)
        found = None
    else:
        found = probe.probe(target)
        target, advice = _settled(target, found)
    inventory.write(target, path, f"added by 'edgebig devices add' on {time.strftime('%Y-%m-%d')}")
    return Added(target, path, found, advice)


def _settled(target: Device, found: Probe) -> tuple[Device, str]:
    """The device with what was found, and what is to be done before it can be used."""
    machine = found.machine
    changes: dict[str, Any] = {"about": _about(machine)} if not target.about else {}
    if found.provenance == "emulated":
        changes["emulated"] = True
    working = [one for one in found.tried if one.works in ("works", "works in part")]
    advice = ""
    if not working:
        first = found.tried[0]
        advice = f"{first.runtime} does not run there: {first.detail}. {first.hint}".strip()
        if isinstance(target, SshDevice) and not target.python:
            changes |= _runtime_to_install(target, machine)
            advice = f"no runtime works there yet: edgebig devices setup {target.name}"
    elif not any(one.runtime == target.runtime for one in working):
        changes["runtime"] = working[0].runtime
    elif not any((one.runtime, one.delegate) == (target.runtime, target.delegate) for one in working):
        changes["delegate"] = next(one.delegate for one in working if one.runtime == target.runtime)
    return target.model_copy(update=changes), advice


def _runtime_to_install(target: SshDevice, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Raises EdgebigError where no runtime can be had for that board."""
    from edgebig.setup import choice

    runtime = choice.choose(target.name, machine, None).runtime
    return {"runtime": runtime} if runtime != target.runtime else {}


def _about(machine: Mapping[str, Any]) -> str:
    what = machine.get("board") or machine.get("cpu") or machine.get("machine") or ""
    return "".join(char for char in str(what) if char.isprintable())[:80]


def _phone(target: AdbDevice) -> tuple[Device, str]:
    """A phone of which there is no tool yet: which it is can be asked all the same."""
    from edgebig.drivers import adbclient, android

    phone = adbclient.Phone(adbclient.choose(target.serial, adbclient.attached()))
    machine = android.facts(phone.ask(android.READ_FACTS))
    changes = {"serial": phone.serial, "about": _about(machine)}
    abi = ", ".join(machine["abis"][:1]) or "its processor"
    return target.model_copy(update=changes), (
        f"it needs TFLite's benchmark_model for {abi}: name its path as 'benchmark_model' in the file"
    )
