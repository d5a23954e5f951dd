"""The emulated boards of the tests: made once, in the user's own cache, where the next run finds them."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from edgebig.device import LocalDevice
from edgebig.errors import EdgebigError

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str = "make_board") -> ModuleType:
    """tools/NAME.py as a module; those that it needs lie beside it."""
    folder = str(ROOT / "tools")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def made(name: str, environ: Mapping[str, str]) -> Path:
    """The folder of the board `name`; `environ`: the user's, whose apt and pip bring its parts."""
    if sys.platform != "linux":
        pytest.skip("needs Linux: QEMU's user mode")
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    make_board = tool()
    board = next(board for board in make_board.BOARDS if board.name == name)
    try:
        make_board.make(folder(environ), board.architecture, environ)
    except EdgebigError as error:
        if board.architecture.release:
            pytest.skip(f"needs Debian {board.architecture.release}: {error.problem}")
        raise
    return folder(environ) / name


def folder(environ: Mapping[str, str]) -> Path:
    cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(environ.get("EDGEBIG_BOARDS") or f"{cache}/edgebig/boards").absolute()


def bare_path(board: Path) -> str:
    """A PATH on which python3 is the board's, as its system was installed."""
    return f"{board / 'bare'}:{os.environ['PATH']}"


def device(board: Path, **keys: object) -> LocalDevice:
    """The board with its runtime, reached as a command of this machine."""
    return LocalDevice(
        **{"name": board.name, "python": str(board / "bin" / "python3"), "emulated": True, **keys}
    )
