"""What is in a .tflite, as text for people."""

from __future__ import annotations

from dataclasses import fields

from edgebig.flatbuffer import TensorContract
from edgebig.inspection import Inspection, Layer
from edgebig.inspection.arena import Arena
from edgebig.report.columns import columns, shortened

_LAYERS_SHOWN = 200
_LABELS_SHOWN = 12
_NAME_WIDTH = 20
_KINDS = {
    "weights": "weights",
    "biases": "biases",
    "constants": "other constants",
    "quantization": "scales and zero points",
    "names": "names",
    "structure": "tables of the format",
    "signatures": "signatures",
    "metadata": "metadata",
    "attached": "attached files",
    "unused_buffers": "buffers that nothing uses",
    "padding": "padding",
    "unread": "not read",
}
_PLANNERS = {"tflite-micro": "TFLite Micro", "litert": "LiteRT"}


def lines(found: Inspection) -> list[str]:
    """All that a terminal shows. Names in it come from the file: escape what could steer a terminal."""
    return [
        f"{found.name}: {found.size_bytes:,} bytes, {found.deflated_bytes:,} deflated; "
        f"{_count(found.macs)} multiplications, {found.parameters:,} parameters",
        *(f"  in   {_edge(edge)}" for edge in found.inputs),
        *(f"  out  {_edge(edge)}" for edge in found.outputs),
        *_warnings(found),
        "",
        *_table(found),
        "",
        *_bytes(found),
        *_memory(found),
        *_about(found),
    ]


def _count(number: int) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= limit:
            return f"{number / limit * (10 if unit == ' k' else 1):.{1 if unit == ' k' else 2}f}{unit}"
    return f"{number:,}"


def _edge(edge: TensorContract) -> str:
    shape = "x".join(str(size) for size in edge.shape) or "one number"
    text = f"{shortened(edge.name, 40) or '(no name)'}  {edge.dtype} {shape}"
    if edge.scale is not None:
        text += f", real = {edge.scale:.6g} * (q - {edge.zero_point})".replace("- -", "+ ")
    return text


def _warnings(found: Inspection) -> list[str]:
    told = []
    if len(found.subgraphs) > 1:
        told.append(
            f"  {len(found.subgraphs)} subgraphs: control flow; edgebig's other commands take one alone"
        )
    custom = sorted({layer.operator for layer in found.layers if layer.custom})
    if custom:
        told.append(f"  custom operators, which the runtime must be given: {', '.join(custom)}")
    return told


def _table(found: Inspection) -> list[str]:
    several = len(found.subgraphs) > 1
    head = ["layer", "operator", "output", "MACs", "params", "bytes", "added", "zeros", "values"]
    rows = [_row(layer, several) for layer in found.layers[:_LAYERS_SHOWN]]
    left_out = len(found.layers) - len(rows)
    more = [f"and {left_out:,} more operators; --json tells all"] if left_out > 0 else []
    explained = (
        "added: bytes of scales, names and tables beside the layer's numbers; values: different weights"
    )
    return [*columns([head, *rows], left=3), *more, explained]


def _row(layer: Layer, several: bool) -> list[str]:
    own = layer.bytes
    added = own.quantization + own.names + own.structure
    name = f"{layer.subgraph}:{layer.name}" if several else layer.name
    return [
        shortened(name, _NAME_WIDTH),
        shortened(layer.operator, 17),
        f"{'x'.join(str(size) for size in layer.output[1:] or layer.output)}",
        _count(layer.macs) if layer.macs else "-",
        f"{layer.parameters:,}" if layer.parameters else "-",
        f"{own.total:,}",
        f"{added:,}",
        f"{layer.sparsity:.1%}" if layer.sparsity is not None else "-",
        f"{layer.different:,}" if layer.different is not None else "-",
    ]


def _bytes(found: Inspection) -> list[str]:
    counts = {field.name: getattr(found.bytes, field.name) for field in fields(found.bytes)}
    ranked = sorted(((count, kind) for kind, count in counts.items() if count), reverse=True)
    parts = [f"{_KINDS[kind]} {count:,}" for count, kind in ranked]
    return _wrapped(f"the file, {found.size_bytes:,} bytes: ", parts)


def _wrapped(opening: str, parts: list[str], width: int = 100) -> list[str]:
    wrapped = [opening]
    for number, part in enumerate(parts):
        piece = part + (", " if number + 1 < len(parts) else "")
        if len(wrapped[-1] + piece) > width:
            wrapped.append("  ")
        wrapped[-1] += piece
    return [line.rstrip() for line in wrapped]


def _memory(found: Inspection) -> list[str]:
    if found.no_arena:
        return [f"memory for tensors: not planned, {found.no_arena}"]
    return [_arena(found, arena) for arena in found.arenas]


def _arena(found: Inspection, arena: Arena) -> str:
    busiest = next(layer for layer in found.layers if layer.subgraph == 0 and layer.index == arena.busiest)
    also = (
        " beside the runtime's own records"
        if arena.planner == "tflite-micro"
        else " with its reference kernels"
    )
    return (
        f"memory for tensors in {_PLANNERS[arena.planner]}: {arena.peak_bytes:,} bytes{also} "
        f"(aligned to {arena.alignment_bytes}); most at {busiest.name} ({busiest.operator})"
    )


def _about(found: Inspection) -> list[str]:
    told = []
    if found.labels:
        more = f" and {len(found.labels) - _LABELS_SHOWN} more" if len(found.labels) > _LABELS_SHOWN else ""
        told.append(f"labels: {', '.join(found.labels[:_LABELS_SHOWN])}{more}")
    entries = [f"{name} {content}" for name, content in found.entries.items()]
    if entries:
        told.append(f"metadata: {', '.join(entries)}")
    if found.signatures:
        told.append(f"signatures: {', '.join(found.signatures)}")
    return told
