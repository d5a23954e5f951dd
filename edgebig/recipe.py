"""Recipes: what to build, as TOML, read into one frozen model. Every default stands here, once."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgebig import lookup
from edgebig.errors import EdgebigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Spec(BaseModel):
    """A table of a TOML file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Augment(Spec):
    """Ranges of the random affine map that each training image goes through; 0 is off."""

    shift_px: float = Field(0.0, ge=0, le=14, description="shift up to so many pixels each way")
    rotate_deg: float = Field(0.0, ge=0, le=180, description="turn up to so many degrees each way")
    zoom: float = Field(0.0, ge=0, lt=1, description="scale between 1 - zoom and 1 + zoom")
    shear: float = Field(0.0, ge=0, le=1, description="slant up to so many pixels a pixel")


class Data(Spec):
    """Where the examples come from."""

    source: Literal["digits-5k", "mnist"]
    validation: int = Field(5000, ge=10, description="examples held out of train (digits-5k has its own 500)")
    augment: Augment = Augment()


class DigitCnn(Spec):
    """A small residual convolutional net for 28x28 grey pictures."""

    name: Literal["digit-cnn"]
    channels: tuple[Annotated[int, Field(ge=1, le=512)], Annotated[int, Field(ge=1, le=512)]] = (16, 40)


class KerasConvnet(Spec):
    """The layers of the well-known Keras example, the yardstick."""

    name: Literal["keras-convnet"]
    dropout: float = Field(0.5, ge=0, lt=1)


Model = Annotated[DigitCnn | KerasConvnet, Field(discriminator="name")]


class Fit(Spec):
    """One phase of gradient descent."""

    epochs: int = Field(ge=1, le=10_000)
    learning_rate: float = Field(gt=0, le=10)
    batch_size: int = Field(128, ge=1, le=65_536)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    keep: Literal["best", "last"] = Field(
        "best", description="which epoch's weights: best on validation, or last"
    )


class Train(Fit):
    """Training from random weights."""

    epochs: int = Field(10, ge=1, le=10_000)
    learning_rate: float = Field(0.001, gt=0, le=10)
    seed: int = Field(0, ge=0, lt=2**31)


class Prune(Fit):
    """Magnitude pruning while training on: this share of each pruned layer's weights becomes zero."""

    sparsity: float = Field(0.5, gt=0, lt=1)
    epochs: int = Field(2, ge=1, le=10_000)
    learning_rate: float = Field(0.001, gt=0, le=10)


class Qat(Fit):
    """Quantization-aware training to full int8."""

    epochs: int = Field(3, ge=1, le=10_000)
    learning_rate: float = Field(0.0005, gt=0, le=10)


class Compress(Spec):
    """The passes to run; their order is the code's, not the file's."""

    prune: Prune | None = None
    qat: Qat | None = None


class Convert(Spec):
    """The form of the .tflite."""

    io: Literal["int8", "uint8", "float32"] = Field(
        "int8", description="input and output type of int8 models"
    )


class Recipe(Spec):
    """A whole recipe."""

    name: str = Field(exclude=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    data: Data
    model: Model
    train: Train = Train()
    compress: Compress = Compress()
    convert: Convert = Convert()


S = TypeVar("S", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises EdgebigError where it is not there, not UTF-8 or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgebigError(f"{path.name}: not TOML: {error}", "mend the file at that place") from error


def validate(kind: type[S], tables: dict[str, Any], file: str) -> S:
    """`tables` as a frozen model. Raises EdgebigError with every fault at once, each on a line of its own."""
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        faults = [_fault(kind, fault, file) for fault in error.errors()]
        raise EdgebigError(
            "\n".join(faults), "mend the file, or override with --set table.key=value"
        ) from error


def _fault(kind: type[BaseModel], fault: Any, file: str) -> str:
    loc = [str(part) for part in fault["loc"]]
    # A discriminated union puts its tag into the location ("model", "digit-cnn", "channels"): no key of the file.
    if loc[:1] == ["model"]:
        del loc[1:2]
    table, key = loc[:-1], loc[-1] if loc else ""
    where = f"{file} [{'.'.join(table)}]" if table else file
    match fault["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(key, _keys(kind).get(tuple(table), ()), n=1)
            return f"{where}: unknown key '{key}'" + (f" (did you mean '{close[0]}'?)" if close else "")
        case "missing":
            return f"{where}: '{key}' is missing"
        case "union_tag_invalid":
            return f"{file} [{key}]: no {key} '{fault['ctx']['tag']}', use one of {fault['ctx']['expected_tags']}"
        case "union_tag_not_found":
            return f"{file} [{key}]: 'name' is missing"
        case _:
            message = fault["msg"]
            return f"{where}: {key} = {fault['input']!r}: {message[0].lower()}{message[1:]}"


def _keys(kind: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[str]]:
    """The keys of each table that `kind` may hold, by the table's path; the members of a union are put together."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for member in (kind, *get_args(kind)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            tables.setdefault(path, []).extend(member.model_fields)
            for name, field in member.model_fields.items():
                for below, keys in _keys(field.annotation, (*path, name)).items():
                    tables.setdefault(below, []).extend(keys)
    return tables


def override(tables: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`tables` with each "table.key=value" of `settings` put in; values are TOML, a bare word is a string."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise EdgebigError(
                f"--set {setting}: not of the form table.key=value", "as in --set train.epochs=3"
            )
        table = tables
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise EdgebigError(f"--set {setting}: '{part}' is not a table", "as in --set train.epochs=3")
        table[parts[-1]] = _toml_value(text.strip())
    return tables


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def load(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or path, with --set overrides. Raises EdgebigError."""
    path = lookup.find("recipes", name)
    return parse(read_toml(path), path.stem, settings, file=path.name)


def parse(tables: dict[str, Any], name: str, settings: Sequence[str] = (), *, file: str) -> Recipe:
    if "name" in tables:
        raise EdgebigError(f"{file}: unknown key 'name'", "a recipe is named by its file")
    tables = override(tables, settings)
    return validate(Recipe, {**tables, "name": name}, file)


def header(path: Path) -> list[str]:
    """The comment lines that open a recipe: its command and measured result."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
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
    lines += [f"{key} = {_toml_text(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, [*path, key], lines)


def _toml_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml_text(item) for item in value) + "]"
    return repr(value)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """`recipe` with --set overrides. Raises EdgebigError."""
    return (
        parse(recipe.model_dump(mode="json", exclude_none=True), recipe.name, settings, file="--set")
        if settings
        else recipe
    )


def with_passes(recipe: Recipe, *, int8: bool, prune: float | None) -> Recipe:
    """`recipe` with these passes in place of its own; its settings of a pass still hold if it is asked for."""
    tables = recipe.model_dump(mode="json", exclude_none=True)
    own = tables["compress"]
    tables["compress"] = {}
    if int8:
        tables["compress"]["qat"] = own.get("qat", {})
    if prune is not None:
        tables["compress"]["prune"] = {**own.get("prune", {}), "sparsity": prune}
    return parse(tables, recipe.name, file="--prune")
