"""`devices setup`: an environment on a board, with a pinned TFLite runtime, from wheels that this machine sends.

The board needs Python and a little room: no root, no pip, no venv and no network.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from edgebig import drivers, files
from edgebig.device import AdbDevice, Device, LocalDevice, SshDevice
from edgebig.drivers.board import BoardSession
from edgebig.drivers.protocol import PROTOCOL
from edgebig.errors import DeviceError, EdgebigError
from edgebig.progress import say
from edgebig.setup import choice, wheels

# A Pi Zero's card takes its time over a hundred megabytes.
LIMIT_S = 1200.0


def install(device: Device) -> dict[str, Any]:
    """Makes the environment, or finds it made. -> {device, did: installed | nothing, runtime, packages, advice}.

    `advice`: what to write into the device's file, empty where nothing. Raises EdgebigError where no runtime can be
    had there, DeviceError where the board fails; it is then as it was.
    """
    if isinstance(device, AdbDevice):
        from edgebig.drivers import adb

        return adb.set_up(device)
    board = _board(device)
    with _session(board) as session:
        asked = board.runtime if "runtime" in board.model_fields_set else None
        plan = choice.choose(board.name, session.facts.machine, asked)
        pins = wheels.pins(plan)
        key = files.sha256_bytes(json.dumps([plan.runtime, plan.python, plan.platforms, pins]).encode())
        found = _environment(session, {"do": "look"})["record"]
        did = "nothing"
        if found is None or found["key"] != key:
            did = "installed"
            fetched = wheels.fetch(plan)
            megabytes = sum(wheel.stat().st_size for wheel in fetched) / 1e6
            say(f"{board.name}: sending {plan.runtime} {pins[plan.runtime]} ({megabytes:.1f} MB of wheels)")
            sent = [{"name": wheel.name, "sha256": session.put(wheel)} for wheel in fetched]
            task = {"do": "install", "key": key, "wheels": sent, "packages": pins, "proof": plan.modules}
            _environment(session, task)
            say(f"{board.name}: installed; it loads there")
    return {
        "device": board.name,
        "did": did,
        "runtime": plan.runtime,
        "packages": pins,
        "advice": "" if plan.runtime == board.runtime else f'runtime = "{plan.runtime}"',
    }


def uninstall(device: Device) -> dict[str, Any]:
    """Takes the environment away. -> {device, did: removed | nothing}. Raises what `install` does."""
    board = _board(device)
    with _session(board) as session:
        before = _environment(session, {"do": "remove"})["before"]
    return {"device": board.name, "did": "nothing" if before is None else "removed"}


def _board(device: Device) -> SshDevice:
    match device:
        case SshDevice(python=""):
            return device
        case SshDevice():
            raise EdgebigError(
                f"{device.name}: 'python' in its file names a Python of yours, which bench then uses",
                f"take that line out of {device.name}.toml, or install the runtime for that Python yourself",
            )
        case LocalDevice():
            raise EdgebigError(
                f"{device.name}: is this machine, which needs no setup",
                "another runtime than edgebig's own: edgebig environment add tflite-runtime",
            )
        case _:
            raise EdgebigError(
                f"{device.name}: a device of kind '{device.kind}' has no environment",
                "setup is for kind 'ssh'",
            )


@contextlib.contextmanager
def _session(board: SshDevice) -> Iterator[BoardSession]:
    # By the board's own Python: the environment's may be broken, and must not be the base of the next one.
    bare = board.model_copy(update={"python": "python3"})
    with next(iter(drivers.connect(bare).sessions())) as session:
        assert isinstance(session, BoardSession)
        yield session


def _environment(session: BoardSession, task: dict[str, Any]) -> dict[str, Any]:
    """What the board's `environment` action says was there `before`, and is there now (`record`)."""
    for event in session.call("environment", {"schema": PROTOCOL, **task}, LIMIT_S):
        if event["event"] == "environment":
            return event
    raise DeviceError("the runner ended before it said what is there", "run it again")
