"""LiteRT.js, which runs a .tflite in a browser: fetched once, every file held against its hash, kept gzipped.

Two packages of npm, by `npm pack` where npm is there, else file by file from a public CDN, else from a folder of the
user's. Nothing of them is run here, and what is served is only what stands in `_FILES`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebig import files
from edgebig.errors import DeviceError, EdgebigError
from edgebig.progress import say

VERSION = "2.5.3"
_CDN = "https://cdn.jsdelivr.net/npm"
_STALLED_S = 30.0
_NPM_LIMIT_S = 300.0
_SHOWN = 300


@dataclass(frozen=True)
class Package:
    """A package of npm at VERSION; `sha512`: of its tarball, as npm's own lock files write it."""

    name: str
    sha512: str

    @property
    def spec(self) -> str:
        return f"{self.name}@{VERSION}"

    @property
    def tarball(self) -> str:
        """What `npm pack` calls it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"


CORE = Package(
    "@litertjs/core",
    "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
)
UTILS = Package(
    "@litertjs/wasm-utils",
    "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
)


@dataclass(frozen=True)
class Member:
    """A file of a package, and what it is: a CDN gives one at a time, which the tarball's hash says nothing of."""

    package: Package
    path: str
    sha256: str
    size: int


# What the page asks for, under runtime/ -> where it is from.
_FILES: Mapping[str, Member] = {
    "index.js": Member(
        CORE, "dist/index.js", "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3", 53482
    ),
    "wasm-utils.js": Member(
        UTILS, "dist/index.js", "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2", 1494
    ),
    **{
        f"wasm/litert_wasm_{name}": Member(CORE, f"wasm/litert_wasm_{name}", sha256, size)
        for name, sha256, size in (
            ("internal.js", "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb", 273035),
            ("internal.wasm", "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614", 9367934),
            ("compat_internal.js", "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5", 273246),
            ("compat_internal.wasm", "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c", 9334181),
            ("jspi_internal.js", "e685a3ed86f447c1feb8f5414319539c5e94d1cfc0eb49c3c5e6a788a6f5541b", 293543),
            ("jspi_internal.wasm", "a103e14db26cdbda9ba1a93633e59f3bf604d082fa7ab0c30ca730838e3faa69", 9618046),
            ("threaded_internal.js", "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849", 317475),
            ("threaded_internal.wasm", "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf", 9445834),
        )
    },
}  # fmt: skip
# A Worker knows no import map, so that a bare name would lead nowhere there.
_BARE, _RELATIVE = b'from "@litertjs/wasm-utils"', b'from "./wasm-utils.js"'
_LARGEST_TARBALL = 40_000_000


@dataclass(frozen=True)
class Packed:
    """A file that is served: `gzipped` holds it; `sha256` and `size` are of what comes out of that."""

    gzipped: Path
    sha256: str
    size: int

    def plain(self) -> bytes:
        return gzip.decompress(self.gzipped.read_bytes())


Runtime = Mapping[str, Packed]


def ready(cache: Path, given: Path | None = None) -> Runtime:
    """The runtime's files by their names under runtime/, as they lie in `cache`; made there if they are not.

    `given`: a folder that has the packages, so that no network is asked. Raises EdgebigError where a file is another
    one than was pinned, or they are not in `given`; DeviceError where nothing brings them.
    """
    folder = cache / "litertjs" / VERSION
    if given is None and (kept := _kept(folder)) is not None:
        return kept
    contents = _from_folder(given) if given is not None else _fetched()
    return _pack(contents, folder)


# ---------------------------------------------------------------- the cache


def is_kept(cache: Path) -> bool:
    """Whether `ready` needs nothing but `cache`: that version is there, whole."""
    return _kept(cache / "litertjs" / VERSION) is not None


def _kept(folder: Path) -> Runtime | None:
    """What `_pack` left; None where that is nothing, or was damaged since."""
    try:
        noted = json.loads((folder / "files.json").read_text("utf-8"))
        packed = {}
        for name in _FILES:
            one = Packed(folder / f"{name}.gz", noted[name]["sha256"], noted[name]["size"])
            if files.sha256_file(one.gzipped) != noted[name]["gzipped"]:
                return None
            packed[name] = one
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return packed


def _pack(contents: Iterator[tuple[str, bytes]], folder: Path) -> Runtime:
    """Writes each gzipped, and last the list of them, without which there is nothing."""
    noted, packed = {}, {}
    for name, content in contents:
        gzipped = folder / f"{name}.gz"
        data = gzip.compress(content, 9, mtime=0)
        files.write_bytes(gzipped, data)
        packed[name] = Packed(gzipped, files.sha256_bytes(content), len(content))
        noted[name] = {
            "sha256": packed[name].sha256, "size": len(content), "gzipped": files.sha256_bytes(data),
        }  # fmt: skip
    files.write_json(folder / "files.json", noted)
    return packed


def _checked(name: str, content: bytes, where: str) -> bytes:
    """What is served of it. Raises EdgebigError where it is not the file that was pinned."""
    member = _FILES[name]
    if files.sha256_bytes(content) != member.sha256:
        raise EdgebigError(
            f"{where}: not the {member.path} of {member.package.spec} (sha256 {files.sha256_bytes(content)})",
            "nothing was kept; someone changed it: get it from another place",
        )
    if name != "index.js":
        return content
    assert content.count(_BARE) == 1
    return content.replace(_BARE, _RELATIVE)


# ---------------------------------------------------------------- where they come from


def _fetched() -> Iterator[tuple[str, bytes]]:
    """By npm, else by the CDN. Raises DeviceError where both fail."""
    failed = []
    for bring in (_by_npm, _by_cdn):
        try:
            return iter(list(bring()))
        except DeviceError as error:
            failed.append(error.problem)
    raise DeviceError(
        f"LiteRT.js {VERSION} is not in the cache and could not be fetched:\n" + "\n".join(failed),
        f"where there is a network: npm pack {CORE.spec} {UTILS.spec}; then give the folder of the two files: "
        "--runtime-dir FOLDER",
    )


def _by_npm() -> Iterator[tuple[str, bytes]]:
    if shutil.which("npm") is None:
        raise DeviceError("npm: not installed", "")
    say(f"fetching LiteRT.js {VERSION} by npm pack, once, about 12 MB")
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        command = [
            "npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", folder, CORE.spec, UTILS.spec,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=_NPM_LIMIT_S, check=False,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError) as error:
            raise DeviceError(f"npm: {error}", "") from error
        if done.returncode != 0:
            told = done.stdout.decode(errors="replace").strip()[-_SHOWN:]
            raise DeviceError(f"npm: {' '.join(command)} ended with exit code {done.returncode}: {told}", "")
        yield from _from_tarballs(Path(folder))


def _by_cdn() -> Iterator[tuple[str, bytes]]:
    say(f"fetching LiteRT.js {VERSION} from {_CDN}, once, about 38 MB")
    for name, member in _FILES.items():
        url = f"{_CDN}/{member.package.spec}/{member.path}"
        try:
            with urllib.request.urlopen(url, timeout=_STALLED_S) as answer:
                content: bytes = answer.read(member.size + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeviceError(f"{url}: {error}", "") from error
        yield name, _checked(name, content, url)


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The two tarballs, or the packages as npm installs them. Raises EdgebigError where neither is there."""
    if all((folder / package.tarball).is_file() for package in (CORE, UTILS)):
        yield from _from_tarballs(folder)
        return
    roots = (folder, folder / "node_modules")
    root = next((root for root in roots if all((root / p.name).is_dir() for p in (CORE, UTILS))), None)
    if root is None:
        raise EdgebigError(
            f"--runtime-dir {folder}: neither {CORE.tarball} and {UTILS.tarball} nor {CORE.name} and "
            f"{UTILS.name} are in it",
            f"npm pack {CORE.spec} {UTILS.spec} makes the two files, where there is a network",
        )
    for name, member in _FILES.items():
        path = root / member.package.name / member.path
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise EdgebigError(f"{path}: is missing", f"install {member.package.spec} again") from None
        yield name, _checked(name, content, str(path))


def _from_tarballs(folder: Path) -> Iterator[tuple[str, bytes]]:
    read = {package: _members(folder / package.tarball, package) for package in (CORE, UTILS)}
    for name, member in _FILES.items():
        yield name, _checked(name, read[member.package][member.path], member.package.tarball)


def _members(path: Path, package: Package) -> Mapping[str, bytes]:
    """Those that are served. No name in it becomes a path here, and nothing is unpacked before its hash is right."""
    with path.open("rb") as file:
        data = file.read(_LARGEST_TARBALL + 1)
    sha512 = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if sha512 != package.sha512:
        raise EdgebigError(
            f"{path.name}: not the {package.spec} that was pinned (sha512 {sha512})",
            "nothing was kept; someone changed it on the way or there: get it from another place",
        )
    wanted = {f"package/{member.path}": member for member in _FILES.values() if member.package == package}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for entry in archive:
            member = wanted.get(entry.name)
            if member is not None and (content := archive.extractfile(entry)) is not None:
                found[member.path] = content.read(member.size + 1)
    return found
