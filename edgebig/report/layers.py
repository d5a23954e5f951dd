"""Where two models part, as text for people."""

from __future__ import annotations

from pathlib import Path

from edgebig.check.layers import LayerLoss, Layers, cause
from edgebig.check.matching import PASSES_ON
from edgebig.check.signal import Loss
from edgebig.comparison import Comparison
from edgebig.report.columns import columns, shortened

_LAYERS_SHOWN = 100
_NAME_WIDTH = 26
# Over so many dB a difference is 0.1 % of the numbers: nothing to look at.
QUIET_DB = 60.0
_BAR_WIDTH = 12
_ALONE_SHOWN = 8


def lines(found: Comparison) -> list[str]:
    """All that a terminal shows. Names in it come from files: escape what could steer a terminal."""
    return [
        *_answers(found),
        "",
        *(_layers(found.layers, found) if found.layers is not None else []),
        *found.notes,
        *_leak(found),
        "",
        verdict(found),
    ]


def _answers(found: Comparison) -> list[str]:
    split = "" if found.data["split"] == "all" else f"{found.data['split']} "
    p = f"{found.paired.p_value:.2g}"
    return [
        f"A  {found.a}: {found.accuracy_a.value:.2%} of {found.paired.n:,} {split}examples right",
        f"B  {found.b}: {found.accuracy_b.value:.2%}",
        f"the same answer for {found.same_label:,}; right in A alone {found.paired.only_a:,}, in B alone "
        f"{found.paired.only_b:,} (McNemar p = {p}); outputs differ by {found.largest_difference:.2g} at most",
    ]


def verdict(found: Comparison) -> str:
    """As in: PASS: B is 0.03 points less accurate (95 %: 0.11 less .. 0.05 more), and may lose 0.5."""
    d = found.difference
    interval = f"95 %: {d.low:+.2f} .. {d.high:+.2f}"
    bound = f"it may lose {found.max_loss_points:g}"
    if found.verdict == "PASS":
        return f"PASS: B's accuracy is {d.points:+.2f} points from A's ({interval}); {bound}"
    if found.verdict == "FAIL":
        return f"FAIL: B's accuracy is {d.points:+.2f} points from A's ({interval}); {bound}"
    more = (
        "more examples would tell"
        if found.paired.n == found.data["of"]
        else "without --examples it may be told"
    )
    return f"INCONCLUSIVE: B's accuracy is {d.points:+.2f} points from A's ({interval}); {bound}: {more}"


def _layers(found: Layers, comparison: Comparison) -> list[str]:
    if not found.layers:
        return ["no layer of the one is found in the other: they are different nets", ""]
    head = ["layer", "operator", "output", "own dB", "so far dB", "cosine", "clipped", ""]
    # What only passes numbers on loses nothing.
    told = [layer for layer in found.layers if layer.operator not in PASSES_ON]
    rows = [_row(layer, layer is found.worst) for layer in told[:_LAYERS_SHOWN]]
    left_out = len(told) - len(rows)
    return [
        *columns([head, *rows], left=3),
        *([f"and {left_out:,} more layers; --json tells all"] if left_out > 0 else []),
        f"own: what a layer loses by itself, fed with A's numbers; so far: with all before it; {found.n} examples.",
        "20 dB: the difference is 10 % of the numbers; 40 dB: 1 %; 'same': none at all.",
        *_alone("A", found.only_first),
        *_alone("B", found.only_second),
        "",
        explanation(found),
    ]


def _alone(which: str, names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _ALONE_SHOWN} more" if len(names) > _ALONE_SHOWN else ""
    return [f"in {which} alone: {', '.join(names[:_ALONE_SHOWN])}{more}"]


def _row(layer: LayerLoss, worst: bool) -> list[str]:
    shape = "x".join(str(size) for size in layer.shape)
    first, second = (name.removesuffix(f" ({layer.operator})") for name in (layer.first, layer.second))
    named = second if first == second else f"{first} = {second}"
    clipped = f"{layer.range.clipped:.2%}" if layer.range is not None else "-"
    shown = layer.own or layer.accumulated
    return [
        shortened(named, _NAME_WIDTH),
        layer.operator,
        shape,
        decibels(layer.own),
        decibels(layer.accumulated),
        f"{layer.accumulated.cosine:.5f}" if layer.accumulated.cosine is not None else "-",
        clipped,
        (_bar(shown) + (" < most" if worst else "")).ljust(_BAR_WIDTH + 7),
    ]


def decibels(loss: Loss | None) -> str:
    return "-" if loss is None else "same" if loss.sqnr_db is None else f"{loss.sqnr_db:.1f}"


def _bar(loss: Loss) -> str:
    """The longer, the more is lost: nothing at 60 dB, full at 0."""
    if loss.sqnr_db is None:
        return ""
    return "#" * round(_BAR_WIDTH * min(1.0, max(0.0, 1 - loss.sqnr_db / QUIET_DB)))


def explanation(found: Layers) -> str:
    """The worst layer and the cause, in words that need no handbook."""
    worst = found.worst
    if worst is None:
        return "all layers give the same numbers"
    loss = worst.own or worst.accumulated
    by_itself = "by itself" if worst.own is not None else "with all before it"
    opening = f"most is lost at {worst.second}: {decibels(loss)} dB {by_itself}"
    if loss.sqnr_db is not None and loss.sqnr_db >= QUIET_DB:
        return f"{opening}: next to nothing"
    reason = _reason(worst)
    return f"{opening}; {reason}" if reason else opening


def _reason(layer: LayerLoss) -> str:
    span, weights = layer.range, layer.weights
    match cause(layer):
        case "clipping" if span is not None:
            return (
                f"{span.clipped:.2%} of its values lie outside {span.low:.3g} .. {span.high:.3g}, the range that it "
                "can store: the range is too narrow. Calibrate on more, or more typical, examples"
            )
        case "too-wide" if span is not None:
            return (
                f"its values use {span.used:.0%} of the range that it can store: the range is too wide, a few large "
                "values set it. Calibrate with ranges that leave those out"
            )
        case "rounding" if span is not None:
            return f"rounding its output to steps of {span.step:.2g} explains it: more bits would help"
        case "kernels":
            return "its weights are the same, so that it is the runtime's arithmetic: kernels that round otherwise"
        case "trained-on" if weights is not None:
            return (
                f"{weights.moved:.0%} of its weights are further from A's than rounding goes: they were trained on, so "
                "that not all of the difference is loss"
            )
        case "weights" if weights is not None and weights.scales == 1 and len(layer.shape) > 1:
            return "it comes from its weights, which share one scale: quantize them per channel"
        case "weights" if weights is not None:
            return "it comes from rounding its weights and inputs"
        case "weights":
            return "it comes from its weights and inputs, which were rounded, or trained on after A"
    return ""


def _leak(found: Comparison) -> list[str]:
    check = str(found.data["leak_check"])
    return [f"leak check {check}"] if "not possible" in check else []


def title(found: Comparison) -> str:
    return f"{Path(found.a).name} against {Path(found.b).name}"
