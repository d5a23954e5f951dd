"""The user's own functions: "python:FILE:FUNCTION" in a recipe is code, like a Makefile's, and is announced."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgebig import files
from edgebig.errors import EdgebigError
from edgebig.progress import say

PREFIX = "python:"
_FORM = "as in python:model.py:build"
_loaded: dict[Path, Any] = {}


def split(reference: str) -> tuple[Path, str]:
    """The file's path and the function's name. Raises EdgebigError where it is not python:FILE:FUNCTION."""
    path, _, function = reference.removeprefix(PREFIX).rpartition(":")
    if not reference.startswith(PREFIX) or not path or not function.isidentifier():
        raise EdgebigError(f"{reference}: not of the form python:FILE:FUNCTION", _FORM)
    return Path(path), function


def load(reference: str) -> Callable[..., Any]:
    """The function that `reference` names; its file is run once a process, after a line that says so.

    Raises EdgebigError where there is no such file or function, or where the file does not load: then with the
    place in the user's file.
    """
    path, name = _file(reference), split(reference)[1]
    if path not in _loaded:
        say(f"runs your code: {path} (sha256 {files.sha256_file(path)[:12]})")
        _loaded[path] = _run(path)
    function = getattr(_loaded[path], name, None)
    if not callable(function):
        own = [key for key, value in vars(_loaded[path]).items() if callable(value) and key[:1] != "_"]
        raise EdgebigError(
            f"{path}: no function '{name}' in it", f"it has {', '.join(own[:10]) or 'no function at all'}"
        )
    result: Callable[..., Any] = function
    return result


def sha256(reference: str) -> str:
    """Of the file that `reference` names, which may import others. Raises EdgebigError where there is none."""
    return files.sha256_file(_file(reference))


def _file(reference: str) -> Path:
    path, _ = split(reference)
    if not path.is_file():
        raise EdgebigError(f"{reference}: no such file", _FORM)
    return path.resolve()


def _run(path: Path) -> Any:
    name = f"edgebig_user_{files.sha256_bytes(str(path).encode())[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EdgebigError(f"{path}: not a Python file", "its name must end in .py")
    # It may import TensorFlow before edgebig does; then, too, with the Keras that edgebig.keras takes.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Its neighbours can be imported, as they can by a script; later, too, where nothing else has their name.
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results.
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # The user's code may raise anything; it is told as theirs.
        del sys.modules[name]
        raise fault(error, path, "does not load") from error
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
    return module


def fault(error: BaseException, path: Path, what: str) -> EdgebigError:
    """An error that was raised in the user's file, with the deepest line of that file which it went through."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno or 0
    kind, text = type(error).__name__, str(error)
    if text.startswith("in user code:"):  # TensorFlow's AutoGraph tells the place in the text.
        line = int([0, *re.findall(rf'File "{re.escape(str(path))}", line (\d+)', text)][-1])
        text = text.strip().splitlines()[-1].strip().removeprefix(f"{kind}: ")
    where = f"{path}:{line}" if line else str(path)
    return EdgebigError(f"{where}: {what}: {kind}: {text}", "mend your file")
