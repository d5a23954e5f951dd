#!/usr/bin/env python3
"""tools/preprocess_kernels.c -> edgebig/phone/static/preprocess/kernels_wasm.js: WebAssembly, in base64.

    python -m venv /tmp/zig && /tmp/zig/bin/pip install ziglang==0.13.0
    .venv/bin/python tools/make_kernels.py --zig "/tmp/zig/bin/python -m ziglang"

The compiler is Clang 18 as Zig brings it, which needs no other package. The page has no build step: what this writes
is kept in the repository, with the hash of the source that it was made from, and a test holds the two together.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shlex
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tools/preprocess_kernels.c"
WRITTEN = ROOT / "edgebig/phone/static/preprocess/kernels_wasm.js"
FLAGS = [
    *("--target=wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-O2", "-fno-unroll-loops"),
    *("-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Werror"),
    *("-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--strip-all"),
]
MODULE = """\
/**
 * tools/preprocess_kernels.c as WebAssembly with SIMD, in base64; made by tools/make_kernels.py, not by hand.
 * sha256 of the source: {source}
 */
export const KERNELS =
{lines};
"""


def compiled(zig: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "kernels.wasm"
        subprocess.run([*zig, "cc", *FLAGS, "-o", str(module), str(SOURCE)], check=True)
        return module.read_bytes()


def written(module: bytes) -> str:
    text = base64.b64encode(module).decode()
    lines = [f'  "{text[at : at + 110]}"' for at in range(0, len(text), 110)]
    source = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    return MODULE.format(source=source, lines=" +\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--zig", default="zig", help="the command that runs Zig")
    module = compiled(shlex.split(parser.parse_args().zig))
    WRITTEN.write_text(written(module))
    print(f"{WRITTEN.relative_to(ROOT)}: {len(module)} bytes of WebAssembly")


if __name__ == "__main__":
    main()
