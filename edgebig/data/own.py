"""python:FILE:FUNCTION: the arrays that the user's own function gives, checked. numpy only."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig import usercode
from edgebig.data.examples import Found
from edgebig.data.labelled import Labelled, Part, found
from edgebig.errors import EdgebigError

_PARTS: tuple[Part, ...] = ("train", "validation", "test")
_KEYS = (*_PARTS, "classes")
_FORM = 'return pictures and labels; or {"train": (pictures, labels), "test": ..., "validation": ..., "classes": [...]}'


def load(reference: str) -> Found:
    """What the function of "python:FILE:FUNCTION" gives when it is called without arguments.

    (pictures, labels); or ((pictures, labels), (pictures, labels)) to train and to test, as Keras' data sets come; or a
    dict of "train" and, if it likes, "test", "validation" (pictures and labels, each) and "classes" (names).
    Pictures: uint8 or floats from 0 to 1, (N, H, W) or (N, H, W, C). Labels: class numbers, one-hot rows or names.
    Raises EdgebigError with the place in the user's file.
    """
    path, name = usercode.split(reference)
    function = usercode.load(reference)
    path = path.resolve()
    try:
        # stdout is for results, which --json promises to be JSON.
        with contextlib.redirect_stdout(sys.stderr):
            value = function()
    except Exception as error:  # The user's code may raise anything; it is told as theirs.
        raise usercode.fault(error, path, f"{name}() failed") from error
    at = f"{path}{_line(function, str(path))}: {name}()"
    tables = _as_tables(value, at)
    parts: dict[Part, Labelled] = {}
    for key in _PARTS:
        if tables.get(key) is not None:
            parts[key] = _labelled(tables[key], f"{at} '{key}'")
    if "train" not in parts:
        raise EdgebigError(f"{at} gives no 'train'", _FORM)
    return found(parts, _names(tables.get("classes")), f"{at} 'classes'", round_floats=True)


def _line(function: Callable[..., Any], path: str) -> str:
    code = getattr(function, "__code__", None)
    return f":{code.co_firstlineno}" if code is not None and code.co_filename == path else ""


def _as_tables(value: Any, at: str) -> Mapping[str, Any]:
    match value:
        case Mapping():
            for key in value:
                if key not in _KEYS:
                    close = difflib.get_close_matches(str(key), _KEYS, n=1)
                    guess = f" (did you mean '{close[0]}'?)" if close else ""
                    raise EdgebigError(f"{at} gives the unknown key {key!r}{guess}", _FORM)
            return value
        # As Keras' data sets come.
        case [(_, _) as train, (_, _) as test] if isinstance(train, tuple) and isinstance(test, tuple):
            return {"train": train, "test": test}
        case [_, _]:
            return {"train": value}
    shown = f"{len(value)} things" if isinstance(value, tuple | list) else type(value).__name__
    raise EdgebigError(f"{at} gives {shown}", _FORM)


def _labelled(pair: Any, at: str) -> Labelled:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise EdgebigError(f"{at} is no pair of pictures and labels", _FORM)
    images, labels = (
        _array(each, f"{at} {what}") for each, what in zip(pair, ("pictures", "labels"), strict=True)
    )
    return Labelled(images, labels, f"{at} pictures", f"{at} labels")


def _array(value: Any, at: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
        # Of a table's column, where texts are objects.
        if array.dtype.kind == "O" and all(isinstance(each, str) for each in array.reshape(-1).tolist()):
            array = array.astype(np.str_)
    # Lists of different lengths raise ValueError; other libraries' arrays that are elsewhere, these.
    except (TypeError, ValueError, RuntimeError) as error:
        raise EdgebigError(
            f"{at}: no array: {error}", "give numpy arrays, all pictures of one shape"
        ) from error
    return array


def _names(classes: Any) -> list[Any] | None:
    if classes is None:
        return None
    return list(classes) if isinstance(classes, list | tuple | np.ndarray) else [classes]
