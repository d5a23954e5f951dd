"""What a probe found, as lines for people."""

from __future__ import annotations

from typing import Any

from edgebig.probe import Probe


def lines(found: Probe) -> list[str]:
    machine = found.machine
    real = "" if found.provenance == "real" else f" ({found.provenance})"
    told = [f"{found.device}{real}: {_machine(machine)}"]
    runtime = None
    for one in found.tried:
        if one.runtime != runtime:
            runtime = one.runtime
            told.append(f"  {runtime} {machine.get('runtimes', {}).get(runtime, '')}".rstrip())
        detail = f": {one.detail}" if one.detail else ""
        told.append(f"    {one.delegate:12} {one.works}{detail}")
        if one.hint:
            told.append(f"    {'':12} {one.hint}")
    return told + (_board(found.board) if found.board else [])


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
