"""The device files: those that can be named, and the user's own, which are written and removed here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from edgebig import device, files, lookup
from edgebig.device import Device
from edgebig.errors import EdgebigError
from edgebig.recipe import toml_text

# It becomes a file's name and a word on command lines, between commas.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def own_folder() -> Path:
    return lookup.config_dir() / "devices"


def overview() -> list[dict[str, Any]]:
    """A row for each device that can be named. One that cannot be read says why, and does not hide the others."""
    return [_row(name, path) for name, path in lookup.available("devices").items()]


def _row(name: str, path: Path) -> dict[str, Any]:
    try:
        facts, problem = device.load(str(path)).model_dump(), ""
    except EdgebigError as error:
        facts, problem = {}, error.problem
    return {"name": name, "file": str(path), "problem": problem, **facts}


def explained(target: Device) -> str:
    """The device as TOML with all its keys: above each what it means, behind it whether it was left to its default."""
    lines = [f"# {line}" for line in (type(target).__doc__ or "").splitlines() if line.strip()]
    for key, field in type(target).model_fields.items():
        if field.exclude:
            continue
        value = getattr(target, key)
        meaning = [f"# {text}"] if (text := _meaning(key, field)) else []
        given = f"{key} = {toml_text(value)}" if value is not None else f"# {key} ="
        lines += ["", *meaning, given if key in target.model_fields_set else f"{given}  # default"]
    return "\n".join(lines) + "\n"


def _meaning(key: str, field: FieldInfo) -> str:
    """Of what every kind has, in a kind's own words or in those of all; where it is one of a few, which."""
    common = Device.model_fields.get(key)
    told = field.description or (common.description if common else None) or ""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"{told}; one of: {', '.join(choices)}" if len(choices) > 1 else told


def check_new(name: str, *, force: bool = False) -> Path:
    """Where the file of a new device goes. Raises EdgebigError where its name is none, or taken and not `force`."""
    if not re.fullmatch(_NAME, name) or name.endswith(".toml"):
        raise EdgebigError(
            f"{name!r}: no name for a device",
            "letters, digits and . _ - in it, a letter or a digit first: pi4",
        )
    path = own_folder() / f"{name}.toml"
    if not force and path.exists():
        raise EdgebigError(f"{path}: is there already", "take another name, or --force to write over it")
    known = lookup.available("devices").get(name)
    if known is not None and known != path:
        if known.parent == Path("devices"):
            raise EdgebigError(f"{name}: ./{known} would come before it", "take another name")
        if not force:
            raise EdgebigError(
                f"{name}: edgebig has a device of that name", "take another name, or --force to replace it"
            )
    files.check_writable(path)
    return path


def write(target: Device, path: Path, said: str) -> None:
    """Writes the device's file: `said` in a comment, then what differs from the defaults."""
    values = target.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    lines = [
        f"# {said}",
        *(f"{key} = {toml_text(value)}" for key, value in {"kind": target.kind, **values}.items()),
    ]
    files.write_text(path, "\n".join(lines) + "\n")


def remove(name: str) -> Path:
    """Deletes the user's own file of that device. Raises EdgebigError where the user has none."""
    path = own_folder() / f"{name}.toml"
    if re.fullmatch(_NAME, name) and (path.is_file() or path.is_symlink()):
        path.unlink()
        return path
    known = lookup.available("devices").get(name)
    if known is None:
        lookup.find("devices", name)
    raise EdgebigError(
        f"{name}: not in {own_folder()}, but {known}", "only what 'devices add' wrote is removed"
    )
