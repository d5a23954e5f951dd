"""What is served without asking anybody: the page's own files and LiteRT.js, read once, by their exact paths.

A path of a request is looked up here and never becomes a path on the disk.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebig import files
from edgebig.phone.runtime import Runtime

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent. `gzipped`: None where it is not smaller so."""

    path: str
    content_type: str
    sha256: str
    plain: bytes | None
    gzipped: bytes | None

    def content(self) -> bytes:
        if self.plain is not None:
            return self.plain
        assert self.gzipped is not None
        return gzip.decompress(self.gzipped)


Assets = Mapping[str, Asset]


def load(runtime: Runtime, static: Path = STATIC) -> Assets:
    """Every file of `static` of a type that a page has, and the runtime's under runtime/."""
    found = {}
    for folder, folders, names in os.walk(static):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix in _TYPES and not name.startswith(".") and not path.is_symlink():
                asset = of_bytes(path.relative_to(static).as_posix(), path.read_bytes())
                found[asset.path] = asset
    for name, packed in runtime.items():
        # Not kept as they are too: 38 MB that nobody asks for.
        found[f"runtime/{name}"] = Asset(
            f"runtime/{name}", _type(name), packed.sha256, None, packed.gzipped.read_bytes()
        )
    return found


def of_bytes(path: str, content: bytes) -> Asset:
    gzipped = gzip.compress(content, 9, mtime=0)
    smaller = gzipped if len(gzipped) < 0.95 * len(content) else None
    return Asset(path, _type(path), files.sha256_bytes(content), content, smaller)


def _type(path: str) -> str:
    return _TYPES.get(Path(path).suffix, "application/octet-stream")
