"""What a target takes best: a model in that form, what was chosen and why, and what the target leaves to the CPU.

Nothing is trained here: a target that takes int8 alone gets it from a run that has it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebig import artifact, files, flatbuffer, metadata, strip
from edgebig.artifact import Artifact, Card, PassRecord, Preprocessing, Tensor
from edgebig.errors import EdgebigError, Shortfall
from edgebig.targets import edgetpu, ethos_u, forms, gpu, mcu, nnapi, proof
from edgebig.targets.operators import Left, Operator, operators_of

INT8 = ("int8",)
INT8_OR_FLOAT = ("int8", "float32", "float16", "hybrid")
# Scores of float16 weights are off by 11 bits of mantissa, layer after layer.
FLOAT16_TOLERANCE = 0.02
# Three products and a sum stand for one float.
FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Form:
    """A model for a target: the bytes, what was chosen and why, line by line, and how far its scores may be off."""

    model: bytes
    chosen: tuple[str, ...]
    tolerance: float = 0.0
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class Target:
    """`takes`: what `numbers_of` may say of a model for it, () is anything; `prefers` is looked for first in a run.

    `left`: the operators that it leaves to the CPU, by the rules of `source`; None for a target that is a CPU.
    """

    about: str
    takes: tuple[str, ...]
    shape: Callable[[bytes, Card, str], Form]
    notes: tuple[str, ...] = ()
    left: Callable[[list[Operator]], list[Left]] | None = None
    source: str = ""
    prefers: str = ""


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


def implied_by(kind: str) -> str:
    """The target that a device of that kind is."""
    return {"browser": "browser", "mcu": "mcu"}.get(kind, "cpu")


def numbers_of(model: bytes, name: str) -> str:
    """int8 or int16 where every operator inside is quantized, else float32, float16 or hybrid, by its weights."""
    operators = operators_of(model, name)
    if not flatbuffer.float_operators(model, name):
        wide = any(tensor.dtype == "int16" for operator in operators for tensor in operator.outputs)
        return "int16" if wide else "int8"
    constants = {
        tensor.dtype
        for operator in operators
        for tensor in (operator.inputs[:1] if operator.name == "DEQUANTIZE" else operator.inputs[1:2])
        if tensor is not None and tensor.constant
    }
    if constants & {"int8", "uint8", "int4", "int16"}:
        return "hybrid"
    return "float16" if "float16" in constants else "float32"


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
    stem = source.name.split("-io-")[0].split("-for-")[0]
    made_before = folder / f"{stem}-for-{name}.tflite"
    if made_before.is_file() and files.sha256_file(made_before) == files.sha256_bytes(form.model):
        return artifact.load(made_before)
    variant = artifact.free_variant(folder, f"{stem}-for-{name}")
    contract = flatbuffer.io_contract(form.model, source.path.name)
    record = {"name": "for", "target": name, **dataclasses.asdict(found)}
    changes = {
        "variant": variant,
        "sha256": files.sha256_bytes(form.model),
        "parent_sha256": card.sha256,
        "size_bytes": len(form.model),
        "deflated_bytes": len(zlib.compress(form.model, 9)),
        "passes": (*card.passes, PassRecord.model_validate(record)),
        "input": Tensor(**dataclasses.asdict(contract.inputs[0])),
        "output": Tensor(**dataclasses.asdict(contract.outputs[0])),
        "preprocessing": form.preprocessing or card.preprocessing,
        "host_accuracy": card.host_accuracy.model_copy(
            update={"inherited_from": card.host_accuracy.inherited_from or card.sha256}
        ),
    }
    return artifact.save(folder, variant, form.model, card.model_copy(update=changes))


def _as_it_is(data: bytes, card: Card, name: str) -> Form:
    numbers = numbers_of(data, name)
    return Form(data, (f"{numbers} inside, {card.input.dtype} in and {card.output.dtype} out, as it is",))


def _int8_edges(data: bytes, card: Card, name: str) -> Form:
    return Form(
        flatbuffer.rewrite_io(data, "int8", name),
        (
            "int8 inside, in and out: all of the graph is in whole numbers, and nothing is converted at its edges",
        ),
    )


def _for_gpu(data: bytes, card: Card, name: str) -> Form:
    if numbers_of(data, name) == "float16":
        return _as_it_is(data, card, name)
    return Form(
        forms.half_weights(data, name),
        (
            "float16 weights: a GPU computes in float16 mostly, and the file is half as large",
            "float32 in and out: what an app hands over",
        ),
        FLOAT16_TOLERANCE,
    )


def _for_mcu(data: bytes, card: Card, name: str) -> Form:
    small = strip.strip(flatbuffer.rewrite_io(data, "int8", name), name)
    chosen = [
        "int8 inside, in and out",
        "no names, signatures and metadata: TFLite Micro looks at none of them",
    ]
    smaller = forms.without_bias_quantization(small, name)
    if _same_answers(small, smaller, card.preprocessing, name):
        small = smaller
        chosen.append(
            "no scales of biases: they follow from the weights', and every answer is the same without"
        )
    else:
        chosen.append("scales of biases kept: answers differ without them")
    return Form(small, tuple(chosen))


def _same_answers(before: bytes, after: bytes, preprocessing: Preprocessing, name: str) -> bool:
    try:
        return proof.compare(before, after, preprocessing, name).largest_difference == 0.0
    except EdgebigError:  # the runtime refuses the model without them
        return False


def _for_browser(data: bytes, card: Card, name: str) -> Form:
    if numbers_of(data, name) != "int8":
        return Form(data, ("float32 in and out, as it is: LiteRT.js takes it, by WebGPU too",))
    return Form(
        flatbuffer.rewrite_io(data, "uint8", name),
        (
            "uint8 in and out: LiteRT.js refuses int8, and a canvas gives bytes; for WebGPU give float32.tflite",
        ),
    )


def _for_mediapipe(data: bytes, card: Card, name: str) -> Form:
    if not card.preprocessing.ink_is_high:
        raise EdgebigError(
            f"{name}: takes pictures with light and dark exchanged, which MediaPipe does not", ""
        )
    levels = 255.0 / (card.preprocessing.high - card.preprocessing.low)
    is_int8 = numbers_of(data, name) == "int8"
    inside = flatbuffer.rewrite_io(data, "int8", name) if is_int8 else data
    grey = card.preprocessing.colour == "grey"
    coloured = forms.takes_colour(inside, card.preprocessing, name)
    if is_int8:
        coloured = flatbuffer.rewrite_io(coloured, "uint8", name)
    labelled = metadata.attach_metadata(
        coloured,
        name=f"{card.recipe} {card.variant}",
        description="Made by edgebig for MediaPipe's ImageClassifier.",
        labels=card.classes,
        mean=-card.preprocessing.low * levels,
        std=levels,
    )
    chosen = (
        *(
            ["a first layer makes grey of red, green and blue (ITU-R 601), exactly so for grey pictures"]
            if grey
            else []
        ),
        f"uint8 in, {'uint8' if is_int8 else 'float32'} out: the classifier takes no int8",
        f"metadata with {len(card.classes)} labels, which it asks for",
    )
    tolerance = 0.0 if is_int8 else FLOAT_TOLERANCE
    return Form(labelled, chosen, tolerance, card.preprocessing.model_copy(update={"colour": "rgb"}))


TARGETS: Mapping[str, Target] = {
    "cpu": Target("a CPU by TFLite or LiteRT", (), _as_it_is),
    "gpu": Target(
        "a phone's GPU by TFLite's delegate", ("float32", "float16"), _for_gpu, left=gpu.left, source=gpu.SOURCE
    ),
    "nnapi": Target(
        "Android's neural networks API", INT8, _int8_edges,
        ("NNAPI is deprecated since Android 15; signed int8 needs Android 11",), nnapi.left, nnapi.SOURCE,
    ),
    "edgetpu": Target(
        "Coral's Edge TPU", INT8, _int8_edges,
        ("compile it with edgetpu_compiler, which Coral gives for Debian",), edgetpu.left, edgetpu.SOURCE,
    ),
    "ethos-u": Target(
        "Arm's Ethos-U55 or U65 beside a Cortex-M", INT8, _int8_edges,
        ("compile it with vela, of which 'edgebig environment add vela' makes one",), ethos_u.left, ethos_u.SOURCE,
    ),
    "mcu": Target(
        "a microcontroller by TFLite Micro", INT8, _for_mcu, left=mcu.left, source=mcu.SOURCE
    ),
    "browser": Target("a browser by LiteRT.js", INT8_OR_FLOAT, _for_browser, prefers="int8"),
    "mediapipe": Target(
        "MediaPipe's ImageClassifier", INT8_OR_FLOAT, _for_mediapipe,
        ("it scales a picture to the model's size and does no more: crop to one object first",), prefers="int8",
    ),
}  # fmt: skip
