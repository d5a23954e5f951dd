"""A model file of Keras, read within bounds: which Keras wrote it, and its model's config. Nothing in it is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebig.errors import EdgebigError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_JSON_LIMIT_BYTES = 1 << 26
_WEIGHTS_LIMIT_BYTES = 1 << 32
_HARMLESS_BYTES, _LARGEST_RATIO = (
    1 << 26,
    100,
)  # Keras stores weights as they are; what unpacks a hundredfold is a bomb
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_DEEPEST = 200
_NOT_A_MODEL = "is it the right file, and whole? Copy or save it again"
# HDF5 is a large piece of C, and the file is from anywhere: a process of its own may die of it.
_READ_HDF5 = """if True:
    import json, sys, h5py
    with h5py.File(sys.argv[1], "r") as file:
        found = {name: file.attrs.get(name) for name in ("keras_version", "model_config")}
    print(json.dumps({name: v.decode() if isinstance(v, bytes) else v for name, v in found.items()}))
"""
# Encrypted members give a RuntimeError.
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError)
_OWN_MODULES = ("keras", "tf_keras", "builtins")
_CODE_CLASSES = frozenset(
    {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)


@dataclass(frozen=True)
class Header:
    """`keras`: the version that wrote the file; `config`: of its model, as Keras serializes it; `hdf5`: an .h5."""

    keras: str
    config: dict[str, Any]
    hdf5: bool

    @property
    def is_keras3(self) -> bool:
        return int(re.match(r"\d*", self.keras).group() or 2) >= 3  # type: ignore[union-attr]  # it matches ""


def header(path: Path) -> Header:
    """Raises EdgebigError where it is no model file of Keras, is damaged, or holds code or another's classes."""
    with path.open("rb") as file:
        opening = file.read(8)
    found = _of_hdf5(path) if opening == _HDF5 else _of_zip(path)
    faults = sorted(set(_foreign(found.config)))
    if faults:
        raise EdgebigError(
            f"{path}: holds what would run code from elsewhere\n"
            + "\n".join(f"  {fault}" for fault in faults),
            "write the model with the layers of Keras alone, and save it again; a model file never runs code here",
        )
    return found


def _of_zip(path: Path) -> Header:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            missing = [name for name in (_CONFIG, _METADATA, _WEIGHTS) if names.count(name) != 1]
            if missing:
                raise EdgebigError(f"{path}: no {missing[0]} in it, or several", _NOT_A_MODEL)
            _check_size(archive.getinfo(_WEIGHTS), path)
            metadata, config = (_json(archive, name, path) for name in (_METADATA, _CONFIG))
    except _ZIP_FAULTS as error:
        raise EdgebigError(
            f"{path}: no model file of Keras, or a damaged one ({error})", _NOT_A_MODEL
        ) from error
    return Header(str(metadata.get("keras_version", "")), config, hdf5=False)


def _check_size(weights: zipfile.ZipInfo, path: Path) -> None:
    if weights.file_size > _WEIGHTS_LIMIT_BYTES:
        raise EdgebigError(f"{path}: weights of over 4 GiB", "no edge device has room for them")
    if weights.file_size > max(_HARMLESS_BYTES, _LARGEST_RATIO * weights.compress_size):
        raise EdgebigError(
            f"{path}: its weights unpack to {weights.file_size:,} bytes from {weights.compress_size:,}",
            _NOT_A_MODEL,
        )


def _json(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    with archive.open(name) as file:
        # Not what the zip says of its size, but what comes.
        data = file.read(_JSON_LIMIT_BYTES + 1)
    if len(data) > _JSON_LIMIT_BYTES:
        raise EdgebigError(f"{path}: its {name} is over {_JSON_LIMIT_BYTES >> 20} MiB", _NOT_A_MODEL)
    return _parsed(data, f"{path}: its {name}")


def _parsed(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EdgebigError(f"{where} is no JSON ({type(error).__name__})", _NOT_A_MODEL) from error
    if not isinstance(value, dict):
        raise EdgebigError(f"{where} is no JSON object", _NOT_A_MODEL)
    return value


def _of_hdf5(path: Path) -> Header:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _READ_HDF5, str(path.absolute())],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EdgebigError(f"{path}: cannot be read as HDF5 ({said})", _NOT_A_MODEL)
    found = json.loads(done.stdout)
    if found["model_config"] is None:
        raise EdgebigError(
            f"{path}: holds weights alone, without the model that they belong to",
            "save it by model.save(...)",
        )
    return Header(
        found["keras_version"] or "", _parsed(found["model_config"], f"{path}: its model"), hdf5=True
    )


def write_copy(path: Path, config: dict[str, Any], target: Path) -> None:
    """`target`: the .keras at `path` with `config` in place of its own, and nothing but what a model needs.

    Raises EdgebigError where the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
            copy.writestr(_METADATA, source.read(_METADATA))
            copy.writestr(_CONFIG, json.dumps(config))
            with source.open(_WEIGHTS) as weights, copy.open(_WEIGHTS, "w", force_zip64=True) as written:
                shutil.copyfileobj(weights, written, 1 << 20)
    except _ZIP_FAULTS as error:
        raise EdgebigError(f"{path}: its weights are damaged ({error})", _NOT_A_MODEL) from error


def _foreign(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """A line for each object in a config whose class is another's, or is code: its name, its class and where from."""
    if depth > _DEEPEST:
        yield f"{name}: nested too deep"
    elif isinstance(value, list):
        for item in value:
            yield from _foreign(item, name, depth + 1)
    elif isinstance(value, dict):
        options = value.get("config")
        if isinstance(options, dict) and isinstance(options.get("name"), str):
            name = options["name"]
        kind, module = value.get("class_name"), value.get("module")
        if kind in _CODE_CLASSES:
            yield f"{name} ({kind})"
        elif isinstance(kind, str) and (found := _other_module(value, module)):
            yield f"{name} ({found})"
        # What a training was compiled with is not read.
        for key, item in value.items():
            if key != "compile_config":
                yield from _foreign(item, name, depth + 1)


def _other_module(value: dict[str, Any], module: Any) -> str:
    """The full name of a class that is not one of Keras's own, else ""."""
    registered = value.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return registered
    own = module is None or (isinstance(module, str) and module.split(".")[0] in _OWN_MODULES)
    return "" if own else f"{module}.{value['class_name']}"
