"""A new project of the user's own: a recipe, a model, data and a test, which work as they are."""

from __future__ import annotations

import re
from pathlib import Path

from edgebig import files
from edgebig.errors import EdgebigError

TEMPLATE = Path(__file__).parent / "templates" / "project"
_IGNORED = "runs/\n__pycache__/\n.pytest_cache/\n"


def create(folder: Path) -> list[Path]:
    """Writes the files of a project into `folder`, which is new or empty. Its last part names the recipe.

    Raises EdgebigError where that is no name for a recipe, or something is in the way: nothing is then written.
    """
    name = folder.absolute().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name == "latest":
        raise EdgebigError(
            f"'{name}' is no name for a recipe",
            "use a-z, A-Z, 0-9, '.', '_' and '-', as in edgebig init cats",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EdgebigError(f"{folder}: is there already, and not empty", "name another; nothing was written")
    texts = {
        folder / (f"{name}.toml" if path.stem == "recipe.toml" else path.stem): path.read_text("utf-8")
        for path in sorted(TEMPLATE.glob("*.template"))
    }
    files.check_writable(folder / f"{name}.toml")
    for path, text in texts.items():
        files.write_text(path, text.replace("{name}", name))
    files.write_text(folder / ".gitignore", _IGNORED)
    return [*texts, folder / ".gitignore"]
