"""Host against device, as text for people: the steps, who is to blame, and of which examples."""

from __future__ import annotations

from edgebig.blame import Blame
from edgebig.blame.chain import Blamed, Change, Step

_EXAMPLES_SHOWN = 20
_UNREAL = {
    "fake": "MADE UP: the fake device computes nothing",
    "stand-in": "STAND-IN: a program plays the device's tool",
    "emulated": "EMULATED: its answers are those of the board's processor",
    "simulated": "SIMULATED: no board ran it",
    "software": "SOFTWARE stands in for the GPU",
}


def lines(found: Blame) -> list[str]:
    """All that a terminal shows. Names in it come from files: escape what could steer a terminal."""
    data = found.data
    told = [_UNREAL[found.provenance]] if found.provenance in _UNREAL else []
    told += [
        f"{found.model} on {found.device}: {data['n']:,} {data['split']} examples of {data['source']}",
        "",
        f"   {found.steps[0].name}: {found.right[0]:,} right",
    ]
    for number, (change, right) in enumerate(zip(found.changes, found.right[1:], strict=True), 1):
        told.append(f"{number}. {change.after.name}: {right:,} right; {_change(change)}")
    told += [f"not tried: {why}" for why in found.skipped]
    told += ["", *(f"DOUBTFUL: {why}" for why in found.doubts), *_verdict(found)]
    return [*told, *_examples(found)]


def _change(change: Change) -> str:
    """As in: another label for 3; outputs differ by 0.2 steps (root mean square), by 19 at most."""
    parts = [f"another label for {len(change.labels):,}" if change.labels else "the same labels"]
    if parity := change.parity:
        rms, most = f"{parity.rms_difference:.2g} {parity.unit}", f"{parity.largest_difference:.2g}"
        differ = f"outputs differ by {rms} (root mean square), {most} at most"
        parts.append(differ if parity.largest_difference else "the same outputs")
    if change.inputs:
        parts.append(f"another input was made of {len(change.inputs):,} pictures")
    elif "preprocessing" in change.factors:
        parts.append("what it makes of a picture is not told")
    return "; ".join(parts)


def _verdict(found: Blame) -> list[str]:
    n = found.data["n"]
    if found.doubts:
        opening = [
            "To blame: preprocessing: the card beside the model is not what it was made with, here and there"
        ]
    else:
        opening = []
    if not found.examples:
        same = f"{found.steps[0].name} and {found.steps[-1].name} say the same of all {n:,} examples"
        return [*opening, same if found.doubts else f"Nothing to blame: {same}"]
    told = [f"{len(found.examples):,} of {n:,} predictions differ between here and {found.device}"]
    return [*opening, *told, *(f"To blame: {_blamed(one, found)}" for one in found.blamed)]


def _blamed(one: Blamed, found: Blame) -> str:
    change = found.changes[one.change]
    count = f"({len(one.examples):,} of {len(found.examples):,}, step {one.change + 1})"
    match one.what:
        case "preprocessing":
            what = (
                f"preprocessing: {change.after.where} makes another input of them than {change.before.where}"
            )
        case "runtime":
            what = f"the runtime: {change.before.runtime} against {change.after.runtime}"
        case "kernels":
            what = _kernels(change)
        case "machine":
            what = f"the machine: by the same version of the same kernels {change.after.where} computes otherwise"
        case "chance":
            what = "nothing that was changed: the same step twice gives other answers"
        case "unknown":
            what = f"cannot be told: {', '.join(one.factors)} changed at once"
    return f"{what} {count}"


def _kernels(change: Change) -> str:
    """Of two kinds of kernels the one that is not the reference."""
    kinds = (change.before.kernels, change.after.kernels)
    odd: Step = change.after if kinds[0] in ("reference", "none") else change.before
    other = kinds[0] if odd is change.after else kinds[1]
    where = "here" if odd.where == "here" else f"on {odd.where}"
    return f"{odd.kernels} in {odd.runtime} {where}, against '{other}'"


def _examples(found: Blame) -> list[str]:
    told = [
        f"  example {one.index} ({one.picture}) is {one.truth}: {' '.join(map(str, one.labels))}"
        for one in found.examples[:_EXAMPLES_SHOWN]
    ]
    more = len(found.examples) - len(told)
    return [*told, *([f"  and {more:,} more: --json names them all"] if more > 0 else [])]
