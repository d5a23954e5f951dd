#!/usr/bin/env python3
"""Writes docs/recipe.md, every key of a recipe with its default and meaning, from the models in edgebig/recipe.py.

    .venv/bin/python tools/make_recipe_reference.py

tests/test_docs.py fails where the file is not what this writes.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgebig import recipe

PATH = Path(__file__).resolve().parent.parent / "docs" / "recipe.md"
OPENING = """\
# Recipes, key by key

A recipe is a TOML file that says what to build. Its first lines, comments, give the command and the measured result;
the file's name is the recipe's. A key that is not here is an error. Each has one default, and each can be overridden:
`edgebig train digits --set train.epochs=3`. What was used, every default written out, is saved in the run's own
`recipe.toml`. Files that a recipe names are found from the recipe's folder, those of `--set` from yours.

This page is written by `tools/make_recipe_reference.py` from the models that read a recipe.
"""


def text() -> str:
    tables = [
        ("data", recipe.Data),
        ("data.augment", recipe.Augment),
        ("data.augment.paper", recipe.Paper),
        *(("model", member) for member in models()),
        ("train", recipe.Train),
        *((f"compress.{name}", member) for name, member in passes()),
        ("convert", recipe.Convert),
    ]
    return "\n".join([OPENING, *(line for name, kind in tables for line in table(name, kind))])


def models() -> Iterator[type[BaseModel]]:
    union = get_args(recipe.Model)[0]
    for member in get_args(union):
        yield get_args(member)[0]


def passes() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in recipe.Compress.model_fields.items():
        yield name, get_args(field.annotation)[0]


def table(name: str, kind: type[BaseModel]) -> Iterator[str]:
    title = f"## [{name}]"
    if name == "model":
        shown = kind.model_fields["name"].annotation
        title += f' name = "{get_args(shown)[0] if get_origin(shown) is Literal else "python:FILE:FUNCTION"}"'
    yield title
    yield ""
    yield " ".join((kind.__doc__ or "").split())
    yield ""
    rows = [
        (key, field)
        for key, field in kind.model_fields.items()
        if not (name == "model" and key == "name") and not is_table(field)
    ]
    if issubclass(kind, recipe.Fit) and kind is not recipe.Train:
        yield "The keys of [train] hold here too, but for `seed` and `precision`; these are its own or differ:"
        yield ""
        rows = [
            (key, field) for key, field in rows if repr(field) != repr(recipe.Train.model_fields.get(key))
        ]
    if rows:
        yield "| key | default | values | |"
        yield "|---|---|---|---|"
    for key, field in rows:
        yield f"| `{key}` | {default(field)} | {values(field)} | {field.description or ''} |"
    yield ""


def is_table(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value is None:
        return "none"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def values(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {limit}"
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        for limit in (getattr(item, name, None) for item in field.metadata)
        if limit is not None
    ]
    return ", ".join([kind_of(field.annotation), *bounds])


def kind_of(annotation: Any) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " ".join(f'`"{member}"`' for member in members)
    if origin is Annotated:
        return kind_of(members[0])
    if origin in (Union, types.UnionType):
        return " or ".join(kind_of(member) for member in members if member is not type(None))
    if origin is tuple:
        inner = [member for member in members if member is not Ellipsis]
        return f"[{kind_of(inner[0])}, ...]" if Ellipsis in members else f"[{', '.join(map(kind_of, inner))}]"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "a table"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "?")


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)
