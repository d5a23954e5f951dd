"""LiteRT.js: what is pinned and nothing else, from wherever it comes, kept whole or not at all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import io
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgebig.errors import DeviceError, EdgebigError
from edgebig.phone import assets, runtime

INDEX = b'import { createWasmLib } from "@litertjs/wasm-utils";\nexport {};\n'
CONTENTS = {
    ("@litertjs/core", "dist/index.js"): INDEX,
    ("@litertjs/core", "wasm/litert_wasm_internal.wasm"): b"\0asm" * 999,
    ("@litertjs/wasm-utils", "dist/index.js"): b"export {};\n",
}
NAMES = ("index.js", "wasm/litert_wasm_internal.wasm", "wasm-utils.js")


def tarball(path: Path, package: str, more: dict[str, bytes] | None = None) -> runtime.Package:
    """Writes the package as npm packs it; gives it pinned."""
    with tarfile.open(path, "w:gz") as archive:
        members = {f"package/{name}": data for (owner, name), data in CONTENTS.items() if owner == package}
        for name, data in {**members, **(more or {})}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return runtime.Package(package, base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode())


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small packages as npm packs them, which are those that are pinned."""
    folder = tmp_path / "packed"
    folder.mkdir()
    core = tarball(
        folder / "litertjs-core-2.5.3.tgz", "@litertjs/core", {"../../evil.js": b"x", "/tmp/evil.js": b"x"}
    )
    utils = tarball(folder / "litertjs-wasm-utils-2.5.3.tgz", "@litertjs/wasm-utils")
    owners = {"@litertjs/core": core, "@litertjs/wasm-utils": utils}
    pins = {
        name: runtime.Member(owners[owner], path, hashlib.sha256(data).hexdigest(), len(data))
        for name, ((owner, path), data) in zip(NAMES, CONTENTS.items(), strict=True)
    }
    monkeypatch.setattr(runtime, "_FILES", pins)
    monkeypatch.setattr(runtime, "CORE", core)
    monkeypatch.setattr(runtime, "UTILS", utils)
    return folder


def test_what_is_served_is_what_was_pinned(packed: Path, tmp_path: Path) -> None:
    found = runtime.ready(tmp_path / "cache", packed)
    assert list(found) == list(NAMES)
    assert found["wasm/litert_wasm_internal.wasm"].plain() == b"\0asm" * 999
    assert found["index.js"].plain() == INDEX.replace(b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
    for one in found.values():
        assert hashlib.sha256(one.plain()).hexdigest() == one.sha256
        assert len(one.plain()) == one.size
    assert not list(tmp_path.rglob("evil.js"))


def test_it_is_kept_and_asked_for_no_second_time(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runtime.ready(tmp_path / "cache", packed)
    monkeypatch.setattr(runtime, "_fetched", lambda: pytest.fail("the cache is asked first"))
    assert runtime.ready(tmp_path / "cache") == first


@pytest.mark.parametrize("damage", ["cut off", "another", "no list", "gone"])
def test_a_damaged_cache_is_made_anew(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    first = runtime.ready(tmp_path / "cache", packed)
    path = first["index.js"].gzipped
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-3])
    elif damage == "another":
        path.write_bytes(gzip.compress(b"alert(1)"))
    elif damage == "gone":
        path.unlink()
    else:
        (path.parent / "files.json").write_text("{")
    monkeypatch.setattr(runtime, "_fetched", lambda: runtime._from_folder(packed))
    again = runtime.ready(tmp_path / "cache")
    assert again["index.js"].plain() == first["index.js"].plain()


@pytest.mark.parametrize("name", ["litertjs-core-2.5.3.tgz", "litertjs-wasm-utils-2.5.3.tgz"])
def test_a_package_that_was_changed_is_refused_and_nothing_is_kept(
    packed: Path, tmp_path: Path, name: str
) -> None:
    data = bytearray((packed / name).read_bytes())
    data[-9] ^= 1
    (packed / name).write_bytes(data)
    with pytest.raises(EdgebigError, match=r"not the @litertjs/\S+@2\.5\.3 that was pinned"):
        runtime.ready(tmp_path / "cache", packed)
    assert not list((tmp_path / "cache").rglob("files.json"))


def test_packages_as_npm_installs_them_do_too(packed: Path, tmp_path: Path) -> None:
    for (package, path), data in CONTENTS.items():
        file = tmp_path / "site" / "node_modules" / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    found = runtime.ready(tmp_path / "cache", tmp_path / "site")
    assert found == runtime.ready(tmp_path / "cache", packed)
    file.write_bytes(b"alert(1)")
    with pytest.raises(EdgebigError, match=r"not the dist/index\.js of @litertjs/wasm-utils"):
        runtime.ready(tmp_path / "cache", tmp_path / "site")
    file.unlink()
    with pytest.raises(EdgebigError, match="is missing"):
        runtime.ready(tmp_path / "cache", tmp_path / "site")


def test_a_folder_without_them_says_how_to_get_them(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match="--runtime-dir") as raised:
        runtime.ready(tmp_path / "cache", tmp_path)
    assert raised.value.hint.startswith("npm pack @litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3")


def test_without_npm_and_network_there_is_one_clear_error(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runtime, "_CDN", "http://127.0.0.1:9")
    with pytest.raises(DeviceError, match="could not be fetched") as raised:
        runtime.ready(tmp_path / "cache")
    assert "npm: not installed" in raised.value.problem
    assert "http://127.0.0.1:9" in raised.value.problem
    assert "--runtime-dir FOLDER" in raised.value.hint
    assert not list((tmp_path / "cache").rglob("files.json"))


def test_an_npm_that_fails_is_told_and_the_cdn_asked(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "npm").write_text(f"#!{sys.executable}\nimport sys\nprint('E404 gone')\nsys.exit(1)\n")
    (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(runtime, "_CDN", "http://127.0.0.1:9")
    with pytest.raises(DeviceError, match=r"ended with exit code 1: E404 gone"):
        runtime.ready(tmp_path / "cache")


@pytest.fixture
def cdn() -> Iterator[Callable[[dict[str, bytes]], str]]:
    """Serves these paths; gives the address."""
    servers = []

    def serve(paths: dict[str, bytes]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = paths.get(self.path)
                self.send_response(404 if data is None else 200)
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_cdn_gives_file_by_file_and_each_is_held_against_its_hash(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cdn: Callable[[dict[str, bytes]], str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    paths = {f"/{package}@2.5.3/{path}": data for (package, path), data in CONTENTS.items()}
    monkeypatch.setattr(runtime, "_CDN", cdn(paths))
    found = runtime.ready(tmp_path / "cache")
    assert found["wasm/litert_wasm_internal.wasm"].plain() == b"\0asm" * 999
    shutil.rmtree(tmp_path / "cache")
    # Longer than what was pinned: it is not read to its end.
    monkeypatch.setattr(runtime, "_CDN", cdn({**paths, "/@litertjs/core@2.5.3/dist/index.js": INDEX * 1000}))
    with pytest.raises(EdgebigError, match=r"not the dist/index.js of @litertjs/core@2\.5\.3"):
        runtime.ready(tmp_path / "cache")


@pytest.mark.network
def test_npm_gives_the_pinned_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users_environment: dict[str, str]
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    for name in ("HOME", *(key for key in users_environment if key.lower().startswith("npm_config"))):
        monkeypatch.setenv(name, users_environment[name])
    found = runtime.ready(tmp_path / "cache")
    assert len(found) == 10
    assert b'from "./wasm-utils.js"' in found["index.js"].plain()
    assert (
        sum(found[f"wasm/litert_wasm_internal.{end}"].gzipped.stat().st_size for end in ("js", "wasm")) < 3e6
    )


def test_the_page_says_the_version_that_is_served() -> None:
    told = (assets.STATIC / "app" / "facts.js").read_text("utf-8")
    assert f'const RUNTIME_VERSION = "{runtime.VERSION}";' in told
