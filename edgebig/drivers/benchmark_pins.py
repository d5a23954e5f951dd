"""The builds of benchmark_model that edgebig vouches for, by processor; one is fetched by its sha256, or not at all."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebig import files, lookup
from edgebig.errors import DeviceError, EdgebigError
from edgebig.progress import say

_STALLED_S = 30.0
_LIMIT_BYTES = 200_000_000


@dataclass(frozen=True)
class Pin:
    """Where a build is, what it is, and its content."""

    url: str
    version: str
    sha256: str


# None yet. Google publishes both tools as "nightly latest" alone: another file every night under one address, with no
# checksum beside it, so that a hash written down here would refuse all but one night's. One built from a tagged source
# and published under a fixed address can be added: the rest of the way is there.
PINS: Mapping[str, Pin] = {}


def fetched(abis: Sequence[str], pins: Mapping[str, Pin] = PINS) -> Path | None:
    """The build that `fetch` brought for the first of these processors that has one; None where it did not."""
    for abi in abis:
        if (
            abi in pins
            and (path := _path(pins[abi])).is_file()
            and files.sha256_file(path) == pins[abi].sha256
        ):
            return path
    return None


def fetch(abis: Sequence[str], pins: Mapping[str, Pin] = PINS) -> Path:
    """Brings the build for the best of these processors that is pinned; whole, or not at all.

    Raises EdgebigError where none is pinned, or what came is another file; DeviceError where nothing comes.
    """
    pin = next((pins[abi] for abi in abis if abi in pins), None)
    if pin is None:
        raise EdgebigError(
            f"no build of benchmark_model for {abis[0] if abis else 'this phone'} can be vouched for",
            "Google's builds change every night under one address: download one, or build it from TensorFlow's or "
            "LiteRT's source, and name it as 'benchmark_model' in the device's file",
        )
    say(f"fetching benchmark_model {pin.version} from {pin.url}")
    try:
        with urllib.request.urlopen(pin.url, timeout=_STALLED_S) as answer:
            content: bytes = answer.read(_LIMIT_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise DeviceError(
            f"benchmark_model could not be fetched: {error}", "is the network there? Then run it again"
        ) from error
    if files.sha256_bytes(content) != pin.sha256:
        raise EdgebigError(
            f"what {pin.url} gave is not the benchmark_model that was pinned (sha256 {files.sha256_bytes(content)})",
            "nothing was kept; someone changed it on the way or there: please report this",
        )
    path = _path(pin)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, content)
    return path


def _path(pin: Pin) -> Path:
    return lookup.cache_dir() / "benchmark_model" / pin.sha256
