"""A tool is fetched by its hash, from a real server here, or not at all."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebig import files, lookup
from edgebig.drivers import benchmark_pins
from edgebig.drivers.benchmark_pins import Pin
from edgebig.errors import DeviceError, EdgebigError

CONTENT = b"\x7fELF the tool"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "tool").write_bytes(CONTENT)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/tool"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def pins(url: str, content: bytes = CONTENT) -> dict[str, Pin]:
    return {"arm64-v8a": Pin(url, "2.21", files.sha256_bytes(content))}


def kept() -> list[Path]:
    return (
        [path for path in lookup.cache_dir().rglob("*") if path.is_file()]
        if lookup.cache_dir().exists()
        else []
    )


def test_what_is_pinned_comes_and_is_found(address: str) -> None:
    table = pins(address)
    assert benchmark_pins.fetched(["arm64-v8a"], table) is None
    path = benchmark_pins.fetch(["riscv64", "arm64-v8a"], table)
    assert path.read_bytes() == CONTENT
    assert benchmark_pins.fetched(["arm64-v8a"], table) == path
    path.write_bytes(b"damaged")
    assert benchmark_pins.fetched(["arm64-v8a"], table) is None


def test_another_file_is_refused_and_not_kept(address: str) -> None:
    with pytest.raises(EdgebigError, match="is not the benchmark_model that was pinned"):
        benchmark_pins.fetch(["arm64-v8a"], pins(address, b"another"))
    assert kept() == []


def test_what_does_not_come_is_one_error(address: str) -> None:
    with pytest.raises(DeviceError, match="could not be fetched"):
        benchmark_pins.fetch(["arm64-v8a"], pins(f"{address}-not-there"))
    assert kept() == []


def test_nothing_is_fetched_that_is_not_pinned() -> None:
    with pytest.raises(
        EdgebigError, match="no build of benchmark_model for arm64-v8a can be vouched for"
    ) as caught:
        benchmark_pins.fetch(["arm64-v8a", "armeabi-v7a"])
    assert "benchmark_model" in caught.value.hint
    assert benchmark_pins.fetched(["arm64-v8a"]) is None
