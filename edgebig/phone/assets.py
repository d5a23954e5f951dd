"""What is served without asking anybody: the page's own files and LiteRT.js, read once, by their exact paths.

The page is given all its modules as one script, and has in itself what starts that, its style, and the hashes of all
three: one answer is enough to begin, and no other text runs.

A path of a request is looked up here and never becomes a path on the disk.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from edgebig import files
from edgebig.phone import bundle, guard
from edgebig.phone.runtime import Runtime

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
BUNDLE, STYLE = "app/bundle.js", "app/style.css"
_BOOT, _MAIN, _WORKER = "app/boot.js", "app/main.js", "app/worker.js"
_RUNTIMES_MODULES = ("runtime/index.js", "runtime/wasm-utils.js")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')
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
    """Every file of `static` of a type that a page has, the runtime's under runtime/, and the bundle of both.

    Raises ValueError where modules cannot be strung together.
    """
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
    modules = {path: asset.content().decode("utf-8") for path, asset in found.items() if _is_module(path)}
    script = of_bytes(BUNDLE, bundle.strung(modules, _MAIN, _WORKER).encode())
    boot = bundle.strung(modules, _BOOT)
    return {**found, BUNDLE: script, PAGE: _page(found, script.content().decode("utf-8"), boot)}


def _page(found: Assets, script: str, boot: str) -> Asset:
    style = found[STYLE].content().decode("utf-8")
    if re.search(r"</(script|style)|<!--", boot + style, re.IGNORECASE):
        raise ValueError("the page's starter or its style would end within the page")
    words = {
        "boot": boot,
        "style": style,
        "policy": guard.policy([source_of(boot), source_of(script)], [source_of(style)]),
    }
    return of_bytes(PAGE, Template(found[PAGE].content().decode("utf-8")).substitute(words).encode())


def _is_module(path: str) -> bool:
    return path.endswith(".js") and (not path.startswith("runtime/") or path in _RUNTIMES_MODULES)


def is_within_page(path: str) -> bool:
    """Whether a page has that file by the page itself or its bundle. The server gives it all the same, to who seeks a
    fault.
    """
    return path == STYLE or (_is_module(path) and path != BUNDLE)


def policy_of(assets: Assets) -> str:
    """The Content-Security-Policy that the page has in itself; one without hashes where it has none."""
    page = assets[PAGE].content().decode("utf-8") if PAGE in assets else ""
    return found[1] if (found := _POLICY.search(page)) else guard.policy()


def source_of(text: str) -> str:
    """What a Content-Security-Policy calls a script or a style by which stands in the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def of_bytes(path: str, content: bytes) -> Asset:
    gzipped = gzip.compress(content, 9, mtime=0)
    smaller = gzipped if len(gzipped) < 0.95 * len(content) else None
    return Asset(path, _type(path), files.sha256_bytes(content), content, smaller)


def _type(path: str) -> str:
    return _TYPES.get(Path(path).suffix, "application/octet-stream")
