"""What a target takes best: a model in that form, what was chosen and why, and what the target leaves to the CPU.

Nothing is trained here: a target that takes int8 alone gets it from a run that has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgebig import artifact, flatbuffer
from edgebig.artifact import Artifact, Card, PassRecord
from edgebig.errors import EdgebigError, Shortfall
from edgebig.targets import forms, proof
from edgebig.targets.operators import Left, operators_of
from edgebig.targets.table import TARGETS, Form, Target, numbers_of


@dataclass(frozen=True)
class Fitted:
    """`artifact`: the file, `source` itself where that has the form already. `left` by the rules of `rules`.

    `plain`: what XNNPACK leaves to plain kernels on this host, for targets that are a CPU.
    """

    target: str
    artifact: Artifact
    source: Artifact
    chosen: tuple[str, ...]
    left: tuple[Left, ...]
    rules: str
    plain: tuple[str, ...]


def fit(source: Artifact, name: str, folder: Path | None = None, *, strict: bool = False) -> Fitted:
    """`source` in the form that the target `name` takes best, as <variant>-for-<name>.tflite with a card of its own.

    Its scores are held against those of `source` on this host. Raises EdgebigError where the target takes other numbers
    than the model's, the model has no card, or its scores change; Shortfall if `strict` and an operator is left.
    """
    target = _known(name)
    if source.card is None:
        raise EdgebigError(
            f"{source.path}: no card beside it, which says what its numbers mean",
            f"copy its card along, or make a run of it: edgebig adopt {source.path}",
        )
    card, data = source.card, source.path.read_bytes()
    _check_numbers(data, target, name, source)
    fixed = forms.static_batch(data, source.path.name)
    form = target.shape(fixed, card, source.path.name)
    fixed_now = (f"a batch of 1: {name} takes no batch that changes",) if fixed != data else ()
    operators = operators_of(form.model, source.path.name)
    left = tuple(target.left(operators)) if target.left else ()
    if strict and left:
        raise _shortfall(name, left, len(operators), source)
    made = source
    if form.model != data:
        found = proof.compare(data, form.model, form.preprocessing or card.preprocessing, source.path.name)
        proof.require(found, form.tolerance, source.path.name)
        made = _save(source, card, form, name, found, folder or source.path.parent)
    return Fitted(
        target=name,
        artifact=made,
        source=source,
        chosen=(*form.chosen, *fixed_now, *target.notes),
        left=left,
        rules=target.source,
        plain=() if target.left else tuple(proof.left_to_plain_kernels(form.model, source.path.name)),
    )


def pick(variants: Iterable[Path], name: str, where: str) -> Path:
    """The newest of `variants`, a run's .tflite files from the oldest, from which the target's form can be made.

    Raises EdgebigError where none has the numbers that the target takes: it says what makes one.
    """
    target = _known(name)
    originals = [path for path in variants if "-io-" not in path.stem and "-for-" not in path.stem]
    if not originals:
        raise EdgebigError(f"{where}: no .tflite in it", "edgebig train makes one, edgebig compress another")
    numbers = {path: numbers_of(path.read_bytes(), path.name) for path in originals}
    fitting = [path for path in originals if not target.takes or numbers[path] in target.takes]
    if not fitting:
        raise _wrong_numbers(f"{where}: has no model that {name} takes", target, name)
    return next((path for path in fitting[::-1] if numbers[path] == target.prefers), fitting[-1])


def ready(variants: Iterable[Path], name: str, where: str) -> Path:
    """The newest form made for that target, else what `pick` gives: the file that a device of that kind runs."""
    listed = list(variants)
    made = [path for path in listed if f"-for-{name}" in path.stem]
    return made[-1] if made else pick(listed, name, where)


def for_browser(item: Artifact, folder: Path) -> Artifact:
    """`item` itself where LiteRT.js takes it, else its form for a browser, made in `folder`.

    Raises EdgebigError where it has no card to make that by, and as `fit` does.
    """
    data = item.path.read_bytes()
    contract = flatbuffer.io_contract(data, item.path.name)
    edges = (*contract.inputs, *contract.outputs)
    if all(edge.dtype in ("float32", "uint8") and edge.shape[:1] == (1,) for edge in edges):
        return item
    if item.card is None:
        told = ", ".join(f"{edge.dtype} {tuple(edge.shape)}" for edge in edges)
        raise EdgebigError(
            f"{item.path}: {told}; LiteRT.js takes float32 or uint8 inputs and outputs, and a batch of 1",
            f"copy its card along, or make a run of it: edgebig adopt {item.path}; then it is converted",
        )
    made = fit(item, "browser", folder).artifact
    # Whoever benches it asks whether it was trained on the test examples.
    artifact.copy_lists(item, folder)
    return made


def implied_by(kind: str, delegate: str = "") -> str:
    """The target that a device of that kind, with that delegate, is."""
    if delegate.startswith("ethos-u"):
        return "ethos-u"
    return {"browser": "browser", "mcu": "mcu"}.get(kind, "cpu")


def _check_numbers(data: bytes, target: Target, name: str, source: Artifact) -> None:
    numbers = numbers_of(data, source.path.name)
    if target.takes and numbers not in target.takes:
        inside = {"hybrid": "float with weights in whole numbers"}.get(numbers, numbers)
        raise _wrong_numbers(f"{source.path}: is {inside}", target, name)


def _wrong_numbers(problem: str, target: Target, name: str) -> EdgebigError:
    int8 = "make one: edgebig compress --int8, or edgebig compress --ptq int8"
    return EdgebigError(
        f"{problem}; {name} takes {' or '.join(target.takes)}",
        "give the run's float32.tflite" if "float32" in target.takes else int8,
    )


def _shortfall(name: str, left: tuple[Left, ...], count: int, source: Artifact) -> Shortfall:
    lines = [f"{one.operator} ({one.tensor}): {one.reason}" for one in left]
    return Shortfall(
        f"{source.path}: {name} would not take {len(left)} of {count} operators\n  " + "\n  ".join(lines),
        "change the model, or leave out --strict; nothing was written",
    )


def _known(name: str) -> Target:
    if name not in TARGETS:
        raise EdgebigError(f"no target '{name}'", f"one of: {', '.join(TARGETS)}")
    return TARGETS[name]


def _save(source: Artifact, card: Card, form: Form, name: str, found: proof.Proof, folder: Path) -> Artifact:
    variant = f"{source.name.split('-io-')[0].split('-for-')[0]}-for-{name}"
    if made_before := artifact.made_before(folder, variant, form.model):
        return made_before
    variant = artifact.free_variant(folder, variant)
    record = PassRecord.model_validate({"name": "for", "target": name, **dataclasses.asdict(found)})
    preprocessing = form.preprocessing or card.preprocessing
    made = artifact.derived(card, form.model, variant, record, preprocessing=preprocessing)
    return artifact.save(folder, variant, form.model, made)
