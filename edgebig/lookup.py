"""Where a recipe or a device is found by its name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from edgebig.errors import EdgebigError

_PACKAGE = Path(__file__).parent


def home_dir() -> Path:
    """Raises EdgebigError where the user has none, as in a container that runs under a number without a name."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise EdgebigError(
            "this user has no home folder", "set HOME to a folder that can be written"
        ) from error


def config_dir() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or home_dir() / ".config") / "edgebig"


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or home_dir() / ".cache") / "edgebig"


def shelves(kind: str) -> list[Path]:
    """The folders in which a name of `kind` ("recipes" or "devices") is looked up, first come first served.

    In a checkout the files stand at the top level; a wheel carries them inside the package.
    """
    packaged = _PACKAGE / kind
    checkout = _PACKAGE.parent / kind
    return [Path(kind), config_dir() / kind, packaged if packaged.is_dir() else checkout]


def available(kind: str) -> dict[str, Path]:
    """Every name of `kind` and its file, in order of names; the first shelf that has a name wins."""
    found: dict[str, Path] = {}
    for shelf in shelves(kind):
        # os.path says no where Path would raise: another user's folder is no reason to find nothing at all.
        for path in sorted(shelf.glob("*.toml")) if os.path.isdir(shelf) else ():
            # A killed writer may have left a file whose name opens with a dot.
            if path.is_file() and not path.name.startswith("."):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(kind: str, name: str) -> Path:
    """The file of the recipe or device `name`: as a path, then on each shelf. Raises EdgebigError."""
    as_path = Path(name)
    if name.endswith(".toml") or os.sep in name:
        if as_path.is_file():
            return as_path
        what = "a folder, not a file" if as_path.is_dir() else "no such file"
        raise EdgebigError(f"{name}: {what}", f"'edgebig {kind}' lists those that are there")
    names = available(kind)
    if name in names:
        return names[name]
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    raise EdgebigError(
        f"no {kind[:-1]} '{name}'{guess}", f"'edgebig {kind}' lists: {', '.join(names) or 'none'}"
    )
