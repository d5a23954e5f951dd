"""Recipes: what to build, as TOML, read into one frozen model. Every default stands here, once."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgebig import lookup
from edgebig.errors import EdgebigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# A run folder is named by it.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_TOML_LIMIT_BYTES = 1 << 18
# tomllib's memory grows with the square of a dotted key's parts.
_TOML_LIMIT_DOTS = 500
_SHOWN_CHARACTERS = 60
_SET_AS_IN = "as in --set train.epochs=3"


SOURCES = ("digits-5k", "mnist", "fashion-mnist")
OWN_SOURCES = ("idx", "npz", "images", "csv", "python")


class Spec(BaseModel):
    """A table of a TOML file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _user_code(text: str) -> str:
    if not re.fullmatch(r"python:.+:[A-Za-z_]\w*", text):
        raise ValueError("must be python:FILE:FUNCTION")
    return text


def _source(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if text in SOURCES or (kind == "python" and _user_code(text)) or (kind in OWN_SOURCES and rest):
        return text
    if kind in OWN_SOURCES:
        raise ValueError(f"must say where, as in {kind}:{'DIR' if kind in ('idx', 'images') else 'FILE'}")
    close = difflib.get_close_matches(kind if colon else text, [*SOURCES, *OWN_SOURCES], n=1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    raise ValueError(
        f"must be one of {', '.join(SOURCES)}, idx:DIR, npz:FILE, images:DIR, csv:FILE, python:FILE:FUNCTION{guess}"
    )


# Before the types are looked at: of a union pydantic would tell a fault for each member.
def _share(value: Any) -> Any:
    if not ((type(value) is int and value >= 1) or (type(value) is float and 0 < value < 1)):
        raise ValueError("must be a count (1, 5000) or a share between 0 and 1 (0.1)")
    return value


def _options(options: Any) -> Any:
    if isinstance(options, dict):
        if bad := [name for name in options if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)]:
            raise ValueError(f"'{bad[0]}' is no name of an argument")
        if bad := [name for name, value in options.items() if not isinstance(value, str | int | float)]:
            raise ValueError(f"'{bad[0]}' must be a text, a number, true or false")
    return options


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names) or len(names) < 2:
        raise ValueError("must be at least two different names")
    return names


UserCode = Annotated[str, AfterValidator(_user_code)]
Share = Annotated[int | float, BeforeValidator(_share)]
Options = Annotated[dict[str, str | int | float | bool], BeforeValidator(_options)]
Channels = Annotated[int, Field(ge=1, le=512)]
Blocks = Annotated[int, Field(ge=0, le=16)]
Pixels = Annotated[int, Field(ge=1, le=4096)]


class Paper(Spec):
    """Training digits are besides written on paper, photographed, and found again as a camera's picture is read."""

    copies: float = Field(
        1.0, gt=0, le=100, description="how often each training digit is written; 0.5 is a half of them"
    )
    nothings: float = Field(
        0.3,
        ge=0,
        le=10,
        description="for each of these so many letters, scribbles and signs, of which no class is to be likely",
    )


class Augment(Spec):
    """How each training picture is changed by chance; 0 is off. Draws are even between 0, or minus that, and that."""

    shift_px: float = Field(0.0, ge=0, le=1000, description="shift up to so many pixels each way")
    rotate_deg: float = Field(0.0, ge=0, le=180, description="turn up to so many degrees each way")
    zoom: float = Field(0.0, ge=0, lt=1, description="scale between 1 - zoom and 1 + zoom")
    shear: float = Field(0.0, ge=0, le=1, description="slant up to so many pixels a pixel")
    elastic_px: float = Field(0.0, ge=0, le=100, description="bend by so many pixels (standard deviation)")
    elastic_scale_px: float = Field(
        7.0, ge=2, le=1000, description="how far a bend reaches; under 2.5 times elastic_px it folds"
    )
    stroke_px: float = Field(
        0.0, ge=0, le=4, description="bright strokes wider or thinner at each edge; over 0.5 thin ones fade"
    )
    blur_px: float = Field(0.0, ge=0, le=10, description="blur of up to this standard deviation")
    noise: float = Field(0.0, ge=0, le=1, description="noise of up to this standard deviation; white is 1")
    cutout_px: int = Field(0, ge=0, le=1000, description="side of a square that is blacked out")
    mixup: float = Field(0.0, ge=0, le=10, description="mix pictures and labels by Beta(mixup, mixup)")
    flip: bool = Field(False, description="mirror half of the pictures, left to right")
    brightness: float = Field(0.0, ge=0, le=1, description="add or take up to this; white is 1")
    contrast: float = Field(0.0, ge=0, lt=1, description="contrast times 1 - contrast to 1 + contrast")
    fill: Literal["black", "edge"] = Field(
        "black", description="what comes in from outside of a moved picture"
    )
    function: UserCode | None = Field(
        None, description="your own, after the others: (pictures, seed) -> pictures"
    )
    paper: Paper | None = Field(
        None, description="a table of its own: more training pictures, digits on paper as a camera sees them"
    )

    @model_validator(mode="after")
    def _a_mixed_label_is_no_nothing(self) -> Augment:
        if self.paper and self.mixup:
            raise ValueError("paper has pictures of no class, which mixup would mix: leave one of them out")
        return self


class Data(Spec):
    """Where the examples come from, how they are split, and what pictures are made into."""

    source: Annotated[str, AfterValidator(_source)] = Field(
        description="digits-5k, mnist, fashion-mnist, idx:DIR, npz:FILE, images:DIR, csv:FILE, python:FILE:FUNCTION"
    )
    validation: Share = Field(0.1, description="examples held out of train, a count or a share")
    test: Share = Field(0.1, description="likewise, where the source has no test set of its own")
    classes: Annotated[tuple[str, ...], AfterValidator(_unique)] | None = Field(
        None, description="only these classes, in this order"
    )
    size: tuple[Pixels, Pixels] | None = Field(
        None, description="height and width that pictures are brought to; may be left out where all are alike"
    )
    colour: Literal["grey", "rgb"] | None = Field(None, description="left out: as the pictures are")
    fit: Literal["pad", "crop", "stretch"] = Field(
        "pad", description="how a picture of another shape fits `size`"
    )
    framing: Literal["ink", "whole"] | None = Field(
        None, description="what `predict` looks at: each digit that it finds, or the whole picture"
    )
    skip_broken: bool = Field(False, description="leave out files that cannot be read, and list them")
    embedded: Literal["leave-out", "validate"] = Field(
        "leave-out",
        description="of mnist: what becomes of the 1,500 digits that digits-5k validates and tests with",
    )
    augment: Augment = Augment()


class DigitCnn(Spec):
    """A small residual convolutional net for 28x28 grey pictures, in stages that each halve the map."""

    name: Literal["digit-cnn"]
    channels: tuple[Channels, ...] = Field(
        (16, 32, 96), min_length=1, max_length=5, description="of each stage"
    )
    blocks: tuple[Blocks, ...] = Field(
        (1, 1, 0), validate_default=True, description="residual blocks of each stage"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")

    @field_validator("blocks")
    @classmethod
    def _one_number_for_each_stage(cls, blocks: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        channels = info.data.get("channels")
        if channels is not None and len(blocks) != len(channels):
            raise ValueError(f"must be as many numbers as channels, {len(channels)}")
        return blocks


class KerasConvnet(Spec):
    """The layers of the well-known Keras example, the yardstick."""

    name: Literal["keras-convnet"]
    dropout: float = Field(0.5, ge=0, lt=1, description="before the last layer")


class PictureCnn(Spec):
    """A residual convolutional net for pictures of any size: a stem, then stages that each halve the picture."""

    name: Literal["picture-cnn"]
    channels: tuple[Channels, ...] = Field(
        (32, 64, 128), min_length=1, max_length=8, description="of each stage"
    )
    blocks: Blocks = Field(1, description="residual blocks in each stage")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")


class Mlp(Spec):
    """Dense layers on the flattened picture; no hidden one is (multinomial) logistic regression."""

    name: Literal["mlp"]
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (64, 32), description="units of each hidden layer"
    )
    activation: Literal["relu", "tanh", "sigmoid"] = Field("relu", description="of the hidden layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="after each hidden layer")
    head: Literal["softmax", "sigmoid"] = Field("softmax", description="sigmoid: one unit, for two classes")


class PythonModel(Spec):
    """Your own: a function of (input_shape, classes, **options) that gives an uncompiled Keras model."""

    name: UserCode
    options: Options = Field({}, description="handed to the function by name")


class Adopted(Spec):
    """A model that was trained elsewhere: what `edgebig adopt` writes into its run. It cannot be trained anew."""

    name: Literal["adopted"]
    file: str = Field(description="the name of the file that it came from")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="of that file")
    low: float = Field(0.0, description="what the run's model takes for a pixel of 0")
    high: float = Field(1.0, validate_default=True, description="and for one of 255, which is more")

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        if "low" in info.data and high <= info.data["low"]:
            raise ValueError("must be above low")
        return high


def _model_tag(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    return "python" if name.startswith("python:") else name


Model = Annotated[
    Annotated[DigitCnn, Tag("digit-cnn")]
    | Annotated[KerasConvnet, Tag("keras-convnet")]
    | Annotated[PictureCnn, Tag("picture-cnn")]
    | Annotated[Mlp, Tag("mlp")]
    | Annotated[Adopted, Tag("adopted")]
    | Annotated[PythonModel, Tag("python")],
    Discriminator(_model_tag),
]
_MODELS = {tag.tag: kind for kind, tag in map(get_args, get_args(get_args(Model)[0]))}


def _loss(text: str) -> str:
    if text in ("cross-entropy", "mean-squared-error"):
        return text
    if not text.startswith("python:"):
        raise ValueError("must be cross-entropy, mean-squared-error or python:FILE:FUNCTION")
    return _user_code(text)


class Fit(Spec):
    """One phase of gradient descent."""

    epochs: int = Field(ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(gt=0, le=10, description="the highest of the schedule")
    batch_size: int = Field(128, ge=1, le=65_536, description="over all examples it is all of them")
    optimizer: Literal["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"] = Field(
        "adam", description="adamw is adam with weight_decay"
    )
    momentum: float = Field(0.9, gt=0, lt=1, description="of momentum and nesterov")
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        validate_default=True,
        description="a step takes learning_rate * weight_decay off each kernel (decoupled)",
    )
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = Field(
        "cosine", description="cosine falls to 0; one-cycle climbs for 0.3 of the steps, then falls to 0"
    )
    warmup_steps: int = Field(0, ge=0, description="the rate climbs to the schedule's over so many steps")
    step_epochs: int = Field(10, ge=1, description="of step: the rate is cut every so many epochs")
    step_factor: float = Field(0.1, gt=0, lt=1, description="of step: to this share")
    loss: Annotated[str, AfterValidator(_loss)] = Field(
        "cross-entropy",
        description="cross-entropy, mean-squared-error, or your own: (one-hot labels, outputs) -> a loss each",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="this share of a label goes to all classes alike"
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="moving average of the weights, which is kept; it forgets the first ones in 3 / (1 - ema) steps",
    )
    clip_norm: float = Field(0.0, ge=0, description="the gradient is scaled down to this length; 0 is off")
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better one; 0 is never")
    keep: Literal["best", "last"] = Field(
        "best", description="which epoch's weights: best on validation, or last"
    )

    @field_validator("weight_decay")
    @classmethod
    def _adamw_decays(cls, weight_decay: float, info: ValidationInfo) -> float:
        if info.data.get("optimizer") == "adamw" and not weight_decay:
            raise ValueError("without it adamw is adam: give it one, as in 0.01, or take adam")
        return weight_decay

    @field_validator("warmup_steps")
    @classmethod
    def _one_climb(cls, warmup_steps: int, info: ValidationInfo) -> int:
        if warmup_steps and info.data.get("schedule") == "one-cycle":
            raise ValueError("one-cycle climbs by itself; leave it out")
        return warmup_steps


class Train(Fit):
    """Training from random weights, or on from those of another run."""

    epochs: int = Field(10, ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(0.001, gt=0, le=10, description="the highest of the schedule")
    seed: int = Field(0, ge=0, lt=2**31, description="of the weights, the order and every draw")
    start: str | None = Field(
        None,
        min_length=1,
        description="a run, or a recipe's name (its last run), of the same model, whose weights training starts from",
    )
    precision: Literal["float32", "mixed"] = Field(
        "float32", description="mixed: float16 arithmetic, on GPUs"
    )


SLIM_TARGETS = ("macs", "size_bytes", "latency")


class Slim(Fit):
    """Removes whole channels, the least important ones, and trains what is left; to one of the three targets."""

    macs: float | None = Field(None, gt=0, lt=1, description="target: this share of the multiplications")
    size_bytes: int | None = Field(
        None, ge=1, description="target: the .tflite at most so large, in the type that the last pass gives"
    )
    latency: float | None = Field(
        None, gt=0, lt=1, description="target: this share of the invoke's time, measured on `device`"
    )
    device: str = Field("local", description="where latency is measured")
    importance: Literal["bn-scale", "taylor"] = Field(
        "bn-scale",
        description="what a channel is ranked by: its BatchNorm scale, or what the loss says of it",
    )
    sparsify_epochs: int = Field(
        2, ge=0, le=10_000, description="of bn-scale: before the cut, with a penalty on BatchNorm's scales"
    )
    l1: float = Field(0.0001, ge=0, le=1, description="that penalty, a scale")
    multiple: int = Field(
        8,
        ge=1,
        le=64,
        description="channels stay in multiples of this power of two, as kernels like; few channels in halves",
    )
    epochs: int = Field(4, ge=1, le=10_000, description="after the cut")
    learning_rate: float = Field(0.001, gt=0, le=10, description="the highest of the schedule")

    @field_validator("multiple")
    @classmethod
    def _power_of_two(cls, multiple: int) -> int:
        if multiple & (multiple - 1):
            raise ValueError("must be a power of two, as in 8")
        return multiple

    @model_validator(mode="after")
    def _one_target(self) -> Slim:
        if sum(value is not None for value in (self.macs, self.size_bytes, self.latency)) != 1:
            raise ValueError("must have one target of macs, size_bytes, latency")
        return self


class Distil(Fit):
    """Trains the model on what a teacher says of augmented pictures; the passes after it learn from the teacher too."""

    teacher: tuple[str, ...] = Field(
        min_length=1,
        description="a run, a recipe's name (its last run), a .keras, SavedModel or .tflite; or several, averaged",
    )
    temperature: float = Field(2.0, gt=0, le=100, description="softens both, so that small chances count")
    hard: float = Field(0.1, ge=0, le=1, description="share of the loss that comes from the labels")
    views: int = Field(
        16,
        ge=1,
        le=1000,
        description="of each picture, augmented; the teacher reads each once, for all phases",
    )
    unlabelled: Annotated[str, AfterValidator(_source)] | None = Field(
        None, description="a source of more pictures, whose labels are not looked at"
    )
    epochs: int = Field(10, ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(0.001, gt=0, le=10, description="the highest of the schedule")

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_or_several(cls, teacher: Any) -> Any:
        if isinstance(teacher, str):
            return (teacher,)
        return tuple(teacher) if isinstance(teacher, list) else teacher


class Prune(Fit):
    """Magnitude pruning while training on: this share of the pruned weights becomes zero."""

    sparsity: float = Field(0.5, gt=0, lt=1, description="the share of zeros")
    scope: Literal["layer", "global"] = Field(
        "layer",
        description="layer: the share in each layer; global: over all, small weights anywhere go first",
    )
    pattern: Literal["any", "2:4", "block"] = Field(
        "any", description="2:4: two of every four weights along the inputs; block: whole blocks of `block`"
    )
    block: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        (1, 4), description="of pattern block: outputs and inputs that go together"
    )
    epochs: int = Field(2, ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(0.001, gt=0, le=10, description="the highest of the schedule")

    @field_validator("pattern")
    @classmethod
    def _two_of_four_is_a_half(cls, pattern: str, info: ValidationInfo) -> str:
        sparsity = info.data.get("sparsity")  # None where it is a fault of its own
        if pattern == "2:4" and sparsity not in (None, 0.5):
            raise ValueError(f"is a sparsity of 0.5 in every layer, not {sparsity:g}: leave one of them out")
        if pattern == "2:4" and info.data.get("scope") == "global":
            raise ValueError("is the same share in every layer: leave scope out")
        return pattern


class Cluster(Fit):
    """Weight clustering: each layer keeps so many different weights, so that the file deflates."""

    clusters: int = Field(16, ge=2, le=256, description="different weights in each layer")
    per_channel: bool = Field(False, description="so many for each output channel of a Conv2D")
    epochs: int = Field(2, ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(0.0005, gt=0, le=10, description="the highest of the schedule")


class Qat(Fit):
    """Quantization-aware training to int8."""

    float_layers: tuple[str, ...] = Field((), description="names of layers that stay in float")
    keep_float: int = Field(
        0, ge=0, description="so many layers stay in float: those that lose most, by their sensitivity"
    )
    epochs: int = Field(3, ge=1, le=10_000, description="times through the training examples")
    learning_rate: float = Field(0.0005, gt=0, le=10, description="the highest of the schedule")


class Ptq(Spec):
    """Quantization after training, without any: by a calibration set."""

    dtype: Literal["int8", "int16x8", "float16", "dynamic", "weights-int8", "weights-int4"] = Field(
        "int8", description="int16x8: int16 activations; dynamic: int8 weights, activations as they come"
    )
    calibration: int = Field(
        500,
        ge=1,
        le=100_000,
        description="training pictures, as many of each class, that ranges are taken from",
    )
    ranges: Literal["min-max", "moving-average", "percentile", "mse"] = Field(
        "min-max", description="how the range of an activation is taken"
    )
    percentile: float = Field(
        99.99, ge=90, le=100, description="of percentile: so much of the values is at most the range's end"
    )

    @model_validator(mode="after")
    def _ranges_of_integers(self) -> Ptq:
        if self.ranges != "min-max" and self.dtype not in ("int8", "int16x8"):
            raise ValueError(f"dtype {self.dtype} has no ranges of activations: leave ranges out")
        return self


class Compress(Spec):
    """The passes to run; their order is the code's, not the file's."""

    slim: Slim | None = None
    distil: Distil | None = None
    prune: Prune | None = None
    cluster: Cluster | None = None
    qat: Qat | None = None
    ptq: Ptq | None = None


class Convert(Spec):
    """The form of the .tflite."""

    io: Literal["int8", "uint8", "float32"] = Field(
        "int8", description="input and output type of int8 models"
    )
    strip: bool = Field(
        False, description="of what compress makes: no names and no metadata in it, some kB smaller"
    )


class Recipe(Spec):
    """A whole recipe."""

    name: str = Field(exclude=True, pattern=_NAME)
    data: Data
    model: Model
    train: Train = Train()
    compress: Compress = Compress()
    convert: Convert = Convert()


S = TypeVar("S", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises EdgebigError where it is too large, not UTF-8 or not TOML."""
    with path.open("rb") as file:
        data = file.read(_TOML_LIMIT_BYTES + 1)
    if len(data) > _TOML_LIMIT_BYTES:
        raise EdgebigError(f"{path.name}: over {_TOML_LIMIT_BYTES:,} bytes", "is this the right file?")
    try:
        return _parse_toml(data.decode("utf-8"))
    except ValueError as error:
        raise EdgebigError(f"{path.name}: not TOML: {error}", "mend the file at that place") from error


def _parse_toml(text: str) -> dict[str, Any]:
    """Raises ValueError: TOMLDecodeError is one, and so is what an integer of 5,000 digits gives."""
    if any(line.count(".") > _TOML_LIMIT_DOTS for line in text.splitlines() if line[:1] != "#"):
        raise ValueError("nested too deep")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def validate(kind: type[S], tables: dict[str, Any], file: str, *, hint: str = "mend the file") -> S:
    """`tables` as a frozen model. Raises EdgebigError with every fault at once, each on a line of its own."""
    try:
        # Strict, so that `epochs = true` is no 1; by way of JSON, where an array may still become a tuple.
        return kind.model_validate_json(json.dumps(tables, default=str), strict=True)
    except RecursionError as error:
        raise EdgebigError(f"{file}: nested too deep", hint) from error
    except ValidationError as error:
        faults = [_fault(kind, fault, file) for fault in error.errors()]
        raise EdgebigError("\n".join(faults), hint) from error


def _fault(kind: type[BaseModel], fault: Any, file: str) -> str:
    # An array's item has its index at the end ("model", "digit-cnn", "channels", 0): the key is the array's.
    loc = list(itertools.takewhile(lambda part: isinstance(part, str), fault["loc"]))
    # A discriminated union puts its tag into the location ("model", "digit-cnn", "channels"): no key of the file.
    tag = loc.pop(1) if kind is Recipe and loc[:1] == ["model"] and len(loc) > 1 else ""
    table, key = loc[:-1], loc[-1] if loc else ""
    where = f"{file} [{'.'.join(table)}]" if table else file
    match fault["type"]:
        case "extra_forbidden":
            known = list(_MODELS[tag].model_fields) if tag else _keys(kind).get(tuple(table), [])
            return f"{where}: unknown key '{key}'{_guess(key, known)}"
        case "missing" if len(loc) + bool(tag) == len(fault["loc"]):
            return f"{where}: '{key}' is missing"
        case "union_tag_invalid":
            known = list(_MODELS)
            named = ", ".join(f"'{name}'" for name in known if name not in ("adopted", "python"))
            model = fault["ctx"]["tag"]
            return f"{file} [{key}]: no {key} '{model}'{_guess(model, known)}, use one of {named}, python:FILE:FUNCTION"
        case "union_tag_not_found" if isinstance(fault["input"], dict):
            return _fault_of_name(fault["input"], f"{file} [{key}]")
        case "json_invalid":
            return f"{file}: nested too deep"
        case "model_type" | "model_attributes_type" | "dict_type" | "union_tag_not_found":
            return f"{where}: '{key}' is a table, as in [{'.'.join(loc)}]"
        case "string_pattern_mismatch" if key == "name":
            return f"{file}: the name of the file may hold only a-z, A-Z, 0-9, '.', '_' and '-', 100 at most"
        case _:
            return f"{where}: {key} = {toml_text(fault['input'])[:_SHOWN_CHARACTERS]}: {_said(fault)}"


def _fault_of_name(model: dict[str, Any], where: str) -> str:
    if "name" not in model:
        return f"{where}: 'name' is missing"
    return f"{where}: name = {toml_text(model['name'])[:_SHOWN_CHARACTERS]}: must be a valid string"


def _guess(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _said(fault: Any) -> str:
    """What pydantic says of a value, as a line of ours."""
    match fault["type"]:
        case "missing":
            return "must have more items"
        case "too_short":
            return f"must have {fault['ctx']['min_length']} items or more"
        case "too_long":
            return f"must have {fault['ctx']['max_length']} items at most"
    message: str = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return message.replace("should be", "must be")


def _keys(kind: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[str]]:
    """The keys of each table that `kind` may hold, by the table's path; the members of a union are put together."""
    tables: dict[tuple[str, ...], list[str]] = {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        tables[path] = list(kind.model_fields)
        members = [(field.annotation, (*path, name)) for name, field in kind.model_fields.items()]
    else:
        members = [(member, path) for member in get_args(kind)]
    for member, where in members:
        for below, keys in _keys(member, where).items():
            tables.setdefault(below, []).extend(keys)
    return tables


def override(tables: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`tables`, with each "table.key=value" of `settings` put into them; values are TOML, a bare word is a string."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = [part.strip() for part in path.split(".")]
        if not equals or not all(parts) or not setting.isprintable():
            raise EdgebigError(f"--set {setting}: not of the form table.key=value", _SET_AS_IN)
        if len(parts) > _TOML_LIMIT_DOTS:
            raise EdgebigError("--set: nested too deep", _SET_AS_IN)
        table = tables
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise EdgebigError(f"--set {setting}: '{part}' is not a table", _SET_AS_IN)
        table[parts[-1]] = _anchored(_toml_value(text.strip()), Path.cwd())
    return tables


def anchored_source(source: str, folder: Path) -> str:
    """A source or "python:FILE:FUNCTION" with its path made absolute, from `folder`; other text as it is."""
    kind, colon, rest = source.partition(":")
    if not colon or kind not in OWN_SOURCES or not rest:
        return source
    path, end = (rest.rpartition(":")[0], f":{rest.rpartition(':')[2]}") if kind == "python" else (rest, "")
    return f"{kind}:{os.path.normpath(folder.absolute() / Path(path).expanduser())}{end}" if path else source


def anchored_teacher(name: str) -> str:
    """A teacher's name from the command line: where there is a file or folder of that name, its absolute path."""
    path = Path(name).expanduser()
    return os.path.normpath(path.absolute()) if path.exists() else name


def _anchored(value: Any, folder: Path) -> Any:
    """The same with every text in a table or array: what stands in a recipe holds wherever a command is given."""
    match value:
        case str():
            return anchored_source(value, folder)
        case list():
            return [_anchored(item, folder) for item in value]
        case dict():
            return {key: _anchored(item, folder) for key, item in value.items()}
    return value


def _toml_value(text: str) -> Any:
    try:
        return _parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def load(name: str, settings: Sequence[str] = (), adopted: Adopted | None = None, run: str = "") -> Recipe:
    """The recipe of that name or path, with --set overrides. Raises EdgebigError.

    `adopted`: a model that stands in place of the file's, if it has one; the recipe is then called `run`.
    """
    path = lookup.find("recipes", name)
    tables = _anchored(read_toml(path), path.parent)
    if adopted is None:
        return parse(tables, path.stem, settings, file=path.name)
    return parse({**tables, "model": adopted.model_dump()}, run, settings, file=path.name)


def parse(
    tables: dict[str, Any],
    name: str,
    settings: Sequence[str] = (),
    *,
    file: str,
    hint: str = "mend the file, or override with --set table.key=value",
) -> Recipe:
    """The recipe in `tables`, which come from `file`. Raises EdgebigError."""
    tables = override(tables, settings)
    if "name" in tables:
        raise EdgebigError(f"{file}: unknown key 'name'", "a recipe is named by its file")
    return validate(Recipe, {**tables, "name": name}, file, hint=hint)


def header(path: Path) -> list[str]:
    """The comment lines that open a recipe: its command and measured result. A damaged file has what can be read."""
    with path.open("rb") as file:
        text = file.read(_TOML_LIMIT_BYTES).decode("utf-8", errors="replace")
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return lines


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe, every default written out, as TOML that `load` reads back to the same recipe."""
    lines: list[str] = []
    _write_table(recipe.model_dump(mode="json", exclude_none=True), [], lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: dict[str, Any], path: list[str], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (plain or not table):
        lines += ["", f"[{'.'.join(path)}]"]
    lines += [f"{key} = {toml_text(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, [*path, key], lines)


def toml_text(value: Any) -> str:
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # else TOML writes both as JSON does
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_text(key)} = {toml_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """`recipe` with --set overrides. Raises EdgebigError."""
    if not settings:
        return recipe
    tables = recipe.model_dump(mode="json", exclude_none=True)
    return parse(tables, recipe.name, settings, file="--set", hint=_SET_AS_IN)


def with_passes(recipe: Recipe, passes: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """`recipe` with these passes, each a name and the settings asked for, in place of its own.

    Its other settings of a pass still hold where the pass is asked for. Raises EdgebigError where a setting is no good.
    """
    tables = recipe.model_dump(mode="json", exclude_none=True)
    own = tables["compress"]
    tables["compress"] = {}
    for name, settings in passes.items():
        kept = own.get(name, {})
        if name == "slim" and settings:
            kept = {key: value for key, value in kept.items() if key not in SLIM_TARGETS}
        tables["compress"][name] = {**kept, **settings}
    return parse(tables, recipe.name, file="the command line", hint="give another value")
