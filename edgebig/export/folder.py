"""A folder that is written whole or not at all, and over nothing but an earlier export of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebig import files
from edgebig.errors import EdgebigError

RECORD = "export.json"
RECORD_SCHEMA = 1


def check(out: Path) -> None:
    """Raises EdgebigError where `out` is a file or holds what no export wrote, OSError where it cannot be written."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise EdgebigError(f"{out}: is there already, and is no folder", "name another with --out")
    if out.is_dir() and (kept := _foreign(out)):
        more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
        raise EdgebigError(
            f"{out}: holds what edgebig export did not write: {kept[0]}{more}",
            "name another folder with --out, or move that away; nothing was written",
        )
    try:
        files.check_writable(out / RECORD)
    except OSError as error:
        error.filename = str(out)
        raise


def write(out: Path, contents: Mapping[str, bytes], record: Mapping[str, Any]) -> list[Path]:
    """Writes `contents`, by their names in the folder, and export.json, with their hashes. The paths, in order.

    Raises as `check`. A kill leaves no half-written folder.
    """
    check(out)
    hashes = {name: files.sha256_bytes(data) for name, data in contents.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        made = staging / "new"
        for name, data in contents.items():
            files.write_bytes(made / name, data)
        files.write_json(made / RECORD, {"schema": RECORD_SCHEMA, **record, "files": hashes})
        if out.is_dir():
            out.rename(staging / "old")
        made.rename(out)
    finally:
        if not out.exists() and (staging / "old").exists():
            (staging / "old").rename(out)
        shutil.rmtree(staging)
    return [*(out / name for name in contents), out / RECORD]


def _foreign(out: Path) -> list[str]:
    """What is in the folder that an export of ours did not write as it is now, by names in it."""
    try:
        written = json.loads((out / RECORD).read_text("utf-8"))["files"]
        hashes = {str(name): str(digest) for name, digest in written.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        hashes = {}
    there = [path for path in sorted(out.rglob("*")) if path.is_symlink() or not path.is_dir()]
    own = {out / name for name, digest in hashes.items() if _is(out / name, digest)}
    if own:
        own.add(out / RECORD)
    return [str(path.relative_to(out)) for path in there if path not in own]


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and files.sha256_file(path) == digest
