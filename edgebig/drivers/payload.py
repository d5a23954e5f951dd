"""The runner as one file: edgebig.ondevice as a zipapp, the same bytes for the same sources."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from edgebig import files, ondevice

# Any Python can read this much, and one that is too old says so where it would die of the rest's syntax.
_MAIN = """\
import sys
if sys.version_info < (3, 9):
    import json, os
    words, here = sys.argv, (sys.executable,) + tuple(sys.version_info[:2])
    event = {"event": "error", "code": "old-python"}
    event["problem"] = "%s is Python %d.%d, and the runner needs 3.9 or newer" % here
    event["hint"] = "install a newer one there, and give its path as 'python' in the device's file"
    line = json.dumps(event) + "\\n"
    os.write(int(words[words.index("--events") + 1]) if "--events" in words else 1, line.encode())
    sys.exit(1)
from ondevice.__main__ import main
sys.exit(main())
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@cache
def zipapp() -> bytes:
    """A zip that `python FILE` runs; fixed times and order, so that one version of edgebig has one hash."""
    folder = Path(ondevice.__file__).parent
    sources = {
        f"ondevice/{path.name}": path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in {"__main__.py": _MAIN, **sources}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def name() -> str:
    """What its file is called, by its hash: another version lies beside it, not over it."""
    return f"runner-{files.sha256_bytes(zipapp())[:16]}.pyz"


def write(folder: Path) -> Path:
    """The zipapp in `folder`; written only if it is not there, and whole."""
    path = folder / name()
    if not path.is_file() or path.read_bytes() != zipapp():
        files.write_bytes(path, zipapp())
    return path
