"""The runner as one file: edgebig.ondevice as a zipapp, the same bytes for the same sources."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from edgebig import files, ondevice

_MAIN = "import sys\nfrom ondevice.__main__ import main\nsys.exit(main())\n"
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


def write(folder: Path) -> Path:
    """The zipapp in `folder`, named by its hash; written only if it is not there, and whole."""
    path = folder / f"runner-{files.sha256_bytes(zipapp())[:16]}.pyz"
    if not path.is_file() or path.read_bytes() != zipapp():
        files.write_bytes(path, zipapp())
    return path
