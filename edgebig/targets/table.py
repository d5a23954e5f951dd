"""The targets: what each takes, the form that it takes best, and by whose rules it leaves operators to the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgebig import flatbuffer, metadata, strip
from edgebig.artifact import Card, Preprocessing
from edgebig.errors import EdgebigError
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
    mean, std = card.preprocessing.mean_and_std()
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
        mean=mean,
        std=std,
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
