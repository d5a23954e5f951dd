"""What a probe found, as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from edgebig.probe import Probe, Tried


def lines(found: Probe) -> list[str]:
    machine = found.machine
    real = "" if found.provenance == "real" else f" ({found.provenance})"
    told = [f"{found.device}{real}: {_machine(machine)}"]
    for runtime, tried in groupby(found.tried, lambda one: one.runtime):
        told.append(f"  {runtime} {machine.get('runtimes', {}).get(runtime, '')}".rstrip())
        told += _tried(list(tried))
    return told + (_board(found.board) if found.board else [])


def _tried(tried: Sequence[Tried]) -> list[str]:
    """What is so of all delegates is said once."""
    alike = len({(one.works, one.detail, one.hint) for one in tried}) == 1
    told = []
    for one in tried[:1] if alike else tried:
        name = "any delegate" if alike and len(tried) > 1 else one.delegate
        told.append(f"    {name:12} {one.works}" + (f": {one.detail}" if one.detail else ""))
        told += [f"    {'':12} {one.hint}"] * bool(one.hint)
    return told


def _machine(machine: dict[str, Any]) -> str:
    memory_kb, python = machine.get("memory_kb"), machine.get("python")
    parts = [
        machine.get("board"),
        machine.get("cpu"),
        machine.get("machine"),
        f"{machine.get('system') or ''} {machine.get('release') or ''}".strip(),
        f"{machine['cores']} cores" if machine.get("cores") else "",
        f"{memory_kb / 1e6:.1f} GB" if memory_kb else "",
        f"Python {python}" if python else "",
    ]
    return ", ".join(dict.fromkeys(str(part) for part in parts if part))


def _board(board: dict[str, Any]) -> list[str]:
    compiled = board["compiled_model"]
    power = board["power"]
    clusters = board["clusters"]
    kinds = ["little", *["middle"] * (len(clusters) - 2), "big"] if len(clusters) > 1 else ["all alike:"]
    cameras = [_camera(camera) for camera in board["cameras"]] or ["none"]
    cores = ", ".join(f"{kind} {one['cores']}" for kind, one in zip(kinds, clusters, strict=True))
    return [
        f"  CompiledModel  {'works' if compiled['works'] else 'does not work: ' + compiled['why']}",
        f"  cores          {cores}",
        f"  power          {power['source'] or 'not measurable: ' + power['why']}",
        *(f"  camera         {camera}" for camera in cameras),
    ]


def _camera(camera: dict[str, Any]) -> str:
    problem = f": {camera['problem']}" if camera.get("problem") else ""
    return f"{camera['name']}, by {camera['by']} {camera['path']}".rstrip() + problem
